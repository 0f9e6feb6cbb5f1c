"""Test quantization of rows and of the vocabulary."""

import numpy as np
import pytest

from m2v_bench.distillation.quantization import quantize, quantize_vocabulary

ROWS = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_rows_keep_their_direction(dtype: str):
    smaller = quantize(ROWS, dtype)
    assert smaller.dtype == dtype
    wide = smaller.astype(np.float64)
    cosine = (wide * ROWS).sum(axis=1) / np.linalg.norm(wide, axis=1) / np.linalg.norm(ROWS, axis=1)
    assert cosine.min() > {"float32": 1 - 1e-6, "float16": 1 - 1e-6, "int8": 0.999}[dtype]


def test_int8_uses_the_whole_range():
    smaller = quantize(np.array([[1.0, -2.0], [0.5, 0.0]], np.float32), "int8")
    assert smaller.tolist() == [[64, -127], [32, 0]]
    assert quantize(np.zeros((2, 2), np.float32), "int8").tolist() == [[0, 0], [0, 0]]


def test_shared_rows_are_reproducible_centres():
    centres, mapping = quantize_vocabulary(ROWS, 10, seed=42)
    assert (centres.shape, mapping.shape) == ((10, 8), (200,))
    for row in range(10):
        np.testing.assert_allclose(centres[row], ROWS[mapping == row].mean(axis=0), atol=1e-3)
    again = quantize_vocabulary(ROWS, 10, seed=42)
    assert (again[0] == centres).all()
    assert (again[1] == mapping).all()
    assert (quantize_vocabulary(ROWS, 10, seed=1)[1] != mapping).any()
