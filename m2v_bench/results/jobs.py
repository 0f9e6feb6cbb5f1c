"""The jobs of a sweep: where each one's files lie, and how it ended. Files say it, whatever process wrote them."""

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
        overrides: the words that set it apart from the other jobs and from the defaults.
        config: its settings.
        folder: where its files lie.
        key: `Prepared.key`, by which a finished job is known.
    """

    overrides: list[str]
    config: DictConfig
    folder: Path
    key: str

    def finished(self) -> bool:
        """Whether the job ended well, here or in an earlier start of the sweep, with nothing changed since."""
        record = read_record(self.folder)
        return record is not None and record.key == self.key and not record.failed

    def error(self) -> str | None:
        """Why it failed, since it was last started."""
        try:
            return (self.folder / ERROR).read_text(encoding="utf-8")
        except OSError:
            return None


def clear_error(folder: Path) -> None:
    """Forget how an earlier start of the job failed."""
    for name in (ERROR, TRACEBACK):
        (folder / name).unlink(missing_ok=True)


def write_error(folder: Path, message: str | None, error: BaseException) -> str:
    """Keep why a job failed, for the end of the sweep.

    Args:
        folder: the job's.
        message: what to say to the user; None for a defect, whose traceback is kept.
        error: what was raised.

    Returns:
        What to say, with the place of the traceback when there is one.
    """
    told = message or f"{type(error).__name__}: {error} (traceback in {folder / TRACEBACK})"
    with contextlib.suppress(OSError):  # a full disk may be what went wrong
        folder.mkdir(parents=True, exist_ok=True)
        if message is None:
            (folder / TRACEBACK).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        (folder / ERROR).write_text(told, encoding="utf-8")
    return told


def write_plan(
    sweep_dir: Path, jobs: Sequence[Job], files: Mapping[str, str], *, command: str, failed: int | None
) -> None:
    """Keep which jobs the sweep has now, as its folder may hold others of earlier starts, and what was made of them.

    The key of each job is kept too, by which a record of earlier settings is known.

    Args:
        sweep_dir: the sweep's folder.
        jobs: in their order.
        files: tables and figures, relative to the results, each with its kind.
        command: that started the sweep.
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
    """Whether a job of the sweep has failed since it was started."""
    try:
        folders = json.loads((sweep_dir / SWEEP).read_text(encoding="utf-8"))["jobs"]
    except (OSError, ValueError):
        return False
    return any((sweep_dir / folder / ERROR).is_file() for folder in folders)


@contextlib.contextmanager
def alone(folder: Path, taken: str) -> Iterator[None]:
    """Hold the folder of a sweep or a search, so that no other process works in it.

    Args:
        folder: made when it is not there.
        taken: what to say when another process holds it.

    Raises:
        BenchError: when another process holds it.
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
