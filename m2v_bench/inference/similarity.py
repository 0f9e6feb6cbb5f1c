"""Compare embeddings by the similarity functions of sentence-transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.system.packages import missing_extra


def similarity(a: Any, b: Any, function: str) -> np.ndarray:
    """Return the similarity of every row of `a` with every row of `b`; larger is more similar.

    Args:
        a: embeddings of shape (n, dims), or a single one of shape (dims,).
        b: embeddings of shape (m, dims), or a single one of shape (dims,).
        function: `cosine`, `dot`, `euclidean` or `manhattan`; the last two are negative distances.

    Returns:
        Array of shape (n, m), float64 if an input is, else float32.

    Raises:
        BenchError: for another function, and for embeddings that cannot be compared.
    """
    if function not in _FUNCTIONS:
        raise BenchError(f"similarity_fn_name={function!r}: allowed: {', '.join(_FUNCTIONS)}")
    a, b = np.atleast_2d(np.asarray(a)), np.atleast_2d(np.asarray(b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise BenchError(f"embeddings of shapes {a.shape} and {b.shape} cannot be compared; allowed: (n, d) and (m, d)")
    dtype = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
    scores: np.ndarray = _FUNCTIONS[function](a.astype(dtype, copy=False), b.astype(dtype, copy=False))
    return scores.astype(dtype, copy=False)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _unit(a) @ _unit(b).T


def _unit(rows: np.ndarray) -> np.ndarray:
    # the smallest norm is that of torch.nn.functional.normalize: rows of zeros stay zeros
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T


def _euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return -_distances(a, b, "euclidean")


def _manhattan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return -_distances(a, b, "cityblock")


def _distances(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    try:
        from scipy.spatial.distance import cdist
    except ModuleNotFoundError as error:
        name = {"cityblock": "manhattan"}.get(metric, metric)
        raise BenchError(f"similarity {name}: {missing_extra(error) or error}") from None

    return np.asarray(cdist(a, b, metric))


_FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
