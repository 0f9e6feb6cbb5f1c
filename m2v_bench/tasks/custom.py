"""Custom tasks on users' data: CSV, TSV, JSON or parquet files, with columns named in the suite."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks import (
    AbsTask,
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)

from m2v_bench.assets.compression import plain_suffix
from m2v_bench.assets.table_files import SUFFIXES, TableFile, allowed_suffixes
from m2v_bench.cache import cached_arrays, content_hash, file_sha256
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.tasks.own_task import OwnTask, own_metadata

TRAIN_SHARE = 0.5  # share of a classification set in one file that is used for training
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_KEYS = ("name", "type", "data", "columns", "language")


@dataclass(frozen=True)
class _Kind:
    """Requirements of a task type on the user's files.

    Attributes:
        base: the mteb class.
        main_score: key of the main score.
        parts: alternative sets of parts, each part a file.
        columns: part -> default names of its columns.
        build: converts the tables of the parts to mteb's dataset.
        optional: columns that may be absent or empty.
    """

    base: type[AbsTask]
    main_score: str
    parts: tuple[tuple[str, ...], ...]
    columns: Mapping[str, tuple[str, ...]]
    build: Callable[["CustomTask", Mapping[str, Any]], Any]
    optional: tuple[str, ...] = ()


class CustomTask(OwnTask):
    """A task on the user's files."""

    version = 2
    files: Mapping[str, Path]
    columns: Mapping[str, str]
    kind: _Kind

    def local_files(self) -> list[Path]:
        """See `OwnTask`."""
        return list(self.files.values())

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the files and convert them to mteb's dataset."""
        if not self.data_loaded:
            self.dataset = self.kind.build(self, {part: self._table(part) for part in self.files})
            self.data_loaded = True

    def check(self) -> None:
        """Refuse files that cannot be scored, by their headers, then by every row, once per content.

        Raises:
            BenchError: naming the file and the column or row.
        """
        columns = {name: column for column, name in self.columns.items()}
        for part in self.files:
            self._file(part).check_columns(
                [self._name(column) for column in self._required(part)],
                lambda name: f" Name the right one in the entry: columns: {{{columns.get(name, name)}: NAME}}",
            )

        def build(_: Path) -> dict[str, np.ndarray]:
            tables = {part: self._table(part) for part in self.files}
            self.kind.build(self, tables)
            return {"rows": np.array([len(table) for table in tables.values()])}

        cached_arrays("own-data", {"revision": self.metadata.dataset["revision"]}, build)

    def refuse(self, part: str, why: str) -> NoReturn:
        """Raise a BenchError about a file of the task; `why` is a predicate."""
        self._file(part).refuse(why)

    def numbers(self, part: str, table: Any, column: str, allowed: str, holds: Callable[[float], bool]) -> list[float]:
        """Convert a column to numbers; refuse those that fail `holds`, which `allowed` describes."""
        numbers = []
        for row, text in enumerate(table[column], start=1):
            number = float(text) if _NUMBER.fullmatch(text.strip()) else float("nan")
            if not (abs(number) < float("inf") and holds(number)):
                self.refuse(part, f"has {text!r} as {self._name(column)} in row {row}; it must be {allowed}")
            numbers.append(number)
        return numbers

    def check_differ(self, part: str, table: Any, column: str) -> None:
        """Refuse a column with the same value in every row, which cannot be scored."""
        if table[column].nunique() < 2:
            self.refuse(part, f"has the same {self._name(column)} in every row: {table[column].iloc[0]}")

    def _name(self, column: str) -> str:
        return self.columns.get(column, column)

    def _required(self, part: str) -> list[str]:
        return [column for column in self.kind.columns[part] if column not in self.kind.optional]

    def _file(self, part: str) -> TableFile:
        return TableFile(self.files[part], f"suite.tasks: {self.metadata.name}: {self.files[part]}")

    def _table(self, part: str) -> Any:
        """Read the part's rows as texts, without optional columns that are empty."""
        import pandas as pd

        columns, required = self.kind.columns[part], self._required(part)
        rows = list(self._file(part).rows([self._name(column) for column in columns]))
        table = pd.DataFrame(rows, columns=list(columns), dtype=object)
        for column in columns:
            missing = table[column].isna().to_numpy()
            if column in required and missing.any():
                self.refuse(part, f"has an empty cell in row {missing.argmax() + 1}, column {self._name(column)}")
            if missing.all():
                table = table.drop(columns=column)
            elif missing.any():
                table[column] = table[column].fillna("")
        return table


def _dataset(table: Any) -> Dataset:
    return Dataset.from_pandas(table, preserve_index=False)


def _labels(tables: Mapping[str, Any]) -> dict[str, Dataset]:
    """Number the labels in the order of their names over all files, as mteb requires."""
    names = sorted({label for table in tables.values() for label in table["label"]})
    numbers = {name: number for number, name in enumerate(names)}
    return {part: _dataset(table.assign(label=table["label"].map(numbers))) for part, table in tables.items()}


def _classification(task: CustomTask, tables: Mapping[str, Any]) -> DatasetDict:
    source = "all" if "all" in tables else "train"
    task.check_differ(source, tables[source], "label")
    if source == "train":
        known = set(tables["train"]["label"])
        for row, label in enumerate(tables["test"]["label"], start=1):
            if label not in known:
                task.refuse("test", f"has a label that no training text has in row {row}: {label}")
        return DatasetDict(_labels(tables))
    from sklearn.model_selection import train_test_split

    table = tables["all"]
    counts = table["label"].value_counts()
    if counts.min() < 2:
        task.refuse("all", f"cannot be cut into two halves with every label in both: one text has {counts.idxmin()}")
    try:
        train, test = train_test_split(table, train_size=TRAIN_SHARE, random_state=42, stratify=table["label"])
    except ValueError as error:
        task.refuse("all", f"cannot be cut into two halves with every label in both: {error}")
    return DatasetDict(_labels({"train": train, "test": test}))


def _sts(task: CustomTask, tables: Mapping[str, Any]) -> DatasetDict:
    table = tables["test"]
    table = table.assign(score=task.numbers("test", table, "score", "a number", lambda score: True))
    task.check_differ("test", table, "score")
    return DatasetDict(test=_dataset(table))


def _pairs(task: CustomTask, tables: Mapping[str, Any]) -> DatasetDict:
    table = tables["test"]
    table = table.assign(label=task.numbers("test", table, "label", "0 or 1", lambda label: label in (0, 1)))
    task.check_differ("test", table, "label")
    return DatasetDict(test=_dataset(table.astype({"label": int}).rename(columns={"label": "labels"})))


def _clustering(task: CustomTask, tables: Mapping[str, Any]) -> DatasetDict:
    task.check_differ("test", tables["test"], "label")
    data = _labels(tables)["test"].rename_columns({"text": "sentences", "label": "labels"})
    return DatasetDict(test=data)


def _retrieval(task: CustomTask, tables: Mapping[str, Any]) -> Any:
    corpus, queries, relevant = (tables[part] for part in ("corpus", "queries", "relevant"))
    for part, table in (("corpus", corpus), ("queries", queries)):
        if (is_repeated := table["id"].duplicated()).any():
            row = int(is_repeated.to_numpy().argmax())
            task.refuse(part, f"has the id {table['id'].iloc[row]} twice, again in row {row + 1}")
    grades = [1.0] * len(relevant)
    if "score" in relevant:
        grades = task.numbers("relevant", relevant, "score", "a whole number, 0 or more", _is_grade)
    query_ids, document_ids = set(queries["id"]), set(corpus["id"])
    judged: dict[str, dict[str, int]] = {}
    for row, (query, document, grade) in enumerate(
        zip(relevant["query"], relevant["document"], grades, strict=True), start=1
    ):
        if query not in query_ids:
            task.refuse("relevant", f"has a query that is not in queries in row {row}: {query}")
        if document not in document_ids:
            task.refuse("relevant", f"has a document that is not in corpus in row {row}: {document}")
        if judged.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
            task.refuse("relevant", f"judges document {document} for query {query} differently in row {row}")
    if not any(grades):
        task.refuse("relevant", "has no score above 0, so no document is relevant")
    data = {
        "corpus": _dataset(corpus if "title" in corpus else corpus.assign(title="")),
        "queries": _dataset(queries[queries["id"].isin(list(judged))]),
        "relevant_docs": judged,
        "top_ranked": None,
    }
    return {"default": {"test": data}}


def _is_grade(score: float) -> bool:
    return score >= 0 and score.is_integer()


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
    """Create the task of a suite entry {name, type, data, columns}.

    Args:
        entry: `name`: name in result files; `type`: one of `KINDS`; `data`: a file, or files by part (train and test of
            a classification; corpus, queries and relevant of a retrieval); `columns`: default name of a column -> name
            in the files; `language`: e.g. eng-Latn.

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
        raise BenchError(f"suite.tasks: name={name}: is used as a file name; allowed: letters, digits, - and _")
    files = _files(str(name), entry["data"], kind)
    columns = entry.get("columns") or {}
    if not isinstance(columns, Mapping) or None in columns.values():
        raise BenchError(f"suite.tasks: {name}: columns={columns}: must be as in {{text: body, label: queue}}")
    columns = {str(column): str(name_in_file) for column, name_in_file in columns.items()}
    if len(set(columns.values())) < len(columns):
        raise BenchError(f"suite.tasks: {name}: columns: one column of the file is named for two")
    allowed = list(dict.fromkeys(column for part in files for column in kind.columns[part]))
    if unknown := [column for column in columns if column not in allowed]:
        raise BenchError(f"suite.tasks: {name}: columns: unknown {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    language = str(entry.get("language") or "eng-Latn")
    if not re.fullmatch("[a-z]{3}-[A-Z][a-z]{3}", language):
        raise BenchError(f"suite.tasks: {name}: language={language}: must be as in eng-Latn (ISO 639-3, ISO 15924)")
    metadata = own_metadata(
        str(name),
        str(entry["type"]),
        kind.main_score,
        f"Own data: {', '.join(map(str, files.values()))}.",
        path="local",
    ).model_copy(update={"eval_langs": [language]})
    fields = {"metadata": metadata, "files": files, "columns": columns, "kind": kind, **_options(kind)}
    task: CustomTask = type("Custom", (CustomTask, kind.base), fields)()
    hashes = {part: file_sha256(path) for part, path in files.items()}
    task.pin(content_hash([hashes, columns, str(entry["type"]), language]))
    task.check()
    return task


def _files(name: str, data: Any, kind: _Kind) -> dict[str, Path]:
    single = [parts for parts in kind.parts if len(parts) == 1]
    if isinstance(data, str):
        if not single:
            raise BenchError(f"suite.tasks: {name}: data must name the files {', '.join(kind.parts[0])}")
        data = {single[0][0]: data}
    if not isinstance(data, Mapping) or not any(set(data) == set(parts) for parts in kind.parts):
        given = ", ".join(map(str, data)) if isinstance(data, Mapping) else repr(data)
        wanted = " or ".join(f"{{{', '.join(parts)}}}" for parts in kind.parts)
        raise BenchError(f"suite.tasks: {name}: data has {given}; it must be {wanted}")
    files = {part: Path(str(path)).expanduser() for part, path in data.items()}
    if absent := [str(path) for path in files.values() if not path.is_file()]:
        raise BenchError(f"suite.tasks: {name}: no such file: {', '.join(absent)} (paths start from {Path.cwd()})")
    if unknown := [str(path) for path in files.values() if plain_suffix(path) not in SUFFIXES]:
        raise BenchError(f"suite.tasks: {name}: {', '.join(unknown)} must be one of {allowed_suffixes(*SUFFIXES)}")
    return files


def _options(kind: _Kind) -> dict[str, Any]:
    """Return class attributes for mteb: cluster a small set whole instead of sampling it."""
    if kind.base is AbsTaskClustering:
        return {"max_fraction_of_documents_to_embed": None, "max_document_to_embed": None}
    return {}
