"""MLflow store with exclusive access to sqlite files; runs are looked up by their results folder."""

import sqlite3
from collections.abc import Iterator, Mapping
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
MAX_TAG = 5000  # characters of a tag, in the strictest MLflow store

_BUSY_SECONDS = 5  # wait for other programs that lock the database
_QUEUE_SECONDS = 120  # wait for other jobs of ours


@dataclass(frozen=True)
class Opened:
    """An open store.

    Attributes:
        client: the MLflow client.
        experiment: id of the experiment, created if missing.
    """

    client: MlflowClient
    experiment: str

    def runs_of(self, folder: Path) -> list[Run]:
        """Return the MLflow runs of a run's or sweep's folder, newest first."""
        return self.runs_with(folder_tags(folder))

    def runs_with(self, tags: Mapping[str, str]) -> list[Run]:
        """Return the MLflow runs that have all of these tags, newest first."""
        # a filter cannot express values with both kinds of quotes, so tags are compared again below
        clauses = [f"tags.`{name}` = {quoted}" for name, value in tags.items() if (quoted := _quoted(value))]
        runs: list[Run] = []
        page: str | None = ""
        while page is not None:
            result = self.client.search_runs(
                [self.experiment],
                " and ".join(clauses),
                order_by=["attributes.start_time DESC"],
                page_token=page or None,
            )
            runs += [run for run in result if tags.items() <= run.data.tags.items()]
            page = result.token or None
        return runs


def folder_tags(folder: Path) -> dict[str, str]:
    """Return the tags by which `Opened.runs_of` finds a folder's runs."""
    return {FOLDER: name_of(folder), RESULTS: _results_of(folder)}


def _quoted(value: str) -> str | None:
    """Quote a value for MLflow's filter language; None if that is impossible."""
    quote = next((quote for quote in "'\"" if quote not in value), None)
    return None if quote is None else f"{quote}{value}{quote}"


def name_of(folder: Path) -> str:
    """Return the folder's path in the results: `runs/TIME`, `sweeps/NAME` or `sweeps/NAME/JOB`."""
    return folder.resolve().relative_to(_results_of(folder)).as_posix()


def _results_of(folder: Path) -> str:
    folder = folder.resolve()
    parts = next((parent for parent in folder.parents if parent.name in ("runs", "sweeps")), folder)
    return str(parts.parent)


@contextmanager
def opened(config: TrackingConfig) -> Iterator[Opened]:
    """Open the store, and create the experiment if missing.

    Two processes that create an sqlite store at once corrupt it, and MLflow retries a locked one for most of an hour.
    So a file is checked first and used by one of our processes at a time. An interrupt waits until the store is closed:
    during a transaction it would leave the file locked, or be ignored.

    Raises:
        BenchError: if the store cannot be reached, or the file is locked or not a database.
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
        raise BenchError(f"{database} is locked by another run of m2v_bench") from None
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
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is not None:
            return Opened(client, str(experiment.experiment_id))
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
        why = "another program uses it" if "locked" in str(error) else "is it an MLflow database?"
        raise BenchError(f"{database}: {error}; {why}") from error
    finally:
        connection.close()


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    path = uri.removeprefix("sqlite:///")
    if "?" in path or "#" in path:
        raise BenchError("the path has a ? or #, which end a URI path; allowed: sqlite:///PATH without them")
    return Path(path).resolve()
