"""From scores to the table models x task types."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from m2v_bench.reports.grid import Grid
from m2v_bench.stats.aggregates import AVERAGES, OWN_GROUPS, TYPE_LABELS, Average, by_type, wide

AVERAGE = "Avg"
AVERAGE_MTEB = "Avg MTEB"  # without the authors' own groups, where a suite has them beside all of MTEB's types
KEPT = "% of teacher"
RANK = "Borda"
_MTEB_TYPES = set(TYPE_LABELS) - set(OWN_GROUPS)


@dataclass(frozen=True)
class ScoreTable:
    """Models x task types.

    Attributes:
        labels: the models, in order.
        kinds: `static`, `transformer` or `lexical`, by label.
        columns: `Avg` over all tasks, `Avg MTEB` where PEARL or WordSim stand beside MTEB's types, then the task
            types, in the paper's order.
        cells: by (label, column).
        kept: by label, the average relative to its teacher's over the tasks that both have; NaN without one.
        common: by label, the average over the tasks that every embedding model has, the only ones that a plot may
            compare; NaN for a lexical model that lacks one.
        n_common: how many tasks these are.
        common_by_type: by (label, type), the same average over the tasks of one type, where there are some.
    """

    labels: list[str]
    kinds: dict[str, str]
    columns: list[str]
    cells: dict[tuple[str, str], Average]
    kept: dict[str, float]
    common: dict[str, float]
    n_common: int
    common_by_type: dict[tuple[str, str], float]

    def only(self, labels: list[str]) -> "ScoreTable":
        """The table of some of the models, in this order."""
        return replace(self, labels=labels)

    def best_static(self, column: str) -> str | None:
        """The static model with the highest complete average in a column."""
        complete = [
            label
            for label in self.labels
            if self.kinds[label] == "static" and self.cells[label, column].n == self.cells[label, column].n_all
        ]
        return max(complete, key=lambda label: self.cells[label, column].value, default=None)


def score_table(scores: pd.DataFrame, aggregation: str = "micro") -> ScoreTable:
    """Average the scores per task type and over all tasks.

    A task without a score counts as missing: the average is over the n tasks that have one, and says n of N.

    Args:
        scores: rows of `evaluation.evaluate.Score`, and `teacher`, the label of the model that the row's model
            is measured against, or None.
        aggregation: how averages over several types are made, `micro` or `macro`.
    """
    average = AVERAGES[aggregation]
    models = scores.drop_duplicates("label").set_index("label")
    kinds = dict(models["kind"])
    long = pd.DataFrame(
        {"model": scores["label"], "task": scores["task"], "type": scores["type"], "score": scores["main_score"]}
    )
    types = set(long["type"])
    own = long["type"].isin(OWN_GROUPS)
    averages = {AVERAGE: average(long)}
    if own.any() and types >= _MTEB_TYPES:
        averages[AVERAGE_MTEB] = average(long[~own])
    cells = by_type(long) | {(label, name): cell for name, by in averages.items() for label, cell in by.items()}
    table = wide(long)
    # a lexical model can do retrieval alone, and would leave nothing else to compare the others by
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
        n_common=complete["task"].nunique(),
        common_by_type={key: cell.value for key, cell in (by_type(complete) if len(complete) else {}).items()},
    )


def _kept(long: pd.DataFrame, label: str, teacher: object, aggregation: str) -> float:
    pair = long[long["model"].isin([label, teacher])].dropna(subset="score")
    rows = {model: pair[pair["model"] == model] for model in (label, teacher)}
    both = set(rows[label]["task"]) & set(rows[teacher]["task"])
    if not both:
        return float("nan")
    own, reference = (
        AVERAGES[aggregation](rows[model][rows[model]["task"].isin(both)])[str(model)].value
        for model in (label, teacher)
    )
    return own / reference


def to_grid(
    table: ScoreTable,
    *,
    signature: str,
    title: str = "",
    ranks: Mapping[str, int] | None = None,
    marks: Mapping[str, Collection[str]] | None = None,
    notes: Sequence[str] = (),
) -> Grid:
    """The table to be shown, best static model per column in bold, with its signature under it.

    Args:
        table: the averages.
        signature: the last line under it.
        title: the line above it.
        ranks: by label, the Borda rank, for a column of its own.
        marks: by column, the labels of the models that are not separable from its best, which get a dagger.
        notes: lines above the signature.
    """
    marked = marks or {}
    best = {column: table.best_static(column) for column in table.columns}
    rows, bold = [], set()
    for number, label in enumerate(table.labels):
        kept = table.kept[label]
        texts = [table.cells[label, column].text + "†" * (label in marked.get(column, ())) for column in table.columns]
        rank = [] if ranks is None else [str(ranks[label])]
        rows.append([label, *texts, *rank, "-" if np.isnan(kept) else f"{100 * kept:.1f}"])
        bold |= {(number, place) for place, column in enumerate(table.columns, start=1) if best[column] == label}
    columns = ["Model", *(header(name, table) for name in table.columns), *([] if ranks is None else [RANK]), KEPT]
    return Grid(columns, rows, title=title, notes=[*notes, signature], bold=frozenset(bold))


def header(column: str, table: ScoreTable) -> str:
    """What a column is called where it is shown."""
    if AVERAGE_MTEB not in table.columns:
        return TYPE_LABELS.get(column, column)
    return {AVERAGE: "Avg (All)", AVERAGE_MTEB: "Avg (MTEB)", **TYPE_LABELS}.get(column, column)
