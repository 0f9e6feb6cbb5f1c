"""The result files of mteb's `ResultCache`, and the table models x types that is made of them."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mteb
import pandas as pd
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.results import TaskResult

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.reports.daggers import Reader, daggers
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import score_table, to_grid
from m2v_bench.reports.signature import published_splits, signature
from m2v_bench.results.stored import kind_of, read_meta, read_task_samples, record_facts
from m2v_bench.stats.aggregates import borda
from m2v_bench.stats.paired import complete
from m2v_bench.system.version import __version__
from m2v_bench.tasks import SuiteTask
from m2v_bench.tasks.samples import Samples

_SHOWN = 10  # reasons of an error message
_NAMED = 3  # tasks or models of a note
_UNKNOWN = "unknown"  # dataset revision of a task of our own whose data is not here


@dataclass
class ModelResults:
    """What the result files say of one model.

    Attributes:
        name, revision: the model, as mteb files it.
        variant: its `experiment_kwargs`; empty for a baseline.
        kind: `static`, `transformer` or `lexical`.
        folder: of its score files below `results/` and of its samples below `samples/`.
        label: what tables call it, unique in one reading.
        tasks: the result of each task.
        versions: by package, the versions that scored it.
        damaged: files that could not be read.
    """

    name: str
    revision: str
    variant: Mapping[str, Any]
    kind: str
    folder: Path
    label: str = ""
    tasks: dict[str, TaskResult] = field(default_factory=dict)
    versions: dict[str, set[str]] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)


def read_results(results_dir: Path) -> list[ModelResults]:
    """Every model that has a score below `results_dir`, in the order of names.

    Raises:
        BenchError: when the folder holds no result files.
    """
    found: dict[Path, ModelResults] = {}
    for path in _result_files(results_dir):
        if path.parent not in found:
            found[path.parent] = _model(path.parent, path.parent.relative_to(results_dir / "results"))
        model = found[path.parent]
        try:
            result = TaskResult.from_disk(path)
        except (ValueError, KeyError, OSError):
            model.damaged.append(path)
            continue
        model.tasks[result.task_name] = result
        model.versions.setdefault("mteb", set()).add(str(result.mteb_version))
    if not found:
        raise BenchError(
            f"{results_dir}: holds no result files. Give the results_dir of a run, the folder that has results/ in it."
        )
    facts = record_facts(results_dir)
    for model in found.values():
        model.kind = facts.kinds.get((model.name, model.revision), model.kind)
    _name_apart(list(found.values()), facts.labels)
    return list(found.values())


def _result_files(results_dir: Path) -> list[Path]:
    if not (results_dir / "results").is_dir():
        return []  # a ResultCache would make the folder
    cache = mteb.ResultCache(results_dir)
    return sorted(cache.get_cache_paths(require_model_meta=False, include_remote=False, load_experiments="match_name"))


def _model(folder: Path, place: Path) -> ModelResults:
    """Whose results a folder holds, and what versions made them."""
    meta = read_meta(folder)
    model = ModelResults(
        name=meta["name"],
        revision=str(meta["revision"]),
        variant=meta.get("experiment_kwargs") or {},
        kind=kind_of(meta),
        folder=place,
    )
    settings = folder / "run_settings.jsonl"
    for line in settings.read_text(encoding="utf-8").splitlines() if settings.is_file() else []:
        with suppress(ValueError, KeyError):  # a line that is being written
            model.versions.setdefault("torch", set()).add(str(json.loads(line)["version"]["torch"]))
    return model


def _name_apart(models: Sequence[ModelResults], labels: Mapping[tuple[str, str], str]) -> None:
    """Give each model a label that no other has: its run's or its name, then the revision, then the variant."""
    for model in models:
        model.label = labels.get((model.name, model.revision)) or model.name.rpartition("/")[2]
    for more in (lambda m: m.revision[:6], lambda m: ", ".join(f"{k}={v}" for k, v in m.variant.items())):
        now = [model.label for model in models]
        for model in models:
            if now.count(model.label) > 1:
                model.label = f"{model.label} {more(model)}".rstrip()


def results_grid(
    results_dir: Path,
    suite: Sequence[SuiteTask],
    *,
    suite_name: str,
    aggregation: str,
    models: Sequence[str] = (),
    marks: bool = True,
) -> Grid:
    """The table models x types of a suite, made of result files alone; the best Borda rank first.

    Args:
        results_dir: folder of a `ResultCache`.
        suite: the tasks; a model's score counts when it is of the task's dataset revision, splits and subsets.
        suite_name: what the signature calls them.
        aggregation: `micro` or `macro`.
        models: names or labels to be shown, `*` stands for anything; none means all.
        marks: mark what is not separable from the best of a column, where samples say so.

    Raises:
        BenchError: when no model has a score, or one of `models` names none.
    """
    everyone = read_results(results_dir)
    chosen = _chosen(everyone, models)
    revisions = _revisions(everyone, suite)
    teachers = _teachers(everyone, chosen)
    measured_against = [each for each in everyone if each.label in teachers.values() and each not in chosen]
    rows = pd.concat([_rows(model, suite, revisions) for model in [*chosen, *measured_against]], ignore_index=True)
    rows["teacher"] = rows["label"].map(teachers)
    scores = rows[rows["label"].isin([model.label for model in chosen])]
    notes = [*_not_counted(scores), *_assumed(scores, suite, revisions)]
    scored = set(scores.loc[scores["main_score"].notna(), "label"])
    if not scored:
        raise BenchError(_nothing(results_dir, suite_name, suite, notes))
    shown = [model for model in chosen if model.label in scored]
    scores = scores[scores["label"].isin(scored)]
    ranks = borda(scores.rename(columns={"label": "model", "main_score": "score"}))["rank"]
    scores = scores.sort_values("label", key=lambda labels: labels.map(ranks), kind="stable")
    notes += record_facts(results_dir).notes
    notes += [f"cannot be read, counted as missing: {path}" for model in chosen for path in model.damaged]
    if unscored := [model.label for model in chosen if model.label not in scored]:
        notes.append(f"no score of this suite: {', '.join(unscored)}")
    signed = _signature(shown, suite, suite_name, aggregation)
    # "% of teacher" needs the teacher, shown or not
    table = score_table(pd.concat([scores, rows.drop(scores.index)]), aggregation).only(
        list(dict.fromkeys(scores["label"]))
    )
    daggered, more = daggers(scores, table, aggregation, _reader(results_dir, shown, suite)) if marks else ({}, [])
    return to_grid(
        table, signature=signed, title=f"suite {suite_name}", ranks=dict(ranks), marks=daggered, notes=[*notes, *more]
    )


def _nothing(results_dir: Path, suite_name: str, suite: Sequence[SuiteTask], notes: Sequence[str]) -> str:
    """Why there is no table, and what to do."""
    lines = [f"{results_dir}: no model has a score of suite {suite_name} that counts.", *notes[:_SHOWN]]
    if len(notes) > _SHOWN:
        lines.append(f"and {len(notes) - _SHOWN} more of the kind")
    if absent := [entry.name for entry in suite if entry.missing]:
        lines.append(
            f"The data of {len(absent)} of {len(suite)} tasks was not found ({', '.join(absent[:3])}): give data_dir= "
            "and hub_dir= as for the run, so that it is known on which data a score counts."
        )
    if not notes:
        lines.append(f"`python -m m2v_bench suite={suite_name} results_dir={results_dir}` makes them.")
    return "\n".join(lines)


def _revisions(models: Sequence[ModelResults], suite: Sequence[SuiteTask]) -> dict[str, str]:
    """By task whose data is not here, so that the suite does not know its revision, the one that most scores are of."""
    found = {}
    for name in (entry.name for entry in suite if entry.task.metadata.revision == _UNKNOWN):
        counts = Counter(str(model.tasks[name].dataset_revision) for model in models if name in model.tasks)
        if counts:
            found[name] = max(counts, key=lambda revision: (counts[revision], revision))
    return found


def _not_counted(rows: pd.DataFrame) -> list[str]:
    """The scores that are there and do not count, a line for each reason."""
    lines = []
    for reason, own in rows[rows["reason"].notna()].groupby("reason", sort=False):
        what = [
            f"{task} ({detail}) of {_some(list(same['label']))}"
            for (task, detail), same in own.groupby(["task", "detail"], sort=False)
        ]
        lines.append(f"{reason}, counted as missing: {_some(what)}")
    return lines


def _assumed(rows: pd.DataFrame, suite: Sequence[SuiteTask], revisions: Mapping[str, str]) -> list[str]:
    """What is missing, and what is not known of what is there, a line each."""
    scored = set(rows.loc[rows["main_score"].notna(), "task"])
    notes = []
    if absent := [entry.name for entry in suite if entry.name not in scored]:
        notes.append(f"{len(absent)} of {len(suite)} tasks have no score of any model: {_some(absent)}")
    if known := [name for name in revisions if name in scored]:
        notes.append(
            f"{len(known)} tasks, whose data is not here, count on the dataset revision that most of their scores "
            f"name: {_some(known)}"
        )
    return notes


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _teachers(everyone: Sequence[ModelResults], chosen: Sequence[ModelResults]) -> dict[str, str | None]:
    """By label, the label of the model that a row is measured against, None where it is not known which one.

    A student's is the one model of its base model's name whose tasks drew with the same seed. Where all students of a
    seed that are chosen (of all, where none is) have one teacher, every row of the seed is measured against it, as in a
    run's own table.
    """
    seeds = {model.label: model.variant.get("seed", 42) for model in everyone}
    named: dict[tuple[str, Any], list[str]] = {}
    for model in everyone:
        named.setdefault((model.name.rpartition("/")[2], seeds[model.label]), []).append(model.label)
    found: dict[str, str | None] = dict.fromkeys(seeds)
    for model in everyone:
        known = named.get((str(model.variant.get("base_model")), seeds[model.label]), [])
        if len(known) == 1:
            found[model.label] = known[0]
            found[known[0]] = known[0]
    students = [model.label for model in chosen if "base_model" in model.variant]
    students = students or [model.label for model in everyone if "base_model" in model.variant]
    for seed in set(seeds.values()):
        shared = {found[label] for label in students if seeds[label] == seed}
        if len(shared) == 1:
            found |= dict.fromkeys((label for label in seeds if seeds[label] == seed), shared.pop())
    return {model.label: found[model.label] for model in chosen}


def _reader(results_dir: Path, models: Sequence[ModelResults], suite: Sequence[SuiteTask]) -> Reader:
    """Reads the samples of the splits and subsets that the suite counts."""
    by_label = {model.label: model for model in models}
    tasks = {entry.name: entry.task for entry in suite}

    def read(label: str, name: str) -> Mapping[str, Samples] | None:
        model, task = by_label[label], tasks[name]
        samples = read_task_samples(model.folder, task.metadata.name, results_dir)
        result = model.tasks.get(task.metadata.name)
        if result is None:  # an aggregate that was scored task by task
            return samples
        counted = result.validate_and_filter_scores(task).scores
        return complete(samples, [f"{split}/{each['hf_subset']}" for split, own in counted.items() for each in own])

    return read


def _chosen(models: list[ModelResults], wanted: Sequence[str]) -> list[ModelResults]:
    names = {model.label: (model.label, model.name, model.name.rpartition("/")[2]) for model in models}
    for pattern in wanted:
        if not any(fnmatch(name, pattern) for each in names.values() for name in each):
            known = [name for each in names.values() for name in each]
            raise BenchError(f"--models {pattern}: no such model has results.{did_you_mean(pattern, known)}")
    return [
        model
        for model in models
        if not wanted or any(fnmatch(name, pattern) for name in names[model.label] for pattern in wanted)
    ]


def _rows(model: ModelResults, suite: Sequence[SuiteTask], revisions: Mapping[str, str]) -> pd.DataFrame:
    """A model's row of each task, with the reason, and its details, of a score that is there and does not count."""
    rows = []
    for entry in suite:
        score, reason, detail = _score(model, entry.task, revisions)
        row = {"label": model.label, "kind": model.kind, "task": entry.name, "type": entry.type, "main_score": score}
        rows.append({**row, "reason": reason, "detail": detail})
    return pd.DataFrame(rows).astype({"main_score": float, "reason": object, "detail": object})


_Scored = tuple[float, str | None, str | None]


def _score(model: ModelResults, task: AbsTask, revisions: Mapping[str, str]) -> _Scored:
    """The task's main score, NaN when there is none, and why a score that is there does not count."""
    nothing = float("nan")
    result = model.tasks.get(task.metadata.name)
    if result is None and isinstance(task, AbsTaskAggregate):
        parts = [_score(model, part, revisions) for part in task.metadata.tasks]
        _, reason, detail = next((part for part in parts if part[1]), parts[0])
        return sum(score for score, *_ in parts) / len(parts), reason, detail
    if result is None:
        return nothing, None, None
    revision = revisions.get(task.metadata.name, str(task.metadata.revision))
    if str(result.dataset_revision) != revision:
        where = "most scores have" if task.metadata.name in revisions else "the suite has"
        return nothing, "scored on another dataset revision", f"{result.dataset_revision}, {where} {revision}"
    if missing := result.get_missing_evaluations(task):
        parts_of = ", ".join(f"{split}/{'+'.join(subsets)}" for split, subsets in missing.items())
        return nothing, "not scored on all splits and subsets", f"without {parts_of}"
    score = float(result.validate_and_filter_scores(task).get_score())
    if math.isnan(score):
        return nothing, "scored, and the score is not a number", "nan"
    return score, None, None


def _signature(models: Sequence[ModelResults], suite: Sequence[SuiteTask], suite_name: str, aggregation: str) -> str:
    return signature(
        suite=suite_name,
        n_tasks=len(suite),
        aggregation=aggregation,
        dialect=_all({str(model.variant["dialect"]) for model in models if "dialect" in model.variant}),
        seed=_all({str(model.variant.get("seed", 42)) for model in models}),
        versions=_versions(models),
        splits=published_splits(suite),
    )


def versions_of(models: Sequence[ModelResults]) -> str:
    """Seeds and versions that scored the models, as a signature has them."""
    seeds = _all({str(model.variant.get("seed", 42)) for model in models})
    return f"seed {seeds}; " + ", ".join(f"{name} {version}" for name, version in _versions(models).items())


def _versions(models: Sequence[ModelResults]) -> dict[str, str]:
    seen = {name: set().union(*(model.versions.get(name, set()) for model in models)) for name in ("mteb", "torch")}
    return {"m2v_bench": __version__, **{name: _all(versions) for name, versions in seen.items()}}


def _all(values: set[str]) -> str:
    return " and ".join(sorted(values)) or "none"
