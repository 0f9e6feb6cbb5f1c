"""Time the models of a sweep together at its end, as what jobs measured one after the other does not compare."""

import logging
from collections.abc import Mapping
from pathlib import Path

from m2v_bench.cache import write_json
from m2v_bench.config.compose import read_config
from m2v_bench.config.schema import Config
from m2v_bench.distillation.teacher import find_base
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model, distinct, load_baselines
from m2v_bench.models.static import distilled
from m2v_bench.results.experiment import SPEED, read_speeds, with_speeds
from m2v_bench.results.record import RunRecord
from m2v_bench.runs.prepare import suite_of
from m2v_bench.speed.suite_speed import SpeedTexts, measure
from m2v_bench.system.environment import hardware

log = logging.getLogger(__name__)

MOST = 50  # models that are in memory at once; more are not timed together


def time_together(
    jobs: Mapping[Path, RunRecord], sweep_dir: Path, results_dir: Path, *, debug: bool = False
) -> list[RunRecord]:
    """Measure the models of jobs alternately, unless that was done, and keep their speeds in the sweep's folder.

    Nothing is measured where no job measured any speed, where one did on another machine, where jobs have other suites
    or seeds, and so other texts, or where there are more than `MOST` models: a picture then shows one session alone.

    Args:
        jobs: the records, by the folders of the jobs.
        sweep_dir: the sweep's folder, which gets speed.json.
        results_dir: gets the speed records.
        debug: raise what a model raises.

    Returns:
        The records with these speeds, in the order of the jobs.
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
        found = measure(
            models,
            {},
            suite_of(first),
            SpeedTexts(first.seed),
            suite_name=first.suite.name,
            results_dir=results_dir,
            seed=first.seed,
            debug=debug,
        )
    except Exception as error:  # a model or its data may be gone since; the scores are reported all the same
        if debug:
            raise
        log.warning("the models of the sweep are not timed together: %s", error)
        return records
    write_json(sweep_dir / SPEED, [speed.to_json() for speed in found])
    known = read_speeds(sweep_dir)
    return [with_speeds(record, known) for record in jobs.values()]


_TEXTS = ("seed", "suite.", "hub_dir", "data_dir")  # settings that give other texts


def _models(jobs: Mapping[Path, RunRecord], settings: Mapping[Path, Config]) -> list[Model]:
    """The students of all jobs and the models that they are compared with, each once."""
    found: dict[tuple[str, str], Model] = {}
    for folder, record in jobs.items():
        own = distilled(
            StaticModel.from_pretrained(folder / "model"),
            folder / "model",
            name=record.name,
            revision=record.revision,
            label=record.label,
            variant=record.variant,
        )
        base = find_base(settings[folder].base_model.name, revision=settings[folder].base_model.revision)
        for model in [own, *load_baselines(settings[folder].baselines, base)]:
            found.setdefault((model.name, model.revision), model)
    return list(found.values())
