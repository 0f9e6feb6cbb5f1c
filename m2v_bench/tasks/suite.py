"""Convert the setting `suite` to mteb tasks, with the location of their data or the reason why it is missing."""

import copy
import functools
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
from m2v_bench.system.formatting import first_of
from m2v_bench.tasks.custom import custom_task
from m2v_bench.tasks.hub import load_data, localize
from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.own_task import OwnTask
from m2v_bench.tasks.paper_classification import CLASSIFICATION_TASKS
from m2v_bench.tasks.pearl import PEARL_TASKS
from m2v_bench.tasks.starter import STARTER_TASKS
from m2v_bench.tasks.subsets import lacking
from m2v_bench.tasks.wordsim import WORDSIM_TASKS

_SHOWN = 12  # languages of a task in messages
OWN_TASKS: dict[str, type[OwnTask]] = {**STARTER_TASKS, **WORDSIM_TASKS, **PEARL_TASKS, **CLASSIFICATION_TASKS}


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite.

    Attributes:
        task: the mteb task, without loaded data.
        name: name in result files.
        type: column in tables: the mteb type, or the group of an `OwnTask`.
        missing: why its data is not available, or None.
    """

    task: AbsTask
    name: str
    type: str
    missing: str | None = None

    @property
    def asset(self) -> str | None:
        """The asset with its data, or None for a task from the hub."""
        return getattr(self.task, "asset", None)

    @property
    def dataset(self) -> dict[str, Any]:
        """The data behind a score: repository, revision, splits and subsets."""
        metadata = self.task.metadata
        path = str(metadata.dataset.get("path"))
        if Path(path).is_absolute():  # a local folder; the class has the name of the repository
            path = str(type(self.task).metadata.dataset.get("path"))
        return {
            "path": path,
            "revision": str(metadata.revision),
            "splits": [str(split) for split in self.task.eval_splits],
            "subsets": sorted(map(str, self.task.hf_subsets or [])),
        }

    def load(self) -> AbsTask:
        """Return a copy of the task with its data loaded.

        Drop the copy to free memory: mteb's `unload_data` would undo `localize`.
        """
        return _loaded(self.task)


def _loaded(task: AbsTask) -> AbsTask:
    task = copy.copy(task)
    if isinstance(task, AbsTaskAggregate):
        parts = [_loaded(part) for part in task.metadata.tasks]
        task.metadata = task.metadata.model_copy(update={"tasks": parts})
    else:
        load_data(task)
    return task


def load_suite(
    *,
    benchmark: str | None,
    tasks: Sequence[str | Mapping[str, Any]],
    languages: Sequence[str],
    splits: Sequence[str],
    hub_dir: str | None,
    seed: int,
    types: Sequence[str] = (),
    exclude: Sequence[str] = (),
    data_dir: str | None = None,
) -> list[SuiteTask]:
    """Build the tasks of a suite and locate their data.

    Args:
        benchmark: name of an mteb benchmark, with its tasks, subsets and splits.
        tasks: additional tasks: names, mappings {name, subsets, splits}, or custom data as mappings
            {name, type, data, columns} (see `tasks.custom`).
        languages: languages to keep of multilingual tasks in `tasks`: subsets in these and no others.
        splits: splits to keep of tasks in `tasks` that have them.
        hub_dir: folder of dataset repositories; None loads from the hub.
        seed: seed of the draws that tasks make while scoring (42 gives mteb's published protocol).
        types: task types (columns) to keep; empty keeps all.
        exclude: names of tasks to leave out.
        data_dir: folder of the WordSim, PEARL and classification sets; None loads those that have a repository.

    Raises:
        BenchError: for an unknown benchmark, task, type or exclusion, an empty suite, or a missing folder.
    """
    folder = _folder("hub_dir", hub_dir, "dataset repositories as <org>/<name>/, for example mteb/stsbenchmark-sts/")
    data = _folder("data_dir", data_dir, "wordsim/, pearl/ or classification/")
    loaded = _benchmark_tasks(benchmark) if benchmark is not None else []
    loaded += [_task(entry, languages, splits) for entry in tasks]
    if not loaded:
        raise BenchError("suite.tasks is empty: name tasks, e.g. 'suite.tasks=[STSBenchmark,SciFact]'")
    suite = []
    for number, task in enumerate(loaded, start=1):
        _seed(task, seed)
        missing = _locate(task, folder, data)
        if missing is None and (lack := _lacking(task)):
            if number > len(loaded) - len(tasks):
                raise BenchError(f"suite.tasks: hub_dir={hub_dir}: {lack}")
            missing = f"not in {folder}: {lack}"
        group = getattr(task, "group", None) or task.metadata.type
        suite.append(SuiteTask(task=task, name=task.metadata.name, type=group, missing=missing))
    suite = _filter(suite, types, exclude)
    names = [entry.name for entry in suite]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BenchError(f"suite.tasks names {', '.join(twice)} twice; name each task once")
    return suite


def _folder(setting: str, value: str | None, content: str) -> Path | None:
    if value is None:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise BenchError(f"{setting}={value}: no such folder. It must contain {content}.")
    return folder


def _locate(task: AbsTask, hub_dir: Path | None, data_dir: Path | None) -> str | None:
    """Point `task` at its data; return why it is not available, or None."""
    if isinstance(task, OwnTask):
        return task.locate(data_dir, hub_dir)
    missing = localize(task, hub_dir) if hub_dir else []
    return f"not in {hub_dir}: {', '.join(missing)}" if missing else None


def _lacking(task: AbsTask) -> str:
    """Describe the first repository of `task` that lacks subsets or splits; return an empty string if none does."""
    for part in parts(task):
        if not isinstance(part, OwnTask) and (lack := lacking(part)):
            return f"{type(part).metadata.dataset['path']} {lack}"
    return ""


def _filter(suite: list[SuiteTask], types: Sequence[str], exclude: Sequence[str]) -> list[SuiteTask]:
    names, known = [entry.name for entry in suite], sorted({entry.type for entry in suite})
    for setting, given, allowed in (("types", types, known), ("exclude", exclude, names)):
        if unknown := [value for value in given if value not in allowed]:
            help_ = did_you_mean(unknown[0], allowed) or (f" Allowed: {', '.join(known)}" if setting == "types" else "")
            raise BenchError(f"suite.{setting}: the suite has no {', '.join(unknown)}.{help_}")
    kept = [entry for entry in suite if entry.name not in exclude and (not types or entry.type in types)]
    if not kept:
        raise BenchError("suite.types and suite.exclude leave no task")
    return kept


def _benchmark_tasks(name: str) -> list[AbsTask]:
    try:
        # copied, as we modify the tasks and mteb returns the same objects every time
        return [copy.copy(task) for task in mteb.get_benchmark(name).tasks]
    except KeyError:
        names = [benchmark.name for benchmark in mteb.get_benchmarks()]
        raise BenchError(f"suite.benchmark={name}: mteb has no such benchmark.{did_you_mean(name, names)}") from None


def _task(entry: str | Mapping[str, Any], languages: Sequence[str], splits: Sequence[str]) -> AbsTask:
    fields: dict[str, Any] = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = fields.get("name")
    if name is not None and "data" in fields:
        if name in OWN_TASKS or name in _stock_names():
            raise BenchError(f"suite.tasks: {name} is a standard task; choose another name for your data")
        return custom_task(fields)
    fields.pop("name", None)
    subsets, task_splits = fields.pop("subsets", None), fields.pop("splits", None)
    if name is None or fields:
        raise BenchError(
            f"suite.tasks: {entry!r} is not a task; give a name, {{name: ..., subsets: [...], splits: [...]}}, or your "
            "data as {name: ..., type: ..., data: ..., columns: {...}}"
        )
    if name in OWN_TASKS:
        if subsets or task_splits:
            raise BenchError(f"suite.tasks: {name} has one subset and one split, leave subsets and splits out")
        return OWN_TASKS[name]()
    try:
        kept = None if subsets else list(languages) or None
        # the average over subsets with other languages as well would be another score; code is a language, too
        stock = mteb.get_task(name)
        alone = kept is not None and bool(stock.metadata.is_multilingual)
        task = mteb.get_task(
            name, languages=kept, hf_subsets=subsets, eval_splits=task_splits, exclusive_language_filter=alone
        )
    except KeyError:
        names = [*OWN_TASKS, *_stock_names()]
        raise BenchError(f"suite.tasks: mteb has no task {name!r}.{did_you_mean(name, names)}") from None
    except ValueError as error:
        if kept:
            raise BenchError(_other_languages(stock, kept)) from error
        raise BenchError(f"suite.tasks: {name}: {error}") from error
    if task_splits and (absent := set(task_splits) - set(task.metadata.eval_splits)):
        raise BenchError(
            f"suite.tasks: {name} has no split {', '.join(sorted(absent))}; "
            f"allowed: {', '.join(task.metadata.eval_splits)}"
        )
    if task_splits is None and set(splits) & set(task.eval_splits):
        task.filter_eval_splits([split for split in task.eval_splits if split in splits])
    return task


def _other_languages(task: AbsTask, kept: Sequence[str]) -> str:
    name, subsets = task.metadata.name, task.metadata.hf_subsets_to_langscripts
    languages = sorted(task.metadata.languages, key=lambda language: (language not in kept, language))
    fix = "Add one to suite.languages"
    near = (subset for subset in task.hf_subsets if any(script.split("-")[0] in kept for script in subsets[subset]))
    if subset := next(near, None):
        fix += f", or name subsets: 'suite.tasks=[{{name: {name}, subsets: [{subset}]}}]'"
    given, shown = f"suite.languages=[{','.join(kept)}]", first_of(languages, _SHOWN)
    return f"{given}: {name} has no texts in these languages alone; its languages: {shown}. {fix}"


@functools.cache
def _stock_names() -> list[str]:
    return [task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)]


def _seed(task: AbsTask, seed: int) -> None:
    task.seed = seed
    task.rng_state = random.Random(seed)
    task.np_rng = np.random.default_rng(seed)
