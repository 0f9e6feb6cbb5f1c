"""Gather all models and scores of one or several results folders for the leaderboard."""

import base64
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from m2v_bench.cache import content_hash
from m2v_bench.errors import BenchError
from m2v_bench.reports.results_table import matching_models, teachers_of, versions_of
from m2v_bench.reports.style import setting_title
from m2v_bench.results.experiment import experiments
from m2v_bench.results.record import RunRecord, Speed
from m2v_bench.results.sample_files import Reader, complete, read_task_samples
from m2v_bench.results.score_files import TaskScores
from m2v_bench.results.scores import (
    Results,
    StoredModel,
    aggregate_revision,
    mean_of,
    read_results,
    with_unique_labels,
)
from m2v_bench.stats.aggregates import TYPE_LABELS, cqadupstack
from m2v_bench.stats.resampling import resample
from m2v_bench.system.formatting import first_of
from m2v_bench.tasks.samples import SAME_SCORE, Samples

_NAMED = 3  # tasks or models of a note
_FEW = 20  # models whose samples are resampled in seconds
_REPLICATES = (100, 500)  # fewest that give intervals, and most
_NUMBERS = 900_000  # resampled scores that a page may hold: 2.4 MB

_Identity = tuple[str, str, str]
"""Name, revision and variant of a model."""


@dataclass(frozen=True)
class BoardModel:
    """A model of the leaderboard.

    Attributes:
        stored: the model, with a unique label.
        teacher: label of the model it is measured against; None without one.
        dims, n_parameters, bytes_on_disk: its size; None if unknown.
        speeds: texts per second on one thread (median, slowest and fastest round), by number of the timing.
    """

    stored: StoredModel
    teacher: str | None
    dims: int | None
    n_parameters: int | None
    bytes_on_disk: int | None
    speeds: Mapping[int, tuple[float, float, float]]

    @property
    def group(self) -> str:
        """The kind of model: `distilled`, `static`, `transformer` or `lexical`."""
        return "distilled" if "base_model" in self.stored.variant else self.stored.kind


@dataclass(frozen=True)
class Resampled:
    """Bootstrap replicates of the models' scores on one task.

    Attributes:
        models: positions of the models that have samples.
        deviations: float64 array of shape (models, replicates): resampled scores minus score.
        df: degrees of freedom.
    """

    models: Sequence[int]
    deviations: np.ndarray
    df: int


@dataclass(frozen=True)
class Board:
    """The content of a leaderboard.

    Attributes:
        models: ordered by label.
        tasks: type of each task, by name, in the order of the paper's columns.
        scores: float64 array of shape (models, tasks), 0 to 1; NaN for a missing score.
        timings: description of the groups of models that were timed together, the largest first.
        resampled: replicates by task; empty where there are too few samples or too many models.
        notes: what was left out, and why.
        signature: seeds and versions.
    """

    models: Sequence[BoardModel]
    tasks: Mapping[str, str]
    scores: np.ndarray
    timings: Sequence[str]
    resampled: Mapping[str, Resampled] = field(default_factory=dict)
    notes: Sequence[str] = ()
    signature: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the page's script; scores are in points, to four decimals."""
        labels = [model.stored.label for model in self.models]
        names = {"kind", "teacher", "dims"}.union(*(model.stored.variant for model in self.models))
        return {
            "tasks": [
                {"name": name, "type": kind, "label": TYPE_LABELS.get(kind, kind)} for name, kind in self.tasks.items()
            ],
            "models": [_model_json(model, labels) for model in self.models],
            "scores": [[None if np.isnan(score) else round(100 * score, 4) for score in row] for row in self.scores],
            "titles": {name: setting_title(name) for name in sorted(names)},
            "timings": list(self.timings),
            "resampled": {name: _resampled_json(part) for name, part in self.resampled.items()},
            "notes": list(self.notes),
            "signature": self.signature,
        }


def _model_json(model: BoardModel, labels: Sequence[str]) -> dict[str, Any]:
    stored = model.stored
    settings = {name: value for name, value in stored.variant.items() if value is not None}
    return {
        "id": f"{zlib.crc32(stored.address.encode()):08x}",
        "label": stored.label,
        "address": stored.address,
        "group": model.group,
        "teacher": labels.index(model.teacher) if model.teacher in labels else None,
        "settings": settings,
        "dims": model.dims,
        "parameters": model.n_parameters,
        "bytes": model.bytes_on_disk,
        "speeds": {str(number): list(speed) for number, speed in model.speeds.items()},
    }


def _resampled_json(part: Resampled) -> dict[str, Any]:
    """Return the replicates as base64 of little-endian int16, row by row, and the factor to multiply them by."""
    scale = float(np.abs(part.deviations).max()) / 32767 or 1.0
    whole = np.rint(part.deviations / scale).astype("<i2")
    return {
        "models": list(part.models),
        "replicates": whole.shape[1],
        "df": part.df,
        "scale": 100 * scale,
        "data": base64.b64encode(whole.tobytes()).decode(),
    }


@dataclass(frozen=True)
class _Source:
    """A model in one of the results folders or tables."""

    path: Path
    model: StoredModel
    scores: Mapping[str, TaskScores]


def gather(paths: Sequence[Path], *, models: Sequence[str] = (), intervals: bool | None = True) -> Board:
    """Read the models and scores of results folders and exported tables.

    A model that occurs in several has the scores of all; where they differ, those of the first. A task counts on the
    dataset revision, splits and subsets that most models were scored on; other scores count as missing.

    Args:
        paths: results folders or exported tables.
        models: names or labels of the models to show, with `*` as a wildcard; none means all.
        intervals: whether to resample the samples, where there are any; None means where the models are few.

    Raises:
        BenchError: when one holds no scores or a damaged file, or one of `models` matches none.
    """
    notes: list[str] = []
    results = [read_results(path) for path in paths]
    records = [record for path in paths for experiment in experiments(path) for record in experiment.records]
    sources = _sources(results, notes)
    everyone = with_unique_labels([_merged(same, notes) for same in sources.values()])
    places = {model.label: same for model, same in zip(everyone, sources.values(), strict=True)}
    teachers = teachers_of(everyone, everyone)
    chosen = sorted(matching_models(everyone, models), key=lambda model: model.label)
    types = _task_types(chosen, results, notes)
    scores = _scores(chosen, types, notes)
    scored = ~np.isnan(scores).all(axis=0)
    if not scored.any():
        raise BenchError(f"{', '.join(map(str, paths))}: no model has a score that is a number")
    tasks = {name: kind for (name, kind), known in zip(types.items(), scored, strict=True) if known}
    scores = scores[:, scored]
    speeds, timings = _speeds(records)
    sizes = _sizes(records)
    board = []
    for model in chosen:
        key = model.name, model.revision
        dims, n_parameters, n_bytes = sizes.get(key, (None, None, None))
        board.append(BoardModel(model, teachers[model.label], dims, n_parameters, n_bytes, speeds.get(key, {})))
    chosen_sources = {model.label: places[model.label] for model in chosen}
    if intervals is None and not (intervals := len(chosen) <= _FEW):
        notes.append("no intervals: `m2v-bench leaderboard` adds them, which takes longer with many models")
    resampled = _resample(chosen_sources, scores, list(tasks), notes) if intervals else {}
    return Board(board, tasks, scores, timings, resampled, list(dict.fromkeys(notes)), versions_of(chosen))


def _sources(read: Sequence[Results], notes: list[str]) -> dict[_Identity, list[_Source]]:
    sources: dict[_Identity, list[_Source]] = {}
    for results in read:
        notes += results.notes
        for model in results.models:
            notes += [f"cannot be read, counted as missing: {file}" for file in model.damaged]
            identity = model.name, model.revision, json.dumps(dict(model.variant), sort_keys=True, default=str)
            known = {task: scores for task, scores in model.tasks.items() if len(scores.known) == len(scores.parts)}
            sources.setdefault(identity, []).append(_Source(results.path, model, known))
    return sources


def _merged(same: Sequence[_Source], notes: list[str]) -> StoredModel:
    """Join the scores of a model that occurs in several places."""
    first = same[0].model
    tasks: dict[str, TaskScores] = {}
    versions: dict[str, frozenset[str]] = {}
    places: dict[str, Path] = {}
    gaps: dict[str, float] = {}
    for source in same:
        for task, scores in source.scores.items():
            if task not in tasks:
                tasks[task], places[task] = scores, source.path
                known = source.model.torch_versions
                versions[task] = known.get(task) or known.get("") or frozenset()
            else:
                gaps[task] = max(gaps.get(task, 0.0), abs(_value(tasks[task]) - _value(scores)))
    if differing := [task for task, gap in gaps.items() if gap > SAME_SCORE]:
        counted = first_of((str(places[task]) for task in differing), _NAMED)
        notes.append(
            f"{first.label}: several scores of {first_of(differing, _NAMED)}, up to "
            f"{100 * max(gaps[task] for task in differing):.2f} points apart; those in {counted} count"
        )
    for whole, parts in cqadupstack().items():
        if whole not in tasks and set(parts) <= set(tasks):
            tasks[whole] = mean_of([tasks[part] for part in parts], _revision_of(whole, parts, tasks))
    return StoredModel(
        name=first.name,
        revision=first.revision,
        label=first.label,
        kind=first.kind,
        variant=first.variant,
        folder=first.folder,
        id="",
        torch_versions=versions,
        read=lambda: (tasks, {}),
    )


def _revision_of(whole: str, parts: Sequence[str], scores: Mapping[str, TaskScores]) -> str:
    """Return an aggregate's dataset revision; another one where a part was scored on other data than mteb names."""
    import mteb

    revisions = {part: scores[part].dataset_revision for part in parts}
    usual = {part: str(mteb.get_task(part).metadata.dataset["revision"]) for part in parts}
    return aggregate_revision(whole) if revisions == usual else content_hash(revisions)


def _value(scores: TaskScores) -> float:
    return float(np.mean(list(scores.parts.values())))


def _task_types(models: Sequence[StoredModel], read: Sequence[Results], notes: list[str]) -> dict[str, str]:
    """Return the type of each task, in the paper's order; an aggregate replaces its tasks."""
    names = {task for model in models for task in model.tasks}
    for whole, parts in cqadupstack().items():
        if whole in names:
            names -= set(parts)
            if lacking := [m.label for m in models if whole not in m.tasks and set(parts) & set(m.tasks)]:
                notes.append(
                    f"{whole} replaces its tasks; these models have scores for only some of them: "
                    f"{first_of(lacking, _NAMED)}"
                )
    types: dict[str, str] = {}
    for results in read:  # the records of one may know tasks that mteb does not
        known = results.task_types(names)
        types |= {task: kind for task, kind in known.items() if kind != "Other" or task not in types}
    order = [*TYPE_LABELS, *sorted(set(types.values()) - set(TYPE_LABELS))]
    return dict(sorted(types.items(), key=lambda item: (order.index(item[1]), item[0])))


def _scores(models: Sequence[StoredModel], tasks: Mapping[str, str], notes: list[str]) -> np.ndarray:
    """Return the scores, shape (models, tasks), of the data that most models were scored on."""
    table = np.full((len(models), len(tasks)), np.nan)
    for column, task in enumerate(tasks):
        data = {
            row: (model.tasks[task].dataset_revision, tuple(sorted(model.tasks[task].parts)))
            for row, model in enumerate(models)
            if task in model.tasks
        }
        counts = Counter(data.values())
        usual = max(counts, key=lambda key: (counts[key], key))
        other = []
        for row, key in data.items():
            if key == usual:
                table[row, column] = _value(models[row].tasks[task])
            else:
                other.append(models[row].label)
        if other:
            notes.append(
                f"{task}: scored on another dataset revision, split or subset than the {counts[usual]} that count, "
                f"so counted as missing: {first_of(other, _NAMED)}"
            )
    return table


def _speeds(
    records: Sequence[RunRecord],
) -> tuple[dict[tuple[str, str], dict[int, tuple[float, float, float]]], list[str]]:
    """Return the speeds by model, and describe the timings; only the speeds of one timing can be compared."""
    timings: dict[str, dict[tuple[str, str], Speed]] = {}
    for record in records:
        for speed in record.speed:
            together = [speed.hardware, speed.texts, speed.mean_characters, speed.session]
            key = json.dumps(together, sort_keys=True)
            timings.setdefault(key, {})[speed.model, speed.revision] = speed
    ordered = sorted(timings.values(), key=lambda group: (-len(group), max(s.measured for s in group.values())))
    speeds: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {}
    described = []
    for number, group in enumerate(ordered):
        first = next(iter(group.values()))
        about = first.hardware
        described.append(
            f"{len(group)} models timed {'together' if first.session else 'one by one'} on one thread of "
            f"{about.get('processor', 'an unknown processor')}, {first.texts} texts of {first.mean_characters:.0f} "
            f"characters, {first.measured[:10]}" + ", THE MACHINE WAS LOADED" * any(s.loaded for s in group.values())
        )
        for model, speed in group.items():
            speeds.setdefault(model, {})[number] = (speed.texts_per_second, speed.slowest, speed.fastest)
    return speeds, described


def _sizes(records: Sequence[RunRecord]) -> dict[tuple[str, str], tuple[int | None, int | None, int | None]]:
    """Return dimensions, parameters and bytes by name and revision, as far as the records know them."""
    sizes: dict[tuple[str, str], tuple[int | None, int | None, int | None]] = {}
    for record in records:
        for speed in record.speed:
            sizes[speed.model, speed.revision] = (
                speed.dims or None,
                speed.n_parameters or None,
                speed.bytes_on_disk or None,
            )
        if record.size is not None:
            size = record.size
            sizes[record.name, record.revision] = (size.dims, size.n_parameters, size.bytes_on_disk)
    return sizes


def _resample(
    sources: Mapping[str, Sequence[_Source]], scores: np.ndarray, tasks: Sequence[str], notes: list[str]
) -> dict[str, Resampled]:
    """Resample the samples of each task, the same ones for all models, as often as the page has room for."""
    fewest, most = _REPLICATES
    if not any((source.path / "samples").is_dir() for same in sources.values() for source in same):
        notes.append("no intervals: exported tables and these results hold no per-sample outputs")
        return {}
    replicates = min(most, _NUMBERS // max(1, int((~np.isnan(scores)).sum())))
    if replicates < fewest:
        notes.append("no intervals: too many models for one page; choose fewer with --models")
        return {}
    labels = list(sources)
    wide = pd.DataFrame(scores, index=labels, columns=list(tasks))
    resampling = resample(wide, _reader(sources, wide), replicates)
    notes += resampling.notes
    return {
        task: Resampled([labels.index(label) for label in members], part.deviations.T, part.df)
        for task, (members, part) in resampling.tasks.items()
    }


def _reader(sources: Mapping[str, Sequence[_Source]], wide: pd.DataFrame) -> Reader:
    """Return a reader of the samples in the first place that has them and the score that counts."""

    def read(label: str, task: str) -> Mapping[str, Samples] | None:
        for source in sources[label]:
            scores = source.scores.get(task)
            if scores is not None and abs(_value(scores) - wide.loc[label, task]) > SAME_SCORE:
                continue
            parts = None if scores is None else list(scores.parts)
            samples = read_task_samples(source.model.folder, task, source.path)
            if samples is not None and (kept := complete(samples, parts)) is not None:
                return kept
        return None

    return read
