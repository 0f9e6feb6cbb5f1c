"""Measure texts per second on one CPU thread, on texts of the suite."""

import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mteb.abstasks import AbsTask

from m2v_bench.cache import content_hash, write_json
from m2v_bench.evaluation.loaded_tasks import load_task, text_columns
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.models.model import Encoder, Model
from m2v_bench.results.record import Speed
from m2v_bench.speed.throughput import alternately
from m2v_bench.system.environment import hardware, version_of, versions
from m2v_bench.system.quiet import quiet
from m2v_bench.tasks.suite import SuiteTask

TEXTS_PER_TASK = 16
_VERSION = 5
_STARVED = 0.9  # below this number of busy cores, other processes slowed a single thread down
_BUSY = 0.5  # above this share of the cores, other threads made timings unreliable

log = logging.getLogger(__name__)


class SpeedTexts:
    """Sample of `TEXTS_PER_TASK` texts per task; reuses tasks that were loaded for scoring."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: dict[str, list[str]] = {}

    def add(self, entry: SuiteTask, task: AbsTask) -> None:
        """Sample from a loaded task."""
        try:
            self._drawn[entry.name] = _draw(list(text_columns(task)), random.Random(self._seed))
        except Exception as error:  # a task without texts must still be scored
            log.warning("no texts of %s for the speed measurement: %s", entry.name, error)

    def of(self, suite: Sequence[SuiteTask]) -> list[str]:
        """Return the texts of all tasks that can be loaded, in suite order."""
        for entry in suite:
            if entry.missing or entry.name in self._drawn:
                continue
            try:
                self.add(entry, load_task(entry))
            except Exception as error:
                log.warning("no texts of %s for the speed measurement: %s", entry.name, error)
        return [text for entry in suite for text in self._drawn.get(entry.name, [])]


def measure(
    models: Sequence[Model],
    encoders: Mapping[str, MtebEncoder],
    suite: Sequence[SuiteTask],
    speed_texts: SpeedTexts,
    *,
    suite_name: str,
    results_dir: Path,
    seed: int,
    alone: bool = True,
    together: bool = True,
    debug: bool = False,
) -> list[Speed]:
    """Return each model's speed record, read back if this machine has measured it, else measured.

    Lexical models embed no texts and have no record. Unless `alone`, nothing is measured, because other processes would
    distort the timings.

    A record holds the result of `throughput.alternately` (for our static models in their fastest state: texts were
    encoded before, compiled loops are loaded), number and mean length of the texts, parameters, bytes on disk, the
    hardware, and the `session`: only models of the same session, timed alternately, are comparable.

    Args:
        models: the models to measure.
        encoders: models that may be loaded already, by label.
        suite: the tasks whose texts are used.
        speed_texts: samples the texts.
        suite_name: part of the file names of the records.
        results_dir: results folder; records are in speed/.
        seed: sampling seed of the texts.
        alone: whether no other process of the sweep runs on this machine.
        together: measure all models again unless they share a session; else only those without a record.
        debug: raise errors of models.
    """
    machine = hardware()
    models = [model for model in models if model.kind != "lexical"]
    folders = {model.label: results_dir / "speed" / model.name.replace("/", "__") / model.revision for model in models}
    file_name = f"{suite_name}-{content_hash(machine)[:8]}.json"
    packages = versions() | {"numba": version_of("numba")}  # numba affects speed, but no score
    key = content_hash([_VERSION, seed, packages, [_identity(entry) for entry in suite]])
    records = {model.label: _read(folders[model.label] / file_name) for model in models}
    todo = [model for model in models if (known := records[model.label]) is None or known.key != key]
    if together and len({known and known.session for known in records.values()}) > 1 and alone:
        todo = models
    if not alone:
        records |= {model.label: None for model in todo}
        todo = []
    texts = []
    if todo:
        with quiet():
            texts = speed_texts.of(suite)
        if not texts:
            log.warning("speed is not measured: no task of the suite has texts")
            return []
    if not todo:
        return _ordered(records, models)
    measured = datetime.now(tz=UTC).isoformat(timespec="seconds")
    with quiet():
        rates, failed = alternately({model.label: partial(_loaded, model, encoders) for model in todo}, texts)
    for label, error in failed.items():
        if debug:
            raise error
        log.warning("no speed of %s: %s: %s", label, type(error).__name__, error)
        records[label] = None
    session = content_hash([measured, os.getpid(), machine, sorted(rates)])
    others = [rate["others_running"] for rate in rates.values() if rate["others_running"] is not None]
    loaded = is_loaded(
        min((rate["cores_busy"] for rate in rates.values()), default=1.0),
        float(np.median(others)) if others else None,
        machine["cores"],
    )
    for model in todo:
        if model.label not in rates:
            continue
        speed = Speed(
            model=model.name,
            revision=model.revision,
            label=model.label,
            kind=model.kind,
            dims=model.dims,
            n_parameters=model.n_parameters,
            bytes_on_disk=model.bytes_on_disk,
            **rates[model.label],
            texts=len(texts),
            mean_characters=round(float(np.mean([len(text) for text in texts])), 1),
            key=key,
            suite=suite_name,
            threads=1,
            hardware=machine,
            measured=measured,
            session=session,
            loaded=loaded,
        )
        records[model.label] = speed
        write_json(folders[model.label] / file_name, speed.to_json())
    return _ordered(records, models)


def _ordered(records: Mapping[str, Speed | None], models: Sequence[Model]) -> list[Speed]:
    labelled = [(model.label, records[model.label]) for model in models]
    return [replace(record, label=label) for label, record in labelled if record is not None]


def _loaded(model: Model, encoders: Mapping[str, MtebEncoder]) -> Encoder:
    """Return the model on the CPU, reusing a loaded one."""
    encoder = encoders.get(model.label)
    return model.load("cpu") if encoder is None or encoder.device != "cpu" else encoder.loaded()


def is_loaded(cores_busy: float, others: float | None, cores: int | None) -> bool:
    """Return whether other processes made the timings unreliable.

    Args:
        cores_busy: minimum over the models of the cores kept busy by one thread.
        others: median number of other running threads; None if unknown.
        cores: number of cores of the machine.
    """
    return cores_busy < _STARVED or (others or 0.0) > _BUSY * (cores or 1)


def _identity(entry: SuiteTask) -> list[Any]:
    """Return everything that determines the texts of a task."""
    task = entry.task
    return [entry.name, entry.missing is None, task.metadata.revision, list(task.eval_splits), list(task.hf_subsets)]


def _read(path: Path) -> Speed | None:
    try:
        return Speed.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _draw(columns: Sequence[Any], rng: random.Random) -> list[str]:
    """Sample `TEXTS_PER_TASK` texts by row number, without reading a whole corpus."""
    ends = np.cumsum([len(column) for column in columns])
    texts = []
    for row in rng.sample(range(int(ends[-1])), min(TEXTS_PER_TASK, int(ends[-1]))):
        index = int(np.searchsorted(ends, row, side="right"))
        value = columns[index][row - int(ends[index]) + len(columns[index])]
        texts.append(value if isinstance(value, str) else rng.choice(value))
    return texts
