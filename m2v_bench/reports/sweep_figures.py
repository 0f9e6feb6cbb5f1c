"""Draw the figures of a sweep or a run from its summary."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from m2v_bench.reports.factor_plot import Cell, arrange, factor_figure
from m2v_bench.reports.panels import type_figure
from m2v_bench.reports.pareto import Point, speed_figure
from m2v_bench.reports.plots import Dot, is_curve, ranked, score_figure
from m2v_bench.reports.score_table import header
from m2v_bench.reports.style import setting_title
from m2v_bench.reports.summary import Summary
from m2v_bench.results.record import RunRecord
from m2v_bench.stats.significance import weights_of

_FEW = 12  # variants that are readable as a list
_REACH = 1.96  # standard errors to either end of a 95 % interval
_BARS = (
    "bars: 95 % intervals of the averages, had other samples of these tasks been drawn (bootstrap standard errors, "
    "normal approximation); all models share the samples, so that differences are more certain than the bars suggest"
)


def draw(
    summary: Summary, axis: str | None, errors: Mapping[tuple[str, str], float] | None = None
) -> dict[str, Figure]:
    """Draw the figures of a sweep or a run, by the suffix of their files' names.

    Args:
        summary: of its records.
        axis: the setting that scores are drawn along; None takes the one that differs; when several do, they share the
            figure, or the models are drawn in the order of their scores.
        errors: standard errors of scores, by (label, task).

    Returns:
        The scores under "", where there is more than one variant or an axis; by task type under "-types", along an
        axis of numbers; speed against score under "-speed", where speed was measured.
    """
    if not summary.table.n_common:
        return {}
    figures = {}
    axis = axis or (summary.changed[0] if len(summary.changed) == 1 else None)
    scores = _Scores(summary, errors or {})
    short = short_labels(summary.students)
    caption = summary.plotted + scores.about
    if axis is not None:
        figures[""] = score_figure(
            _series(summary, axis, scores), _references(summary, scores), axis=setting_title(axis), caption=caption
        )
        if (by_type := _by_type(summary, axis, errors or {}, caption)) is not None:
            figures["-types"] = by_type
    elif len(summary.students) > 1:
        dots = [scores.dot(label, short[label]) for label in summary.students]
        figures[""] = _factors(summary, scores, caption) or ranked(dots, _references(summary, scores), caption=caption)
    if points := speed_points(summary, short, scores):
        length = next(iter(summary.speeds.values())).mean_characters
        figures["-speed"] = speed_figure(
            points,
            texts=f"texts of {length:.0f} characters on average",
            caption=f"{caption}\n{summary.timing}",
            comparable=summary.timed_together,
        )
    return figures


class _Scores:
    """Averages over the tasks that all models have, with their intervals.

    Args:
        summary: of the records.
        errors: standard errors of scores, by (label, task).
        type_: the type whose tasks are averaged; None for all tasks.
    """

    def __init__(self, summary: Summary, errors: Mapping[tuple[str, str], float], type_: str | None = None) -> None:
        self._summary, table = summary, summary.table
        self.values = (
            table.common
            if type_ is None
            else {label: score for (label, name), score in table.common_by_type.items() if name == type_}
        )
        tasks = {task: name for task, name in table.common_tasks.items() if type_ in (None, name)}
        if not tasks:  # nothing that all models have
            self.reaches: dict[str, float] = {}
            return
        weights = weights_of(np.array(list(tasks.values())), "types" if summary.aggregation == "macro" else "tasks")
        self.reaches = {
            label: _REACH * float(np.hypot.reduce(weights * [errors[label, task] for task in tasks]))
            for label in self.values
            if all((label, task) in errors for task in tasks)
        }

    @property
    def about(self) -> str:
        """What the bars of a figure mean; empty without any."""
        return f"\n{_BARS}" if self.reaches else ""

    def dot(self, label: str, name: str) -> Dot:
        """Return a model's dot under the name that it has in the figure."""
        return Dot(name, self.values[label], self._summary.looks[label], self.reach(label), self.tip(label))

    def reach(self, label: str) -> float:
        """Return half the width of the interval of a model's average; NaN where it is unknown."""
        return self.reaches.get(label, math.nan)

    def tip(self, label: str) -> str:
        """Return what the pointer shows on a model."""
        score, reach = 100 * self.values[label], 100 * self.reach(label)
        interval = "" if math.isnan(reach) else f", 95 % interval {score - reach:.2f} to {score + reach:.2f}"
        return f"{label}: {score:.2f}{interval}"


def _by_type(summary: Summary, axis: str, errors: Mapping[tuple[str, str], float], caption: str) -> Figure | None:
    """Draw the scores of each task type along an axis of numbers; None for other axes, or a single type."""
    if not is_curve(list(dict.fromkeys(_values(summary.records, axis)))):
        return None
    table, panels = summary.table, {}
    for name in table.columns:
        scores = _Scores(summary, errors, name)
        if scores.values:
            panels[header(name, table)] = _series(summary, axis, scores), _references(summary, scores)
    return type_figure(panels, axis=setting_title(axis), caption=caption) if len(panels) > 1 else None


def _factors(summary: Summary, scores: _Scores, caption: str) -> Figure | None:
    """Draw many variants by the settings in which they differ; None for few variants, or too many values."""
    if len(summary.students) <= _FEW or not summary.changed:
        return None
    values = {name: _values(summary.records, name) for name in summary.changed}
    arranged = arrange({name: list(dict.fromkeys(of_jobs)) for name, of_jobs in values.items()})
    if arranged is None:
        return None
    rows, panels, kinds = arranged
    dots: dict[Cell, Dot] = {}
    teachers: dict[str, set[str | None]] = {}
    for number, label in enumerate(summary.students):
        kind = ", ".join(f"{setting_title(name)}: {values[name][number]}" for name in kinds)
        panel = values[panels][number] if panels else ""
        if (cell := (panel, values[rows][number], kind)) in dots:
            return None  # two variants of the same settings
        dots[cell] = scores.dot(label, label)
        teachers.setdefault(panel, set()).add(summary.records[number].teacher)
    titles = {panel: _panel_title(panel, of_panel, scores.values) for panel, of_panel in teachers.items()}
    if others := [label for label in summary.references if not any({label} == names for names in teachers.values())]:
        caption = f"compared with: {'; '.join(f'{one} {100 * scores.values[one]:.1f}' for one in others)}\n{caption}"
    best = max(dots.values(), key=lambda dot: dot.score)
    return factor_figure(dots, rows=setting_title(rows), titles=titles, caption=caption, best=best)


def _panel_title(panel: str, teachers: Collection[str | None], scores: Mapping[str, float]) -> str:
    """Name a panel, with the score of the teacher that all of its variants have."""
    (teacher, *others) = teachers
    if others or teacher is None or math.isnan(scores.get(teacher, math.nan)):
        return panel
    return f"{panel} (teacher {100 * scores[teacher]:.1f})"


def _references(summary: Summary, scores: _Scores) -> list[Dot]:
    return sorted((scores.dot(label, label) for label in summary.references), key=lambda dot: dot.look.rank)


def speed_points(summary: Summary, short: Mapping[str, str], scores: _Scores | None = None) -> list[Point]:
    """Return the models whose speed and score are known, under the labels of `short` where it has them."""
    scores = scores or _Scores(summary, {})
    return [
        Point(
            short.get(label, label),
            summary.looks[label],
            summary.table.common[label],
            speed.texts_per_second,
            speed.n_parameters,
            (speed.slowest, speed.fastest),
            is_student=label in summary.students,
            reach=scores.reach(label),
            tip=f"{scores.tip(label)}; {speed.texts_per_second:,.0f} texts per second, "
            f"{speed.n_parameters:,} parameters",
        )
        for label, speed in summary.speeds.items()
        if not math.isnan(summary.table.common.get(label, math.nan))
    ]


def _series(summary: Summary, axis: str, scores: _Scores) -> dict[str, list[Dot]]:
    """Group the variants of a sweep into curves along the setting `axis`, by their other settings."""
    changed, records = summary.changed, summary.records
    values = {key: _values(records, key) for key in {*changed, axis}}
    series: dict[str, list[Dot]] = {}
    for number, label in enumerate(summary.students):
        others = ", ".join(
            f"{key.removesuffix('.name')}={values[key][number]}" for key in changed if key != axis
        ) or shared_words(summary.students)
        series.setdefault(others, []).append(scores.dot(label, values[axis][number]))
    return series


def _values(records: Sequence[RunRecord], setting: str) -> list[str]:
    """Return a setting's value per job; base models under their label in results, where these are distinct."""
    values = [str(record.settings[setting]) for record in records]
    if setting != "base_model.name":
        return values
    names = [record.variant["base_model"] for record in records]
    return names if len(set(names)) == len(set(values)) else values


def shared_words(labels: Sequence[str]) -> str:
    """Return the words that all labels have."""
    return " ".join(word for word in labels[0].split() if all(word in label.split() for label in labels))


def short_labels(labels: Sequence[str]) -> dict[str, str]:
    """Shorten labels by the words that all of them share; unchanged where the short ones would not be distinct."""
    if len(set(labels)) < 2:
        return {label: label for label in labels}
    common = set(shared_words(labels).split()) - {"M2V"}
    short = {label: " ".join(word for word in label.split() if word not in common) for label in labels}
    distinct = len(set(short.values())) == len(short) and all(label not in ("", "M2V") for label in short.values())
    return short if distinct else {label: label for label in labels}
