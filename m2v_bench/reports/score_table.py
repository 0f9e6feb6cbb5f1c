"""Build the table of models x task types from scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from m2v_bench.reports.grid import Grid
from m2v_bench.stats.aggregates import AVERAGES, OWN_GROUPS, TYPE_LABELS, Average, by_type, wide

AVERAGE = "Avg"
AVERAGE_MTEB = "Avg MTEB"  # excludes PEARL and WordSim, if a suite has them in addition to all of MTEB's types
KEPT = "% of teacher"
RANK = "Borda"
_MTEB_TYPES = set(TYPE_LABELS) - set(OWN_GROUPS)


@dataclass(frozen=True)
class ScoreTable:
    """Averages of models x task types.

    Attributes:
        labels: labels of the models, in order.
        kinds: `static`, `transformer` or `lexical`, keyed by label.
        columns: `Avg` over all tasks, `Avg MTEB` if a suite adds PEARL or WordSim to MTEB's types, then the task types
            in the paper's order.
        cells: averages, keyed by (label, column).
        kept: average relative to the teacher's, over the tasks that both have, keyed by label; NaN without a teacher.
        common: average over the tasks that every embedding model has, which are the only ones a plot may compare, keyed
            by label; NaN for a lexical model that lacks one of them.
        common_tasks: these tasks and their types.
        common_by_type: the same average over the tasks of one type, keyed by (label, type).
    """

    labels: list[str]
    kinds: dict[str, str]
    columns: list[str]
    cells: dict[tuple[str, str], Average]
    kept: dict[str, float]
    common: dict[str, float]
    common_tasks: dict[str, str]
    common_by_type: dict[tuple[str, str], float]

    @property
    def n_common(self) -> int:
        """Number of tasks that every embedding model has."""
        return len(self.common_tasks)

    def only(self, labels: list[str]) -> "ScoreTable":
        """Return the table of a subset of the models, in this order."""
        return replace(self, labels=labels)

    def best_static(self, column: str) -> str | None:
        """Return the static model with the highest complete average in a column, or None."""
        complete = [
            label
            for label in self.labels
            if self.kinds[label] == "static" and self.cells[label, column].n == self.cells[label, column].n_all
        ]
        return max(complete, key=lambda label: self.cells[label, column].value, default=None)


def score_table(scores: pd.DataFrame, aggregation: str = "micro") -> ScoreTable:
    """Average the scores per task type and over all tasks.

    A task without a score counts as missing: the average covers the n tasks with a score and reports n of N.

    Args:
        scores: rows of `evaluation.evaluate.Score`, plus `teacher`, the label of the model to compare with, or None.
        aggregation: `micro` or `macro`, for averages over several types.
    """
    average = AVERAGES[aggregation]
    models = scores.drop_duplicates("label").set_index("label")
    kinds = dict(models["kind"])
    long = pd.DataFrame(
        {"model": scores["label"], "task": scores["task"], "type": scores["type"], "score": scores["main_score"]}
    )
    types = set(long["type"])
    is_extra = long["type"].isin(OWN_GROUPS)
    averages = {AVERAGE: average(long)}
    if is_extra.any() and types >= _MTEB_TYPES:
        averages[AVERAGE_MTEB] = average(long[~is_extra])
    cells = by_type(long) | {(label, name): cell for name, column in averages.items() for label, cell in column.items()}
    table = wide(long)
    # lexical models only do retrieval, and would restrict the common tasks to it
    embedding = table.loc[[label for label in models.index if kinds[label] != "lexical"]]
    complete = long[long["task"].isin(table.columns[embedding.notna().all()])]
    common = average(complete) if len(complete) else {}
    return ScoreTable(
        labels=list(models.index),
        kinds=kinds,
        columns=[*averages, *(name for name in TYPE_LABELS if name in types), *sorted(types - set(TYPE_LABELS))],
        cells=cells,
        kept={label: _kept(long, label, models["teacher"][label], aggregation) for label in models.index},
        common={label: cell.value if cell.n == cell.n_all else float("nan") for label, cell in common.items()},
        common_tasks=dict(zip(complete["task"], complete["type"], strict=True)),
        common_by_type={key: cell.value for key, cell in (by_type(complete) if len(complete) else {}).items()},
    )


def _kept(long: pd.DataFrame, label: str, teacher: object, aggregation: str) -> float:
    """Return a model's average relative to its teacher's, over the tasks that both have, or NaN."""
    pair = long[long["model"].isin([label, teacher])].dropna(subset="score")
    rows = {model: pair[pair["model"] == model] for model in (label, teacher)}
    shared = set(rows[label]["task"]) & set(rows[teacher]["task"])
    if not shared:
        return float("nan")
    student, reference = (
        AVERAGES[aggregation](rows[model][rows[model]["task"].isin(shared)])[str(model)].value
        for model in (label, teacher)
    )
    return student / reference


def to_grid(
    table: ScoreTable,
    *,
    signature: str,
    title: str = "",
    ranks: Mapping[str, int] | None = None,
    marks: Mapping[str, Collection[str]] | None = None,
    notes: Sequence[str] = (),
) -> Grid:
    """Format the table, with the best static model of each column in bold and the signature below.

    Args:
        table: the averages.
        signature: last line below the table.
        title: line above the table.
        ranks: Borda ranks keyed by label, for a separate column.
        marks: for each column, labels of the models to mark with a dagger: those not significantly different from the
            best one.
        notes: lines above the signature.
    """
    daggers = marks or {}
    best = {column: table.best_static(column) for column in table.columns}
    rows, bold = [], set()
    for number, label in enumerate(table.labels):
        kept = table.kept[label]
        texts = [table.cells[label, column].text + "†" * (label in daggers.get(column, ())) for column in table.columns]
        rank = [] if ranks is None else [str(ranks[label])]
        rows.append([label, *texts, *rank, "-" if np.isnan(kept) else f"{100 * kept:.1f}"])
        bold |= {(number, position) for position, column in enumerate(table.columns, start=1) if best[column] == label}
    columns = ["Model", *(header(name, table) for name in table.columns), *([] if ranks is None else [RANK]), KEPT]
    return Grid(columns, rows, title=title, notes=[*notes, signature], bold=frozenset(bold))


def header(column: str, table: ScoreTable) -> str:
    """Return the displayed header of a column."""
    if AVERAGE_MTEB not in table.columns:
        return TYPE_LABELS.get(column, column)
    return {AVERAGE: "Avg (All)", AVERAGE_MTEB: "Avg (MTEB)", **TYPE_LABELS}.get(column, column)
