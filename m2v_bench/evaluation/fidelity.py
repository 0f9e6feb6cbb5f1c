"""How much of a teacher's geometry a student keeps, on texts of the user's choice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2v_bench.baselines.encoder import Model
from m2v_bench.cache import cached_arrays, content_hash

NEIGHBOURS = 10
# Raise it when the code below gives other numbers for the same texts and models.
VERSION = 1
_BLOCK = 1 << 24  # cosines held at a time


def embeddings(model: Model, texts: Sequence[str], *, device: str, batch_size: int) -> np.ndarray:
    """The texts' embeddings: float32 array of shape (texts, dims); those of a transformer are kept in the cache."""

    def compute(_: Path) -> dict[str, np.ndarray]:
        return {"vectors": np.asarray(model.load(device).encode(texts, batch_size=batch_size), dtype=np.float32)}

    if model.kind == "static":
        return compute(Path())["vectors"]
    key = {"model": model.name, "revision": model.revision, "texts": content_hash(list(texts))}
    return cached_arrays("embeddings", key, compute)[0]["vectors"]


def nearest(vectors: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The k nearest neighbours of each row among the others, by cosine.

    The cosines are made block by block, so that memory grows with the number of rows and not with its square. Of
    equal cosines it is not said which count; a row of zeros has the cosine 0 to all.

    Args:
        vectors: float32 array of shape (rows, dims).
        k: how many, below the number of rows.

    Returns:
        int64 array of shape (rows, k), in no order.
    """
    unit = unit_rows(vectors)
    found = np.empty((len(unit), k), np.int64)
    size = max(1, _BLOCK // len(unit))
    for start in range(0, len(unit), size):
        cosines = unit[start : start + size] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        found[start : start + size] = np.argpartition(cosines, -k, axis=1)[:, -k:]
    return found


def neighbour_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The share of neighbours that two models have in common, mean over texts.

    Args:
        one, other: int arrays of shape (texts, k), as `nearest` gives them.
    """
    shared = (one[:, :, None] == other[:, None, :]).sum(axis=(1, 2))
    return float(shared.mean() / one.shape[1])


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centered kernel alignment of two embeddings of the same texts, 0 to 1.

    ||Y'X||² / (||X'X|| ||Y'Y||) in Frobenius norms, X and Y with centered columns (Kornblith, Norouzi, Lee and Hinton,
    *Similarity of Neural Network Representations Revisited*, 2019, sec. 3). It does not change with a rotation or with
    the scale, and compares spaces of different dimensions. Rows are divided by their norm first, as models are
    compared by cosine.

    Args:
        one, other: float arrays of shape (texts, dims).

    Returns:
        The alignment; NaN when one of them embeds all texts alike.
    """
    x, y = (unit_rows(vectors).astype(np.float64) for vectors in (one, other))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else float("nan")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their L2 norm, float32; a row of zeros stays one."""
    return (vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)).astype(np.float32)
