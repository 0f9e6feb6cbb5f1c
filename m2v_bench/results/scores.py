"""Read models and their scores per task, split and subset from a results folder or an exported table."""

import functools
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.long_table import LongTable, read_table
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.results.score_files import (
    DEFAULT_SEED,
    Cost,
    Loaded,
    TaskScores,
    kind_of,
    read_cost,
    read_meta,
    read_tasks,
    score_folders,
    torch_versions,
)
from m2v_bench.stats.aggregates import cqadupstack

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class StoredModel:
    """A model that has scores.

    Attributes:
        name, revision, kind: as in `Model`.
        label: unique among the models read together: the label in the runs' records, else the last part of the name,
            followed by the revision and the variant where needed.
        variant: mteb's `experiment_kwargs`, the settings of a distilled model; empty for a baseline.
        folder: of its score files below `results/` and of its samples below `samples/`.
        id: unique as well: `name`, `name@revision` or `name@revision/variant`.
        torch_versions: the versions of torch that scored it, by task; under "" where the task was not noted.
        read: reads its scores.
        read_cost: reads the cost of a task.
    """

    name: str
    revision: str
    label: str
    kind: str
    variant: Mapping[str, Any]
    folder: Path
    id: str
    torch_versions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    read: Callable[[], Loaded] = field(default=lambda: ({}, {}), repr=False, compare=False)
    read_cost: Callable[[str], Cost | None] = field(default=lambda task: None, repr=False, compare=False)

    @functools.cached_property
    def _loaded(self) -> Loaded:
        return self.read()

    @property
    def tasks(self) -> dict[str, TaskScores]:
        """The scores by task, as the result files have them."""
        return self._loaded[0]

    @property
    def damaged(self) -> dict[Path, str]:
        """The result files that cannot be read, and why."""
        return self._loaded[1]

    @property
    def seed(self) -> int:
        """The seed of the draws that tasks made."""
        return int(self.variant.get("seed", DEFAULT_SEED))

    @property
    def versions(self) -> dict[str, set[str]]:
        """The versions that scored it, by package."""
        return {
            "mteb": {scores.mteb_version for scores in self.tasks.values()},
            "torch": set().union(*self.torch_versions.values()),
        }

    @property
    def address(self) -> str:
        """`name@revision`, with the variant's folder behind it."""
        tail = f"/{self.folder.name}" if len(self.folder.parts) > 2 else ""
        return f"{self.name}@{self.revision}{tail}"

    def scored_tasks(self) -> dict[str, TaskScores]:
        """Return the scores that are numbers, by task, with aggregates all of whose tasks have one.

        Raises:
            BenchError: when a result file cannot be read.
        """
        for path, reason in self.damaged.items():
            raise BenchError(f"{path}: is no result file of mteb ({reason}); move it away")
        scores = {task: parts for task, parts in self.tasks.items() if parts.known}
        for whole, tasks in cqadupstack().items():
            if whole in scores or not set(tasks) <= set(scores):
                continue
            scores[whole] = mean_of([scores[task] for task in tasks], aggregate_revision(whole))
        return scores


def mean_of(parts: Sequence[TaskScores], dataset_revision: str) -> TaskScores:
    """Return the scores of an aggregate task from those of its tasks."""
    mean = float(np.mean([part.mean for part in parts]))
    mteb_version = " and ".join(sorted({part.mteb_version for part in parts}))
    return TaskScores({"test/default": mean}, dataset_revision, mteb_version)


@functools.cache
def aggregate_revision(whole: str) -> str:
    """Return the dataset revision of an aggregate task in mteb."""
    import mteb

    return str(mteb.get_task(whole).metadata.dataset["revision"])


@dataclass(frozen=True)
class Results:
    """The models of a results folder or an exported table.

    Attributes:
        path: the folder or the file.
        models: ordered by name, revision and variant.
        types: of tasks, as far as the runs' records know them.
        notes: remarks on records that cannot be read.
    """

    path: Path
    models: Sequence[StoredModel]
    types: Mapping[str, str]
    notes: Sequence[str]

    def find(self, word: str) -> StoredModel:
        """Find the model that a word means: a run's folder, a name or label or part of one, `name@revision/variant`.

        Raises:
            BenchError: when it means none or several; the message lists the candidates.
        """
        if (Path(word) / RECORD).is_file():
            if (record := read_record(Path(word))) is None:
                raise BenchError(f"{Path(word) / RECORD}: cannot be read; move it away or start the run again")
            return self.student_of(record, word)
        models = self.models
        whole = [model for model in models if word in (model.id, model.name, model.label, model.address)]
        part = [model for model in models if word.lower() in f"{model.address}\n{model.label}".lower()]
        candidates = whole or part
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            names = [*(model.name for model in models), *(model.label for model in models)]
            raise BenchError(f"{word}: no such model in {self.path}.{did_you_mean(word, names)} {_listed(models)}")
        raise BenchError(f"{word}: means {len(candidates)} models in {self.path}. {_listed(candidates)}")

    def student_of(self, record: RunRecord, word: str | None = None) -> StoredModel:
        """Return the distilled model of a run.

        Args:
            record: of the run.
            word: names the run in an error.

        Raises:
            BenchError: when it has no scores here.
        """
        key = (record.name, record.revision, record.seed)
        students = [model for model in self.models if (model.name, model.revision, model.seed) == key]
        if len(students) != 1:
            raise BenchError(
                f"{word or record.label}: the scores of this run, {record.name}@{record.revision} with seed "
                f"{record.seed}, are not in {self.path}; name its folder with --results"
            )
        return students[0]

    def task_types(self, tasks: Iterable[str]) -> dict[str, str]:
        """Return the type of each task from the runs' records, else from mteb; `Other` where neither knows it."""
        return {task: self.types.get(task) or _mteb_type(task) for task in tasks}


def _listed(models: Iterable[StoredModel]) -> str:
    return "Name one of:\n" + "\n".join(f"  {model.id}  ({model.label})" for model in models)


@functools.cache
def _mteb_type(task: str) -> str:
    import mteb

    from m2v_bench.tasks.suite import OWN_TASKS

    if task in OWN_TASKS:
        return OWN_TASKS[task].group or str(OWN_TASKS[task].metadata.type)
    try:
        return str(mteb.get_task(task).metadata.type)
    except KeyError:
        return "Other"


def read_results(path: Path) -> Results:
    """Read the models of a results folder, or of a file that `m2v-bench export` wrote.

    Raises:
        BenchError: when it holds no scores, or a file that says whose scores they are is damaged.
    """
    return _from_table(read_table(path), path) if path.is_file() else _from_folder(path)


def _from_folder(path: Path) -> Results:
    root = path / "results"
    folders = score_folders(root)
    if not folders:
        raise BenchError(
            f"results {path}: holds no result files (results/MODEL/REVISION/TASK.json). Give the results_dir of a "
            "run, the folder that has results/ in it, or a file of `m2v-bench export`"
        )
    facts = record_facts(path)
    models = []
    for folder in folders:
        meta, place = read_meta(folder), folder.relative_to(root)
        name, revision = str(meta["name"]), str(meta["revision"] or place.parts[1])
        models.append(
            StoredModel(
                name=name,
                revision=revision,
                label=facts.labels.get((name, revision)) or name.rpartition("/")[2],
                kind=facts.kinds.get((name, revision)) or kind_of(meta),
                variant=meta.get("experiment_kwargs") or {},
                folder=place,
                id="",
                torch_versions=torch_versions(folder),
                read=functools.partial(read_tasks, folder),
                read_cost=functools.partial(read_cost, path / "costs" / place),
            )
        )
    notes = [f"cannot be read, its labels, kinds and types are not known: {damaged}" for damaged in facts.damaged]
    return Results(path, with_unique_labels(models), facts.types, notes)


def _from_table(table: LongTable, path: Path) -> Results:
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.rows:
        folders.setdefault(row["folder"], []).append(row)
    models = [_model_of_rows(Path(folder), rows) for folder, rows in folders.items()]
    return Results(path, with_unique_labels(models), {row["task"]: row["type"] for row in table.rows}, [])


def _model_of_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> StoredModel:
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        tasks.setdefault(row["task"], []).append(row)
    scores = {
        task: TaskScores(
            {f"{row['split']}/{row['subset']}": _number(row["main_score"]) for row in parts},
            parts[0]["dataset_revision"],
            parts[0]["mteb_version"],
            parts[0]["seconds"],
        )
        for task, parts in tasks.items()
    }
    costs = {
        task: Cost(first["cost_seconds"], first["peak_rss_bytes"], first["texts_asked"], first["texts_encoded"])
        for task, (first, *_) in tasks.items()
        if first["cost_seconds"] is not None
    }
    return StoredModel(
        name=rows[0]["model"],
        revision=rows[0]["revision"],
        label=rows[0]["label"],
        kind=rows[0]["kind"],
        variant=json.loads(rows[0]["variant"]),
        folder=folder,
        id="",
        torch_versions={task: frozenset(json.loads(first["torch_versions"])) for task, (first, *_) in tasks.items()},
        read=lambda: (scores, {}),
        read_cost=costs.get,
    )


def _number(score: float | None) -> float:
    """Return NaN for null, as Parquet files of pandas have it."""
    return float("nan") if score is None else score


def with_unique_labels(models: Sequence[StoredModel]) -> list[StoredModel]:
    """Give each model a label and an id that no other has."""
    labels = unique_labels(
        {
            number: (
                model.label,
                model.revision[:6],
                ", ".join(f"{k}={v}" for k, v in model.variant.items()),
                f"of {model.name}",
            )
            for number, model in enumerate(models)
        }
    )
    variants = Counter((model.name, model.revision) for model in models)
    revisions = Counter(name for name, _ in variants)
    named = []
    for number, model in enumerate(models):
        several = variants[model.name, model.revision] > 1
        own_id = model.address if several else model.name
        if not several and revisions[model.name] > 1:
            own_id = f"{model.name}@{model.revision}"
        named.append(replace(model, label=labels[number], id=own_id))
    return named


def unique_labels(names: Mapping[Key, Sequence[str]]) -> dict[Key, str]:
    """Give each key a label that no other has: its first name, and the following ones while others share the label.

    A number tells apart what all names leave equal.
    """
    labels = {key: parts[0] for key, parts in names.items()}
    for place in range(1, max(map(len, names.values()), default=0)):
        shared = {label for label, count in Counter(labels.values()).items() if count > 1}
        longer = {key: parts[place] for key, parts in names.items() if labels[key] in shared and place < len(parts)}
        labels |= {key: f"{labels[key]} {more}".rstrip() for key, more in longer.items()}
    known: Counter[str] = Counter()
    for key, label in labels.items():
        known[label] += 1
        if known[label] > 1:
            labels[key] = f"{label} ({known[label]})"
    return labels


@dataclass(frozen=True)
class RecordFacts:
    """Labels, kinds and types from the records of a folder's runs and sweeps.

    Attributes:
        labels, kinds: of a model, by name and revision.
        types: of a task, by name.
        damaged: the records that cannot be read.
    """

    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)

    def add(self, record: RunRecord) -> None:
        """Take the labels, kinds and types of a record."""
        for score in record.scores:
            model = score.model, score.revision
            self.labels[model], self.kinds[model] = score.label, score.kind
            self.types[score.task] = score.type


def record_facts(results_dir: Path) -> RecordFacts:
    """Read the records of all runs; one that cannot be read, as it is being written, leaves the others usable."""
    facts = RecordFacts()
    for pattern in (f"runs/*/{RECORD}", f"sweeps/*/*/{RECORD}"):
        for path in sorted(results_dir.glob(pattern)):
            if (record := read_record(path.parent)) is None:
                facts.damaged.append(path)
            else:
                facts.add(record)
    return facts
