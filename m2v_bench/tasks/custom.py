"""A user's own data as mteb tasks: local CSV, TSV, JSON-lines or parquet files, their columns named in the suite."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from mteb.abstasks import (
    AbsTask,
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)

from m2v_bench.cache import content_hash, file_sha256
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.tasks.own_task import OwnTask, own_metadata

TRAIN_SHARE = 0.5  # of a classification set that comes as one file
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_KEYS = ("name", "type", "data", "columns", "language")


@dataclass(frozen=True)
class _Kind:
    """What a task type asks of the user's files.

    Attributes:
        base: the mteb class.
        main_score: the key of its main score.
        parts: sets of file names, any one of which will do.
        columns: the columns of each part, with the name they have when the user does not say.
        build: makes mteb's dataset of the parts' tables.
        optional: columns that may be absent or empty.
    """

    base: type[AbsTask]
    main_score: str
    parts: tuple[tuple[str, ...], ...]
    columns: Mapping[str, tuple[str, ...]]
    build: Callable[["_Custom", Mapping[str, Any]], Any]
    optional: tuple[str, ...] = ()


class _Custom(OwnTask):
    """A task on the user's files."""

    files: Mapping[str, Path]
    columns: Mapping[str, str]
    kind: _Kind

    def local_files(self) -> list[Path]:
        """See `OwnTask`."""
        return list(self.files.values())

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the files and bring their columns into the form that mteb asks for."""
        if not self.data_loaded:
            tables = {part: self._table(part, path) for part, path in self.files.items()}
            self.dataset = self.kind.build(self, tables)
            self.data_loaded = True

    def _table(self, part: str, path: Path) -> Any:
        table = _read(path, self.metadata.name)
        wanted = self.kind.columns[part]
        names = {self.columns.get(column, column): column for column in wanted}
        absent = [name for name, column in names.items() if name not in table and column not in self.kind.optional]
        if absent:
            raise BenchError(
                f"suite.tasks: {self.metadata.name}: {path} has no column {', '.join(absent)}; it has "
                f"{', '.join(map(str, table.columns))}. Name them: columns: {{{wanted[0]}: ...}}"
            )
        table = table[[name for name in names if name in table]].rename(columns=names)
        empty = table[[column for column in table if column not in self.kind.optional]].isna().any(axis=1)
        if empty.any():
            row = int(empty.to_numpy().argmax()) + 1
            raise BenchError(f"suite.tasks: {self.metadata.name}: {path} has an empty cell in row {row}")
        return table.apply(_texts)

    def numbers(self, table: Any, column: str, allowed: str, holds: Callable[[Any], Any]) -> Any:
        """A column as numbers, all of which `holds` says are `allowed`."""
        import pandas as pd

        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() | ~holds(numbers)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            told = f"{column} in row {row + 1} is {table[column].iloc[row]!r}; it must be {allowed}"
            raise BenchError(f"suite.tasks: {self.metadata.name}: {told}")
        return numbers


def _texts(column: Any) -> Any:
    """A column as texts; whole numbers are 1, not 1.0, whatever the file keeps them as."""
    if column.dtype.kind == "f" and (column % 1 == 0).all():
        column = column.astype(int)
    return column.astype(object).where(column.notna(), "").astype(str)


def _read(path: Path, name: str) -> Any:
    import pandas as pd

    readers: dict[str, Callable[[Path], Any]] = {
        # as they stand: 007 is a text, and so is null
        ".csv": lambda file: pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""]),
        ".tsv": lambda file: pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, na_values=[""]),
        ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False, convert_dates=False),
        ".parquet": pd.read_parquet,
    }
    try:
        table = readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise BenchError(f"suite.tasks: {name}: {path} cannot be read: {error}") from error
    if table.empty:
        raise BenchError(f"suite.tasks: {name}: {path} has no rows")
    return table


def _dataset(table: Any) -> Dataset:
    return Dataset.from_pandas(table, preserve_index=False)


def _labels(tables: Mapping[str, Any]) -> dict[str, Dataset]:
    """Texts and labels, labels numbered in the order of their names over all files, as mteb asks for."""
    names = sorted({label for table in tables.values() for label in table["label"]})
    numbers = {name: number for number, name in enumerate(names)}
    return {part: _dataset(table.assign(label=table["label"].map(numbers))) for part, table in tables.items()}


def _classification(task: _Custom, tables: Mapping[str, Any]) -> DatasetDict:
    if "all" not in tables:
        if unknown := sorted(set(tables["test"]["label"]) - set(tables["train"]["label"])):
            raise BenchError(
                f"suite.tasks: {task.metadata.name}: {task.files['test']} has labels that no training text has: "
                f"{', '.join(unknown[:5])}"
            )
        return DatasetDict(_labels(tables))
    from sklearn.model_selection import train_test_split

    table = tables["all"]
    try:
        train, test = train_test_split(table, train_size=TRAIN_SHARE, random_state=42, stratify=table["label"])
    except ValueError as error:
        raise BenchError(
            f"suite.tasks: {task.metadata.name}: cannot be cut into two halves with every label in both: {error}"
        ) from error
    return DatasetDict(_labels({"train": train, "test": test}))


def _sts(task: _Custom, tables: Mapping[str, Any]) -> DatasetDict:
    table = tables["test"]
    scores = task.numbers(table, "score", "a number", lambda x: x.abs() < float("inf"))
    return DatasetDict(test=_dataset(table.assign(score=scores)))


def _pairs(task: _Custom, tables: Mapping[str, Any]) -> DatasetDict:
    table = tables["test"].rename(columns={"label": "labels"})
    labels = task.numbers(tables["test"], "label", "0 or 1", lambda x: x.isin([0, 1]))
    return DatasetDict(test=_dataset(table.assign(labels=labels.astype(int))))


def _clustering(task: _Custom, tables: Mapping[str, Any]) -> DatasetDict:
    data = _labels(tables)["test"].rename_columns({"text": "sentences", "label": "labels"})
    return DatasetDict(test=data)


def _retrieval(task: _Custom, tables: Mapping[str, Any]) -> Any:
    corpus, queries, relevant = (tables[part] for part in ("corpus", "queries", "relevant"))
    for part, table in (("corpus", corpus), ("queries", queries)):
        if (twice := table["id"].duplicated()).any():
            raise BenchError(
                f"suite.tasks: {task.metadata.name}: {task.files[part]} has the id {table['id'][twice].iloc[0]} twice"
            )
    unknown = set(relevant["document"]) - set(corpus["id"]) | set(relevant["query"]) - set(queries["id"])
    if unknown:
        raise BenchError(
            f"suite.tasks: {task.metadata.name}: {len(unknown)} ids of {task.files['relevant']} are in neither corpus "
            f"nor queries, e.g. {min(unknown)}"
        )
    grades = [1] * len(relevant)
    if "score" in relevant:
        grades = task.numbers(relevant, "score", "a whole number, 0 or more", lambda x: (x >= 0) & (x % 1 == 0))
    judged: dict[str, dict[str, int]] = {}
    for query, document, grade in zip(relevant["query"], relevant["document"], grades, strict=True):
        judged.setdefault(query, {})[document] = int(grade)
    data = {
        "corpus": _dataset(corpus if "title" in corpus else corpus.assign(title="")),
        "queries": _dataset(queries[queries["id"].isin(list(judged))]),
        "relevant_docs": judged,
        "top_ranked": None,
    }
    return {"default": {"test": data}}


_PAIR = ("sentence1", "sentence2")
KINDS: dict[str, _Kind] = {
    "Classification": _Kind(
        AbsTaskClassification,
        "accuracy",
        (("train", "test"), ("all",)),
        dict.fromkeys(("train", "test", "all"), ("text", "label")),
        _classification,
    ),
    "STS": _Kind(AbsTaskSTS, "cosine_spearman", (("test",),), {"test": (*_PAIR, "score")}, _sts),
    "PairClassification": _Kind(AbsTaskPairClassification, "max_ap", (("test",),), {"test": (*_PAIR, "label")}, _pairs),
    "Clustering": _Kind(AbsTaskClustering, "v_measure", (("test",),), {"test": ("text", "label")}, _clustering),
    "Retrieval": _Kind(
        AbsTaskRetrieval,
        "ndcg_at_10",
        (("corpus", "queries", "relevant"),),
        {"corpus": ("id", "text", "title"), "queries": ("id", "text"), "relevant": ("query", "document", "score")},
        _retrieval,
        optional=("title", "score"),
    ),
}


def custom_task(entry: Mapping[str, Any]) -> AbsTask:
    """The task of a suite entry {name, type, data, columns}.

    Args:
        entry: `name`: the task's name in result files; `type`: one of `KINDS`; `data`: a file, or files by part (train
            and test of a classification; corpus, queries and relevant of a retrieval); `columns`: the user's name of
            each column that is called otherwise; `language`: as in eng-Latn.

    Raises:
        BenchError: naming the entry, what is wrong and what is allowed.
    """
    name = entry.get("name")
    if unknown := [key for key in entry if key not in _KEYS]:
        raise BenchError(f"suite.tasks: {name}: unknown {', '.join(unknown)}; allowed: {', '.join(_KEYS)}")
    kind = KINDS.get(str(entry.get("type")))
    if kind is None:
        raise BenchError(
            f"suite.tasks: {name}: type={entry.get('type')}: must be one of {', '.join(KINDS)}."
            f"{did_you_mean(str(entry.get('type')), KINDS)}"
        )
    if not re.fullmatch(r"[\w.-]+", str(name)) or str(name).startswith("."):
        raise BenchError(f"suite.tasks: name={name}: letters, digits, - and _ alone, as a file is called after it")
    files = _files(str(name), entry["data"], kind)
    columns = dict(entry.get("columns") or {})
    if len(set(columns.values())) < len(columns):
        raise BenchError(f"suite.tasks: {name}: columns: one column of the file is named for two")
    allowed = list(dict.fromkeys(column for part in files for column in kind.columns[part]))
    if strange := [column for column in columns if column not in allowed]:
        raise BenchError(f"suite.tasks: {name}: columns: unknown {', '.join(strange)}; allowed: {', '.join(allowed)}")
    language = entry.get("language") or "eng-Latn"
    metadata = own_metadata(
        str(name),
        str(entry["type"]),
        kind.main_score,
        f"Own data: {', '.join(map(str, files.values()))}.",
        path="local",
    ).model_copy(update={"eval_langs": [language]})
    fields = {"metadata": metadata, "files": files, "columns": columns, "kind": kind, **_options(kind)}
    task: _Custom = type("Custom", (_Custom, kind.base), fields)()
    hashes = {part: file_sha256(path) for part, path in files.items()}
    task.pin(content_hash([hashes, columns, str(entry["type"]), language]))
    return task


def _files(name: str, data: Any, kind: _Kind) -> dict[str, Path]:
    single = [parts for parts in kind.parts if len(parts) == 1]
    if isinstance(data, str):
        if not single:
            raise BenchError(f"suite.tasks: {name}: data must name the files {', '.join(kind.parts[0])}")
        data = {single[0][0]: data}
    if not any(set(data) == set(parts) for parts in kind.parts):
        wanted = " or ".join(f"{{{', '.join(parts)}}}" for parts in kind.parts)
        raise BenchError(f"suite.tasks: {name}: data has {', '.join(data)}; it must be {wanted}")
    files = {part: Path(str(path)).expanduser() for part, path in data.items()}
    if absent := [str(path) for path in files.values() if not path.is_file()]:
        raise BenchError(f"suite.tasks: {name}: no such file: {', '.join(absent)} (paths start from {Path.cwd()})")
    if strange := [str(path) for path in files.values() if path.suffix not in _SUFFIXES]:
        raise BenchError(f"suite.tasks: {name}: {', '.join(strange)} must be one of {', '.join(_SUFFIXES)}")
    return files


def _options(kind: _Kind) -> dict[str, Any]:
    """What mteb leaves to the class: a small set is clustered whole, not by a draw of it."""
    if kind.base is AbsTaskClustering:
        return {"max_fraction_of_documents_to_embed": None, "max_document_to_embed": None}
    return {}
