"""Test BM25 beside embedding models: scores, reranking, and unsupported tasks."""

import json
from pathlib import Path

import mteb
import pytest

from m2v_bench.config.schema import BaselineConfig
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import for_mteb
from m2v_bench.evaluation.store import Store
from m2v_bench.models import load_baselines
from m2v_bench.models.model import Model
from m2v_bench.results.record import Score
from m2v_bench.speed.suite_speed import SpeedTexts, measure
from m2v_bench.tasks import load_suite
from tests.conftest import TEST_DATA, as_model, tiny_static_model

pytest.importorskip("bm25s", reason="the extra bm25 is not installed")
pytest.importorskip("Stemmer", reason="the extra bm25 is not installed")


@pytest.fixture(scope="module")
def bm25() -> Model:
    (model,) = load_baselines({"bm25": BaselineConfig(kind="bm25", label="BM25")}, None)  # type: ignore[arg-type]
    return model


def suite(*tasks: str, hub_dir: Path | None = None):
    return load_suite(
        benchmark=None,
        tasks=tasks,
        languages=["eng"],
        splits=["test"],
        hub_dir=hub_dir and str(hub_dir),
        seed=42,
    )


def score(models: list[Model], results: Path, *tasks: str, hub_dir: Path | None = None) -> list[Score]:
    encoders = {model.label: for_mteb(model, seed=42) for model in models}
    session = Session(Store(results), seed=42, batch_size=32, debug=True)
    return evaluate(encoders, models, suite(*tasks, hub_dir=hub_dir), session)


def test_scifact_score_matches_mteb(bm25: Model, hub_dir: Path, tmp_path: Path):
    (ours,) = score([bm25], tmp_path / "ours", "SciFact", hub_dir=hub_dir)
    (entry,) = suite("SciFact", hub_dir=hub_dir)
    theirs = mteb.evaluate(mteb.get_model("mteb/baseline-bm25s"), entry.load(), cache=None, show_progress_bar=False)
    assert ours.main_score == pytest.approx(theirs.task_results[0].get_score(), abs=1e-5)
    assert ours.main_score > 0.6
    (again,) = score([bm25], tmp_path / "ours", "SciFact", hub_dir=hub_dir)
    assert (again.state, again.main_score) == ("read", ours.main_score)


def test_every_reranking_candidate_gets_a_score(bm25: Model):
    from datasets import Dataset

    task = mteb.get_task("AskUbuntuDupQuestions").metadata
    corpus = [{"id": f"d{number}", "title": "", "text": f"cats and dogs {number}"} for number in range(50)]
    corpus.append({"id": "far", "title": "", "text": "of something else"})
    known = {"task_metadata": task, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}, "num_proc": None}
    model = for_mteb(bm25, seed=42)
    model.index(Dataset.from_list(corpus), **known)
    queries = Dataset.from_list([{"id": "q", "text": "cats"}, {"id": "unknown", "text": "zzz"}])
    candidates = {"q": ["far", "d3"], "unknown": ["d1", "far"]}
    scores = model.search(queries, top_k=2, top_ranked=candidates, **known)
    assert scores["q"].keys() == {"far", "d3"}
    assert scores["q"]["d3"] > scores["q"]["far"] == 0
    assert scores["unknown"] == {"d1": 0, "far": 0}
    free = model.search(queries.select([0]), top_k=2, **known)
    assert len(free["q"]) == 2


def test_unsupported_tasks_are_missing_with_the_reason(bm25: Model, tmp_path: Path):
    words = as_model(tiny_static_model(["old", "new", "smart", "intelligent"]), "words")
    scores = score([words, bm25], tmp_path, "SimLex999WordSim")
    assert [(score.label, score.state, score.reason) for score in scores] == [
        ("words", "scored", None),
        ("BM25", "missing", "BM25 ranks documents and does nothing else"),
    ]
    assert not list(tmp_path.glob("results/mteb__baseline-bm25s/**/SimLex999WordSim.json"))


def test_bm25_has_no_speed(bm25: Model, tmp_path: Path):
    models = [as_model(tiny_static_model(), "m"), bm25]
    encoders = {model.label: for_mteb(model, seed=42) for model in models}
    records = measure(
        models, encoders, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42
    )
    assert [record.label for record in records] == ["m"]


def test_run_shows_unsupported_tasks(bench, tmp_path: Path):
    words = ["suite=custom", "suite.tasks=[SimLex999WordSim,SciFact]", "baseline=[bm25]", "tracking=none"]
    if not (TEST_DATA / "hub").is_dir():
        pytest.skip(f"no real data at {TEST_DATA}/hub (set M2V_BENCH_TEST_DATA)")
    run = bench(*words, "pca_dims=16", f"hub_dir={TEST_DATA / 'hub'}")
    assert run.returncode == 0, run.stderr
    assert "BM25 has no score on 1 of 2 tasks: BM25 ranks documents and does nothing else" in run.stdout
    assert "(1/2)" in next(line for line in run.stdout.splitlines() if "│ BM25" in line)
    (record,) = (tmp_path / "results" / "runs").glob("*/record.json")
    assert len(json.loads(record.read_text())["scores"]) == 4
    assert (tmp_path / "results" / "figures" / "custom-speed.png").is_file()
    bars = [line for line in run.stderr.replace("\r", "\n").splitlines() if "|" in line]
    assert not [bar for bar in bars if not bar.startswith("forward pass")]  # bm25s's bars are off
