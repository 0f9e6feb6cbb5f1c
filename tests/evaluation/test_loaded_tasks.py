"""The data of a task is loaded once per process."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mteb.abstasks import AbsTask

from m2v_bench.evaluation import loaded_tasks
from m2v_bench.evaluation.columns import Columns
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.loaded_tasks import load_task
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.tasks.suite import SuiteTask, load_suite
from tests.conftest import as_model, tiny_static_model
from tests.evaluation.test_quick_mteb import SYNTHETIC, WORDS

STS = Path("mteb") / "stsbenchmark-sts"


@pytest.fixture
def hub(hub_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that a test may change."""
    monkeypatch.setattr(loaded_tasks, "_kept", {})
    shutil.copytree(hub_dir / STS, tmp_path / "hub" / STS)
    for path in [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]:
        path.chmod(0o755)
    return tmp_path / "hub"


def entry(hub: Path, **settings: Any) -> SuiteTask:
    settings = {"tasks": ["STSBenchmark"], "languages": ["eng"], "splits": ["test"], "seed": 42, **settings}
    return load_suite(benchmark=None, hub_dir=str(hub), **settings)[0]


def test_the_data_of_equal_tasks_is_shared(hub: Path):
    first = load_task(entry(hub))
    assert isinstance(first.dataset["test"], Columns)
    assert load_task(entry(hub)) is first
    assert load_task(entry(hub, seed=7)) is not first


def test_changed_data_is_loaded_again(hub: Path):
    first = load_task(entry(hub))
    file = next((hub / STS).rglob("*test*.parquet"))
    pd.read_parquet(file).head(50).to_parquet(file)
    second = load_task(entry(hub))
    assert (len(first.dataset["test"]), len(second.dataset["test"])) == (1379, 50)


def test_kept_data_is_limited(hub: Path, monkeypatch: pytest.MonkeyPatch):
    first = load_task(entry(hub))
    monkeypatch.setattr(loaded_tasks, "_KEPT_BYTES", 1)
    large = load_task(entry(hub, seed=7))
    assert load_task(entry(hub, seed=7)) is not large
    assert load_task(entry(hub)) is first


def test_custom_tasks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loaded_tasks, "_kept", {})
    file = tmp_path / "pairs.csv"

    def load() -> AbsTask:
        task = {"name": "Pairs", "type": "STS", "data": str(file)}
        suite = load_suite(benchmark=None, tasks=[task], languages=["eng"], splits=["test"], hub_dir=None, seed=42)
        return load_task(suite[0])

    file.write_text("sentence1,sentence2,score\na,b,1\nc,d,2\n")
    first = load()
    assert load() is first
    file.write_text("sentence1,sentence2,score\na,b,1\nc,d,3\n")
    assert load().dataset["test"]["score"] == [1, 3]


def test_scores_do_not_depend_on_kept_data(tmp_path: Path):
    """Fast clustering draws its documents while it scores."""
    task = SYNTHETIC["fast clustering"]()
    draws = SuiteTask(task, task.metadata.name, task.metadata.type)
    found = []
    for number in range(3):
        model = as_model(tiny_static_model(WORDS), "kept")
        encoders, store = {model.label: MtebEncoder(model, seed=42)}, Store(tmp_path / str(number))
        evaluate(encoders, [model], [draws], Session(store, 42, 32, debug=True))
        result = store.complete(task, encoders[model.label].mteb_model_meta)
        assert result is not None
        found.append(result.scores)
    assert load_task(draws) is load_task(draws)
    assert found[0] == found[1] == found[2]
