"""Daggers of a table: mark the models that are not significantly different from the best static one of a column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from m2v_bench.reports.score_table import AVERAGE, AVERAGE_MTEB, ScoreTable, header
from m2v_bench.results.sample_files import Reader
from m2v_bench.stats.aggregates import OWN_GROUPS
from m2v_bench.stats.bootstrap import TaskBootstrap
from m2v_bench.stats.paired import CONFIDENCE, REPLICATES
from m2v_bench.stats.resampling import SEED, Resampled, resample
from m2v_bench.stats.significance import Comparison, Difference, pairwise

ALPHA = 1 - CONFIDENCE
_HOW = f"(α = {ALPHA:.2g}, paired bootstrap over samples, Holm-corrected)."
DAGGER = f"† Not significantly different from the best static model {_HOW}"
NO_DAGGER = f"No †: every tested model is significantly different from the best static model {_HOW}"


@dataclass(frozen=True)
class Daggers:
    """The outcome of the tests.

    Attributes:
        marks: labels to mark, by column, the best static model among them; no column in which it is alone.
        notes: remarks for the reader.
        columns: the columns that were tested.
        errors: standard errors of scores, by (label, task), where samples or an export have them.
    """

    marks: Mapping[str, set[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()
    errors: Mapping[tuple[str, str], float] = field(default_factory=dict)


def daggers(
    scores: pd.DataFrame, table: ScoreTable, aggregation: str, samples: Reader, *, replicates: int = REPLICATES
) -> Daggers:
    """Find the models of each column that are not significantly different from its best static one.

    The best static model is the one in bold; in a column without one it is the best model. A column's score is its
    average over tasks, computed as in the table; the test resamples the samples of these tasks, the same ones for all
    models. Holm corrects over all pairs of models of a column, since the best is chosen by the scores themselves; a
    pair that cannot be tested, as one model lacks a task, counts as well. Only models that have all tasks of a column
    are tested in it, and a column is tested only if all of them have samples of all of its tasks.

    Args:
        scores: rows with `label`, `task`, `type` and `main_score`, as `score_table` reads them.
        table: the table of these scores.
        aggregation: `micro` or `macro`.
        samples: reads the samples.
        replicates: resamples of each task.
    """
    known = scores.dropna(subset="main_score")
    stored = known.dropna(subset="standard_error") if "standard_error" in known else known.iloc[:0]
    errors = {(row.label, row.task): float(row.standard_error) for row in stored.itertuples()}
    wide = known.pivot(index="label", columns="task", values="main_score").reindex(table.labels)
    resampling = resample(wide, samples, replicates)
    bootstraps = resampling.tasks
    errors |= resampling.errors
    if known["label"].nunique() < 2:
        return Daggers(errors=errors)
    types = dict(zip(known["task"], known["type"], strict=True))
    marks: dict[str, set[str]] = {}
    tested: list[str] = []
    untested: list[str] = []
    lacking: dict[str, list[str]] = {}
    for column in table.columns:
        tasks = _tasks_of(column, types)
        if not tasks:
            continue
        members = [label for label in wide.index if wide.loc[label, tasks].notna().all()]
        for label in set(wide.index) - set(members):
            lacking.setdefault(label, []).append(header(column, table))
        if len(members) < 2:
            continue
        resampled = [_of_models(bootstraps.get(task), members) for task in tasks]
        if None in resampled:
            untested.append(header(column, table))
            continue
        tested.append(column)
        comparison = Comparison(
            wide.loc[members, tasks].to_numpy(float).T,
            resampled,
            [types[task] for task in tasks],
            replicates=replicates,
            seed=SEED,
            confidence=CONFIDENCE,
        )
        average = "types" if aggregation == "macro" and column in (AVERAGE, AVERAGE_MTEB) else "tasks"
        # a lexical model can do retrieval only, and lacks the other tasks by design
        n_models = sum(wide.loc[label, tasks].notna().any() and table.kinds[label] != "lexical" for label in wide.index)
        marked = _not_different(comparison, average, members, table.best_static(column), max(n_models, len(members)))
        if len(marked) > 1:
            marks[column] = marked
    return Daggers(marks, [*resampling.notes, *_notes(table.labels, marks, tested, untested, lacking)], tested, errors)


def _notes(
    labels: Sequence[str],
    marks: Mapping[str, set[str]],
    tested: Sequence[str],
    untested: Sequence[str],
    lacking: Mapping[str, Sequence[str]],
) -> list[str]:
    notes = []
    if tested:  # the absence of daggers is a result, too
        notes.append(DAGGER if marks else NO_DAGGER)
    if untested:
        notes.append(f"Not tested for significance, as per-sample outputs are missing: {', '.join(untested)}")
    if tested:
        notes += [
            f"{label} lacks tasks of {', '.join(lacking[label])} and is not tested there"
            for label in labels
            if label in lacking
        ]
    return notes


def _tasks_of(column: str, types: Mapping[str, str]) -> list[str]:
    if column == AVERAGE:
        return list(types)
    if column == AVERAGE_MTEB:
        return [task for task, name in types.items() if name not in OWN_GROUPS]
    return [task for task, name in types.items() if name == column]


def _of_models(resampled: Resampled | None, members: Sequence[str]) -> TaskBootstrap | None:
    """Select the bootstrap of some models; None when one of them has none."""
    if resampled is None or not set(members) <= set(resampled[0]):
        return None
    labels, bootstrap = resampled
    places = [labels.index(label) for label in members]
    return TaskBootstrap(bootstrap.scores[places], bootstrap.deviations[:, places], bootstrap.df)


def _not_different(
    comparison: Comparison, average: str, members: list[str], bold: str | None, n_models: int
) -> set[str]:
    """Return the best model and those not significantly different from it, correcting for pairs of `n_models`."""
    best = members.index(bold) if bold in members else int(np.argmax(comparison.weights(average) @ comparison.scores))
    untested = Difference(np.nan, np.nan, np.nan, np.nan)
    differences = {
        pair: comparison.these_tasks(*pair, average) if pair[1] < len(members) else untested
        for pair in combinations(range(n_models), 2)
    }
    p = pairwise(n_models, differences)
    return {label for number, label in enumerate(members) if not p[best, number] < ALPHA}
