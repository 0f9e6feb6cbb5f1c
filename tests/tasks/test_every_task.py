"""Score every task of mteb's benchmarks on tiny repositories in the raw form that the task's class loads."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import mteb
import numpy as np
import pytest
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.assets.fetch import fetch
from m2v_bench.cache import cache_dir
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import for_mteb
from m2v_bench.evaluation.store import Store
from m2v_bench.tasks import load_suite
from m2v_bench.tasks.paper_classification import CLASSIFICATION_TASKS
from m2v_bench.tasks.suite import OWN_TASKS
from tests import tiny_hub
from tests.conftest import as_model, run_bench, tiny_static_model
from tests.golden import tiny_models
from tests.hub_server import hub_environment, hub_server
from tests.tasks.test_bundle import NO_NETWORK

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # mteb names newer versions of tasks
SUBSETS = 2  # of a task; some have thousands
_WORDS = sorted({*tiny_hub.FILLER, *(word for topic in tiny_hub.TOPICS for word in topic)})


@pytest.mark.parametrize(("suite", "benchmark"), [("paper", "MTEB(eng, v1)"), ("mteb_eng_v2", "MTEB(eng, v2)")])
def test_every_english_task_is_scored_and_resumed(suite: str, benchmark: str, tmp_path: Path):
    tasks = list(mteb.get_benchmark(benchmark).tasks)
    for task in tasks:
        tiny_hub.write(task, tmp_path / "hub")
    if suite == "paper":
        tasks += [task() for name, task in OWN_TASKS.items() if name.startswith(("PEARL-", "WordSim-"))]
        for task in tasks[56:]:
            if task.metadata.name != "PEARL-autofj":
                tiny_hub.write_own(task, tmp_path / "data")
        assert len(tasks) == 72
    base = tiny_models.build_bpe(tmp_path / "tiny")
    words = [f"suite={suite}", f"hub_dir={tmp_path / 'hub'}", f"base_model.name={base}", "pca_dims=16"]
    words += ["baseline=[teacher,bm25]", *([f"data_dir={tmp_path / 'data'}"] if suite == "paper" else [])]
    cache = {"M2V_BENCH_CACHE": str(_cache_with_few_tables(tmp_path))}
    run = run_bench(*words, cwd=tmp_path, **cache)
    assert run.returncode == 0, run.stderr
    assert "failed" not in run.stdout
    assert "discarded" not in run.stderr  # samples whose mean is not the score

    searches = [task for task in tasks if task.metadata.type in ("Retrieval", "Reranking")]
    table = (tmp_path / "results" / "tables" / f"{suite}.md").read_text()
    for model, n_scored in (("M2V tiny 16d sif", len(tasks)), ("tiny", len(tasks)), ("BM25", len(searches))):
        assert re.search(rf"\| {model} *\|[^|]*\({n_scored}/{len(tasks)}\)", table), table
    assert f"BM25 has no score on {len(tasks) - len(searches)} of {len(tasks)} tasks" in run.stdout

    names = {task.metadata.name for task in tasks}
    parts = {part.metadata.name for task in tasks if isinstance(task, AbsTaskAggregate) for part in task.metadata.tasks}
    assert {file.stem for file in tmp_path.glob("results/results/m2v_bench__*/**/*.json")} >= names | parts
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    runs: Any = mlflow.search_runs(search_all_experiments=True, output_format="list")
    (logged,) = [run.data.metrics for run in runs if run.data.params.get("pca_dims") == "16"]
    assert {metric.removeprefix("task/") for metric in logged} >= names

    again = run_bench(*words, cwd=tmp_path, **cache)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "results" / "tables" / f"{suite}.md").read_text() == table
    assert "..." not in again.stdout  # nothing is scored again


def _cache_with_few_tables(folder: Path) -> Path:
    """Return a cache with three of the 50 tables of PEARL-autofj, which is downloaded as a package."""
    tables = fetch(["autofj"])["autofj"]
    few = folder / "cache" / tables.relative_to(cache_dir())
    few.mkdir(parents=True)
    kept = sorted((path for path in tables.iterdir() if path.is_dir()), key=_size)[:3]
    for path in kept:
        shutil.copytree(path, few / path.name)
    manifest = json.loads((tables / ".manifest.json").read_text())
    names = [path.name for path in kept]
    manifest = {file: digest for file, digest in manifest.items() if file.split("/")[0] in names}
    (few / ".manifest.json").write_text(json.dumps(manifest))
    return folder / "cache"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_the_classification_sets_are_scored(tmp_path: Path):
    for task in CLASSIFICATION_TASKS.values():
        tiny_hub.write_own(task, tmp_path)
    suite = load_suite(
        benchmark=None,
        tasks=list(CLASSIFICATION_TASKS),
        languages=[],
        splits=[],
        hub_dir=None,
        data_dir=str(tmp_path),
        seed=42,
    )
    model = as_model(tiny_static_model(_WORDS, dims=16), "tiny")
    session = Session(Store(tmp_path / "results"), seed=42, batch_size=32, debug=True)
    scores = evaluate({"tiny": for_mteb(model, seed=42)}, [model], suite, session)
    assert [score.state for score in scores] == ["scored"] * 8
    assert min(score.main_score or 0 for score in scores) > 0.6  # a third by chance


def test_a_bundle_of_every_task_gives_the_same_scores_elsewhere(tmp_path: Path):
    tasks = list(mteb.get_benchmark("MTEB(eng, v2)").tasks)
    for task in tasks:
        tiny_hub.write(task, tmp_path / "hub")
    base = tiny_models.build_bpe(tmp_path / "tiny")
    words = ["suite=mteb_eng_v2", f"base_model.name={base}", "pca_dims=16", "baseline=[]", "tracking=none"]
    with hub_server() as (address, repositories):
        for task in tasks:
            dataset = task.metadata.dataset
            repositories.add_dataset(tmp_path / "hub" / dataset["path"], dataset["path"], dataset["revision"])
        command = [sys.executable, "-m", "m2v_bench.cli", "bundle", "suite=mteb_eng_v2", f"out={tmp_path / 'bundle'}"]
        environment = hub_environment(address, tmp_path / "home")
        bundled = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert bundled.returncode == 0, bundled.stderr
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bundle").rename(tmp_path / "elsewhere" / "data")

    tables = []
    for place, hub in (("here", tmp_path / "hub"), ("there", tmp_path / "elsewhere" / "data")):
        (tmp_path / place).mkdir()
        run = run_bench(*words, f"hub_dir={hub}", cwd=tmp_path / place, **NO_NETWORK)
        assert run.returncode == 0, run.stderr
        tables.append((tmp_path / place / "results" / "tables" / "mteb_eng_v2.md").read_text())
        assert "(41/41)" in tables[-1]
    assert tables[0] == tables[1]


def test_every_multilingual_task_is_scored(tmp_path: Path):
    tasks = [copy.copy(task) for task in mteb.get_benchmark("MTEB(Multilingual, v2)").tasks]
    entries: list[Any] = []
    for task in tasks:
        task.hf_subsets = list(task.hf_subsets)[:SUBSETS]
        tiny_hub.write(task, tmp_path / "hub")
        chosen = {"subsets": task.hf_subsets} if task.metadata.is_multilingual else {}
        entries.append({"name": task.metadata.name, **chosen})
    hub = str(tmp_path / "hub")
    suite = load_suite(benchmark=None, tasks=entries, languages=[], splits=[], hub_dir=hub, seed=42)
    model = as_model(tiny_static_model(_WORDS, dims=16), "tiny")
    session = Session(Store(tmp_path / "results"), seed=42, batch_size=32, debug=True)
    scores = evaluate({"tiny": for_mteb(model, seed=42)}, [model], suite, session)
    assert [score.task for score in scores if score.state != "scored"] == []
    assert {"BitextMining", "MultilabelClassification", "InstructionReranking"} < {score.type for score in scores}

    (folder,) = (tmp_path / "results").glob("results/test__tiny/*")
    for entry, score in zip(suite, scores, strict=True):
        result = json.loads((folder / f"{entry.name}.json").read_text())
        for parts in result["scores"].values():
            assert sorted(part["hf_subset"] for part in parts) == sorted(entry.task.hf_subsets), entry.name
        values = [part["main_score"] for parts in result["scores"].values() for part in parts]
        assert score.main_score == pytest.approx(np.mean(values), abs=1e-6), entry.name
