"""From the setting `suite` to mteb tasks, each ready to be loaded or known to be missing."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.tasks.hub import content_keyed_cache, localize
from m2v_bench.tasks.starter import STARTER_TASKS


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite.

    Attributes:
        task: the mteb task, its data not yet loaded.
        name: its name in result files.
        type: the column it counts under: its mteb type, or the group of a task of our own.
        missing: why its data cannot be had here, or None.
    """

    task: AbsTask
    name: str
    type: str
    missing: str | None = None

    @property
    def asset(self) -> str | None:
        """The asset that carries its data, or None for a task from the hub."""
        return getattr(self.task, "asset", None)

    def load(self) -> AbsTask:
        """A copy of the task with its data loaded.

        The copy goes when it is no longer used: mteb's own `unload_data` would undo `localize`.
        """
        return _loaded(self.task)


def _loaded(task: AbsTask) -> AbsTask:
    task = copy.copy(task)
    if isinstance(task, AbsTaskAggregate):
        parts = [_loaded(part) for part in task.metadata.tasks]
        task.metadata = task.metadata.model_copy(update={"tasks": parts})
    else:
        with content_keyed_cache(task):
            task.load_data()
    return task


def load_suite(
    *,
    benchmark: str | None,
    tasks: Sequence[str | Mapping[str, Any]],
    languages: Sequence[str],
    splits: Sequence[str],
    hub_dir: str | None,
    seed: int,
) -> list[SuiteTask]:
    """The tasks of a suite.

    Args:
        benchmark: an mteb benchmark by its name, whose tasks, subsets and splits are taken as they are.
        tasks: without a benchmark, task names, or mappings {name, subsets, splits}.
        languages: with `tasks`, the languages kept of multilingual tasks.
        splits: with `tasks`, the splits kept of tasks that have them.
        hub_dir: folder of dataset repositories; None loads from the hub.
        seed: seed of the draws that tasks make while scoring (42 gives mteb's published protocol).

    Raises:
        BenchError: for an unknown benchmark or task, an empty suite, or a `hub_dir` that is no folder.
    """
    folder = _hub_folder(hub_dir)
    if benchmark is not None:
        loaded = _benchmark_tasks(benchmark)
    else:
        loaded = [_task(entry, languages, splits) for entry in tasks]
    if not loaded:
        raise BenchError("suite.tasks is empty: name tasks, e.g. 'suite.tasks=[STSBenchmark,SciFact]'")
    suite = []
    for task in loaded:
        _seed(task, seed)
        own = task.metadata.name in STARTER_TASKS
        missing = localize(task, folder) if folder and not own else []
        suite.append(
            SuiteTask(
                task=task,
                name=task.metadata.name,
                type=getattr(task, "group", None) or task.metadata.type,
                missing=f"not in {hub_dir}: {', '.join(missing)}" if missing else None,
            )
        )
    names = [entry.name for entry in suite]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BenchError(f"suite.tasks names {', '.join(twice)} twice; name each task once")
    return suite


def _hub_folder(hub_dir: str | None) -> Path | None:
    if hub_dir is None:
        return None
    folder = Path(hub_dir).expanduser()
    if not folder.is_dir():
        raise BenchError(
            f"hub_dir={hub_dir}: no such folder. It must hold dataset repositories as <org>/<name>/, "
            "for example mteb/stsbenchmark-sts/."
        )
    return folder


def _benchmark_tasks(name: str) -> list[AbsTask]:
    try:
        # copies: mteb hands out the same objects every time, and ours are changed
        return [copy.copy(task) for task in mteb.get_benchmark(name).tasks]
    except KeyError:
        names = [benchmark.name for benchmark in mteb.get_benchmarks()]
        raise BenchError(f"suite.benchmark={name}: mteb has no such benchmark.{did_you_mean(name, names)}") from None


def _task(entry: str | Mapping[str, Any], languages: Sequence[str], splits: Sequence[str]) -> AbsTask:
    fields: dict[str, Any] = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = fields.pop("name", None)
    subsets, own_splits = fields.pop("subsets", None), fields.pop("splits", None)
    if name is None or fields:
        raise BenchError(
            f"suite.tasks: {entry!r} is not a task; give a name or {{name: ..., subsets: [...], splits: [...]}}"
        )
    if name in STARTER_TASKS:
        return STARTER_TASKS[name]()
    try:
        kept = None if subsets else list(languages) or None
        task = mteb.get_task(name, languages=kept, hf_subsets=subsets, eval_splits=own_splits)
    except KeyError:
        names = [*STARTER_TASKS, *(task.metadata.name for task in mteb.get_tasks(exclude_superseded=False))]
        raise BenchError(f"suite.tasks: mteb has no task {name!r}.{did_you_mean(name, names)}") from None
    except ValueError as error:
        raise BenchError(f"suite.tasks: {name}: {error}") from error
    if own_splits and (absent := set(own_splits) - set(task.metadata.eval_splits)):
        raise BenchError(
            f"suite.tasks: {name} has no split {', '.join(sorted(absent))}; "
            f"allowed: {', '.join(task.metadata.eval_splits)}"
        )
    if own_splits is None and set(splits) & set(task.eval_splits):
        task.filter_eval_splits([split for split in task.eval_splits if split in splits])
    return task


def _seed(task: AbsTask, seed: int) -> None:
    task.seed = seed
    task.rng_state = random.Random(seed)
    task.np_rng = np.random.default_rng(seed)
