"""From scores to the table models x task types."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# The paper's column names and order; a type that is not here comes after these under its own name.
TYPE_LABELS = {
    "Classification": "Class",
    "Clustering": "Clust",
    "PairClassification": "PairClass",
    "Reranking": "Rank",
    "Retrieval": "Ret",
    "STS": "STS",
    "Summarization": "Sum",
    "PEARL": "PEARL",
    "WordSim": "WordSim",
}
AVERAGE = "Avg"
KEPT = "% of teacher"


@dataclass(frozen=True)
class Cell:
    """An average over tasks: its value (0 to 1, NaN when there is none), and n of N tasks."""

    value: float
    n: int
    n_all: int

    @property
    def text(self) -> str:
        """The value in points and n/N."""
        return (
            f"- ({self.n}/{self.n_all})" if np.isnan(self.value) else f"{100 * self.value:.2f} ({self.n}/{self.n_all})"
        )


@dataclass(frozen=True)
class ScoreTable:
    """Models x task types.

    Attributes:
        labels: the models, in order.
        kinds: `static` or `transformer`, by label.
        columns: task types in the paper's order, then `Avg`, the mean over tasks.
        cells: by (label, column).
        kept: by label, the average relative to its teacher's over the tasks that both have; NaN without one.
        common: by label, the average over the tasks that every model has, the only ones that a plot may compare.
        n_common: how many tasks these are.
    """

    labels: list[str]
    kinds: dict[str, str]
    columns: list[str]
    cells: dict[tuple[str, str], Cell]
    kept: dict[str, float]
    common: dict[str, float]
    n_common: int

    def best_static(self, column: str) -> str | None:
        """The static model with the highest complete average in a column."""
        complete = [
            label
            for label in self.labels
            if self.kinds[label] == "static" and self.cells[label, column].n == self.cells[label, column].n_all
        ]
        return max(complete, key=lambda label: self.cells[label, column].value, default=None)


def score_table(scores: pd.DataFrame) -> ScoreTable:
    """Average the scores per task type and over all tasks.

    A task without a score counts as missing: the average is over the n tasks that have one, and says n of N.

    Args:
        scores: rows of `evaluation.evaluate.Score`, and `teacher`, the label of the model that the row's model
            is measured against, or None.
    """
    labels = list(dict.fromkeys(scores["label"]))
    types = set(scores["type"])
    columns = [name for name in TYPE_LABELS if name in types] + sorted(types - set(TYPE_LABELS))
    wide = scores.pivot_table(index="label", columns="task", values="main_score", aggfunc="first", dropna=False)
    task_types = scores.drop_duplicates("task").set_index("task")["type"]

    teachers = dict(scores.drop_duplicates("label").set_index("label")["teacher"])
    complete = wide.astype(float).dropna(axis=1)

    def cell(label: str, tasks: Sequence[str]) -> Cell:
        values = wide.loc[label, list(tasks)].astype(float)
        return Cell(
            float(values.mean()) if values.notna().any() else float("nan"),
            int(values.notna().sum()),
            len(values),
        )

    cells = {}
    for label in labels:
        for column in columns:
            cells[label, column] = cell(label, list(task_types.index[task_types == column]))
        cells[label, AVERAGE] = cell(label, list(task_types.index))
    return ScoreTable(
        labels=labels,
        kinds=dict(scores.drop_duplicates("label").set_index("label")["kind"]),
        columns=[*columns, AVERAGE],
        cells=cells,
        kept={label: _kept(wide, label, teachers.get(label)) for label in labels},
        common=dict(complete.mean(axis=1)),
        n_common=complete.shape[1],
    )


def _kept(wide: pd.DataFrame, label: str, teacher: object) -> float:
    if teacher not in wide.index:
        return float("nan")
    own, reference = wide.loc[label].astype(float), wide.loc[teacher].astype(float)
    both = own.notna() & reference.notna()
    return float(own[both].mean() / reference[both].mean()) if both.any() else float("nan")


def to_markdown(table: ScoreTable, *, signature: str) -> str:
    """The table as Markdown, best static model per column in bold, with its signature under it."""
    header = ["Model", *(TYPE_LABELS.get(name, name) for name in table.columns), KEPT]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" + "---:|" * (len(header) - 1)]
    for label, texts, bold in _rows(table):
        shown = [f"**{text}**" if best else text for text, best in zip(texts, bold, strict=True)]
        lines.append("| " + " | ".join([label.replace("|", "\\|"), *shown]) + " |")
    return "\n".join([*lines, "", signature, ""])


def print_table(table: ScoreTable, *, title: str, signature: str) -> None:
    """Show the table on the terminal, best static model per column in bold."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=escape(title), caption=escape(signature), title_justify="left", caption_justify="left")
    grid.add_column("Model", no_wrap=True)
    for name in [*(TYPE_LABELS.get(name, name) for name in table.columns), KEPT]:
        grid.add_column(name, justify="right")  # wraps between score and n/N on a narrow terminal
    for label, texts, bold in _rows(table):
        grid.add_row(
            escape(label), *(f"[bold]{text}[/bold]" if best else text for text, best in zip(texts, bold, strict=True))
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a log file has no width to fit into
    console.print(grid)


def _rows(table: ScoreTable) -> list[tuple[str, list[str], list[bool]]]:
    best = {column: table.best_static(column) for column in table.columns}
    rows = []
    for label in table.labels:
        texts = [table.cells[label, column].text for column in table.columns]
        kept = table.kept[label]
        texts.append("-" if np.isnan(kept) else f"{100 * kept:.1f}")
        rows.append((label, texts, [*(best[column] == label for column in table.columns), False]))
    return rows
