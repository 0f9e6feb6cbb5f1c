"""Texts per second on one CPU thread, over texts of the suite itself."""

import json
import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.cache import content_hash, write_json
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.models.model import Encoder, Model
from m2v_bench.results.record import Speed
from m2v_bench.speed.throughput import alternately
from m2v_bench.system.environment import hardware, version_of, versions
from m2v_bench.system.quiet import quiet
from m2v_bench.tasks.suite import SuiteTask

TEXTS_PER_TASK = 32
_VERSION = 3
_STARVED = 0.9  # of a core, that one thread keeps busy unless others take it
_BUSY = 0.5  # of the cores: what else ran while the models were timed

log = logging.getLogger(__name__)


class SpeedTexts:
    """`TEXTS_PER_TASK` texts of each task of a suite; a task that was loaded to be scored is not loaded again."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: dict[str, list[str]] = {}

    def add(self, entry: SuiteTask, task: AbsTask) -> None:
        """Draw from a loaded task."""
        try:
            self._drawn[entry.name] = _draw(list(_text_columns(task)), random.Random(self._seed))
        except Exception as error:  # a task with other data than texts must not cost its scores
            log.warning("no texts of %s for the speed: %s", entry.name, error)

    def of(self, suite: Sequence[SuiteTask]) -> list[str]:
        """The texts of the tasks whose data can be loaded, in the suite's order."""
        for entry in suite:
            if entry.missing or entry.name in self._drawn:
                continue
            try:
                self.add(entry, entry.load())
            except Exception as error:
                log.warning("no texts of %s for the speed: %s", entry.name, error)
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
    """Each model's speed record: read back where this machine measured it before, else measured.

    A lexical model embeds no text and has none. Where others of our processes run beside this one (`alone` is False)
    nothing is measured, as it would measure them too.

    A record holds what `throughput.alternately` gives (of a static model of ours in its fastest state: all of its texts
    have been encoded before, compiled loops are loaded), the texts' number and mean length, parameters, bytes on disk,
    the hardware, and the `session`: models that were timed alternately have the same one, and only they compare.

    Args:
        models: what is measured.
        encoders: by label, models that may be loaded already.
        suite: where the texts come from.
        speed_texts: draws them.
        suite_name: names the records.
        results_dir: holds them, in speed/.
        seed: of the draw of texts.
        alone: whether nothing else of ours runs on this machine.
        together: measure all models again unless they were measured in one session; else those that have no record.
        debug: raise what a model raises.
    """
    here = hardware()
    models = [model for model in models if model.kind != "lexical"]
    folders = {model.label: results_dir / "speed" / model.name.replace("/", "__") / model.revision for model in models}
    file_name = f"{suite_name}-{content_hash(here)[:8]}.json"
    made_with = versions() | {"numba": version_of("numba")}  # it makes static models faster, and changes no score
    key = content_hash([_VERSION, seed, made_with, [_identity(entry) for entry in suite]])
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
            log.warning("speed is not measured: no task of the suite gives a text")
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
    session = content_hash([measured, os.getpid(), here, sorted(rates)])
    others = [each["others_running"] for each in rates.values() if each["others_running"] is not None]
    loaded = is_loaded(
        min((each["cores_busy"] for each in rates.values()), default=1.0),
        float(np.median(others)) if others else None,
        here["cores"],
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
            hardware=here,
            measured=measured,
            session=session,
            loaded=loaded,
        )
        records[model.label] = speed
        write_json(folders[model.label] / file_name, speed.to_json())
    return _ordered(records, models)


def _ordered(records: Mapping[str, Speed | None], models: Sequence[Model]) -> list[Speed]:
    found = [(model.label, records[model.label]) for model in models]
    return [replace(record, label=label) for label, record in found if record is not None]


def _loaded(model: Model, encoders: Mapping[str, MtebEncoder]) -> Encoder:
    """The model on the CPU, where it may be loaded already."""
    ours = encoders.get(model.label)
    return model.load("cpu") if ours is None or ours.device != "cpu" else ours.loaded()


def is_loaded(cores_busy: float, others: float | None, cores: int | None) -> bool:
    """Whether other processes took what the models needed.

    Args:
        cores_busy: the fewest cores that a model kept busy while it was timed on one thread.
        others: the threads that ran beside it, the median over the rounds; None where that is not known.
        cores: of the machine.
    """
    return cores_busy < _STARVED or (others or 0.0) > _BUSY * (cores or 1)


def _identity(entry: SuiteTask) -> list[Any]:
    """What decides which texts a task gives."""
    task = entry.task
    return [entry.name, entry.missing is None, task.metadata.revision, list(task.eval_splits), list(task.hf_subsets)]


def _read(path: Path) -> Speed | None:
    try:
        return Speed.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _text_columns(task: AbsTask) -> Iterator[Any]:
    """Every column of texts, or of lists of texts, in the splits that a task is scored on."""
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            yield from _text_columns(part)
        return
    data: Any = task.dataset or {}
    for splits in [data] if isinstance(data, DatasetDict) else data.values():
        for name, split in splits.items():
            if name in task.eval_splits:
                for part in split.values() if isinstance(split, dict) else [split]:
                    known = getattr(part, "column_names", [])
                    yield from (part[column] for column in sorted(task._get_content_columns()) if column in known)


def _draw(columns: Sequence[Any], rng: random.Random) -> list[str]:
    """`TEXTS_PER_TASK` texts, by row number, so that a large corpus is not read for them."""
    ends = np.cumsum([len(column) for column in columns])
    texts = []
    for row in rng.sample(range(int(ends[-1])), min(TEXTS_PER_TASK, int(ends[-1]))):
        index = int(np.searchsorted(ends, row, side="right"))
        value = columns[index][row - int(ends[index]) + len(columns[index])]
        texts.append(value if isinstance(value, str) else rng.choice(value))
    return texts
