"""Find a sweep or a run by name, and read its jobs: their records, settings, errors and machines."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf

from m2v_bench.config.check import flat_settings
from m2v_bench.config.renames import current_settings
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.jobs import ERROR, SWEEP
from m2v_bench.results.long_table import read_table
from m2v_bench.results.record import RECORD, RunRecord, Speed, read_record

SPEED = "speed.json"  # in a sweep's folder: the speeds of its models, timed together at its end

_Speeds = Mapping[tuple[str, str], Speed]


@dataclass(frozen=True)
class JobResult:
    """The outcome of one job.

    Attributes:
        folder: of its files; in an exported table its name alone.
        record: what it wrote when it ended; None when it has not, or not with the settings of the sweep's last start.
        error: why it failed.
        stale: whether there is a record with other settings than those of the sweep's last start.
        started_with: its settings, when there is no record; empty when it never started.
        environment: the machine and the installed packages.
    """

    folder: Path
    record: RunRecord | None
    error: str | None
    stale: bool = False
    started_with: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The job's settings, by name as in `pca_dims`."""
        return self.started_with if self.record is None else self.record.settings

    @property
    def state(self) -> str:
        """The outcome in a few words."""
        if self.record is not None and (failed := self.record.failed):
            return f"{len(failed)} of {len(self.record.scores)} scores failed"
        if self.record is not None:
            return "finished"
        if self.error is not None:
            return "failed"
        return "not run again since its settings changed" if self.stale else "not finished"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a job of an exported table."""
        record = value["record"]
        return cls(
            folder=Path(value["name"]),
            record=None if record is None else RunRecord.from_json(record),
            error=value["error"],
            stale=value["stale"],
            started_with=current_settings(value["started_with"]),
            environment=value["environment"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for an exported table."""
        return {
            "name": self.folder.name,
            "record": None if self.record is None else self.record.to_json(),
            "error": self.error,
            "stale": self.stale,
            "started_with": dict(self.started_with),
            "environment": dict(self.environment),
        }


@dataclass(frozen=True)
class Experiment:
    """A sweep, or a run as a sweep of one job.

    Attributes:
        name: of its folder.
        kind: `sweep` or `run`.
        results: the results folder or exported table that it belongs to.
        jobs: in the order of the sweep.
        command: the command line that started it; None where it was not recorded.
    """

    name: str
    kind: str
    results: Path
    jobs: Sequence[JobResult]
    command: str | None

    @property
    def records(self) -> list[RunRecord]:
        """The records of the jobs that have one."""
        return [job.record for job in self.jobs if job.record is not None]

    @property
    def n_finished(self) -> int:
        """Number of jobs that ended without a failed score."""
        return sum(job.state == "finished" for job in self.jobs)

    @cached_property
    def changed(self) -> list[str]:
        """The settings that differ between the jobs that have been started."""
        known = [job.settings for job in self.jobs if job.settings]
        keys = dict.fromkeys(key for settings in known for key in settings)
        return [key for key in keys if len({str(settings.get(key)) for settings in known}) > 1]

    def title(self, job: JobResult) -> str:
        """Name the settings in which a job differs from the others."""
        differing = [f"{key}={job.settings[key]}" for key in self.changed if key in job.settings]
        return " ".join(differing) or (job.folder.name if self.kind == "sweep" else "this run")

    def all_records(self) -> list[RunRecord]:
        """Return the records of all jobs.

        Raises:
            BenchError: when a job has none.
        """
        if absent := [job.folder.name for job in self.jobs if job.record is None]:
            raise BenchError(
                f"{self.name}: {len(absent)} of {len(self.jobs)} jobs have no record, as {absent[0]}; start the sweep "
                "again, it goes on with those"
            )
        return self.records

    @classmethod
    def from_json(cls, value: Mapping[str, Any], results: Path) -> Self:
        """Read an experiment of an exported table."""
        jobs = [JobResult.from_json(job) for job in value["jobs"]]
        return cls(value["name"], value["kind"], results, jobs, value["command"])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for an exported table."""
        jobs = [job.to_json() for job in self.jobs]
        return {"name": self.name, "kind": self.kind, "command": self.command, "jobs": jobs}


def find_experiment(word: str, results: Path) -> Experiment:
    """Find a sweep or run.

    Args:
        word: its name in `results`, or its folder.
        results: a results folder or an exported table.

    Raises:
        BenchError: when there is no such sweep or run, or none of its jobs has ended.
    """
    experiment = _in_table(word, results) if results.is_file() else _in_folder(word, results)
    if all(job.record is None and job.error is None for job in experiment.jobs):
        raise BenchError(
            f"{word}: none of its {len(experiment.jobs)} jobs has ended yet, so there is nothing to report; "
            "start the sweep again to go on with it"
        )
    return experiment


def experiments(results: Path) -> list[Experiment]:
    """Read all sweeps and runs of a results folder or an exported table; those of which no job has ended, too."""
    if results.is_file():
        return [Experiment.from_json(value, results) for value in read_table(results).experiments]
    sweeps = [_sweep(path.parent, results) for path in sorted(results.glob(f"sweeps/*/{SWEEP}"))]
    folders = {path.parent for name in (RECORD, ERROR) for path in results.glob(f"runs/*/{name}")}
    return [*sweeps, *(_run(folder, results) for folder in sorted(folders))]


def _in_table(word: str, results: Path) -> Experiment:
    known = experiments(results)
    for experiment in known:
        if experiment.name == word:
            return experiment
    names = [experiment.name for experiment in known]
    raise BenchError(
        f"{word}: no such sweep or run in {results}.{did_you_mean(word, names)} It has {', '.join(names) or 'none'}"
    )


def _in_folder(word: str, results: Path) -> Experiment:
    named = [results / kind / word for kind in ("sweeps", "runs") if word]
    folder = next((path for path in [*named, Path(word)] if path.is_dir()), None)
    if folder is None:
        raise BenchError(_unknown(word, results))
    above = results_above(folder) or results
    if (folder / SWEEP).is_file():
        return _sweep(folder, above)
    if (folder / RECORD).is_file() or (folder / ERROR).is_file():
        return _run(folder, above)
    if jobs := sorted(path.parent for path in folder.glob(f"*/{RECORD}")):
        return Experiment(folder.resolve().name, "sweep", above, [_job(job) for job in jobs], None)
    raise BenchError(
        f"{folder}: holds neither a sweep ({SWEEP}, or jobs with a {RECORD}) nor a run ({RECORD}). {_known(results)}"
    )


def _sweep(folder: Path, results: Path) -> Experiment:
    try:
        plan = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        names, keys, command = plan["jobs"], plan.get("keys", {}), plan.get("command")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(
            f"{folder / SWEEP}: cannot be read ({type(error).__name__}: {error}); start the sweep again, "
            "which repeats no finished job"
        ) from None
    speeds = read_speeds(folder)
    jobs = [_job(folder / name, keys.get(name)) for name in names]
    jobs = [replace(job, record=job.record and with_speeds(job.record, speeds)) for job in jobs]
    return Experiment(folder.resolve().name, "sweep", results, jobs, command)


def _run(folder: Path, results: Path) -> Experiment:
    job = _job(folder)
    return Experiment(folder.resolve().name, "run", results, [job], job.record.command if job.record else None)


def _job(folder: Path, key: str | None = None) -> JobResult:
    """Read a job; a record of another key than the plan's has earlier settings."""
    record, error = read_record(folder), None
    if record is None and (folder / RECORD).is_file():
        error = f"{folder / RECORD} cannot be read; start the same command again to write it again"
    if (folder / ERROR).is_file():
        error = (folder / ERROR).read_text(encoding="utf-8")
    stale = record is not None and key is not None and record.key != key
    if stale:
        record = None
    started_with = {} if record is not None else _config(folder)
    return JobResult(folder, record, error, stale, started_with, _environment(folder))


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    config = OmegaConf.load(path) if path.is_file() else None
    return current_settings(flat_settings(config)) if isinstance(config, DictConfig) else {}


def _environment(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "environment.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def results_above(folder: Path) -> Path | None:
    """Return the results folder that holds a run or sweep as runs/NAME, sweeps/NAME or sweeps/NAME/JOB; else None."""
    parents = folder.resolve().parents
    above = [parent.parent for parent in parents[:2] if parent.name in ("runs", "sweeps")]
    return next((path for path in above if (path / "results").is_dir()), None)


def read_speeds(folder: Path) -> dict[tuple[str, str], Speed]:
    """Read the speeds in a sweep's folder, by name and revision of the model; empty without any."""
    try:
        rows = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        speeds = [Speed.from_json(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {(speed.model, speed.revision): speed for speed in speeds}


def with_speeds(record: RunRecord, speeds: _Speeds) -> RunRecord:
    """Replace the speeds that a job measured alone by those of the sweep."""
    labels = {(score.model, score.revision): score.label for score in record.scores}
    alone = [speed for speed in record.speed if (speed.model, speed.revision) not in speeds]
    together = [replace(speed, label=labels[model]) for model, speed in speeds.items() if model in labels]
    return replace(record, speed=[*together, *alone])


def _unknown(word: str, results: Path) -> str:
    names = [path.name for path in (results / "sweeps").glob("*/") if path.is_dir()]
    return f"{word}: no such sweep or run.{did_you_mean(word, names)} {_known(results)}"


def _known(results: Path) -> str:
    sweeps = sorted(path.parent.name for path in (results / "sweeps").glob(f"*/{SWEEP}"))
    if sweeps:
        return f"Sweeps in {results}/sweeps: {', '.join(sweeps)}"
    return f"There are no sweeps in {results}/sweeps; --results DIR names another results_dir"
