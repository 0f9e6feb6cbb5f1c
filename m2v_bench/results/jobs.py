"""Jobs of a sweep: their folders, plan, errors and locks, kept in files that any process may write and read."""

import contextlib
import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from m2v_bench.cache import write_json
from m2v_bench.errors import BenchError
from m2v_bench.results.record import read_record

ERROR, TRACEBACK, SWEEP = "error.txt", "traceback.txt", "sweep.json"


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        overrides: its overrides of the defaults.
        config: its settings.
        folder: of its files.
        key: `Prepared.key`, which identifies a finished job.
    """

    overrides: list[str]
    config: DictConfig
    folder: Path
    key: str

    def finished(self) -> bool:
        """Return whether the job has ended without a failed score, and no setting has changed since."""
        record = read_record(self.folder)
        return record is not None and record.key == self.key and not record.failed

    def error(self) -> str | None:
        """Return why it failed since it was last started; None if it did not."""
        try:
            return (self.folder / ERROR).read_text(encoding="utf-8")
        except OSError:
            return None


def clear_error(folder: Path) -> None:
    """Delete the error of an earlier start of the job."""
    for name in (ERROR, TRACEBACK):
        (folder / name).unlink(missing_ok=True)


def write_error(folder: Path, message: str | None, error: BaseException) -> str:
    """Write why a job failed, to be reported at the end of the sweep.

    Args:
        folder: of the job.
        message: for the user; None for a defect, whose traceback is written, too.
        error: the exception.

    Returns:
        The message, with the path of the traceback when there is one.
    """
    text = message or f"{type(error).__name__}: {error} (traceback in {folder / TRACEBACK})"
    with contextlib.suppress(OSError):  # a full disk may be the error itself
        folder.mkdir(parents=True, exist_ok=True)
        if message is None:
            (folder / TRACEBACK).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        (folder / ERROR).write_text(text, encoding="utf-8")
    return text


def write_plan(
    sweep_dir: Path, jobs: Sequence[Job], files: Mapping[str, str], *, command: str, failed: int | None
) -> None:
    """Write the jobs of the sweep, as its folder may hold others of earlier starts, and the files made from them.

    The plan also holds the key of each job, to recognise a record of earlier settings.

    Args:
        sweep_dir: the sweep's folder.
        jobs: in their order.
        files: tables and figures, relative to the results, with their kind.
        command: the command line of the sweep.
        failed: how many jobs failed; None until the sweep has ended.
    """
    plan = {
        "name": sweep_dir.name,
        "command": command,
        "jobs": [job.folder.name for job in jobs],
        "keys": {job.folder.name: job.key for job in jobs},
        "files": dict(files),
        "failed": failed,
    }
    write_json(sweep_dir / SWEEP, plan)


def any_failed(sweep_dir: Path) -> bool:
    """Return whether a job of the sweep has failed since the sweep was started."""
    try:
        folders = json.loads((sweep_dir / SWEEP).read_text(encoding="utf-8"))["jobs"]
    except (OSError, ValueError):
        return False
    return any((sweep_dir / folder / ERROR).is_file() for folder in folders)


@contextlib.contextmanager
def alone(folder: Path, taken: str) -> Iterator[None]:
    """Lock the folder of a sweep or a search, so that no other process works in it.

    Args:
        folder: created if absent.
        taken: the message when another process holds the lock.

    Raises:
        BenchError: when another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BenchError(taken) from None
    try:
        yield
    finally:
        lock.release()
