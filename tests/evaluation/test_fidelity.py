"""Against values computed by the definitions, without blocks and tricks."""

import numpy as np
import pytest

from m2v_bench.evaluation import fidelity
from m2v_bench.evaluation.fidelity import linear_cka, nearest, neighbour_overlap, unit_rows

N = 120


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(N, 24)).astype(np.float32)
    student = (teacher[:, :10] + rng.normal(size=(N, 10))).astype(np.float32) * 7
    return teacher, student


def brute_neighbours(vectors: np.ndarray, k: int) -> list[set[int]]:
    found = []
    for i, one in enumerate(vectors.astype(np.float64)):
        cosines = [(one @ other / np.linalg.norm(one) / np.linalg.norm(other), j) for j, other in enumerate(vectors)]
        found.append({j for _, j in sorted(((c, j) for c, j in cosines if j != i), reverse=True)[:k]})
    return found


def brute_cka(one: np.ndarray, other: np.ndarray) -> float:
    """By the kernels' definition: HSIC of the Gram matrices, centered on both sides."""
    n = len(one)
    centering = np.eye(n) - 1 / n
    grams = [each.astype(np.float64) @ each.astype(np.float64).T for each in (one, other)]
    k, m = (centering @ gram @ centering for gram in grams)
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))


@pytest.mark.parametrize("block", [1 << 24, 1000, 1])
def test_neighbours_are_those_of_the_definition(pair, block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fidelity, "_BLOCK", block)
    ours = [nearest(each, 10) for each in pair]
    brute = [brute_neighbours(each, 10) for each in pair]
    for own, theirs in zip(ours, brute, strict=True):
        assert own.shape == (N, 10)
        assert [set(row) for row in own.tolist()] == theirs
    overlap = np.mean([len(one & other) / 10 for one, other in zip(*brute, strict=True)])
    assert neighbour_overlap(*ours) == pytest.approx(overlap)
    assert 0.1 < overlap < 0.9


def test_cka_is_that_of_the_definition(pair):
    teacher, student = pair
    value = linear_cka(teacher, student)
    assert value == pytest.approx(brute_cka(unit_rows(teacher), unit_rows(student)), rel=1e-5)
    assert 0.1 < value < 0.9


def test_a_rotation_and_a_scale_change_nothing(pair):
    teacher, _ = pair
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))
    turned = (3 * teacher @ rotation).astype(np.float32)
    assert linear_cka(teacher, turned) == pytest.approx(1, abs=1e-5)
    assert neighbour_overlap(nearest(teacher), nearest(turned)) == 1
    # of unrelated spaces little is alike: k / (n - 1) of the neighbours, and dims / n by chance
    other = np.random.default_rng(2).normal(size=(N, 24)).astype(np.float32)
    assert linear_cka(teacher, other) < 0.3
    assert neighbour_overlap(nearest(teacher), nearest(other)) == pytest.approx(10 / (N - 1), abs=0.02)


def test_texts_that_are_all_embedded_alike_have_no_alignment(pair):
    assert np.isnan(linear_cka(pair[0], np.ones((N, 4), np.float32)))
    assert np.isnan(linear_cka(pair[0], np.zeros((N, 4), np.float32)))
    assert nearest(np.zeros((N, 4), np.float32)).shape == (N, 10)


def test_memory_stays_bounded_for_twenty_thousand_texts():
    """The cosines of 20,000 texts are 1.6 GB; a tenth of them may be held at a time."""
    import tracemalloc

    vectors = np.random.default_rng(3).normal(size=(20_000, 16)).astype(np.float32)
    tracemalloc.start()
    found = nearest(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (20_000, 10)
    assert peak < 320e6
