"""Store embeddings as bytes or bits, as sentence-transformers names them, without calibration texts.

`int8` scales each embedding to the range of a byte, which keeps cosines to about 0.01; lengths are lost. `binary` and
`ubinary` keep the sign of each dimension, eight in a byte; compare them by Hamming distance.
"""

from typing import Literal

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.inference.embeddings import divide_by_norm

Precision = Literal["float32", "int8", "binary", "ubinary"]
PRECISIONS = ("float32", "int8", "binary", "ubinary")


def check_precision(precision: str) -> None:
    """Check the name of a precision.

    Raises:
        BenchError: for any but those of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise BenchError(f"precision={precision!r}: allowed: {', '.join(PRECISIONS)}")


def storage(n_texts: int, dims: int, precision: Precision) -> np.ndarray:
    """Return an uninitialized array: float32 or int8 of shape (texts, dims), or bits of shape (texts, dims / 8)."""
    if precision in ("binary", "ubinary"):
        return np.empty((n_texts, -(-dims // 8)), np.int8 if precision == "binary" else np.uint8)
    return np.empty((n_texts, dims), np.int8 if precision == "int8" else np.float32)


def quantize(embeddings: np.ndarray, precision: Precision, out: np.ndarray) -> None:
    """Write embeddings at a precision.

    Args:
        embeddings: float32 array of shape (texts, dims).
        precision: one of `PRECISIONS`.
        out: receives them, as `storage` returns.
    """
    if precision == "float32":
        out[:] = embeddings
    elif precision == "int8":
        largest = np.abs(embeddings).max(axis=1, keepdims=True, initial=0)
        np.rint(embeddings * (127 / np.maximum(largest, 1e-30)), casting="unsafe", out=out)
    else:
        bits = np.packbits(embeddings > 0, axis=1)
        out[:] = bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)


def dequantize(codes: np.ndarray, precision: Precision, dims: int) -> np.ndarray:
    """Return float32 unit vectors of shape (texts, dims) with the cosines of the codes; bits count as -1 and 1.

    A classifier or k-means needs unit vectors: the lengths of codes mean nothing.
    """
    if precision in ("float32", "int8"):
        vectors = codes.astype(np.float32)
    else:
        bits = codes if precision == "ubinary" else (codes.astype(np.int16) + 128).astype(np.uint8)
        vectors = 2 * np.unpackbits(bits, axis=1, count=dims).astype(np.float32) - 1
    divide_by_norm(vectors)
    return vectors
