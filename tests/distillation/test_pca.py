"""Test PCA: agreement with scikit-learn, signs, and sizes."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from m2v_bench.distillation.pca import n_components, parse_dims, rotate
from m2v_bench.errors import BenchError


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(500, 24)) * np.geomspace(8, 0.1, 24) + 3).astype(np.float32)


def test_scores_match_scikit_learn_up_to_sign(vectors: np.ndarray):
    rotated = rotate(vectors)
    reference = PCA(24, svd_solver="full").fit(vectors)
    expected = reference.transform(vectors)
    signs = np.sign((expected * rotated["scores"]).sum(axis=0))
    np.testing.assert_allclose(rotated["scores"] * signs, expected, atol=1e-4)
    np.testing.assert_allclose(rotated["variance"], reference.explained_variance_, rtol=1e-5)


def test_largest_score_of_every_component_is_positive(vectors: np.ndarray):
    scores = rotate(-vectors)["scores"]
    assert (scores[np.abs(scores).argmax(axis=0), np.arange(24)] > 0).all()


def test_rotation_is_bit_reproducible(vectors: np.ndarray):
    assert rotate(vectors)["scores"].tobytes() == rotate(vectors)["scores"].tobytes()


def test_number_of_components(vectors: np.ndarray):
    variance = np.array([6.0, 3.0, 0.9, 0.1])
    assert n_components(2, variance) == 2
    assert n_components("auto", variance) == 4
    assert n_components(0.5, variance) == 1
    assert n_components(0.95, variance) == 3


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("none", "none"),
        (None, "none"),
        ("auto", "auto"),
        (256, 256),
        ("64", 64),
        (0.95, 0.95),
        ("0.9", 0.9),
    ],
)
def test_valid_sizes(value: object, parsed: object):
    assert parse_dims(value) == parsed


@pytest.mark.parametrize(
    "value", [0, -3, 1.5, "many", "", True, [64], "-0.5", 1.0, 32.0, float("nan"), float("inf"), "nan"]
)
def test_invalid_sizes_are_refused(value: object):
    with pytest.raises(BenchError, match=r"pca_dims=.*allowed: none, auto"):
        parse_dims(value)
