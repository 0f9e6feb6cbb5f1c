"""What lies in the folder of a sweep or of a run: its jobs, how each one ended, and what it was asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from m2v_bench.config.check import flat_settings
from m2v_bench.config.renames import current_settings
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.jobs import ERROR, SWEEP
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.results.sweeps import read_speeds, with_speeds


@dataclass(frozen=True)
class JobFiles:
    """One job, as its folder tells of it.

    Attributes:
        folder: the job's.
        record: what it wrote when it ended; None when it has not, or not with the settings of the sweep's last start.
        error: why it failed.
        stale: whether there is a record, of other settings than those of the sweep's last start.
    """

    folder: Path
    record: RunRecord | None
    error: str | None
    stale: bool = False

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The job's settings, as in `pca_dims`; none when it never started."""
        if self.record is not None:
            return dict(self.record.settings)
        path = self.folder / "config.yaml"
        config = OmegaConf.load(path) if path.is_file() else None
        return current_settings(flat_settings(config)) if isinstance(config, DictConfig) else {}

    @property
    def state(self) -> str:
        """How it ended, in a few words."""
        if self.record is not None and (failed := self.record.failed):
            return f"{len(failed)} of {len(self.record.scores)} scores failed"
        if self.record is not None:
            return "finished"
        if self.error is not None:
            return "failed"
        return "not made again since its settings changed" if self.stale else "not finished"


@dataclass(frozen=True)
class Experiment:
    """A sweep, or a run as a sweep of one job.

    Attributes:
        name: of its folder.
        kind: `sweep` or `run`.
        folder: where its jobs lie.
        results_dir: the results that it belongs to.
        jobs: in the order of the sweep.
        command: that started it; None where nobody wrote it down.
    """

    name: str
    kind: str
    folder: Path
    results_dir: Path
    jobs: Sequence[JobFiles]
    command: str | None

    @property
    def records(self) -> list[RunRecord]:
        """Of the jobs that have one."""
        return [job.record for job in self.jobs if job.record is not None]

    @property
    def n_finished(self) -> int:
        """How many jobs ended without a failed score."""
        return sum(job.state == "finished" for job in self.jobs)

    @cached_property
    def changed(self) -> list[str]:
        """The settings that differ between the jobs, as far as they have been started."""
        known = [job.settings for job in self.jobs if job.settings]
        keys = dict.fromkeys(key for settings in known for key in settings)
        return [key for key in keys if len({str(settings.get(key)) for settings in known}) > 1]

    def title(self, job: JobFiles) -> str:
        """What sets a job apart from the others."""
        own = [f"{key}={job.settings[key]}" for key in self.changed if key in job.settings]
        return " ".join(own) or (job.folder.name if self.kind == "sweep" else "this run")


def find_experiment(word: str, results_dir: Path) -> Experiment:
    """The sweep or run that a word means.

    Args:
        word: the name of a sweep or a run in `results_dir`, or a folder of one.
        results_dir: the `results_dir` of the runs.

    Raises:
        BenchError: when it means none, or nothing in it has ended.
    """
    named = [results_dir / kind / word for kind in ("sweeps", "runs") if word]
    folder = next((each for each in [*named, Path(word)] if each.is_dir()), None)
    if folder is None:
        raise BenchError(_unknown(word, results_dir))
    if (folder / SWEEP).is_file():
        found = _sweep(folder, results_dir)
    elif (folder / RECORD).is_file() or (folder / ERROR).is_file():
        job = _job(folder)
        command = job.record.command if job.record else None
        found = Experiment(folder.resolve().name, "run", folder, _results_dir(folder, results_dir), [job], command)
    elif jobs := sorted(path.parent for path in folder.glob(f"*/{RECORD}")):
        files = [_job(each) for each in jobs]
        found = Experiment(folder.resolve().name, "sweep", folder, _results_dir(folder, results_dir), files, None)
    else:
        raise BenchError(
            f"{folder}: holds neither a sweep ({SWEEP}, or jobs with a {RECORD}) nor a run ({RECORD}). "
            f"{_known(results_dir)}"
        )
    if all(job.record is None and job.error is None for job in found.jobs):
        raise BenchError(
            f"{folder}: none of its {len(found.jobs)} jobs has ended yet, so there is nothing to report; "
            "start the sweep again to go on with it"
        )
    return found


def _sweep(folder: Path, results_dir: Path) -> Experiment:
    try:
        plan = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        names, keys, command = plan["jobs"], plan.get("keys", {}), plan.get("command")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(
            f"{folder / SWEEP}: cannot be read ({type(error).__name__}: {error}); start the sweep again, "
            "which makes nothing anew that is finished"
        ) from None
    speeds = read_speeds(folder)
    jobs = [_job(folder / name, keys.get(name)) for name in names]
    jobs = [replace(job, record=job.record and with_speeds(job.record, speeds)) for job in jobs]
    return Experiment(folder.resolve().name, "sweep", folder, _results_dir(folder, results_dir), jobs, command)


def _job(folder: Path, key: str | None = None) -> JobFiles:
    """A job's files; a record of another key than the plan's is of earlier settings."""
    record, error = read_record(folder), None
    if record is None and (folder / RECORD).is_file():
        error = f"{folder / RECORD} cannot be read; start the same command again to make it anew"
    if (folder / ERROR).is_file():
        error = (folder / ERROR).read_text(encoding="utf-8")
    stale = record is not None and key is not None and record.key != key
    return JobFiles(folder, None if stale else record, error, stale)


def _results_dir(folder: Path, given: Path) -> Path:
    """The results above a folder, as runs/NAME and sweeps/NAME are in them; else those that were given."""
    parents = folder.resolve().parents
    above = [each.parent for each in parents[:2] if each.name in ("runs", "sweeps")]
    return next((each for each in above if (each / "results").is_dir()), given)


def _unknown(word: str, results_dir: Path) -> str:
    names = [path.name for path in (results_dir / "sweeps").glob("*/") if path.is_dir()]
    return f"{word}: no such sweep or run.{did_you_mean(word, names)} {_known(results_dir)}"


def _known(results_dir: Path) -> str:
    sweeps = sorted(path.parent.name for path in (results_dir / "sweeps").glob(f"*/{SWEEP}"))
    if sweeps:
        return f"Sweeps in {results_dir}/sweeps: {', '.join(sweeps)}"
    return f"There are no sweeps in {results_dir}/sweeps; --results DIR names another results_dir"
