"""Test `m2v-bench samples` on real scores: pairs, texts and queries with what was found instead."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.reports.worst_samples import worst_samples
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.samples import read_samples
from tests.conftest import as_model, tiny_static_model

TASKS = ["SimLex999WordSim", "MyPairs", "MyTexts", "MySearch"]
WORDS = ["old", "new", "cat", "dog", "good", "bad", "red", "blue"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[SuiteTask]:
    """Make tasks of a few texts; the model does not know `strange`."""
    data = tmp_path_factory.mktemp("data")
    (data / "pairs.csv").write_text(
        "sentence1,sentence2,label\n" + "good cat,good cat,1\nold dog,old dog,1\nbad cat,bad cat,0\nred,blue,0\n" * 3
    )
    (data / "texts.csv").write_text(
        "text,label\n"
        + "".join(f"{word} {number},{word}\n" for number in range(20) for word in ("good", "bad"))
        + "".join(f"cat {number},{('good', 'bad')[number % 2]}\n" for number in range(20))
    )
    (data / "docs.csv").write_text("id,title,text\na,,good cat\nb,,bad dog\nc,,red old\nd,The last,blue new\n")
    (data / "queries.csv").write_text("id,text\n1,good cat\n2,bad dog\n3,red old\n")
    (data / "relevant.csv").write_text("query,document,score\n1,a,1\n2,b,1\n3,d,1\n")
    own: list[Any] = [
        {"name": "MyPairs", "type": "PairClassification", "data": str(data / "pairs.csv")},
        {"name": "MyTexts", "type": "Classification", "data": str(data / "texts.csv")},
        {
            "name": "MySearch",
            "type": "Retrieval",
            "data": {
                "corpus": str(data / "docs.csv"),
                "queries": str(data / "queries.csv"),
                "relevant": str(data / "relevant.csv"),
            },
        },
    ]
    return load_suite(benchmark=None, tasks=[TASKS[0], *own], languages=["eng"], splits=["test"], hub_dir=None, seed=42)


@pytest.fixture(scope="module")
def results(suite: list[SuiteTask], tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    model = as_model(tiny_static_model(WORDS), "mine")
    encoders = {"mine": MtebEncoder(model, seed=42)}
    evaluate(encoders, [model], suite, Session(Store(results), seed=42, batch_size=32, debug=True))
    return results


def test_pairs_are_shown_with_similarity_and_gold_value(suite: list[SuiteTask], results: Path):
    grid = worst_samples("mine", "SimLex999WordSim", results, suite, most=5)
    assert grid.columns == ["First", "Second", "Gold", "Similarity", "Percentile / of gold"]
    assert len(grid.rows) == 5
    gaps = [abs(int(place) - int(gold)) for place, gold in (row[4].split(" / ") for row in grid.rows)]
    assert gaps[0] > 50 and gaps == sorted(gaps, reverse=True)
    grid = worst_samples("mine", "MyPairs", results, suite, most=3)
    assert grid.rows[0][:3] == ["bad cat", "bad cat", "0"]  # equal texts that are no pair


def test_texts_are_shown_with_the_share_of_right_experiments(suite: list[SuiteTask], results: Path):
    grid = worst_samples("mine", "MyTexts", results, suite, most=4)
    assert grid.columns == ["Text", "Label", "Right"]
    assert {row[0].split()[0] for row in grid.rows} == {"cat"}  # whose labels cannot be told from the text
    shares = [float(row[2]) for row in grid.rows]
    assert shares == sorted(shares) and shares[0] < 1


def test_queries_are_shown_with_their_wrong_answers(suite: list[SuiteTask], results: Path):
    grid = worst_samples("mine", "MySearch", results, suite, most=3)
    query, score, relevant, wrong = grid.rows[0]
    assert query == "red old"
    assert float(score) < 1
    assert relevant == "d: The last blue new"
    assert wrong.split("\n")[0] == "c: red old"
    assert "d: " not in wrong
    assert [row[1] for row in grid.rows[1:]] == ["1.000", "1.000"]


def test_samples_without_answers_are_still_shown(suite: list[SuiteTask], results: Path, tmp_path: Path):
    file = next(results.rglob("MySearch.npz"))
    before = file.read_bytes()
    with np.load(file) as arrays:
        kept = {key: arrays[key] for key in arrays.files if not key.endswith("|answers")}
        assert len(kept) == len(arrays.files) - 1
    try:
        np.savez_compressed(file, **kept)  # as version 0.2 wrote it
        assert next(iter(read_samples(file).values())).answers is None
        grid = worst_samples("mine", "MySearch", results, suite, most=1)
        assert grid.rows[0][3] == "- not kept; score the task again"
    finally:
        file.write_bytes(before)


def test_bad_input_is_refused(suite: list[SuiteTask], results: Path, tmp_path: Path):
    with pytest.raises(BenchError, match=r"MyPair: not a task of the suite\. Did you mean MyPairs\?"):
        worst_samples("mine", "MyPair", results, suite, most=3)
    with pytest.raises(BenchError, match="no such model"):
        worst_samples("yours", "MyPairs", results, suite, most=3)
    (tmp_path / "table.parquet").touch()
    with pytest.raises(BenchError, match="an exported table has no per-sample outputs"):
        worst_samples("mine", "MyPairs", tmp_path / "table.parquet", suite, most=3)
    file = next((results / "results").rglob("MyPairs.json"))
    before = file.read_text()
    try:
        write_json(file, {**json.loads(before), "dataset_revision": "other"})
        with pytest.raises(BenchError, match="scored on dataset revision other, and the data here is"):
            worst_samples("mine", "MyPairs", results, suite, most=3)
    finally:
        file.write_text(before)


def test_command(results: Path, capsys: pytest.CaptureFixture[str]):
    main(["samples", "mine", "SimLex999WordSim", "--results", str(results), "--most", "2", "--format", "md"])
    assert capsys.readouterr().out.count("\n| ") == 2
