"""Load tasks, and keep their data for further jobs of the process."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
from mteb.abstasks import AbsTask

from m2v_bench.cache import content_hash, folder_hash
from m2v_bench.evaluation.columns import use_columns
from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.suite import SuiteTask

_KEPT_BYTES = 512 * 2**20  # size limit of the kept data

# Key -> task and size of its data; the least recently used first.
_kept: dict[tuple[type, str], tuple[AbsTask, int]] = {}


def load_task(entry: SuiteTask) -> AbsTask:
    """Return the task with its data, as `Columns`; score only copies of it, as scoring changes its random state."""
    key = _key(entry)
    if key in _kept:
        _kept[key] = _kept.pop(key)
        return _kept[key][0]
    task = entry.load()
    for part in parts(task):
        use_columns(part)
    _kept[key] = task, sum(table.data.nbytes for part in parts(task) for table in _tables(part.dataset))
    while sum(size for _, size in _kept.values()) > _KEPT_BYTES:
        del _kept[next(iter(_kept))]
    return task


def _key(entry: SuiteTask) -> tuple[type, str]:
    """Return the task's class, and a hash of everything else that determines its data."""
    folders = {str(part.metadata.dataset["path"]) for part in parts(entry.task)}
    contents = {path: folder_hash(Path(path)) for path in folders if Path(path).is_dir() and Path(path).is_absolute()}
    return type(entry.task), content_hash([entry.name, entry.dataset, contents, entry.task.seed])


def _tables(data: Any) -> Iterator[datasets.Dataset]:
    if isinstance(data, datasets.Dataset):
        yield data
    elif isinstance(data, Mapping) and "relevant_docs" not in data:
        for part in data.values():
            yield from _tables(part)
    elif isinstance(data, Mapping):
        yield from (data["corpus"], data["queries"])
