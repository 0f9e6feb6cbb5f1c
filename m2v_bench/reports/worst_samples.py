"""`m2v-bench samples`: show the samples of a task that a model gets most wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mteb.abstasks import AbsTask, AbsTaskRetrieval

from m2v_bench.errors import BenchError, did_you_mean, whole_number
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.results_table import versions_of
from m2v_bench.results.sample_files import read_task_samples
from m2v_bench.results.scores import StoredModel, read_results
from m2v_bench.tasks import SuiteTask
from m2v_bench.tasks.samples import Samples

_LONGEST = 300  # characters of a shown text

_Rows = list[list[str]]


def worst_samples(word: str, name: str, results: Path, suite: Sequence[SuiteTask], *, most: int) -> Grid:
    """List the samples of a task that a model gets most wrong, the worst first.

    What was kept of them decides what is shown: pairs with their similarity and the gold value, texts with the share
    of experiments that classified them correctly, queries with their score and what the model found instead.

    Args:
        word: the model, as in `Results.find`.
        name: the task.
        results: a results folder.
        suite: tasks, among which is this one, with their data.
        most: number of samples to show.

    Raises:
        BenchError: when there is no such model or task, or its samples or data are not here or of another revision.
    """
    most = whole_number("--most", most, least=1)
    if results.is_file():
        raise BenchError(f"--results {results}: an exported table has no per-sample outputs; name the results folder")
    model = read_results(results).find(word)
    entry = next((entry for entry in suite if name in (entry.name, entry.task.metadata.name)), None)
    if entry is None:
        known = sorted(model.tasks)
        raise BenchError(
            f"{name}: not a task of the suite.{did_you_mean(name, known)} Choose the suite of the run with suite=NAME, "
            f"or 'suite=custom' 'suite.tasks=[{name}]'"
        )
    task = entry.task.metadata.name
    samples = read_task_samples(model.folder, task, results)
    if samples is None:
        raise BenchError(
            f"{name}: no per-sample outputs of {model.label}; it was scored with samples=false, or its scores do not "
            f"decompose into samples. It has outputs of: {', '.join(_with_samples(model, results)) or 'no task'}"
        )
    if entry.missing:
        raise BenchError(f"{name}: its data is needed to show texts: {entry.missing}; set hub_dir= or data_dir=")
    scores = model.tasks.get(task)
    if scores is None:
        raise BenchError(f"{name}: {model.label} has scores of its tasks only; name one of them")
    if (stored := scores.dataset_revision) != str(entry.task.metadata.revision):
        raise BenchError(
            f"{name}: scored on dataset revision {stored}, and the data here is {entry.task.metadata.revision}; give "
            "hub_dir= and data_dir= as for the run"
        )
    loaded = entry.load()
    columns: list[str] = []
    rows: _Rows = []
    for part, kept in samples.items():
        split, _, subset = part.partition("/")
        columns, worst = _view(loaded, kept, split, subset, most)
        rows += [[part, *row] for row in worst]
    if len(samples) > 1:
        columns = ["Part", *columns]
    else:
        rows = [row[1:] for row in rows]
    is_cut = any(len(cell) > _LONGEST for row in rows for cell in row)
    notes = [f"texts are cut at {_LONGEST} characters"] if is_cut else []
    title = f"{name}: the samples that {model.label} gets most wrong"
    return Grid(
        columns, [[_cut(cell) for cell in row] for row in rows], title=title, notes=[*notes, versions_of([model])]
    )


def _with_samples(model: StoredModel, results: Path) -> list[str]:
    return sorted(path.stem for path in (results / "samples" / model.folder).glob("*.npz"))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


_View = tuple[list[str], _Rows]
"""Columns, and the rows of the worst samples."""


def _view(task: AbsTask, kept: Samples, split: str, subset: str, most: int) -> _View:
    """Choose how to show the samples of a part."""
    if kept.unit == "query" and isinstance(task, AbsTaskRetrieval):
        return _queries(task, kept, split, subset, most)
    rows, n = _dataset(task, split, subset), len(kept.values)
    if kept.unit == "pair" and kept.gold is not None:
        texts = _columns_of(rows, n, _column(task, 1), _column(task, 2))
        if texts:
            return _pairs(kept, kept.gold, texts, most)
    if kept.unit == "text":
        texts = _columns_of(rows, n, _text_column(task), str(getattr(task, "label_column_name", "label")))
        if texts:
            return _texts(kept, *texts, most=most)
    raise BenchError(
        f"{task.metadata.name}: its samples cannot be shown as texts; those of pairs, classifications and retrieval can"
    )


def _columns_of(rows: Any, n: int, *names: str) -> list[list[Any]]:
    """Return columns of a dataset, or an empty list where it lacks one or has another number of rows than `n`."""
    if rows is None or not all(name in getattr(rows, "column_names", rows) for name in names):
        return []
    columns = [list(rows[name]) for name in names]
    return columns if all(len(column) == n for column in columns) else []


def _dataset(task: AbsTask, split: str, subset: str) -> Any:
    data: Any = task.dataset
    if data is None:
        return None
    rows = data[subset][split] if subset in data else data[split]
    # older datasets hold everything in one row
    one = len(rows) == 1 and isinstance(rows[0].get(_column(task, 1)), list)
    return rows[0] if one else rows


def _column(task: AbsTask, number: int) -> str:
    return str(getattr(task, f"input{number}_column_name", f"sentence{number}"))


def _text_column(task: AbsTask) -> str:
    return str(getattr(task, "input_column_name", "text"))


def _pairs(kept: Samples, gold: np.ndarray, texts: Sequence[Sequence[Any]], most: int) -> _View:
    """Show the pairs whose similarity is ranked furthest from the gold value, or on the wrong side of the others."""
    from scipy.stats import rankdata

    place, wanted = ((rankdata(values) - 0.5) / len(values) for values in (kept.values, gold))
    rows = [
        [
            _one_line(texts[0][i]),
            _one_line(texts[1][i]),
            f"{gold[i]:g}",
            f"{kept.values[i]:.3f}",
            f"{100 * place[i]:.0f} / {100 * wanted[i]:.0f}",
        ]
        for i in np.argsort(-np.abs(place - wanted), kind="stable")[:most]
    ]
    title = "Same" if kept.metric == "average_precision" else "Gold"
    return ["First", "Second", title, "Similarity", "Percentile / of gold"], rows


def _texts(kept: Samples, texts: Sequence[Any], labels: Sequence[Any], *, most: int) -> _View:
    """Show the texts that the fewest experiments classified correctly."""
    order = np.argsort(kept.values, kind="stable")[:most]
    rows = [[_one_line(texts[i]), str(labels[i]), f"{kept.values[i]:.2f}"] for i in order]
    return ["Text", "Label", "Right"], rows


def _queries(task: Any, kept: Samples, split: str, subset: str, most: int) -> _View:
    """Show the queries with the lowest score, the documents that are relevant and those that came first."""
    data = task.dataset[subset][split]
    queries = _by_id(data["queries"])
    relevant = data["relevant_docs"]
    names = sorted(relevant)  # the order in which they are recorded
    if len(names) != len(kept.values):
        raise BenchError(f"{task.metadata.name}: has {len(names)} judged queries, and {len(kept.values)} were kept")
    documents = _by_id(data["corpus"])
    rows = []
    for i in np.argsort(kept.values, kind="stable")[:most]:
        query = names[i]
        right = [document for document, score in relevant[query].items() if score > 0]
        wrong = "- not kept; score the task again"
        if kept.answers is not None:
            wrong = _documents([name for name in kept.answers[i] if name and name not in right][:2], documents)
        text = _one_line(queries.get(query, query))
        rows.append([text, f"{kept.values[i]:.3f}", _documents(right[:1], documents), wrong])
    return ["Query", task.metadata.main_score, "A relevant document", "First wrong answers"], rows


def _by_id(rows: Any) -> Mapping[str, str]:
    """Return texts by id, of a mapping or of a table with `id`, `text` and maybe `title`."""
    if isinstance(rows, Mapping):
        return {str(key): _text(value) for key, value in rows.items()}
    titles = list(rows["title"]) if "title" in rows.column_names else [""] * len(rows)
    return {
        str(key): f"{title or ''} {text}".strip()
        for key, title, text in zip(rows["id"], titles, rows["text"], strict=True)
    }


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('title') or ''} {value.get('text', '')}".strip()
    return str(value)


def _documents(names: Sequence[str], documents: Mapping[str, str]) -> str:
    half = _LONGEST // 2
    texts = [documents.get(name, "") for name in names]
    return "\n".join(f"{name}: {_one_line(text)[:half]}" for name, text in zip(names, texts, strict=True)) or "-"
