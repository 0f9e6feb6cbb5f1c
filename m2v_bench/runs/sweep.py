"""Run a sweep: check all jobs before starting any, nest them in one MLflow run, and report them in one table.

Hydra imports this module for `--help` and mistyped overrides, too, so slow imports are inside functions.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from m2v_bench.assets.fetch import no_downloads
from m2v_bench.config.check import check
from m2v_bench.config.compose import translate
from m2v_bench.config.job_names import tells_apart
from m2v_bench.config.messages import explain
from m2v_bench.config.renames import current_name
from m2v_bench.config.schema import LauncherConfig, TrackingConfig
from m2v_bench.errors import BenchError
from m2v_bench.results.jobs import Job, alone, any_failed, clear_error, write_plan
from m2v_bench.results.record import RECORD, read_record
from m2v_bench.runs.worker import Work
from m2v_bench.system.environment import command_line, version_of

if TYPE_CHECKING:
    from m2v_bench.models.model import Model
    from m2v_bench.runs.prepare import Prepared

log = logging.getLogger(__name__)

# Give up after so many consecutive rounds in which workers died and no job ended.
_MAX_FRUITLESS_ROUNDS = 2

# Read by `__main__` after the sweep.
failures: list[str] = []


# The class named in Hydra's default configuration; we replace it because a plugin would have to live in a separate
# top-level package, `hydra_plugins`.
REPLACED = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def install() -> None:
    """Make Hydra run sweeps with `Sweep` instead of its default sweeper.

    Raises:
        BenchError: if this release of Hydra has no class of that name to replace.
    """
    classes = Plugins.instance().class_name_to_class
    if REPLACED not in classes:
        raise BenchError(f"hydra-core {version_of('hydra-core')} has no {REPLACED}; pip install 'hydra-core<1.4'")
    classes[REPLACED] = Sweep


class Sweep(Sweeper):
    """Validate every job before starting any; retry jobs whose worker died."""

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.params = dict(params or {})  # max_batch_size is unused: all jobs are one batch
        self._prepared: dict[Path, Prepared] = {}  # by folder, for jobs that run in this process
        self._baselines: dict[str, list[Model]] = {}  # shared by the jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the configuration and its loader; Hydra calls this before `sweep`."""
        self._config, self._loader = config, hydra_context.config_loader

    @property
    def _axis(self) -> str | None:
        axis = self._config.sweep.axis
        return axis and current_name(axis)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs that the overrides describe.

        Raises:
            BenchError: before any job starts, naming every invalid job.
        """
        sweep_dir = Path(self._config.hydra.sweep.dir)
        jobs = self._plan(arguments, sweep_dir)
        if self._config.dry_run:
            from m2v_bench.doctor.dry_run import show_plan

            batch = [job.overrides for job in jobs]
            show_plan({_varying(job.overrides, batch): job for job in jobs}, sweep_dir.name)
            return
        message = (
            f"sweep.name={sweep_dir.name}: a sweep of this name is running in {sweep_dir.parent.parent}. "
            "Wait for it, or set sweep.name=NAME; what both need is computed once"
        )
        with alone(sweep_dir, message):
            write_plan(sweep_dir, jobs, {}, command=command_line(), failed=None)
            for job in jobs:
                clear_error(job.folder)
            finished = [] if self._config.rerun else [job for job in jobs if job.finished()]
            if finished:
                print(f"{len(finished)} of {len(jobs)} jobs are already finished (rerun=true runs them again)")
            with _tracked(self._config, sweep_dir, finished):
                unfinished = self._run([job for job in jobs if job not in finished], sweep_dir)
            self._end(jobs, unfinished, sweep_dir)

    def _plan(self, arguments: list[str], sweep_dir: Path) -> list[Job]:
        """Compose, check and prepare all jobs."""
        if (former := self._config.sweep.axis) != self._axis:
            print(f"sweep.axis={former} is now spelled sweep.axis={self._axis}", file=sys.stderr)
        params = translate([f"{name}={values}" for name, values in self.params.items()])
        overrides = OverridesParser.create(config_loader=self._loader).parse_overrides([*params, *arguments])
        from tqdm.auto import tqdm

        batch = _combinations(overrides)
        _check_axes(batch)
        jobs: dict[Path, Job] = {}
        refused: dict[str, list[str]] = {}
        for job in tqdm(batch, desc="checking", unit="job", disable=None if len(batch) > 1 else True, leave=False):
            try:
                config = self._loader.load_sweep_config(self._config, list(job))
                folder = sweep_dir / config.hydra.sweep.subdir
                with open_dict(config):
                    del config["hydra"]
                prepared = self._prepare(config)
                jobs[folder] = Job(list(job), config, folder, "" if prepared is None else prepared.key)
                if prepared is not None and config.launcher.name == "local":  # other processes prepare for themselves
                    self._prepared[folder] = prepared
            except Exception as error:
                message = explain(error, job)
                if message is None or self._config.debug:
                    raise
                refused.setdefault(message, []).append(_varying(job, batch))
        if refused:
            raise BenchError(_refusal(refused, len(batch)))
        return list(jobs.values())

    def _prepare(self, config: DictConfig) -> "Prepared | None":
        """Prepare a job; None for a dry run whose assets or models are not here, as its plan says what to download."""
        settings = check(config)  # before the slow imports
        from m2v_bench.runs.prepare import prepare

        if not config.dry_run:
            return prepare(settings, loaded=self._baselines)
        from m2v_bench.doctor.downloads import lacks_files

        with no_downloads():
            return None if lacks_files(settings) else prepare(settings, loaded=self._baselines)

    def _run(self, jobs: Sequence[Job], sweep_dir: Path) -> list[Job]:
        """Launch the jobs, relaunch those whose worker died, and return those that never ended."""
        from m2v_bench.runs.launchers import launch

        settings = OmegaConf.to_object(self._config.launcher)
        assert isinstance(settings, LauncherConfig)
        batch = [job.overrides for job in jobs]
        before = {job.folder: _stamp(job) for job in jobs}
        unfinished, deaths, fruitless = list(jobs), 0, 0
        while unfinished and fruitless < _MAX_FRUITLESS_ROUNDS:
            died: Exception | None = None
            try:
                launched = time.time()
                work = [
                    Work(
                        job.config,
                        job.folder,
                        sweep_dir,
                        _varying(job.overrides, batch),
                        prepared=self._prepared.pop(job.folder, None),
                        number=number,
                        n_jobs=len(unfinished),
                        launched=launched,
                    )
                    for number, job in enumerate(unfinished, start=1)
                ]
                launch(work, settings, round_=deaths)
            except Exception as error:
                if self._config.debug or isinstance(error, BenchError):
                    raise
                died = error
            remaining = [job for job in unfinished if job.error() is None and _stamp(job) == before[job.folder]]
            if self._config.fail_fast and any_failed(sweep_dir):
                return remaining
            fruitless = fruitless + 1 if len(remaining) == len(unfinished) else 0
            if remaining:
                deaths += 1
                why = f" ({type(died).__name__}: {str(died).splitlines()[0]})" if died and str(died) else ""
                log.warning("%d job(s) ended without a result, probably because a worker died%s", len(remaining), why)
            unfinished = remaining
        return unfinished

    def _end(self, jobs: Sequence[Job], unfinished: Sequence[Job], sweep_dir: Path) -> None:
        """List the failures, and report all records together."""
        from m2v_bench.reports.run_report import report_sweep, show_end
        from m2v_bench.runs.sweep_speed import time_together

        batch = [job.overrides for job in jobs]
        stopped = self._config.fail_fast and any_failed(sweep_dir)
        for job in jobs:
            if (error := job.error()) is not None:
                failures.append(f"{_varying(job.overrides, batch)}: {error}")
            elif job in unfinished and not stopped:
                why = "its process died every time (out of memory?) or could not write files"
                failures.append(f"{_varying(job.overrides, batch)}: {why}")
        if stopped and unfinished:
            print(f"fail_fast=true: {len(unfinished)} job(s) were not started")
        records = [(job, read_record(job.folder)) for job in jobs]
        # a record with another key is from earlier settings; this job failed
        ended = {job.folder: record for job, record in records if record is not None and record.key == job.key}
        results_dir, files = Path(self._config.results_dir), {}
        try:
            if ended:
                timed = time_together(ended, sweep_dir, results_dir, debug=self._config.debug)
                files = report_sweep(timed, results_dir, name=sweep_dir.name, axis=self._axis)
        finally:
            written = {path.relative_to(results_dir).as_posix(): kind for path, kind in files.items()}
            write_plan(sweep_dir, jobs, written, command=command_line(), failed=len(failures))
            _log_end(self._config, sweep_dir, jobs, files)
        if ended:
            settings = _tracking(self._config)
            show_end(sweep_dir, results_dir, store=None if settings is None else settings.uri)


def _combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Expand sweep overrides into the overrides of each job; the last setting varies fastest."""
    axes: dict[str, list[str]] = {}  # the last override of a setting wins
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise BenchError(f"{override.input_line}: an interval cannot be swept; list the values, as in KEY=1,2,3")
    return [list(overrides) for overrides in product(*axes.values())]


def _stamp(job: Job) -> tuple[bool, int]:
    """Return a value that changes when the job writes its record."""
    path = job.folder / RECORD
    return (True, path.stat().st_mtime_ns) if path.is_file() else (False, 0)


def _check_axes(batch: Sequence[Sequence[str]]) -> None:
    """Check that the jobs differ only in settings that change their results."""
    if len(batch) == 1:
        return
    common = _common(batch)
    varying = [override for overrides in batch for override in overrides if override not in common]
    names = {override.lstrip("+~").partition("=")[0] for override in varying}
    if refused := sorted(name for name in names if not tells_apart(name)):
        raise BenchError(
            f"{', '.join(refused)}: the jobs of a sweep cannot differ in this setting, which says how or where they "
            "run. Set one value, or start one sweep per value, each with a different sweep.name"
        )


def _common(batch: Sequence[Sequence[str]]) -> set[str]:
    return set(batch[0]).intersection(*batch[1:]) if len(batch) > 1 else set()


def _varying(overrides: Sequence[str], batch: Sequence[Sequence[str]]) -> str:
    """Return the overrides of a job that not all jobs of the batch share."""
    common = _common(batch)
    return " ".join(override for override in overrides if override not in common)


def _refusal(refused: dict[str, list[str]], n_jobs: int) -> str:
    n_refused = sum(len(jobs) for jobs in refused.values())
    lines = [f"{n_refused} of {n_jobs} jobs cannot be run, so none was started:"]
    for message, jobs in refused.items():
        lines += [
            f"  {', '.join(job for job in jobs if job) or 'every job'}:",
            *(f"    {m}" for m in message.split("\n")),
        ]
    return "\n".join(lines)


def _tracking(config: DictConfig) -> TrackingConfig | None:
    settings = OmegaConf.to_object(config.tracking)
    assert isinstance(settings, TrackingConfig)
    return None if settings.name == "none" else settings


@contextmanager
def _tracked(config: DictConfig, sweep_dir: Path, finished: Sequence[Job]) -> Iterator[None]:
    """Open the sweep's MLflow run, in which jobs of all processes nest, and close it if the sweep is interrupted.

    Finished jobs are logged, too, in case the store could not be written when they ended.
    """
    if (settings := _tracking(config)) is None:
        yield
        return
    from m2v_bench.runs.run import not_fatal

    opened = False
    with not_fatal(settings, config.results_dir, debug=config.debug):
        _log_jobs(config, settings, sweep_dir, finished)
        opened = True
    try:
        yield
    except BaseException:
        if opened:
            with not_fatal(settings, config.results_dir, debug=False):
                from m2v_bench import tracking

                tracking.end_sweep(settings, sweep_dir, files={}, failed=None)
        raise


def _log_jobs(config: DictConfig, settings: TrackingConfig, sweep_dir: Path, jobs: Sequence[Job]) -> None:
    """Log the sweep and its ended jobs, unless the store has them."""
    from m2v_bench import tracking

    tracking.start_sweep(settings, sweep_dir, tags={"suite": config.suite.name})
    for job in jobs:
        if job.error() is not None or read_record(job.folder) is not None:
            tracking.log_run(settings, job.folder, sweep_dir=sweep_dir)


def _log_end(config: DictConfig, sweep_dir: Path, jobs: Sequence[Job], files: dict[Path, str]) -> None:
    if (settings := _tracking(config)) is None:
        return
    from m2v_bench.runs.run import not_fatal

    with not_fatal(settings, config.results_dir, debug=config.debug):
        from m2v_bench import tracking

        _log_jobs(config, settings, sweep_dir, jobs)
        tracking.end_sweep(settings, sweep_dir, files=files, failed=len(failures))
