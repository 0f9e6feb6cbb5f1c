import json
from pathlib import Path
from typing import Any

import pytest

from m2v_bench.results.long_table import read_table
from m2v_bench.results.record import RECORD, RunRecord, Score, Speed, read_record, write_record

PAPER = Path(__file__).parents[2] / "results" / "paper"
KEPT = sorted(PAPER.glob("*.parquet"))

# a record of the first version: no size, times, datasets or command, and rows without memory
OLD: dict[str, Any] = {
    "name": "m2v_bench/a",
    "revision": "r",
    "label": "M2V a",
    "variant": {"base_model": "a"},
    "settings": {
        "seed": 7,
        "suite.name": "starter",
        "suite.aggregation": "macro",
        "pca.dims": 16,
        "sweep.axis": "pca.dims",
    },
    "scores": [
        {"model": "m2v_bench/a", "revision": "r", "label": "M2V a", "kind": "static", "task": "T", "type": "STS"}
        | {"main_score": 0.5, "state": "scored", "reason": None, "seconds": 1.0},
        {"model": "b", "revision": "s", "label": "b", "kind": "transformer", "task": "T", "type": "STS"}
        | {"main_score": None, "state": "failed", "reason": "no memory", "seconds": None},
    ],
    "speed": [{"label": "M2V a", "texts_per_second": 9.0}],
    "seconds": {"distil": 1.0},
    "forward_cached": True,
    "versions": {"mteb": "2.26.24"},
    "git_commit": "abc+",
    "teacher": "b",
    "signature": "s",
}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_record_is_read_whole(path: Path):
    (experiment,) = read_table(path).experiments
    for given in (job["record"] for job in experiment["jobs"]):
        record = RunRecord.from_json(given)
        assert json.loads(json.dumps(record.to_json())) == given
        assert record.student_scores
        assert record.total_seconds == given["ended"] - given["started"]


def test_there_is_a_kept_record_of_every_kind():
    assert len(KEPT) == 12


def test_a_record_of_the_first_version_is_read():
    record = RunRecord.from_json(OLD)
    assert (record.size, record.started, record.total_seconds, record.command) == (None, None, None, None)
    assert (record.seed, record.suite, record.aggregation) == (7, "starter", "macro")
    assert (record.settings["pca_dims"], record.settings["sweep.axis"]) == (16, "pca_dims")
    assert [score.task for score in record.student_scores] == ["T"]
    assert [score.reason for score in record.failed] == ["no memory"]
    assert record.speed[0] == Speed("M2V a", 9.0, slowest=9.0, fastest=9.0)
    assert record.scores[0].peak_rss_bytes is None
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_what_is_written_is_read_back(tmp_path: Path):
    record = RunRecord([Score("a", "r", "a", "static", "T", "STS", 0.1 + 0.2)], name="a", settings={"seed": 1})
    write_record(tmp_path, record)
    assert read_record(tmp_path) == RunRecord.from_json(record.to_json())
    assert list(json.loads((tmp_path / RECORD).read_text())) == sorted(record.to_json())


def test_fields_of_a_later_version_are_ignored():
    later = {**OLD, "later": 1, "scores": [{**OLD["scores"][0], "later": 2}]}
    assert RunRecord.from_json(later).scores[0].main_score == 0.5


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "1", '{"scores": [{"model": "a"}]}', '{"scores": null}'])
def test_what_is_no_record_is_none(text: str, tmp_path: Path):
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
