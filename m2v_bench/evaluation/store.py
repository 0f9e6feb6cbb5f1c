"""Store of scores: mteb's result cache with atomic writes, locks between processes, costs and samples."""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mteb
from filelock import FileLock, Timeout
from mteb.abstasks import AbsTask
from mteb.models.model_meta import ModelMeta
from mteb.results import TaskResult

from m2v_bench.cache import content_hash

log = logging.getLogger(__name__)


class Store(mteb.ResultCache):
    """A folder of results.

    Scores are in `results/<model>/<revision>/[experiments/<variant>/]<task>.json`, mteb's layout; costs and per-sample
    outputs have the same paths in `costs/` and `samples/`.
    """

    def __init__(self, folder: Path, before_save: Callable[[TaskResult], None] | None = None) -> None:
        super().__init__(folder)
        self.folder = folder
        self._before_save = before_save

    def path(self, kind: str, task: str, meta: ModelMeta, suffix: str) -> Path:
        """Return the file of a task's `costs` or `samples`."""
        scores = self.get_task_result_path(task, meta)
        return (self.folder / kind / scores.relative_to(self.folder / "results")).with_suffix(suffix)

    @contextmanager
    def locked(self, task: str, meta: ModelMeta) -> Iterator[None]:
        """Lock `task` for a model, so that one process at a time scores it; a lock ends with its process."""
        path = (
            self.folder / ".locks" / content_hash(str(self.get_task_result_path(task, meta).relative_to(self.folder)))
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            log.warning("%s is being scored by another run; waiting for it", task)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _lock(self, path: Path) -> FileLock:
        folder = self.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / content_hash(str(path.relative_to(self.folder))))

    def existing(self, task: AbsTask, meta: ModelMeta) -> TaskResult | None:
        """Return the stored result if it is readable and of the same dataset revision and mteb version."""
        name = task.metadata.name
        try:
            result = self.load_task_result(name, meta)
        except ValueError:
            log.warning("%s cannot be read; the task is scored again", self.get_task_result_path(name, meta))
            return None
        same = result is not None and result.is_mergeable(task, criteria=["dataset_revision", "mteb_version"])
        return result if same else None

    def complete(self, task: AbsTask, meta: ModelMeta) -> TaskResult | None:
        """Return the stored result if it has all requested splits and subsets, restricted to these."""
        result = self.existing(task, meta)
        if result is None or result.get_missing_evaluations(task):
            return None
        return result.validate_and_filter_scores(task)  # a score averages all splits of the result

    def cost(self, task: str, meta: ModelMeta) -> dict[str, Any]:
        """Return the cost of scoring `task`; empty if not recorded."""
        try:
            cost: dict[str, Any] = json.loads(self.path("costs", task, meta, ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cost

    def save_to_cache(self, task_result: TaskResult, model_name: Any, *args: Any, **kwargs: Any) -> None:
        """Write the score and accompanying files atomically.

        The score is written last and marks the task as complete.
        """
        if self._before_save is not None:
            self._before_save(task_result)
        target = self.get_task_result_path(task_result.task_name, model_name, *args)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._lock(target.parent),
            tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder) as scratch,
        ):
            settings = target.parent / "run_settings.jsonl"  # mteb appends to an existing file
            if settings.is_file():
                shutil.copyfile(settings, Path(scratch) / settings.name)
            _Flat(Path(scratch)).save_to_cache(task_result, model_name, *args, **kwargs)
            for file in sorted(Path(scratch).iterdir(), key=lambda file: file.name == target.name):
                file.replace(target.parent / file.name)


class _Flat(mteb.ResultCache):
    """Write the files of one result into a folder without subfolders, which take longer than the files."""

    def get_task_result_path(self, task_name: str, *args: Any, **kwargs: Any) -> Path:
        """Return the file of the result."""
        return self.cache_path / f"{task_name}.json"
