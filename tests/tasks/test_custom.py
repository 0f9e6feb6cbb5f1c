"""Test custom tasks on users' files."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from m2v_bench.assets.table_files import TableFile
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.tasks import SuiteTask, load_suite
from tests.conftest import as_model, tiny_static_model

WORDS = ["good", "bad", "dog", "cat", "car", "tree", "red", "blue"]


def load(*entries: dict[str, Any]) -> list[SuiteTask]:
    return load_suite(benchmark=None, tasks=entries, languages=["eng"], splits=["test"], hub_dir=None, seed=42)


def write(path: Path, **columns: list[Any]) -> str:
    table = pd.DataFrame(columns)
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".tsv": lambda: table.to_csv(path, sep="\t", index=False),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
        ".parquet": lambda: table.to_parquet(path),
    }[path.suffix]()
    return str(path)


@pytest.fixture
def entries(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return one entry per task type, from different file formats, with answers that the tiny model can find."""
    animals = [f"{adjective} {noun}" for adjective in WORDS[:2] for noun in WORDS[2:4]] * 10
    things = [f"{adjective} {noun}" for adjective in WORDS[:2] for noun in WORDS[4:6]] * 10
    texts, labels = [*animals, *things], ["animal"] * len(animals) + ["thing"] * len(things)
    left, right = ["good dog", "bad dog", "red car", "blue tree"], ["good dog", "bad cat", "blue car", "good dog"]
    return {
        "Classification": {
            "name": "MyTickets",
            "type": "Classification",
            "data": write(tmp_path / "tickets.csv", body=texts, queue=labels),
            "columns": {"text": "body", "label": "queue"},
        },
        "Clustering": {
            "name": "MyGroups",
            "type": "Clustering",
            "data": write(tmp_path / "groups.parquet", text=texts, label=labels),
        },
        "STS": {
            "name": "MyPairs",
            "type": "STS",
            "data": write(tmp_path / "pairs.tsv", a=left, b=right, score=[5, 3.5, 4, 0]),
            "columns": {"sentence1": "a", "sentence2": "b"},
        },
        "PairClassification": {
            "name": "MyDuplicates",
            "type": "PairClassification",
            "data": write(tmp_path / "duplicates.jsonl", sentence1=left, sentence2=right, label=[1, 0, 1, 0]),
        },
        "Retrieval": {
            "name": "MySearch",
            "type": "Retrieval",
            "data": {
                "corpus": write(tmp_path / "corpus.jsonl", id=["d1", "d2", "d3"], text=["good dog", "red car", "tree"]),
                "queries": write(tmp_path / "queries.csv", id=[1, 2, 3], text=["dog", "car", "not judged"]),
                "relevant": write(tmp_path / "relevant.csv", query=[1, 2], document=["d1", "d2"]),
            },
        },
    }


def test_every_type_is_scored_beside_a_standard_task(entries: dict[str, dict[str, Any]], tmp_path: Path):
    suite = load_suite(
        benchmark=None,
        tasks=[*entries.values(), "SimLex999WordSim"],
        languages=["eng"],
        splits=["test"],
        hub_dir=None,
        seed=42,
    )
    model = as_model(tiny_static_model(WORDS), "m")
    session = Session(Store(tmp_path / "results"), seed=42, batch_size=32, debug=True)
    scores = {score.task: score for score in evaluate({"m": MtebEncoder(model, seed=42)}, [model], suite, session)}
    assert [(score.type, score.state) for score in scores.values()] == [
        *((name, "scored") for name in entries),
        ("WordSim", "scored"),
    ]
    assert scores["MySearch"].main_score == 1
    assert float(scores["MyTickets"].main_score or 0) > 0.7
    assert float(scores["MyPairs"].main_score or 0) > 0.5
    assert len(list((tmp_path / "results" / "samples").rglob("My*.npz"))) == len(entries)


def test_changed_file_is_scored_again(entries: dict[str, dict[str, Any]]):
    def revision() -> str:
        return load(entries["STS"])[0].task.metadata.dataset["revision"]

    before = revision()
    assert revision() == before
    path = Path(entries["STS"]["data"])
    path.write_text(path.read_text().replace("3.5", "3.0"))
    assert revision() != before


def test_train_and_test_files_are_not_split(tmp_path: Path):
    files = {
        part: write(tmp_path / f"{part}.csv", text=["good dog", "red car"] * n, label=[1, 2] * n)
        for part, n in (("train", 8), ("test", 3))
    }
    (entry,) = load({"name": "Mine", "type": "Classification", "data": files})
    assert {part: len(rows) for part, rows in entry.load().dataset.items()} == {"train": 16, "test": 6}


@pytest.mark.parametrize(
    ("type_", "change", "message"),
    [
        ("STS", {"type": "Sts"}, "type=Sts: must be one of Classification, STS"),
        ("STS", {"data": "nowhere.csv"}, "no such file: nowhere.csv"),
        ("STS", {"data": __file__}, r"test_custom\.py must be one of \.csv, \.tsv"),
        ("STS", {"columns": {"sentence": "a"}}, "columns: unknown sentence; allowed: sentence1, sentence2, score"),
        ("STS", {"columns": {}}, r"pairs\.tsv has no column sentence1, sentence2; it has a, b, score"),
        ("STS", {"colums": {}}, "unknown colums; allowed: name, type, data, columns"),
        ("Retrieval", {"data": "corpus.csv"}, "data must name the files corpus, queries, relevant"),
        ("STS", {"name": "SimLex999WordSim"}, "SimLex999WordSim is a standard task; choose another name for your data"),
        ("STS", {"name": "../x"}, r"name=\.\./x: is used as a file name; allowed: letters, digits"),
        ("STS", {"columns": {"sentence1": "a", "sentence2": "a"}}, "one column of the file is named for two"),
        ("STS", {"columns": "a"}, "columns=a: must be as in"),
        ("STS", {"columns": {"sentence1": None}}, "columns=.*: must be as in"),
        ("STS", {"data": ["a.csv"]}, r"data has \['a\.csv'\]; it must be \{test\}"),
        ("STS", {"language": "english"}, "language=english: must be as in eng-Latn"),
        ("Classification", {"data": {"train": "a"}}, r"data has train; it must be \{train, test\} or \{all\}"),
    ],
)
def test_bad_entry_is_refused(entries: dict[str, dict[str, Any]], type_: str, change: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        load({**entries[type_], **change})[0].load()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": [1, "high"]}, r"pairs\.csv has 'high' as score in row 2; it must be a number$"),
        ({"score": ["1,5", 2]}, "has '1,5' as score in row 1"),
        ({"score": [1, "inf"]}, "has 'inf' as score in row 2"),
        ({"score": ["1_0", 2]}, "has '1_0' as score in row 1"),
        ({"score": [1, 1]}, "has the same score in every row: 1"),
        ({"score": [1, None]}, "has an empty cell in row 2, column score"),
        ({"sentence1": ["a", None]}, "has an empty cell in row 2, column sentence1"),
        ({"sentence1": [], "sentence2": [], "score": []}, "has no rows"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, columns: dict[str, list[Any]], message: str):
    path = write(
        tmp_path / "pairs.csv", **{"sentence1": ["a", "b"], "sentence2": ["b", "c"], "score": [1, 2], **columns}
    )
    with pytest.raises(BenchError, match=message):
        load({"name": "Mine", "type": "STS", "data": path})


@pytest.mark.parametrize(
    ("type_", "label", "message"),
    [
        ("PairClassification", [0, 2], "has '2' as label in row 2; it must be 0 or 1"),
        ("PairClassification", ["yes", "no"], "has 'yes' as label in row 1; it must be 0 or 1"),
        ("PairClassification", [1, 1], "has the same label in every row: 1"),
        ("Clustering", ["x", "x"], "has the same label in every row: x"),
        ("Classification", ["x", "x"], "has the same label in every row: x"),
        ("Classification", ["x", "y"], "every label in both: one text has [xy]"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(tmp_path: Path, type_: str, label: list[Any], message: str):
    texts = ["text"] if type_ != "PairClassification" else ["sentence1", "sentence2"]
    path = write(tmp_path / "labels.csv", **{name: ["a", "b"] for name in texts}, label=label)
    with pytest.raises(BenchError, match=message):
        load({"name": "Mine", "type": type_, "data": path})


def test_label_of_another_type_is_refused(tmp_path: Path):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n')
    with pytest.raises(BenchError, match="has a text in column label of row 2 and a number in row 1"):
        load({"name": "Mine", "type": "Clustering", "data": str(path)})


def test_hint_names_the_missing_column(tmp_path: Path):
    path = write(tmp_path / "pairs.csv", sentence1=["a"], second=["b"], gold=[1])
    entry = {"name": "Mine", "type": "STS", "data": path, "columns": {"score": "god"}}
    wanted = r"has no column sentence2, god; it has sentence1, second, gold\..*columns: \{sentence2: NAME\}"
    with pytest.raises(BenchError, match=wanted):
        load(entry)
    entry["columns"] |= {"sentence2": "second"}
    with pytest.raises(BenchError, match=r"no column god; .* Did you mean gold\? .*columns: \{score: NAME\}"):
        load(entry)


def test_rows_are_read_once_per_content(entries: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    load(entries["STS"])

    def fail(*_: Any) -> None:
        raise AssertionError("the rows were read again")

    monkeypatch.setattr(TableFile, "rows", fail)
    load(entries["STS"])


def test_quotation_marks_in_tsv_are_text(tmp_path: Path):
    rows = [("first", "a", 1), ('"Hello, he said', "b", 2), ("third", "c", 3), ('he said "bye', "d", 4)]
    path = tmp_path / "sts.tsv"
    path.write_text("sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{score}\n" for a, b, score in rows))
    data = load({"name": "Mine", "type": "STS", "data": str(path)})[0].load().dataset["test"]
    assert [tuple(row.values()) for row in data] == rows


def test_label_with_one_text_cannot_be_split(tmp_path: Path):
    path = write(tmp_path / "few.csv", text=["a", "b", "c"], label=[1, 1, 2])
    with pytest.raises(BenchError, match="cannot be cut into two halves"):
        load({"name": "Mine", "type": "Classification", "data": path})[0].load()


def test_unknown_ids_are_refused(entries: dict[str, dict[str, Any]], tmp_path: Path):
    entry = entries["Retrieval"]
    entry["data"]["relevant"] = write(tmp_path / "more.csv", query=[1], document=["d9"])
    with pytest.raises(BenchError, match=r"more\.csv has a document that is not in corpus in row 1: d9"):
        load(entry)
    entry["data"]["relevant"] = write(tmp_path / "more.csv", query=[1, 7], document=["d1", "d1"])
    with pytest.raises(BenchError, match="has a query that is not in queries in row 2: 7"):
        load(entry)
    entry["data"]["relevant"] = write(tmp_path / "more.csv", query=[1, 1], document=["d1", "d1"], score=[1, 2])
    with pytest.raises(BenchError, match="judges document d1 for query 1 differently in row 2"):
        load(entry)
    entry["data"]["relevant"] = write(tmp_path / "more.csv", query=[1, 2], document=["d1", "d1"], score=[0, 0])
    with pytest.raises(BenchError, match="has no score above 0"):
        load(entry)


def test_texts_and_labels_are_read_verbatim(tmp_path: Path):
    texts, labels = ["007", "1e3", "null", "NA"] * 2, ["01", "1", "01", "1"] * 2
    for suffix in (".csv", ".jsonl", ".parquet"):
        path = write(tmp_path / f"odd{suffix}", text=texts, label=labels)
        files = {"train": path, "test": path}
        data = load({"name": "Odd", "type": "Classification", "data": files})[0].load().dataset["test"]
        assert data["text"][:4] == texts[:4], suffix
        assert data["label"][:4] == [0, 1, 0, 1], suffix


def test_ids_grades_and_titles_of_a_retrieval(entries: dict[str, dict[str, Any]], tmp_path: Path):
    entry, files = entries["Retrieval"], entries["Retrieval"]["data"]
    files["corpus"] = write(tmp_path / "titled.csv", id=["001", "002"], text=["a", "b"], title=["t", None])
    files["relevant"] = write(tmp_path / "graded.csv", query=[1], document=["001"], score=[2])
    split = load(entry)[0].load().dataset["default"]["test"]
    assert split["corpus"]["title"][:] == ["t", ""]
    assert split["relevant_docs"] == {"1": {"001": 2}}
    files["relevant"] = write(tmp_path / "halves.csv", query=[1], document=["001"], score=[0.5])
    with pytest.raises(BenchError, match=r"has '0\.5' as score in row 1; it must be a whole number, 0 or more"):
        load(entry)[0].load()
    files["corpus"] = write(tmp_path / "twice.csv", id=["d1", "d1"], text=["a", "b"])
    with pytest.raises(BenchError, match="has the id d1 twice, again in row 2"):
        load(entry)[0].load()


def test_label_without_training_texts_is_refused(tmp_path: Path):
    files = {
        "train": write(tmp_path / "train.csv", text=["a", "b"], label=["x", "y"]),
        "test": write(tmp_path / "test.csv", text=["a"], label=["z"]),
    }
    with pytest.raises(BenchError, match="has a label that no training text has in row 1: z"):
        load({"name": "Mine", "type": "Classification", "data": files})[0].load()
