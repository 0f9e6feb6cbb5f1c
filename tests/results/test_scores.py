import json
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from mteb.results import TaskResult

from m2v_bench.cache import write_json
from m2v_bench.results.score_files import TaskScores, read_tasks
from m2v_bench.results.scores import unique_labels


def write(folder: Path, name: str, scores: dict[str, dict[str, float | None]], **more: Any) -> Path:
    rows = {
        split: [
            {"hf_subset": subset, "languages": ["eng-Latn"], "main_score": score} for subset, score in subsets.items()
        ]
        for split, subsets in scores.items()
    }
    path = folder / f"{name}.json"
    result = {"task_name": name, "dataset_revision": "d", "mteb_version": "2.26.24", "evaluation_time": 1.5}
    write_json(path, {**result, "scores": rows, **more})
    return path


TASKS = [
    ("STSBenchmark", {"test": {"default": 0.1}}),
    ("STSBenchmark", {"validation": {"default": 0.3}, "test": {"default": 0.1}}),
    ("STSBenchmark", {"validation": {"default": 0.3}}),
    ("STS17", {"test": {"en-en": 0.1, "en-de": 0.2, "es-es": 1 / 3}}),
    ("STS17", {"test": {"es-es": 0.2}}),
    ("CQADupstackRetrieval", {"test": {"default": 0.7}}),
]


@pytest.mark.parametrize(("name", "scores"), TASKS)
def test_a_task_scores_what_mteb_says(name: str, scores: dict[str, dict[str, float | None]], tmp_path: Path):
    path = write(tmp_path, name, scores)
    (own,) = read_tasks(tmp_path)[0].values()
    task, theirs = mteb.get_task(name, languages=["eng"]), TaskResult.from_disk(path)
    missing = theirs.get_missing_evaluations(task)
    assert {split: set(subsets) for split, subsets in own.missing(task).items()} == {
        split: set(subsets) for split, subsets in missing.items()
    }
    assert float(np.mean(list(own.parts.values()))) == theirs.get_score()
    if not missing:
        assert float(np.mean(list(own.counted(task).values()))) == theirs.validate_and_filter_scores(task).get_score()
    assert (own.dataset_revision, own.mteb_version, own.seconds) == ("d", "2.26.24", 1.5)


def test_a_score_that_is_no_number_is_kept_apart(tmp_path: Path):
    write(tmp_path, "STS17", {"test": {"en-en": float("nan"), "en-de": None, "es-es": 0.5}})
    (scores,) = read_tasks(tmp_path)[0].values()
    assert list(scores.parts) == ["test/en-en", "test/en-de", "test/es-es"]
    assert scores.known == {"test/es-es": 0.5}


def test_files_of_old_mteb_are_read(tmp_path: Path):
    old = {"mteb_dataset_name": "STSBenchmark", "mteb_version": "1.0.2", "dataset_revision": None}
    old["test"] = {"cos_sim": {"spearman": 0.8, "pearson": 0.7}, "evaluation_time": 3.0}
    (tmp_path / "STSBenchmark.json").write_text(json.dumps(old))
    scores, damaged = read_tasks(tmp_path)
    assert not damaged
    assert scores["STSBenchmark"].parts == {"test/default": 0.8}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"task_name": "a", "scores": {"test": [1]}}', '{"scores": 1}'])
def test_what_is_no_result_is_named(text: str, tmp_path: Path):
    (tmp_path / "T.json").write_text(text)
    (tmp_path / "model_meta.json").write_text("{}")
    scores, damaged = read_tasks(tmp_path)
    assert scores == {}
    assert list(damaged) == [tmp_path / "T.json"]


def test_missing_parts_are_those_of_the_splits_asked_for():
    task = mteb.get_task("STS17", languages=["eng"])
    scores = TaskScores({"test/en-en": 0.5, "dev/en-de": 0.5}, "d", "m")
    assert "en-en" not in scores.missing(task)["test"]
    assert "en-de" in scores.missing(task)["test"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ([], []),
        ([("a", "1"), ("b", "1")], ["a", "b"]),
        ([("a", "1", "x"), ("a", "2", "y"), ("b", "3", "z")], ["a 1", "a 2", "b"]),
        ([("a", "1", "x"), ("a", "1", "y"), ("a", "2", "z")], ["a 1 x", "a 1 y", "a 2"]),
        ([("a", "1", ""), ("a", "1", "seed=7")], ["a 1", "a 1 seed=7"]),
        ([("a",), ("a", "1")], ["a", "a 1"]),
    ],
)
def test_labels_get_as_many_names_as_tell_them_apart(names: list[tuple[str, ...]], labels: list[str]):
    assert list(unique_labels(dict(enumerate(names))).values()) == labels
