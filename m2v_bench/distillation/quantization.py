"""Shrink the table: number types of fewer bits, and rows shared between tokens."""

import math
from collections.abc import Callable

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.inference.files import row_beyond

DTYPES: dict[str, type[np.number]] = {"float32": np.float32, "float16": np.float16, "int8": np.int8}

# the smallest absolute value that rounds to infinity: half a unit in the last place above the largest number
_OVERFLOWS = {"float16": 65_520.0}


def quantize(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Convert `rows` (tokens, dims) to the number type `dtype`.

    int8 divides by the largest absolute value / 127 and rounds; model2vec does this in float16, so its values may
    differ by one. The scale is not stored: it is the same for every row, so it cancels when an embedding is normalized
    or compared by cosine; embeddings of models that do not normalize are scaled.
    """
    if dtype != "int8":
        return rows.astype(DTYPES[dtype], copy=False)
    scale = max(float(np.abs(rows).max(initial=0)), float(np.finfo(np.float32).tiny)) / 127
    return np.rint(rows / scale).astype(np.int8)


def check_range(rows: np.ndarray, dtype: str, name_of: Callable[[int], str]) -> None:
    """Refuse rows that `dtype` cannot represent.

    Args:
        rows: float32 of shape (rows, dims).
        dtype: a name in `DTYPES`.
        name_of: row number -> name of the row in messages.

    Raises:
        BenchError: for a value that is not finite, or would not be finite in `dtype`.
    """
    if (row := row_beyond(rows)) is not None:
        raise BenchError(
            f"{name_of(row)} has values that are not finite after PCA and weighting; set pca_dims=none and "
            "weighting=none to find the cause"
        )
    if (row := row_beyond(rows, _OVERFLOWS.get(dtype, math.inf))) is not None:
        raise BenchError(
            f"quantize_to={dtype}: {name_of(row)} reaches {np.abs(rows[row]).max():g}, which overflows {dtype}; "
            "set quantize_to=float32"
        )


def quantize_vocabulary(rows: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Share rows between tokens by k-means, as model2vec does (random initial centres, scikit-learn's Lloyd).

    Args:
        rows: float32 of shape (tokens, dims), before PCA and weighting.
        n_clusters: number of rows to keep.
        seed: seed of the initial centres; model2vec uses 42.

    Returns:
        The centres, float32 (n_clusters, dims), and the index of each token's centre, int64 (tokens,).
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # with more threads the order of summation varies, and so do the bits
        kmeans = KMeans(n_clusters=n_clusters, random_state=seed, init="random").fit(rows)
    return kmeans.cluster_centers_.astype(np.float32), kmeans.predict(rows).astype(np.int64)
