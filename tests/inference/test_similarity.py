"""Compare similarities with those of sentence-transformers."""

import numpy as np
import pytest
from sentence_transformers import SimilarityFunction

from m2v_bench import StaticModel
from m2v_bench.errors import BenchError
from m2v_bench.inference.similarity import similarity
from tests.conftest import tiny_static_model

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(5, 8)).astype(np.float32), RNG.normal(size=(3, 8)).astype(np.float32)
A[2] = 0


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
@pytest.mark.parametrize(("a", "b"), [(A, B), (A[0], B), (A, B[1]), (A[0], B[0]), (A.tolist(), B.tolist())])
def test_similarities_equal_those_of_sentence_transformers(function: str, a: np.ndarray, b: np.ndarray):
    theirs = SimilarityFunction.to_similarity_fn(function)(np.asarray(a), np.asarray(b)).numpy()
    ours = similarity(a, b, function)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_dtypes():
    assert similarity(A, B, "cosine").dtype == similarity(A, B, "manhattan").dtype == np.float32
    assert similarity(A.astype(np.float64), B, "euclidean").dtype == np.float64
    assert similarity((A * 50).astype(np.int8), B, "dot").dtype == np.float32


def test_a_model_uses_the_function_that_its_files_name():
    model = tiny_static_model()
    embeddings = model.encode(["cat", "dog", "zebra"])
    assert model.similarity_fn_name == "cosine"
    np.testing.assert_allclose(np.diag(model.similarity(embeddings, embeddings)), [1, 1, 0], atol=1e-6)
    dot = StaticModel(model.table, model.tokenizer, config={"similarity_fn_name": "dot"})
    np.testing.assert_array_equal(dot.similarity(A, B), A @ B.T)


def test_embeddings_that_cannot_be_compared_are_refused():
    with pytest.raises(BenchError, match=r"shapes \(5, 8\) and \(3, 7\) cannot be compared"):
        similarity(A, B[:, :7], "cosine")
    with pytest.raises(BenchError, match="similarity_fn_name='maxsim': allowed: cosine, dot, euclidean, manhattan"):
        similarity(A, B, "maxsim")
