"""The daggers of a table: the models that chance alone may have put apart from the best static one of a column."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.reports.score_table import AVERAGE, AVERAGE_MTEB, ScoreTable, header
from m2v_bench.results.sample_files import Reader, matching_samples, stale_notes
from m2v_bench.stats.aggregates import OWN_GROUPS
from m2v_bench.stats.bootstrap import TaskBootstrap, bootstrap_task, check_same
from m2v_bench.stats.paired import CONFIDENCE, REPLICATES
from m2v_bench.stats.significance import Comparison, Difference, pairwise
from m2v_bench.tasks.samples import Samples

# Over 2,000 resamples of each task, all drawn with this seed.
_SEED = 42


def daggers(
    scores: pd.DataFrame, table: ScoreTable, aggregation: str, samples: Reader, *, replicates: int = REPLICATES
) -> tuple[dict[str, set[str]], list[str]]:
    """Per column of a table, the models that are not separable from its best static one, where there are others.

    The best static model is the one in bold; a column without one is compared with its best model. A column's score is
    its average over tasks, made as the table makes it; asked is whether other samples of these tasks would give the
    same order. Corrected by Holm over all pairs of models of a column, since the best is chosen by the scores
    themselves; a pair that cannot be tested, as one model lacks a task, counts too. Only models that have all tasks of
    a column are compared in it. A column in which one of these tasks has no samples of one of these models cannot be
    tested.

    Args:
        scores: rows with `label`, `task`, `type` and `main_score`, as `score_table` reads them.
        table: made of them.
        aggregation: `micro` or `macro`.
        samples: reads the samples.
        replicates: resamples of each task.

    Returns:
        The labels by column, and what is to be said of them.
    """
    known = scores.dropna(subset="main_score")
    if known["label"].nunique() < 2:
        return {}, []
    wide = known.pivot(index="label", columns="task", values="main_score").reindex(table.labels)
    types = dict(zip(known["task"], known["type"], strict=True))
    bootstraps, notes = _bootstraps(wide, samples, replicates)
    marks: dict[str, set[str]] = {}
    untested: list[str] = []
    tested = False
    absent: dict[str, list[str]] = {}
    for column in table.columns:
        tasks = _tasks_of(column, types)
        if not tasks:
            continue
        members = [label for label in wide.index if wide.loc[label, tasks].notna().all()]
        for label in set(wide.index) - set(members):
            absent.setdefault(label, []).append(header(column, table))
        if len(members) < 2:
            continue
        own = [_of(bootstraps.get(task), members) for task in tasks]
        if None in own:
            untested.append(header(column, table))
            continue
        comparison = Comparison(
            wide.loc[members, tasks].to_numpy(float).T,
            own,
            [types[task] for task in tasks],
            replicates=replicates,
            seed=_SEED,
            confidence=CONFIDENCE,
        )
        tested = True
        average = "types" if aggregation == "macro" and column in (AVERAGE, AVERAGE_MTEB) else "tasks"
        bold = table.best_static(column)
        # a lexical model can do retrieval alone, and leaves out the rest by design
        n_models = sum(wide.loc[label, tasks].notna().any() and table.kinds[label] != "lexical" for label in wide.index)
        n_models = max(n_models, len(members))
        together = _not_separable(comparison, average, members, bold, n_models)
        if len(together) > 1:
            marks[column] = {members[number] for number in together}
    if tested:  # no dagger says something, too
        what = "† not separable" if marks else "no †: all tested are separable"
        notes.append(
            f"{what} at {1 - CONFIDENCE:.2g} from the best static model, among those with all scored "
            "tasks of the column, had other samples of these tasks been drawn (Holm over all pairs of the column)"
        )
    if untested:
        notes.append(f"not tested for chance, samples are missing: {', '.join(untested)}")
    if tested:
        notes += [
            f"{label} lacks tasks of {', '.join(absent[label])}, and is not compared there"
            for label in table.labels
            if label in absent
        ]
    return marks, notes


def _tasks_of(column: str, types: Mapping[str, str]) -> list[str]:
    if column == AVERAGE:
        return list(types)
    if column == AVERAGE_MTEB:
        return [task for task, name in types.items() if name not in OWN_GROUPS]
    return [task for task, name in types.items() if name == column]


_Known = tuple[list[str], TaskBootstrap]


def _bootstraps(wide: pd.DataFrame, samples: Reader, replicates: int) -> tuple[dict[str, _Known], list[str]]:
    """The resamples of each task, with the labels of the models that have samples of it; and what is wrong with some.

    Every task is resampled once, whatever the number of columns that it stands in.
    """
    found: dict[str, _Known] = {}
    notes: list[str] = []
    stale: dict[str, list[str]] = {}
    for task in wide.columns:
        parts: dict[str, Mapping[str, Samples]] = {}
        for label, score in wide[task].dropna().items():
            try:
                known = matching_samples(samples, str(label), task, score, stale)
            except BenchError as error:
                notes.append(str(error))
                continue
            if known is not None:
                parts[str(label)] = known
        if len(parts) < 2:
            continue
        try:
            check_same(task, list(parts.values()), list(parts))
        except BenchError as error:
            notes.append(str(error).partition("\n")[0])
            continue
        found[task] = list(parts), bootstrap_task(task, list(parts.values()), replicates=replicates, seed=_SEED)
    return found, [*notes, *stale_notes(stale)]


def _of(known: _Known | None, members: list[str]) -> TaskBootstrap | None:
    """The resamples of some models alone; None when one of them has none."""
    if known is None or not set(members) <= set(known[0]):
        return None
    labels, each = known
    places = [labels.index(label) for label in members]
    return TaskBootstrap(each.scores[places], each.deviations[:, places], each.df)


def _not_separable(
    statistics: Comparison, average: str, members: list[str], bold: str | None, n_models: int
) -> list[int]:
    """The numbers of the members that are not separable from the best, among `n_models` that were to be compared."""
    best = members.index(bold) if bold in members else int(np.argmax(statistics.weights(average) @ statistics.scores))
    untested = Difference(np.nan, np.nan, np.nan, np.nan)
    pairs = combinations(range(n_models), 2)
    p = pairwise(
        n_models,
        {pair: statistics.these_tasks(*pair, average) if pair[1] < len(members) else untested for pair in pairs},
    )
    return [model for model in range(len(members)) if not p[best, model] < 1 - CONFIDENCE]
