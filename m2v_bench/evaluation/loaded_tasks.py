"""Load tasks, and keep their data for further jobs of the process."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.cache import content_hash, folder_hash
from m2v_bench.evaluation.columns import tables, use_columns
from m2v_bench.tasks.custom import CustomTask
from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.suite import SuiteTask

_KEPT_BYTES = 512 * 2**20  # size limit of the kept data
_JUDGMENT_BYTES = 200  # of a judged or ranked document in Python

# Key -> task and size of its data. What does not fit is not kept: jobs of a sweep read the tasks in the same order, so
# evicting the oldest would evict what is needed next.
_kept: dict[tuple[type, str], tuple[AbsTask, int]] = {}


def load_task(entry: SuiteTask) -> AbsTask:
    """Load a task with its datasets as `Columns`, once per process.

    Score a copy, because scoring advances the task's random state.
    """
    key = task_key(entry)
    if key in _kept:
        return _kept[key][0]
    task = entry.load()
    for part in parts(task):
        use_columns(part)
    size = sum(_size(part.dataset) for part in parts(task))
    if size + sum(other for _, other in _kept.values()) <= _KEPT_BYTES:
        _kept[key] = task, size
    return task


def task_key(entry: SuiteTask) -> tuple[type, str]:
    """Return the task's class, and a hash of everything else that determines its data."""
    # each custom task has a class of its own; its revision hashes data, columns and type
    kind = CustomTask if isinstance(entry.task, CustomTask) else type(entry.task)
    folders = {str(part.metadata.dataset["path"]) for part in parts(entry.task)}
    contents = {path: folder_hash(Path(path)) for path in folders if Path(path).is_dir() and Path(path).is_absolute()}
    return kind, content_hash([entry.name, entry.dataset, contents, entry.task.seed])


def text_columns(task: AbsTask) -> Iterator[Any]:
    """Yield the columns of texts, or of lists of texts, in a task's evaluation splits."""
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            yield from text_columns(part)
        return
    data: Any = task.dataset or {}
    for splits in [data] if isinstance(data, DatasetDict) else data.values():
        for name, split in splits.items():
            if name in task.eval_splits:
                for part in split.values() if isinstance(split, dict) else [split]:
                    known = getattr(part, "column_names", [])
                    names = [name for name in sorted(task._get_content_columns()) if name in known]
                    # lazily, also where `part[name]` is a list
                    yield from (Dataset.__getitem__(part, name) for name in names)


def _size(data: Any) -> int:
    """Estimate the size of a task's `dataset` in bytes."""
    size = sum(table.data.nbytes for table in tables(data))
    splits = [split for subset in data.values() if isinstance(subset, Mapping) for split in subset.values()]
    for split in splits:
        if isinstance(split, Mapping) and "relevant_docs" in split:
            judged = [*split["relevant_docs"].values(), *(split["top_ranked"] or {}).values()]
            size += _JUDGMENT_BYTES * sum(map(len, judged))
    return size
