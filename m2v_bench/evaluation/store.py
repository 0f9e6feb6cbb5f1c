"""Where scores are kept: mteb's result cache, written whole, shared between processes, with what mteb leaves out."""

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

    Score files lie in `results/<model>/<revision>/[experiments/<variant>/]<task>.json`, mteb's own layout; what each
    one cost under the same path in `costs/`, and the per-sample outputs in `samples/`.
    """

    def __init__(self, folder: Path, before_save: Callable[[TaskResult], None] | None = None) -> None:
        super().__init__(folder)
        self.folder = folder
        self._before_save = before_save

    def path(self, kind: str, task: str, meta: ModelMeta, suffix: str) -> Path:
        """The file of a task's `costs` or `samples`."""
        scores = self.get_task_result_path(task, meta)
        return (self.folder / kind / scores.relative_to(self.folder / "results")).with_suffix(suffix)

    @contextmanager
    def locked(self, task: str, meta: ModelMeta) -> Iterator[None]:
        """Let one process at a time score `task` with a model. A process that dies gives its lock free."""
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
        """What was scored before, if it can be read and is of the same dataset revision and mteb version."""
        name = task.metadata.name
        try:
            result = self.load_task_result(name, meta)
        except ValueError:
            log.warning("%s cannot be read and is made anew", self.get_task_result_path(name, meta))
            return None
        same = result is not None and result.is_mergeable(task, criteria=["dataset_revision", "mteb_version"])
        return result if same else None

    def complete(self, task: AbsTask, meta: ModelMeta) -> TaskResult | None:
        """What was scored before of the splits and subsets that are asked for, if it is all of them."""
        result = self.existing(task, meta)
        if result is None or result.get_missing_evaluations(task):
            return None
        return result.validate_and_filter_scores(task)  # a score averages what the result holds

    def cost(self, task: str, meta: ModelMeta) -> dict[str, Any]:
        """What scoring `task` took; empty where nobody wrote it down."""
        try:
            found: dict[str, Any] = json.loads(self.path("costs", task, meta, ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def save_to_cache(self, task_result: TaskResult, model_name: Any, *args: Any, **kwargs: Any) -> None:
        """Write the score file and what lies beside it so that a reader sees each file whole.

        The score comes last: where it is, nothing is left to be done.
        """
        if self._before_save is not None:
            self._before_save(task_result)
        target = self.get_task_result_path(task_result.task_name, model_name, *args)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._lock(target.parent),
            tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder) as scratch,
        ):
            copy = mteb.ResultCache(Path(scratch))
            written = copy.get_task_result_path(task_result.task_name, model_name, *args)
            written.parent.mkdir(parents=True, exist_ok=True)
            settings = target.parent / "run_settings.jsonl"  # mteb adds to what it finds
            if settings.is_file():
                shutil.copyfile(settings, written.parent / settings.name)
            copy.save_to_cache(task_result, model_name, *args, **kwargs)
            for file in sorted(written.parent.iterdir(), key=lambda file: file.name == written.name):
                file.replace(target.parent / file.name)
