"""Test suites: benchmarks, task lists, local repositories, and checks."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import pandas as pd
import pytest

from m2v_bench.doctor.task_statistics import n_characters
from m2v_bench.errors import BenchError
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.starter import STARTER_TASKS


def suite(
    *tasks: Any,
    benchmark: str | None = None,
    hub_dir: Path | None = None,
    seed: int = 42,
    languages: Sequence[str] = ("eng",),
) -> list[SuiteTask]:
    return load_suite(
        benchmark=benchmark,
        tasks=tasks,
        languages=languages,
        splits=["test"],
        hub_dir=str(hub_dir) if hub_dir else None,
        seed=seed,
    )


@pytest.mark.parametrize(("benchmark", "n"), [("MTEB(eng, v1)", 56), ("MTEB(eng, v2)", 41)])
def test_benchmarks_have_their_tasks(benchmark: str, n: int):
    assert len(suite(benchmark=benchmark)) == n


def test_starter_tasks_have_the_stated_data():
    loaded = {entry.name: entry.load() for entry in suite(*STARTER_TASKS)}
    sizes = {
        name: {split: len(rows) for split, rows in task.dataset.items()}
        for name, task in loaded.items()
        if name != "AutoFJRetrieval"
    }
    assert sizes == {
        "ReutersR8Classification": {"train": 2000, "test": 384},
        "Newsgroups20Classification": {"train": 2000, "test": 384},
        "Newsgroups20Clustering": {"test": 512},
        "MENWordSim": {"test": 2997},
        "MTurk771WordSim": {"test": 770},
        "SimLex999WordSim": {"test": 999},
        "RareWordWordSim": {"test": 2034},
        "WordSim353WordSim": {"test": 353},
    }
    retrieval = loaded["AutoFJRetrieval"].dataset["default"]["test"]
    corpus = set(retrieval["corpus"]["id"])
    assert len(corpus) == len(retrieval["corpus"]) == 10_870
    assert len(retrieval["queries"]) == len(retrieval["relevant_docs"]) == 1000
    assert all(set(documents) <= corpus for documents in retrieval["relevant_docs"].values())
    for name, task in loaded.items():
        assert "seed 42" in task.metadata.description or "All pairs are used" in task.metadata.description, name
        assert issubclass(type(task), mteb.AbsTask)


def test_draws_are_reproducible():
    first, second = (suite("Newsgroups20Clustering")[0].load().dataset["test"]["sentences"][:] for _ in range(2))
    assert first == second


def test_word_similarity_has_its_column():
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
def test_bad_task_list_is_refused(tasks: list[Any], message: str):
    with pytest.raises(BenchError, match=message):
        suite(*tasks)


def test_subsets_are_those_in_the_languages_alone():
    def subsets(*languages: str) -> list[str]:
        (entry,) = suite("STS17", languages=list(languages))
        return sorted(entry.task.hf_subsets)

    assert subsets("eng") == ["en-en"]
    assert subsets("eng", "deu") == ["en-de", "en-en"]
    assert len(subsets()) > 8
    message = r"suite\.languages=\[deu\]: STS17 has no texts .*: deu, ara, .*subsets: \[en-de\]"
    with pytest.raises(BenchError, match=message):
        subsets("deu")
    with pytest.raises(
        BenchError, match=r"suite\.languages=\[fra\]: STSBenchmark .*: eng\. Add one to suite\.languages$"
    ):
        suite("STSBenchmark", languages=["fra"])
    assert suite("CosQA")[0].task.hf_subsets == ["default"]  # English and Python


def test_unknown_benchmark_is_refused():
    with pytest.raises(BenchError, match=r"suite\.benchmark=MTEB\(eng, v9\).*Did you mean MTEB\(eng, v[12]\)"):
        suite(benchmark="MTEB(eng, v9)")


def test_default_is_the_test_split():
    name = "AmazonCounterfactualClassification"
    assert suite(name)[0].task.eval_splits == ["test"]
    assert suite({"name": name, "splits": ["validation"]})[0].task.eval_splits == ["validation"]
    assert suite({"name": name, "subsets": ["en"]})[0].task.hf_subsets == ["en"]
    assert suite("MSMARCO")[0].task.eval_splits  # without a test split it keeps all its splits


def test_localized_task_does_not_change_its_class(hub_dir: Path):
    entry = suite("STSBenchmark", hub_dir=hub_dir)[0]
    assert entry.missing is None
    assert len(entry.load().dataset["test"]) == 1379
    assert entry.dataset["path"] == "mteb/stsbenchmark-sts"  # the record does not name the folder
    assert mteb.get_task("STSBenchmark").metadata.dataset["path"] == "mteb/stsbenchmark-sts"


def test_absent_repository_is_reported_as_missing(hub_dir: Path):
    present, absent = suite("STS12", "STS13", hub_dir=hub_dir)
    assert present.missing is None
    assert absent.missing == f"not in {hub_dir}: mteb/sts13-sts"


def test_nonexistent_hub_dir_is_refused():
    with pytest.raises(BenchError, match="hub_dir=/nowhere: no such folder"):
        suite("STS12", hub_dir=Path("/nowhere"))


def test_changed_folder_is_reread(hub_dir: Path, tmp_path: Path):
    repository = tmp_path / "mteb" / "sts12-sts"
    shutil.copytree(hub_dir / "mteb" / "sts12-sts", repository, copy_function=shutil.copyfile)
    before = len(suite("STS12", hub_dir=tmp_path)[0].load().dataset["test"])
    (file,) = repository.rglob("*.parquet")
    pd.read_parquet(file).head(10).to_parquet(file)
    assert before > 10
    assert len(suite("STS12", hub_dir=tmp_path)[0].load().dataset["test"]) == 10


def test_benchmark_is_not_modified_by_loading(hub_dir: Path):
    suite(benchmark="MTEB(eng, v1)", hub_dir=hub_dir, seed=7)
    again = {entry.name: entry.task for entry in suite(benchmark="MTEB(eng, v1)")}
    assert again["STS12"].metadata.dataset["path"] == "mteb/sts12-sts"
    assert again["STS12"].seed == 42


@pytest.mark.parametrize(
    "name", ["h[1]", "h*", "h?", "{h}", "a,b", "a#b", "a%20b", "a b", "a:b", "größe", "a=b", "a'b"]
)
def test_hub_dir_may_have_any_name(tmp_path: Path, name: str):
    for folder, word in ((name, "wanted"), ("h1", "another")):
        repository = tmp_path / folder / "mteb" / "stsbenchmark-sts"
        (repository / "default").mkdir(parents=True)
        rows = {"sentence1": [word], "sentence2": ["b"], "score": [1.0]}
        pd.DataFrame(rows).to_parquet(repository / "default" / "test.parquet")
        readme(repository, {"default": {"test": "default/test.parquet"}})
    (entry,) = suite("STSBenchmark", hub_dir=tmp_path / name)
    assert entry.load().dataset["test"]["sentence1"][:] == ["wanted"]


def readme(repository: Path, configs: dict[str, dict[str, str]]) -> None:
    """Write a README with the files of each configuration's splits."""
    lines = ["---", "configs:"]
    for config, files in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [f"  - split: {split}\n    path: {path}" for split, path in files.items()]
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "README.md").write_text("\n".join([*lines, "---", ""]))


def test_the_starter_tasks_know_their_number_of_characters():
    for entry in suite(*STARTER_TASKS):
        data = entry.load().dataset
        parts = data["default"]["test"] if "default" in data else data
        rows = [*parts["corpus"], *parts["queries"]] if "default" in data else [*data["test"]]
        texts = [
            value
            for row in rows
            for name, value in row.items()
            if isinstance(value, str) and name not in ("id", "labels")
        ]
        listed = [text for row in rows for value in row.values() if isinstance(value, list) for text in value]
        assert n_characters(entry.task) == sum(map(len, [*texts, *listed])), entry.name


@pytest.fixture
def partial_hub(tmp_path: Path) -> Path:
    """Write repositories without some subsets and splits: by README, by a column, and for a retrieval set."""
    readme(tmp_path / "mteb" / "amazon_counterfactual", {"en": {"test": "test.parquet"}})
    readme(tmp_path / "mteb" / "stsbenchmark-sts", {"default": {"train": "train.parquet"}})
    readme(
        tmp_path / "mteb" / "TMD", {"content_time_qs-qrels": {"test": "t.parquet"}, "queries": {"test": "q.parquet"}}
    )
    sts17 = tmp_path / "mteb" / "sts17-crosslingual-sts"
    readme(sts17, {"default": {"test": "test.parquet"}})
    rows = {"sentence1": ["a"], "sentence2": ["b"], "score": [1.0], "lang": ["en-en"]}
    pd.DataFrame(rows).to_parquet(sts17 / "test.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "STS17", "subsets": ["en-ar"]}, r"has the subsets en-en, not en-ar; .*subsets: \[en-en\]"),
        (
            {"name": "AmazonCounterfactualClassification", "subsets": ["de", "en"]},
            r"has the subsets en, not de; choose: 'suite\.tasks=\[\{name: Amazon.*, subsets: \[en\]\}\]'",
        ),
        ({"name": "TMD", "subsets": ["dates_time_qs"]}, "has the subsets content_time_qs, not dates_time_qs"),
        ("STSBenchmark", "stsbenchmark-sts has the splits train, not test"),
    ],
)
def test_absent_subsets_and_splits_are_refused(partial_hub: Path, task: Any, message: str):
    with pytest.raises(BenchError, match=message):
        suite(task, hub_dir=partial_hub)


def test_incomplete_repositories_of_a_benchmark_are_missing(partial_hub: Path):
    (entry,) = suite({"name": "STS17", "subsets": ["en-en"]}, hub_dir=partial_hub)
    assert entry.load().dataset["en-en"]["test"]["sentence1"][:] == ["a"]
    by_name = {entry.name: entry.missing or "" for entry in suite(benchmark="MTEB(eng, v1)", hub_dir=partial_hub)}
    assert "has the splits train, not test" in by_name["STSBenchmark"]


def test_split_absent_on_loading_is_refused(partial_hub: Path):
    sts17 = partial_hub / "mteb" / "sts17-crosslingual-sts"
    (sts17 / "README.md").unlink()
    (sts17 / "test.parquet").rename(sts17 / "train.parquet")
    (entry,) = suite({"name": "STS17", "subsets": ["en-en"]}, hub_dir=partial_hub)
    with pytest.raises(BenchError, match="STS17 has the splits train, not test"):
        entry.load()


def test_git_lfs_pointer_is_refused(partial_hub: Path):
    pointer = b"version https://git-" + b"lfs.example/spec/v1\noid sha256:0\nsize 1\n"
    (partial_hub / "mteb" / "stsbenchmark-sts" / "test.parquet").write_bytes(pointer)
    readme(partial_hub / "mteb" / "stsbenchmark-sts", {"default": {"test": "test.parquet"}})
    (entry,) = suite("STSBenchmark", hub_dir=partial_hub)
    with pytest.raises(BenchError, match=r"test\.parquet is a Git LFS pointer.*git -C .*stsbenchmark-sts lfs pull"):
        entry.load()
    (partial_hub / "mteb" / "sts17-crosslingual-sts" / "test.parquet").write_bytes(pointer)
    with pytest.raises(BenchError, match="is a Git LFS pointer"):
        suite("STS17", hub_dir=partial_hub)
