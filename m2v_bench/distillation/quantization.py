"""The number type in which a static model's rows are stored."""

import numpy as np

DTYPES: dict[str, type[np.floating]] = {"float32": np.float32, "float16": np.float16}


def quantize(rows: np.ndarray, dtype: str) -> np.ndarray:
    """`rows` (tokens, dims) rounded to the number type called `dtype`."""
    return rows.astype(DTYPES[dtype])
