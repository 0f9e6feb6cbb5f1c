"""Test that result files are complete, shared between processes and never computed twice."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mteb
import pytest
from datasets import Dataset
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.models import Model
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.samples import read_samples
from tests.conftest import as_model, glove, tiny_static_model

WORDS = ["old", "new", "smart", "intelligent", "hard", "happy", "car", "man", "the", "is"]
TASKS = ["SimLex999WordSim", "MENWordSim", "MTurk771WordSim", "RareWordWordSim", "Newsgroups20Clustering"]

# program of a subprocess that scores two models on all tasks
RUN = """
import sys, time
from pathlib import Path
from m2v_bench.models.static import StaticEncoder
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.tasks import load_suite
from tests.conftest import as_model, tiny_static_model

class Slow(StaticEncoder):
    def encode(self, texts, **options):
        time.sleep(float(sys.argv[2]))
        return super().encode(texts, **options)

model = tiny_static_model(WORDS)
models = [as_model(model, label, load=lambda device: Slow(model)) for label in ("a", "b")]
suite = load_suite(benchmark=None, tasks=TASKS, languages=["eng"], splits=["test"], hub_dir=None, seed=42)
encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
for score in evaluate(encoders, models, suite, Session(Store(Path(sys.argv[1])), seed=42, batch_size=32)):
    print("RESULT", score.task, score.label, score.state, score.main_score)
"""


def start(results: Path, pause: float) -> subprocess.Popen[str]:
    code = RUN.replace("WORDS", repr(WORDS)).replace("TASKS", repr(TASKS))
    command = [sys.executable, "-c", code, str(results), str(pause)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )


def finish(process: subprocess.Popen[str]) -> dict[tuple[str, str], tuple[str, str]]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    rows = [line.split()[1:] for line in out.splitlines() if line.startswith("RESULT")]
    return {(task, label): (state, score) for task, label, state, score in rows}


def files(results: Path) -> dict[str, Any]:
    """Return the contents of all result files, by path, without what depends on time and machine."""
    contents: dict[str, Any] = {}
    for path in sorted((results / "results").rglob("*.json")):
        value = json.loads(path.read_text())
        contents[str(path.relative_to(results))] = value.get("scores", value)
    for path in sorted((results / "costs").rglob("*.json")):
        contents[str(path.relative_to(results))] = json.loads(path.read_text())["texts_encoded"]
    for path in sorted((results / "samples").rglob("*.npz")):
        contents[str(path.relative_to(results))] = {
            name: (part.metric, part.values.tolist()) for name, part in read_samples(path).items()
        }
    return contents


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("undisturbed")
    assert {state for state, _ in finish(start(results, 0)).values()} == {"scored"}
    return results


def test_killed_run_resumes_with_the_same_files(undisturbed: Path, tmp_path: Path):
    process = start(tmp_path, 0.3)
    deadline = time.monotonic() + 240
    while len(list((tmp_path / "results").rglob("*WordSim.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*WordSim.json")}
    assert 3 <= len(done) < 8  # two models on four datasets
    again = finish(start(tmp_path, 0))
    assert sum(state == "read" for state, _ in again.values()) >= len(done) - 1  # the last may be incomplete
    unchanged = {path for path in done if path.stat().st_mtime_ns == done[path]}
    assert len(unchanged) >= len(done) - 1
    assert files(tmp_path) == files(undisturbed)


def test_concurrent_runs_share_the_work(undisturbed: Path, tmp_path: Path):
    both = [finish(process) for process in [start(tmp_path, 0.2), start(tmp_path, 0.2)]]
    for key in both[0]:
        states = sorted(scores[key][0] for scores in both)
        assert states == ["read", "scored"], (key, states)
        assert both[0][key][1] == both[1][key][1]
    assert files(tmp_path) == files(undisturbed)


def score(task: Any, results: Path, hub_dir: Path | None = None, model: Model | None = None, **fields: Any) -> Any:
    suite = load_suite(
        benchmark=None, tasks=[task], languages=["eng"], splits=["test"], hub_dir=hub_dir and str(hub_dir), seed=42
    )
    model = model or as_model(tiny_static_model(WORDS), "m")
    session = Session(Store(results), seed=42, batch_size=32, debug=True, **fields)
    return evaluate({model.label: MtebEncoder(model, seed=42)}, [model], suite, session)[0]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("STSBenchmark", ("spearman", "pair", 1379)),
        ("AmazonCounterfactualClassification", ("mean", "text", 670)),
        ("SciFact", ("mean", "query", 300)),
        ("SummEvalSummarization.v2", ("mean", "text", 100)),
        ("SummEval", ("mean", "text", 100)),  # first version, which also averages p-values
        ("TwitterURLCorpus", ("average_precision", "pair", 51534)),
    ],
)
def test_samples_of_stock_tasks_match_the_score(
    hub_dir: Path, tmp_path: Path, task: str, expected: tuple[str, str, int]
):
    entry = {"name": task, "subsets": ["en"]} if task.startswith("AmazonC") else task
    scored = score(entry, tmp_path, hub_dir, glove())
    (file,) = (tmp_path / "samples").rglob(f"{task}.npz")
    (part,) = read_samples(file).values()
    assert (part.metric, part.unit, len(part.values)) == expected
    assert part.score() == pytest.approx(scored.main_score, abs=1e-4)
    assert file.stat().st_size < 500_000


def test_summarization_that_skips_texts_has_no_samples(hub_dir: Path, tmp_path: Path):
    assert score("SummEval", tmp_path, hub_dir).state == "scored"
    assert not (tmp_path / "samples").exists()


def test_scored_parts_of_an_aggregate_are_kept(tmp_path: Path):
    names = ["SimLex999WordSim", "WordSim353WordSim"]
    parts = load_suite(benchmark=None, tasks=names, languages=["eng"], splits=["test"], hub_dir=None, seed=42)
    metadata = AggregateTaskMetadata(
        name="TwoSets",
        description="two sets that count as one, as the forums of CQADupstack do",
        reference=None,
        tasks=[entry.task for entry in parts],
        main_score="cosine_spearman",
        type="STS",
        eval_splits=["test"],
        bibtex_citation="",
    )
    aggregate = type("TwoSets", (AbsTaskAggregate,), {"metadata": metadata})()
    model = as_model(tiny_static_model(WORDS), "m")
    encoders, session = {"m": MtebEncoder(model, seed=42)}, Session(Store(tmp_path), 42, 32, debug=True)
    (first,) = evaluate(encoders, [model], parts[:1], session)
    (file,) = (tmp_path / "results").rglob(f"{names[0]}.json")
    before = file.stat().st_mtime_ns
    (both,) = evaluate(encoders, [model], [SuiteTask(aggregate, "TwoSets", "STS")], session)
    assert file.stat().st_mtime_ns == before
    (second,) = evaluate(encoders, [model], parts[1:], session)
    assert second.state == "read"
    mean = (float(first.main_score or 0) + float(second.main_score or 0)) / 2
    assert both.main_score == pytest.approx(mean, abs=1e-5)
    (samples,) = (tmp_path / "samples").rglob("TwoSets.npz")
    assert sorted(read_samples(samples)) == [f"{name}/test/default" for name in sorted(names)]


def test_reranking_over_subqueries_has_a_sample_per_user(tmp_path: Path):
    task = mteb.get_task("MindSmallReranking")
    texts = {"d1": "old car", "d2": "new man", "d3": "smart is", "d4": "hard happy"}
    queries = {"p1_0": "old", "p1_1": "car", "p2_0": "happy", "p2_1": "man", "p3_0": "the"}
    judged = {query: {"d1": int(query < "p2"), "d2": int(query > "p2"), "d3": 0} for query in queries}
    split = {
        "corpus": Dataset.from_list([{"id": key, "text": text, "title": ""} for key, text in texts.items()]),
        "queries": Dataset.from_list([{"id": key, "text": text} for key, text in queries.items()]),
        "relevant_docs": judged,
        "top_ranked": {query: list(texts) for query in queries},
    }
    task.dataset, task.data_loaded = {"default": {task.eval_splits[0]: split}}, True
    model = as_model(tiny_static_model(WORDS), "m")
    entry = SuiteTask(task, task.metadata.name, "Reranking")
    (scored,) = evaluate(
        {"m": MtebEncoder(model, seed=42)}, [model], [entry], Session(Store(tmp_path), 42, 32, debug=True)
    )
    (file,) = (tmp_path / "samples").rglob("MindSmallReranking.npz")
    (part,) = read_samples(file).values()
    assert len(part.values) == 3
    assert part.score() == pytest.approx(float(scored.main_score or 0), abs=1e-4)


def test_outdated_samples_are_deleted(tmp_path: Path):
    score("SimLex999WordSim", tmp_path)
    (file,) = (tmp_path / "results").rglob("SimLex999WordSim.json")
    file.unlink()
    score("SimLex999WordSim", tmp_path, samples=False)
    assert not list((tmp_path / "samples").rglob("*.npz"))


def test_samples_can_be_switched_off(tmp_path: Path):
    assert score("SimLex999WordSim", tmp_path, samples=False).state == "scored"
    assert not (tmp_path / "samples").exists()


def test_costs_are_stored(tmp_path: Path):
    scored, read = score("SimLex999WordSim", tmp_path), score("SimLex999WordSim", tmp_path)
    (file,) = (tmp_path / "costs").rglob("SimLex999WordSim.json")
    cost = json.loads(file.read_text())
    assert cost["texts_asked"] == 2 * 999
    assert cost["texts_encoded"] == 1028  # words of SimLex-999
    assert scored.peak_rss_bytes == read.peak_rss_bytes == cost["peak_rss_bytes"] > 50e6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system cannot reset the peak")
def test_peak_memory_is_measured_per_task():
    code = (
        "import numpy as np; from m2v_bench.system.memory import Peak\n"
        "large = Peak(); np.ones(100_000_000, np.uint8).sum(); most = large.rss_bytes()\n"
        "small = Peak(); print(large.of, small.of, most - small.rss_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, difference = done.stdout.split()
    assert first == second == "task"
    assert int(difference) > 80e6


def test_lock_of_a_dead_process_is_released(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from m2v_bench.evaluation.store import Store\n"
        "from m2v_bench.evaluation.mteb_encoder import model_meta\n"
        "from tests.conftest import as_model, tiny_static_model\n"
        "meta = model_meta(as_model(tiny_static_model(), 'm'), seed=42)\n"
        "with Store(Path(sys.argv[1])).locked('T', meta): print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.stdout.strip(), done.returncode) == ("held", -signal.SIGKILL), done.stderr
    from m2v_bench.evaluation.mteb_encoder import model_meta

    with Store(tmp_path).locked("T", model_meta(as_model(tiny_static_model(), "m"), seed=42)):
        assert list((tmp_path / ".locks").iterdir())
