"""`m2v-bench table`: models x task types from stored scores, without running a model."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.reports.daggers import Daggers, daggers
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import score_table, to_grid
from m2v_bench.reports.signature import published_splits, signature
from m2v_bench.results.sample_files import Reader, reader
from m2v_bench.results.scores import StoredModel, read_results
from m2v_bench.stats.aggregates import borda
from m2v_bench.system.formatting import first_of
from m2v_bench.system.version import __version__
from m2v_bench.tasks import SuiteTask

_SHOWN = 10  # reasons of an error message
_NAMED = 3  # tasks or models of a note
_UNKNOWN = "unknown"  # dataset revision of a task of our own whose data is not here


def results_grid(
    path: Path,
    suite: Sequence[SuiteTask],
    *,
    suite_name: str,
    aggregation: str,
    models: Sequence[str] = (),
    marks: bool = True,
) -> Grid:
    """Make the table models x types of a suite from stored scores; the best Borda rank comes first.

    Args:
        path: a results folder, or an exported table.
        suite: the tasks; a model's score counts when it is of the task's dataset revision, splits and subsets.
        suite_name: what the signature calls them.
        aggregation: `micro` or `macro`.
        models: names or labels of the models to show, with `*` as a wildcard; none means all.
        marks: mark the models that are not significantly different from the best of a column, where there are samples.

    Raises:
        BenchError: when no model has a score, or one of `models` matches none.
    """
    results = read_results(path)
    everyone = results.models
    chosen = matching_models(everyone, models)
    revisions = _revisions(everyone, suite)
    teachers = teachers_of(everyone, chosen)
    measured_against = [model for model in everyone if model.label in teachers.values() and model not in chosen]
    rows = pd.concat([_rows(model, suite, revisions) for model in [*chosen, *measured_against]], ignore_index=True)
    rows["teacher"] = rows["label"].map(teachers)
    scores = rows[rows["label"].isin([model.label for model in chosen])]
    notes = [*_not_counted(scores), *_assumed(scores, suite, revisions)]
    scored = set(scores.loc[scores["main_score"].notna(), "label"])
    if not scored:
        raise BenchError(_nothing(path, suite_name, suite, notes))
    shown = [model for model in chosen if model.label in scored]
    scores = scores[scores["label"].isin(scored)]
    ranks = borda(scores.rename(columns={"label": "model", "main_score": "score"}))["rank"]
    scores = scores.sort_values("label", key=lambda labels: labels.map(ranks), kind="stable")
    notes += results.notes
    notes += [f"cannot be read, counted as missing: {file}" for model in chosen for file in model.damaged]
    if unscored := [model.label for model in chosen if model.label not in scored]:
        notes.append(f"no score of this suite: {', '.join(unscored)}")
    signed = _signature(shown, suite, suite_name, aggregation)
    # "% of teacher" needs the teacher, shown or not
    table = score_table(pd.concat([scores, rows.drop(scores.index)]), aggregation).only(
        list(dict.fromkeys(scores["label"]))
    )
    tested = daggers(scores, table, aggregation, _reader(path, shown, suite)) if marks else Daggers()
    return to_grid(
        table,
        signature=signed,
        title=f"suite {suite_name}",
        ranks=dict(ranks),
        marks=tested.marks,
        notes=[*notes, *tested.notes],
    )


def _nothing(path: Path, suite_name: str, suite: Sequence[SuiteTask], notes: Sequence[str]) -> str:
    """Say why there is no table, and what to do."""
    lines = [f"{path}: no model has a score of suite {suite_name} that counts.", *notes[:_SHOWN]]
    if len(notes) > _SHOWN:
        lines.append(f"and {len(notes) - _SHOWN} more of the kind")
    if absent := [entry.name for entry in suite if entry.missing]:
        lines.append(
            f"The data of {len(absent)} of {len(suite)} tasks was not found ({', '.join(absent[:3])}): give data_dir= "
            "and hub_dir= as for the run, so that it is known on which data a score counts."
        )
    if not notes:
        lines.append(f"`python -m m2v_bench suite={suite_name} results_dir={path}` computes them.")
    return "\n".join(lines)


def _revisions(models: Sequence[StoredModel], suite: Sequence[SuiteTask]) -> dict[str, str]:
    """Return the dataset revision of most scores, by task whose data is not here, so that the suite knows none."""
    revisions = {}
    for name in (entry.name for entry in suite if entry.task.metadata.revision == _UNKNOWN):
        counts = Counter(model.tasks[name].dataset_revision for model in models if name in model.tasks)
        if counts:
            revisions[name] = max(counts, key=lambda revision: (counts[revision], revision))
    return revisions


def _not_counted(rows: pd.DataFrame) -> list[str]:
    """Name the scores that are there and do not count, a line for each reason."""
    lines = []
    for reason, group in rows[rows["reason"].notna()].groupby("reason", sort=False):
        cases = [
            f"{task} ({detail}) of {first_of(same['label'], _NAMED)}"
            for (task, detail), same in group.groupby(["task", "detail"], sort=False)
        ]
        lines.append(f"{reason}, counted as missing: {first_of(cases, _NAMED)}")
    return lines


def _assumed(rows: pd.DataFrame, suite: Sequence[SuiteTask], revisions: Mapping[str, str]) -> list[str]:
    """Name the tasks without any score, and those whose dataset revision is assumed, a line each."""
    scored = set(rows.loc[rows["main_score"].notna(), "task"])
    notes = []
    if absent := [entry.name for entry in suite if entry.name not in scored]:
        notes.append(f"{len(absent)} of {len(suite)} tasks have no score of any model: {first_of(absent, _NAMED)}")
    if known := [name for name in revisions if name in scored]:
        notes.append(
            f"{len(known)} tasks, whose data is not here, count on the dataset revision that most of their scores "
            f"name: {first_of(known, _NAMED)}"
        )
    return notes


def teachers_of(everyone: Sequence[StoredModel], chosen: Sequence[StoredModel]) -> dict[str, str | None]:
    """Return the label of the model that each row is measured against, by label; None where it is not known.

    A student's teacher is the one model of its base model's name whose tasks drew with the same seed. Where all chosen
    students of a seed (all students, where none is chosen) have one teacher, every row of the seed is measured against
    it, as in a run's own table.
    """
    seeds = {model.label: model.seed for model in everyone}
    named: dict[tuple[str, int], list[str]] = {}
    for model in everyone:
        named.setdefault((model.name.rpartition("/")[2], model.seed), []).append(model.label)
    teachers: dict[str, str | None] = dict.fromkeys(seeds)
    for model in everyone:
        known = named.get((str(model.variant.get("base_model")), model.seed), [])
        if len(known) == 1:
            teachers[model.label] = known[0]
            teachers[known[0]] = known[0]
    students = [model.label for model in chosen if "base_model" in model.variant]
    students = students or [model.label for model in everyone if "base_model" in model.variant]
    for seed in set(seeds.values()):
        shared = {teachers[label] for label in students if seeds[label] == seed}
        if len(shared) == 1:
            teachers |= dict.fromkeys((label for label in seeds if seeds[label] == seed), shared.pop())
    return {model.label: teachers[model.label] for model in chosen}


def _reader(path: Path, models: Sequence[StoredModel], suite: Sequence[SuiteTask]) -> Reader:
    """Return a reader of the samples of the splits and subsets that the suite counts."""
    by_label = {model.label: model for model in models}
    tasks = {entry.task.metadata.name: entry.task for entry in suite}
    names = {entry.name: entry.task.metadata.name for entry in suite}

    def parts(label: str, name: str) -> list[str] | None:
        scores = by_label[label].tasks.get(name)
        # an aggregate that was scored task by task has no scores of its own
        return None if scores is None else list(scores.counted(tasks[name]))

    read = reader(path, {model.label: model.folder for model in models}, parts)
    return lambda label, name: read(label, names[name])


def matching_models(models: Sequence[StoredModel], wanted: Sequence[str]) -> list[StoredModel]:
    """Return the models whose label or name matches one of `wanted`, with `*` as a wildcard; all where it is empty.

    Raises:
        BenchError: when one of them matches no model.
    """
    names = {model.label: (model.label, model.name, model.name.rpartition("/")[2]) for model in models}
    for pattern in wanted:
        known = [name for aliases in names.values() for name in aliases]
        if not any(fnmatch(name, pattern) for name in known):
            raise BenchError(f"--models {pattern}: no such model has results.{did_you_mean(pattern, known)}")
    return [
        model
        for model in models
        if not wanted or any(fnmatch(name, pattern) for name in names[model.label] for pattern in wanted)
    ]


def _rows(model: StoredModel, suite: Sequence[SuiteTask], revisions: Mapping[str, str]) -> pd.DataFrame:
    """Return a model's rows, one per task, with reason and detail where there is a score that does not count."""
    rows = []
    for entry in suite:
        score, reason, detail = _score(model, entry.task, revisions)
        row = {"label": model.label, "kind": model.kind, "task": entry.name, "type": entry.type, "main_score": score}
        rows.append({**row, "reason": reason, "detail": detail})
    return pd.DataFrame(rows).astype({"main_score": float, "reason": object, "detail": object})


_Scored = tuple[float, str | None, str | None]


def _score(model: StoredModel, task: AbsTask, revisions: Mapping[str, str]) -> _Scored:
    """Return the task's main score, NaN when there is none, and why a score that is there does not count."""
    nothing = float("nan")
    name = task.metadata.name
    scores = model.tasks.get(name)
    if scores is None and isinstance(task, AbsTaskAggregate):
        parts = [_score(model, part, revisions) for part in task.metadata.tasks]
        _, reason, detail = next((part for part in parts if part[1]), parts[0])
        return sum(score for score, *_ in parts) / len(parts), reason, detail
    if scores is None:
        return nothing, None, None
    revision = revisions.get(name, str(task.metadata.revision))
    if scores.dataset_revision != revision:
        where = "most scores have" if name in revisions else "the suite has"
        return nothing, "scored on another dataset revision", f"{scores.dataset_revision}, {where} {revision}"
    if missing := scores.missing(task):
        parts_of = ", ".join(f"{split}/{'+'.join(subsets)}" for split, subsets in missing.items())
        return nothing, "not scored on all splits and subsets", f"without {parts_of}"
    score = float(np.mean(list(scores.counted(task).values())))
    if math.isnan(score):
        return nothing, "scored, and the score is not a number", "nan"
    return score, None, None


def _signature(models: Sequence[StoredModel], suite: Sequence[SuiteTask], suite_name: str, aggregation: str) -> str:
    return signature(
        suite=suite_name,
        n_tasks=len(suite),
        aggregation=aggregation,
        dialect=_all({str(model.variant["dialect"]) for model in models if "dialect" in model.variant}),
        seed=_all({str(model.seed) for model in models}),
        versions=_versions(models),
        splits=published_splits(suite),
    )


def versions_of(models: Sequence[StoredModel]) -> str:
    """Return the seeds and versions that scored the models, as a signature has them."""
    seeds = _all({str(model.seed) for model in models})
    return f"seed {seeds}; " + ", ".join(f"{name} {version}" for name, version in _versions(models).items())


def _versions(models: Sequence[StoredModel]) -> dict[str, str]:
    by_package = {name: set().union(*(model.versions[name] for model in models)) for name in ("mteb", "torch")}
    return {"m2v_bench": __version__, **{name: _all(versions) for name, versions in by_package.items()}}


def _all(values: set[str]) -> str:
    return " and ".join(sorted(values)) or "none"
