import shutil
from pathlib import Path
from typing import Any

import mteb
import pandas as pd
import pytest

from m2v_bench.errors import BenchError
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.starter import STARTER_TASKS


def suite(*tasks: Any, benchmark: str | None = None, hub_dir: Path | None = None, seed: int = 42) -> list[SuiteTask]:
    return load_suite(
        benchmark=benchmark,
        tasks=tasks,
        languages=["eng"],
        splits=["test"],
        hub_dir=str(hub_dir) if hub_dir else None,
        seed=seed,
    )


@pytest.mark.parametrize(("benchmark", "n"), [("MTEB(eng, v1)", 56), ("MTEB(eng, v2)", 41)])
def test_benchmarks_have_their_tasks(benchmark: str, n: int):
    assert len(suite(benchmark=benchmark)) == n


def test_starter_tasks_hold_the_data_that_they_state():
    loaded = {entry.name: entry.load() for entry in suite(*STARTER_TASKS)}
    sizes = {
        name: {split: len(rows) for split, rows in task.dataset.items()}
        for name, task in loaded.items()
        if name != "AutoFJRetrieval"
    }
    assert sizes == {
        "ReutersR8Classification": {"train": 2000, "test": 512},
        "Newsgroups20Classification": {"train": 2000, "test": 512},
        "Newsgroups20Clustering": {"test": 640},
        "MENWordSim": {"test": 2997},
        "MTurk771WordSim": {"test": 770},
        "SimLex999WordSim": {"test": 999},
        "RareWordWordSim": {"test": 2034},
        "WordSim353WordSim": {"test": 353},
    }
    retrieval = loaded["AutoFJRetrieval"].dataset["default"]["test"]
    corpus = set(retrieval["corpus"]["id"])
    assert len(corpus) == len(retrieval["corpus"]) == 17_578
    assert len(retrieval["queries"]) == len(retrieval["relevant_docs"]) == 1000
    assert all(set(documents) <= corpus for documents in retrieval["relevant_docs"].values())
    for name, task in loaded.items():
        assert "seed 42" in task.metadata.description or "All pairs are used" in task.metadata.description, name
        assert issubclass(type(task), mteb.AbsTask)


def test_the_same_rows_are_drawn_every_time():
    first, second = (suite("Newsgroups20Clustering")[0].load().dataset["test"]["sentences"][:] for _ in range(2))
    assert first == second


def test_word_similarity_counts_under_its_own_name():
    assert [entry.type for entry in suite("MENWordSim", "STSBenchmark")] == ["WordSim", "STS"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["STSBenchmrk"], r"no task 'STSBenchmrk'\. Did you mean STSBenchmark"),
        (["STS12", "STS12"], "names STS12 twice"),
        ([{"nome": "STS12"}], "is not a task"),
        ([], r"suite\.tasks is empty"),
        ([{"name": "STS17", "subsets": ["klingon"]}], "STS17"),
        ([{"name": "STSBenchmark", "splits": ["dev"]}], "STSBenchmark has no split dev; allowed: test"),
    ],
)
def test_a_bad_list_of_tasks_is_told(tasks: list[Any], message: str):
    with pytest.raises(BenchError, match=message):
        suite(*tasks)


def test_an_unknown_benchmark_is_told():
    with pytest.raises(BenchError, match=r"suite\.benchmark=MTEB\(eng, v9\).*Did you mean MTEB\(eng, v[12]\)"):
        suite(benchmark="MTEB(eng, v9)")


def test_only_the_test_split_is_kept_unless_others_are_named():
    name = "AmazonCounterfactualClassification"
    assert suite(name)[0].task.eval_splits == ["test"]
    assert suite({"name": name, "splits": ["validation"]})[0].task.eval_splits == ["validation"]
    assert suite({"name": name, "subsets": ["en"]})[0].task.hf_subsets == ["en"]
    assert suite("MSMARCO")[0].task.eval_splits  # keeps its own where there is no test split to be had


def test_a_task_from_a_local_folder_leaves_the_class_as_it_was(hub_dir: Path):
    entry = suite("STSBenchmark", hub_dir=hub_dir)[0]
    assert entry.missing is None
    assert len(entry.load().dataset["test"]) == 1379
    assert entry.dataset["path"] == "mteb/stsbenchmark-sts"  # what is recorded of it names no folder
    assert mteb.get_task("STSBenchmark").metadata.dataset["path"] == "mteb/stsbenchmark-sts"


def test_a_repository_that_is_not_there_is_missing_not_skipped(hub_dir: Path):
    found, absent = suite("STS12", "STS13", hub_dir=hub_dir)
    assert found.missing is None
    assert absent.missing == f"not in {hub_dir}: mteb/sts13-sts"


def test_a_hub_folder_that_does_not_exist_is_told():
    with pytest.raises(BenchError, match="hub_dir=/nowhere: no such folder"):
        suite("STS12", hub_dir=Path("/nowhere"))


def test_a_changed_folder_gives_its_new_rows(hub_dir: Path, tmp_path: Path):
    repository = tmp_path / "mteb" / "sts12-sts"
    shutil.copytree(hub_dir / "mteb" / "sts12-sts", repository, copy_function=shutil.copyfile)
    before = len(suite("STS12", hub_dir=tmp_path)[0].load().dataset["test"])
    (file,) = repository.rglob("*.parquet")
    pd.read_parquet(file).head(10).to_parquet(file)
    assert before > 10
    assert len(suite("STS12", hub_dir=tmp_path)[0].load().dataset["test"]) == 10


def test_a_benchmark_asked_for_again_is_as_it_was(hub_dir: Path):
    suite(benchmark="MTEB(eng, v1)", hub_dir=hub_dir, seed=7)
    again = {entry.name: entry.task for entry in suite(benchmark="MTEB(eng, v1)")}
    assert again["STS12"].metadata.dataset["path"] == "mteb/sts12-sts"
    assert again["STS12"].seed == 42
