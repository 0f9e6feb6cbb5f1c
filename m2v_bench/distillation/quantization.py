"""Smaller tables: number types of fewer bits, and fewer rows than tokens."""

import math
from collections.abc import Callable

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.inference.files import row_beyond

DTYPES: dict[str, type[np.number]] = {"float32": np.float32, "float16": np.float16, "int8": np.int8}

# the smallest absolute value that becomes infinite: half a unit in the last place above the largest number
_OVERFLOWS = {"float16": 65_520.0}


def quantize(rows: np.ndarray, dtype: str) -> np.ndarray:
    """`rows` (tokens, dims) in the number type called `dtype`.

    int8 divides by the largest absolute value / 127 and rounds; model2vec does so in float16, hence may round to the
    neighbour. The factor is not kept: it is the same for every row, so it cancels when an embedding is normalized or
    compared by cosine, and scales the embeddings of models that do not normalize.
    """
    if dtype != "int8":
        return rows.astype(DTYPES[dtype], copy=False)
    scale = max(float(np.abs(rows).max(initial=0)), float(np.finfo(np.float32).tiny)) / 127
    return np.rint(rows / scale).astype(np.int8)


def check_range(rows: np.ndarray, dtype: str, name_of: Callable[[int], str]) -> None:
    """Refuse rows that `dtype` does not hold.

    Args:
        rows: float32 of shape (rows, dims).
        dtype: a name in `DTYPES`.
        name_of: what to call a row, by its number.

    Raises:
        BenchError: for a value that is not finite, or would not be in `dtype`.
    """
    if (row := row_beyond(rows)) is not None:
        raise BenchError(
            f"{name_of(row)} has values that are not finite after PCA and weighting; set pca_dims=none and "
            "weighting=none to find the cause"
        )
    if (row := row_beyond(rows, _OVERFLOWS.get(dtype, math.inf))) is not None:
        raise BenchError(
            f"quantize_to={dtype}: {name_of(row)} reaches {np.abs(rows[row]).max():g}, which {dtype} does not "
            "hold; set quantize_to=float32"
        )


def quantize_vocabulary(rows: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Share rows between tokens: k-means as model2vec does it (random initial centres, scikit-learn's Lloyd).

    Args:
        rows: float32 of shape (tokens, dims), before PCA and weighting.
        n_clusters: rows to keep.
        seed: of the initial centres; model2vec has 42.

    Returns:
        The centres, float32 (n_clusters, dims), and each token's centre, int64 (tokens,).
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # several threads add up their parts in the order in which they end
        kmeans = KMeans(n_clusters=n_clusters, random_state=seed, init="random").fit(rows)
    return kmeans.cluster_centers_.astype(np.float32), kmeans.predict(rows).astype(np.int64)
