"""Test that reranking scores the given candidates, and is refused without them."""

import json
import subprocess
import sys
from pathlib import Path

import mteb
import numpy as np
import pytest
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from m2v_bench.errors import BenchError
from m2v_bench.tasks.candidates import check_candidates, has_candidates
from m2v_bench.tasks.hub import localize
from m2v_bench.tasks.suite import SuiteTask
from tests.conftest import TEST_DATA
from tests.hub_server import hub_environment, hub_server

NAME, REVISION = "stand-in/wikiqa-reranking", "1" * 40


class WikiQAReranking(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="StandInWikiQAReranking",
        description="Sentences of one article, those first that answer a question.",
        dataset={"path": NAME, "revision": REVISION},
        type="Reranking",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="map_at_1000",
        bibtex_citation="",
    )


@pytest.fixture(scope="module")
def hub() -> Path:
    if not (TEST_DATA / "hub" / NAME).is_dir():
        pytest.skip(f"no real data at {TEST_DATA}/hub/{NAME} (set M2V_BENCH_TEST_DATA)")
    return TEST_DATA / "hub"


def localized(hub: Path) -> SuiteTask:
    task = WikiQAReranking()
    assert localize(task, hub) == []
    return SuiteTask(task, task.metadata.name, "Reranking")


def encoder() -> "mteb.EncoderProtocol":
    """Embed a text by its letter counts, enough to rank candidates."""
    from m2v_bench.evaluation.mteb_encoder import MtebEncoder
    from tests.conftest import as_model, tiny_static_model

    words = list("abcdefghijklmnopqrstuvwxyz")
    model = tiny_static_model(["the", "of", "in", "is", "was", "who", "what", "a", "and", "to", *words], dims=16)
    return MtebEncoder(as_model(model, "letters"), seed=42)


def rankings(task: AbsTaskRetrieval, folder: Path) -> tuple[float, dict[str, dict[str, float]]]:
    """Return the main score, and the ranked documents of each query."""
    results = mteb.evaluate(
        encoder(), task, cache=None, co2_tracker=False, prediction_folder=folder, show_progress_bar=False
    )
    predictions = json.loads((folder / task.prediction_file_name).read_text())
    return results.task_results[0].get_score(), predictions["default"]["test"]


def test_only_the_candidates_are_ranked(hub: Path, tmp_path: Path):
    task = localized(hub).load()
    data = task.dataset["default"]["test"]
    candidates = data["top_ranked"]
    assert len(candidates) == len(data["queries"]) > 0
    corpus = len(data["corpus"])
    assert all(0 < len(documents) < corpus / 2 for documents in candidates.values())
    score, ranked = rankings(task, tmp_path / "with")
    assert {query: set(documents) for query, documents in ranked.items()} == {
        query: set(documents) for query, documents in candidates.items()
    }
    # without candidates the same data has a different score
    bare = localized(hub).load()
    bare.dataset["default"]["test"]["top_ranked"] = None
    whole_score, whole = rankings(bare, tmp_path / "without")
    assert min(len(documents) for documents in whole.values()) > max(len(documents) for documents in ranked.values())
    assert score > 2 * whole_score


def test_missing_candidates_are_refused(hub: Path):
    task = localized(hub).load()
    check_candidates(task)
    data = task.dataset["default"]["test"]
    candidates = data["top_ranked"]
    first = next(iter(candidates))
    data["top_ranked"] = {**candidates, first: []}  # one query may lack candidates
    check_candidates(task)
    for nothing in (None, {}, {query: [] for query in candidates}):
        data["top_ranked"] = nothing
        with pytest.raises(BenchError, match=r"StandInWikiQAReranking reranks given candidates.*not loaded"):
            check_candidates(task)


def test_tasks_with_candidates_follow_mteb_statistics():
    assert has_candidates(mteb.get_task("AskUbuntuDupQuestions"))
    assert has_candidates(mteb.get_task("MindSmallReranking"))
    assert has_candidates(WikiQAReranking())  # no statistics in mteb
    assert not has_candidates(mteb.get_task("SciFact"))
    assert not has_candidates(
        mteb.get_task("CodeRAGProgrammingSolutions")
    )  # a reranking type, but scored on its whole corpus


LOAD = """
import json, sys
from pathlib import Path
from tests.tasks.test_candidates import WikiQAReranking, localized
from m2v_bench.tasks.suite import SuiteTask
task = WikiQAReranking()
entry = localized(Path(sys.argv[1])) if sys.argv[1] else SuiteTask(task, task.metadata.name, "Reranking")
try:
    candidates = entry.load().dataset["default"]["test"]["top_ranked"]
    print(json.dumps(sorted(map(len, candidates.values()))))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def load(folder: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_offline_cache_without_candidates_is_refused(hub: Path, tmp_path: Path):
    lengths = sorted(map(len, localized(hub).load().dataset["default"]["test"]["top_ranked"].values()))
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with hub_server() as (address, repositories):
        environment = hub_environment(address, tmp_path / "home")
        assert json.loads(load(str(hub), {**environment, **offline})) == lengths
        # online everything loads; offline, datasets silently drops the candidates from its cache
        repositories.add_dataset(hub / NAME, NAME, REVISION)
        assert json.loads(load("", environment)) == lengths
        assert load("", {**environment, **offline}).startswith("BenchError: StandInWikiQAReranking reranks given")


def test_scores_of_two_loads_are_equal(hub: Path, tmp_path: Path):
    scores = [rankings(localized(hub).load(), tmp_path / str(number))[0] for number in range(2)]
    np.testing.assert_array_equal(scores[0], scores[1])
