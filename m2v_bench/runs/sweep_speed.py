"""Time the models of a sweep together at its end, because speeds measured job by job are not comparable."""

import logging
from collections.abc import Mapping
from pathlib import Path

from m2v_bench.cache import write_json
from m2v_bench.config.compose import read_config
from m2v_bench.config.schema import Config
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model, base_of, distinct, load_baselines
from m2v_bench.models.static import distilled
from m2v_bench.results.experiment import SPEED, read_speeds, with_speeds
from m2v_bench.results.record import RunRecord
from m2v_bench.runs.prepare import suite_of
from m2v_bench.speed.suite_speed import SpeedTexts, measure
from m2v_bench.system.environment import hardware

log = logging.getLogger(__name__)

MOST = 50  # models to hold in memory; larger sweeps are not timed together


def time_together(
    jobs: Mapping[Path, RunRecord], sweep_dir: Path, results_dir: Path, *, debug: bool = False
) -> list[RunRecord]:
    """Time the models of all jobs alternately, unless that is done, and save their speeds to the sweep's folder.

    Skipped if no job measured speed, a job ran on another machine, jobs differ in suite or seed (and so in texts), or
    there are more than `MOST` models. Figures then show a single session.

    Args:
        jobs: the records by job folder.
        sweep_dir: the sweep's folder; speed.json is written there.
        results_dir: results folder; speed records are written there.
        debug: raise errors of models.

    Returns:
        The records with the new speeds, in job order.
    """
    known = read_speeds(sweep_dir)
    records: list[RunRecord] = [with_speeds(record, known) for record in jobs.values()]
    speeds = [speed for record in records for speed in record.speed]
    texts = {
        str([record.settings.get(name) for name in record.settings if name.startswith(_TEXTS)])
        for record in jobs.values()
    }
    elsewhere = any(speed.hardware != hardware() for speed in speeds)
    if len({speed.session for speed in speeds}) < 2 or elsewhere or len(texts) > 1:
        return records
    try:
        settings = {folder: read_config(folder) for folder in jobs}
        models = distinct(_models(jobs, settings))
        if len(models) > MOST:
            return records
        first = next(iter(settings.values()))
        measured = measure(
            models,
            {},
            suite_of(first),
            SpeedTexts(first.seed),
            suite_name=first.suite.name,
            results_dir=results_dir,
            seed=first.seed,
            debug=debug,
        )
    except Exception as error:  # models or data may be gone; report the scores anyway
        if debug:
            raise
        log.warning("the models of the sweep could not be timed together: %s", error)
        return records
    write_json(sweep_dir / SPEED, [speed.to_json() for speed in measured])
    known = read_speeds(sweep_dir)
    return [with_speeds(record, known) for record in jobs.values()]


_TEXTS = ("seed", "suite.", "hub_dir", "data_dir")  # prefixes of settings that change the texts


def _models(jobs: Mapping[Path, RunRecord], settings: Mapping[Path, Config]) -> list[Model]:
    """Return the distinct students and baselines of all jobs."""
    models: dict[tuple[str, str], Model] = {}
    for folder, record in jobs.items():
        student = distilled(StaticModel.from_pretrained(folder / "model"), folder / "model", record)
        base = base_of(settings[folder])
        for model in [student, *load_baselines(settings[folder].baselines, base)]:
            models.setdefault((model.name, model.revision), model)
    return list(models.values())
