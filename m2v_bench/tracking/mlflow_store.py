"""The MLflow store, opened by one process at a time where it is a file; runs are found by the folder they tell of."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from m2v_bench.config.schema import TrackingConfig
from m2v_bench.errors import BenchError
from m2v_bench.system.interrupts import deferred

FOLDER, RESULTS = "m2v_bench.folder", "m2v_bench.results"

_BUSY_SECONDS = 5  # how long another program may hold the database
_QUEUE_SECONDS = 120  # how long other jobs of ours may log before this one


@dataclass(frozen=True)
class Opened:
    """A store that can be written now.

    Attributes:
        client: of MLflow.
        experiment: the id of the experiment, made when it was not there.
    """

    client: MlflowClient
    experiment: str

    def runs_of(self, folder: Path) -> list[Run]:
        """The runs of a run's or sweep's folder in results, newest first."""
        tags = folder_tags(folder)
        # a filter has no way to write a value with both kinds of quotes; what it leaves is compared here
        clauses = [f"tags.`{name}` = {quoted}" for name, value in tags.items() if (quoted := _quoted(value))]
        runs: list[Run] = []
        page: str | None = ""
        while page is not None:
            found = self.client.search_runs(
                [self.experiment],
                " and ".join(clauses),
                order_by=["attributes.start_time DESC"],
                page_token=page or None,
            )
            runs += [run for run in found if tags.items() <= run.data.tags.items()]
            page = found.token or None
        return runs


def folder_tags(folder: Path) -> dict[str, str]:
    """The tags by which `Opened.runs_of` finds the run of a folder."""
    return {FOLDER: name_of(folder), RESULTS: _results_of(folder)}


def _quoted(value: str) -> str | None:
    """A value as a string of MLflow's filter language; None where it cannot be written as one."""
    quote = next((quote for quote in "'\"" if quote not in value), None)
    return None if quote is None else f"{quote}{value}{quote}"


def name_of(folder: Path) -> str:
    """The folder's place in the results: `runs/TIME`, `sweeps/NAME` or `sweeps/NAME/JOB`."""
    return folder.resolve().relative_to(_results_of(folder)).as_posix()


def _results_of(folder: Path) -> str:
    folder = folder.resolve()
    parts = next((parent for parent in folder.parents if parent.name in ("runs", "sweeps")), folder)
    return str(parts.parent)


@contextmanager
def opened(config: TrackingConfig) -> Iterator[Opened]:
    """The store, its experiment made when it is not there.

    Two processes that create an sqlite store at once break it for good, and one that another program holds makes
    MLflow try for most of an hour; so a file is looked at first and used by one process of ours at a time. An interrupt
    waits until the store is closed: in the midst of a transaction it would leave the file locked, or get lost.

    Raises:
        BenchError: when the store cannot be reached, or the file is held by another program or is no database.
    """
    with deferred(), _opened(config) as store:
        yield store


@contextmanager
def _opened(config: TrackingConfig) -> Iterator[Opened]:
    database = _sqlite_file(config.uri)
    if database is None:
        mlflow.set_tracking_uri(config.uri)
        yield _open(config, None)
        return
    lock = FileLock(f"{database}.lock", timeout=_QUEUE_SECONDS)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BenchError(f"{database} is held by another run of this program") from None
    except OSError as error:
        raise BenchError(f"{database}: cannot be written ({error.strerror or error})") from error
    try:
        _check_sqlite(database)
        mlflow.set_tracking_uri(config.uri)
        yield _open(config, (database.parent / "mlruns").as_uri())
    finally:
        lock.release()


def _open(config: TrackingConfig, artifacts: str | None) -> Opened:
    try:
        client = MlflowClient(config.uri)
        found = client.get_experiment_by_name(config.experiment)
        if found is not None:
            return Opened(client, str(found.experiment_id))
        return Opened(client, str(client.create_experiment(config.experiment, artifact_location=artifacts)))
    except MlflowException as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchError(f"{config.uri} cannot be used as an MLflow store: {type(error).__name__}: {reason}") from error


def _check_sqlite(database: Path) -> None:
    connection = sqlite3.connect(database, timeout=_BUSY_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.DatabaseError as error:
        why = "another program holds it" if "locked" in str(error) else "is it an MLflow database?"
        raise BenchError(f"{database}: {error}; {why}") from error
    finally:
        connection.close()


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    path = uri.removeprefix("sqlite:///")
    if "?" in path or "#" in path:
        raise BenchError("the path has a ? or #, which a URI ends at; allowed: sqlite:///PATH without them")
    return Path(path).resolve()
