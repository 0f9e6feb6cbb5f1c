"""Check the scikit-learn transformer by itself, in pipelines and in searches."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from m2v_bench import StaticEmbedder, StaticModel
from m2v_bench.errors import BenchError
from tests.conftest import tiny_static_model

TEXTS = ["good cat", "bad dog", "good dog", "bad cat"] * 6
LABELS = [1, 0, 1, 0] * 6


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return tiny_static_model()


@pytest.fixture
def folder(model: StaticModel, tmp_path: Path) -> str:
    model.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.mark.parametrize(
    "texts", [TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS, index=range(50, 74))]
)
def test_embeddings_equal_those_of_encode(model: StaticModel, folder: str, texts: Any):
    expected = model.encode(TEXTS)
    for source in (model, folder, Path(folder)):
        np.testing.assert_array_equal(StaticEmbedder(source).fit(texts).transform(texts), expected)
        np.testing.assert_array_equal(StaticEmbedder(source).fit_transform(texts, LABELS), expected)
        np.testing.assert_array_equal(StaticEmbedder(source).transform(texts), expected)


def test_parameters_are_those_of_encode(model: StaticModel):
    embedder = StaticEmbedder(model, normalize_embeddings=False, max_length=1, batch_size=2)
    expected = model.encode(TEXTS, normalize_embeddings=False, max_length=1)
    np.testing.assert_array_equal(embedder.transform(TEXTS), expected)
    assert embedder.get_params() == {
        "model": model,
        "normalize_embeddings": False,
        "max_length": 1,
        "batch_size": 2,
    }
    assert embedder.set_params(max_length=None).max_length is None


def test_a_clone_shares_the_model_and_keeps_the_output_container(model: StaticModel):
    embedder = StaticEmbedder(model, max_length=3).set_output(transform="pandas").fit(TEXTS)
    copy = clone(embedder)
    assert (copy.model, copy.max_length) == (model, 3)
    assert not hasattr(copy, "model_")
    frame = copy.fit_transform(pd.Series(TEXTS))
    assert list(frame.columns) == list(embedder.get_feature_names_out())
    assert list(frame.columns)[:2] == ["staticembedder0", "staticembedder1"]
    np.testing.assert_array_equal(frame.to_numpy(), model.encode(TEXTS))


def test_it_works_in_pipelines_and_searches(model: StaticModel, folder: str):
    pipeline = Pipeline([("embed", StaticEmbedder(folder)), ("classify", LogisticRegression())])
    assert pipeline.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1
    check_is_fitted(pipeline)
    assert (pickle.loads(pickle.dumps(pipeline)).predict(TEXTS) == LABELS).all()
    grid = {"embed__model": [folder, model], "embed__normalize_embeddings": [True, False], "classify__C": [0.1, 10]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(np.array(TEXTS), LABELS)
    assert search.best_score_ == 1
    scores = cross_val_score(make_pipeline(StaticEmbedder(model), LogisticRegression()), pd.Series(TEXTS), LABELS, cv=3)
    assert scores.mean() == 1


def test_it_embeds_a_column_of_a_frame(model: StaticModel):
    frame = pd.DataFrame({"text": TEXTS, "number": range(len(TEXTS))})
    columns = ColumnTransformer([("embed", StaticEmbedder(model), "text")], remainder="passthrough")
    assert columns.fit_transform(frame).shape == (len(TEXTS), model.dims + 1)
    with pytest.raises(TypeError, match=r"X is a DataFrame; pass one of its columns, such as X\['text'\]"):
        StaticEmbedder(model).fit(frame)


def test_it_needs_no_fit_but_a_fitted_step_after_it_does(model: StaticModel):
    check_is_fitted(StaticEmbedder(model))
    with pytest.raises(NotFittedError):
        make_pipeline(StaticEmbedder(model), LogisticRegression()).predict(TEXTS)


def test_items_that_are_no_text_are_refused(model: StaticModel, tmp_path: Path):
    with pytest.raises(TypeError, match=r"texts\[1\] is None"):
        StaticEmbedder(model).transform(["cat", None])  # type: ignore[list-item]
    with pytest.raises(BenchError, match="no such folder"):
        StaticEmbedder(tmp_path / "nothing").fit(TEXTS)


def test_scikit_learn_is_imported_only_when_used():
    code = """
import sys, m2v_bench
from m2v_bench import StaticModel
print("sklearn" in sys.modules, "StaticEmbedder" in dir(m2v_bench))
m2v_bench.StaticEmbedder
print("sklearn" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
