"""Texts per second on one CPU thread, over texts of the suite itself."""

import json
import logging
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from tqdm.auto import tqdm

from m2v_bench.baselines.encoder import Model
from m2v_bench.cache import content_hash, write_json
from m2v_bench.environment import hardware, version_of, versions
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.quiet import quiet
from m2v_bench.evaluation.throughput import texts_per_second
from m2v_bench.tasks.suite import SuiteTask

TEXTS_PER_TASK = 32
_VERSION = 2

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
    encoders: dict[str, MtebEncoder],
    suite: Sequence[SuiteTask],
    speed_texts: SpeedTexts,
    *,
    suite_name: str,
    results_dir: Path,
    seed: int,
    alone: bool = True,
    debug: bool = False,
) -> list[dict[str, Any]]:
    """Each model's speed record: read back where this machine measured it before, else measured.

    A lexical model embeds no text and has none. Where others of our processes run beside this one (`alone` is False)
    nothing is measured, as it would measure them too.

    A record holds what `throughput.texts_per_second` gives (of a static model of ours in its fastest state: all of
    its texts were met before, compiled loops are loaded), the texts' number and mean length, parameters, bytes on
    disk, and the hardware.
    """
    here = hardware()
    models = [model for model in models if model.kind != "lexical"]
    folders = {model.label: results_dir / "speed" / model.name.replace("/", "__") / model.revision for model in models}
    file_name = f"{suite_name}-{content_hash(here)[:8]}.json"
    made_with = versions() | {"numba": version_of("numba")}  # it makes static models faster, and changes no score
    key = content_hash([_VERSION, seed, made_with, [_identity(entry) for entry in suite]])
    records = {model.label: _read(folders[model.label] / file_name) for model in models}
    todo = [model for model in models if records[model.label].get("key") != key]
    if not alone:
        records |= {model.label: {} for model in todo}
        todo = []
    texts = []
    if todo:
        with quiet():
            texts = speed_texts.of(suite)
        if not texts:
            log.warning("speed is not measured: no task of the suite gives a text")
            return []
    for model in tqdm(todo, desc="measuring speed", unit="model", disable=None if todo else True):
        try:
            with quiet():
                ours = encoders[model.label]
                rates = texts_per_second(ours.loaded() if ours.device == "cpu" else model.load("cpu"), texts)
        except Exception as error:
            if debug:
                raise
            log.warning("no speed of %s: %s: %s", model.label, type(error).__name__, error)
            records[model.label] = {}
            continue
        records[model.label] = {
            "model": model.name,
            "revision": model.revision,
            "label": model.label,
            "kind": model.kind,
            "dims": model.dims,
            "n_parameters": model.n_parameters,
            "bytes_on_disk": model.bytes_on_disk,
            **rates,
            "texts": len(texts),
            "mean_characters": round(float(np.mean([len(text) for text in texts])), 1),
            "key": key,
            "suite": suite_name,
            "threads": 1,
            "hardware": here,
            "measured": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        }
        write_json(folders[model.label] / file_name, records[model.label])
    return [{**records[model.label], "label": model.label} for model in models if records[model.label]]


def _identity(entry: SuiteTask) -> list[Any]:
    """What decides which texts a task gives."""
    task = entry.task
    return [entry.name, entry.missing is None, task.metadata.revision, list(task.eval_splits), list(task.hf_subsets)]


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


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
