"""Stock mteb tasks from dataset repositories that lie in a local folder, laid out as `<org>/<name>/`."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.cache import cache_dir, folder_hash


def localize(task: AbsTask, hub_dir: Path) -> list[str]:
    """Point `task` at its repository below `hub_dir`; return the repositories that are not there."""
    if isinstance(task, AbsTaskAggregate):
        parts = [copy.copy(part) for part in task.metadata.tasks]
        missing = [name for part in parts for name in localize(part, hub_dir)]
        task.metadata = task.metadata.model_copy(update={"tasks": parts})
        return missing
    repository = task.metadata.dataset["path"]
    folder = (hub_dir / repository).resolve()
    if not folder.is_dir():
        return [repository]
    # the metadata object belongs to the class: changing it in place would change the task for everyone
    dataset = {**task.metadata.dataset, "path": str(folder)}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    return []


@contextmanager
def content_keyed_cache(task: AbsTask) -> Iterator[None]:
    """Let `datasets` keep what it prepares from a local folder under the folder's content.

    Its own key is the folder's path, under which rows of an earlier content would come back.
    """
    import datasets

    folder = Path(str(task.metadata.dataset["path"]))
    if not folder.is_absolute():
        yield
        return
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = cache_dir() / "datasets" / folder_hash(folder)
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before
