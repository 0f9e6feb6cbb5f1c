"""Say in sentences what came out of a sweep or a run, as far as its statistics support it."""

import math

from m2v_bench.reports.daggers import Daggers
from m2v_bench.reports.score_table import AVERAGE
from m2v_bench.reports.style import setting_title
from m2v_bench.reports.summary import Summary
from m2v_bench.system.formatting import first_of

_ENOUGH = 0.95  # share of the best score that a smaller model should keep to be named
_NAMED = 4  # models of a sentence


def outcome(summary: Summary, tested: Daggers) -> list[str]:
    """Return what came out: the best model, which others are as good, and what a smaller one keeps.

    Args:
        summary: of the records.
        tested: which models are not significantly different from the best of a column.
    """
    table = summary.table
    static = [label for label in table.labels if table.kinds[label] == "static" and label in table.common]
    if not static:
        return []
    best = max(static, key=lambda label: table.common[label])
    n_all = table.cells[best, AVERAGE].n_all
    tasks = (
        f"{table.n_common} {'task' if table.n_common == 1 else 'tasks'}"
        if table.n_common == n_all
        else f"the {table.n_common}/{n_all} tasks that all models have"
    )
    over = "the types of " if summary.aggregation == "macro" else ""
    sentence = f"{best} scores {100 * table.common[best]:.2f} on average over {over}{tasks}"
    if best in summary.students and not math.isnan(table.kept[best]):
        sentence += f", {100 * table.kept[best]:.1f} % of its teacher"
    if len(static) == 1:
        return [f"{sentence}."]
    sentences = [f"{sentence}: the best of {len(static)} static models."]
    complete = _tested(summary, tested, best)
    equal = [label for label in static if label in complete & tested.marks.get(AVERAGE, set()) and label != best]
    if equal:
        sentences.append(f"Not significantly different from it on these tasks: {first_of(equal, _NAMED)}.")
    elif complete >= set(static):
        sentences.append("It is significantly better on these tasks than every other static model.")
    if (smaller := _smaller(summary, tested, best)) is not None:
        sentences.append(smaller)
    return sentences


def _tested(summary: Summary, tested: Daggers, best: str) -> set[str]:
    """Return the static models that were tested against the best one: those with all tasks, it among them."""
    table = summary.table
    if AVERAGE not in tested.columns or table.best_static(AVERAGE) != best:
        return set()
    cells = {label: table.cells[label, AVERAGE] for label in table.labels if table.kinds[label] == "static"}
    return {label for label, cell in cells.items() if cell.n == cell.n_all}


def _smaller(summary: Summary, tested: Daggers, best: str) -> str | None:
    """Name the smallest variant that keeps nearly all of the best one's score; None where there is none."""
    common = summary.table.common
    sizes = {
        label: record.size.bytes_on_disk
        for label, record in zip(summary.students, summary.records, strict=True)
        if record.size is not None and not math.isnan(common.get(label, math.nan))
    }
    if best not in sizes or len(summary.changed) != 1 or common[best] <= 0:
        return None
    enough = [
        label for label, size in sizes.items() if size < 0.95 * sizes[best] and common[label] >= _ENOUGH * common[best]
    ]
    if not enough:
        return None
    label = min(enough, key=lambda one: (sizes[one], -common[one]))
    setting = summary.changed[0]
    value = summary.records[summary.students.index(label)].settings[setting]
    sentence = (
        f"{label} ({setting_title(setting)}: {value}) keeps {100 * common[label] / common[best]:.1f} % of that score "
        f"at {100 * sizes[label] / sizes[best]:.0f} % of the size"
    )
    if label in _tested(summary, tested, best):
        sentence += f"; the difference is {'not ' * (label in tested.marks.get(AVERAGE, ()))}significant"
    return sentence + "."
