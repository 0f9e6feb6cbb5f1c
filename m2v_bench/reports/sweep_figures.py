"""Draw the figures of a sweep or a run from its summary."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from m2v_bench.reports.factor_plot import Cell, arrange, factor_figure
from m2v_bench.reports.panels import type_figure
from m2v_bench.reports.pareto import Point, speed_figure
from m2v_bench.reports.plots import Dot, is_curve, ranked, score_figure
from m2v_bench.reports.score_table import header
from m2v_bench.reports.style import setting_title
from m2v_bench.reports.summary import Summary
from m2v_bench.results.record import RunRecord
from m2v_bench.stats.paired import CONFIDENCE
from m2v_bench.stats.significance import weights_of

_TEACHER = "base_model.name"
_BELOW = "The numbers are in the table below."
_SPEED = (
    "Average score against speed; a circle's area is the model's number of parameters, a horizontal bar spans the "
    "rounds. Left of and below a dashed line, another model is faster beyond the spread and scores as well, or better. "
    "The numbers are under Speed."
)
_FEW = 12  # variants that are readable as a list
_REACH = float(norm.isf((1 - CONFIDENCE) / 2))  # standard errors to either end of an interval
_BARS = (
    f"{100 * CONFIDENCE:.0f} % confidence intervals over the test samples (bootstrap standard errors, normal "
    "approximation). Models share the samples: overlapping bars do not mean that two models are not significantly "
    "different."
)


def draw(
    summary: Summary, axis: str | None, errors: Mapping[tuple[str, str], float] | None = None
) -> dict[str, Figure]:
    """Draw the figures of a sweep or a run, by the suffix of their files' names.

    Args:
        summary: of its records.
        axis: the setting that scores are drawn along; None takes the one that differs. Where several differ, many
            models are arranged by them, and few ranked by score.
        errors: standard errors of scores, by (label, task).

    Returns:
        Figures, with a label that describes them: the scores under "", where there is more than one variant or an
        axis; by task type under "-types", along an axis of numbers; speed against score under "-speed", where speed
        was measured.
    """
    if not summary.table.n_common:
        return {}
    errors = errors or {}
    figures = {}
    axis = axis or (summary.changed[0] if len(summary.changed) == 1 else None)
    scores = _Scores(summary, errors)
    short = short_labels(summary.students)
    caption = summary.plotted + scores.about("Bars")
    if axis is not None:
        figures[""] = score_figure(
            _series(summary, axis, scores), _references(summary, scores), axis=setting_title(axis), caption=caption
        )
        figures[""].set_label(f"Average score against {setting_title(axis)}. {_BELOW}")
        if (by_type := _by_type(summary, axis, errors)) is not None:
            figures["-types"] = by_type
    elif (factors := _factors(summary, scores, caption)) is not None:
        figures[""] = factors
    elif len(summary.students) > 1:
        dots = [scores.dot(label, short[label]) for label in summary.students]
        figures[""] = ranked(dots, _references(summary, scores), caption=caption)
        figures[""].set_label(f"Average score of each model, the best one first. {_BELOW}")
    if points := speed_points(summary, short, scores):
        length = next(iter(summary.speeds.values())).mean_characters
        figures["-speed"] = speed_figure(
            points,
            texts=f"texts of {length:.0f} characters on average",
            caption=f"{summary.plotted}{scores.about('Vertical bars')}\n{summary.timing}",
            comparable=summary.timed_together,
        )
        figures["-speed"].set_label(_SPEED)
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

    def about(self, bars: str) -> str:
        """Return the line of a caption that says what `bars` are; empty without any."""
        return f"\n{bars}: {_BARS}" if self.reaches else ""

    def dot(self, label: str, name: str) -> Dot:
        """Return a model's dot under the name that it has in the figure."""
        return Dot(name, self.values[label], self._summary.looks[label], self.reach(label), self.tip(label))

    def reach(self, label: str) -> float:
        """Return half the width of the interval of a model's average; NaN where it is unknown."""
        return self.reaches.get(label, math.nan)

    def tip(self, label: str) -> str:
        """Return the tooltip of a model."""
        score, reach = 100 * self.values[label], 100 * self.reach(label)
        bounds = f", {100 * CONFIDENCE:.0f} % interval {score - reach:.2f} to {score + reach:.2f}"
        return f"{label}: {score:.2f}{'' if math.isnan(reach) else bounds}"


def _by_type(summary: Summary, axis: str, errors: Mapping[tuple[str, str], float]) -> Figure | None:
    """Draw the scores of each task type along an axis of numbers; None for other axes, or a single type."""
    if not is_curve(list(dict.fromkeys(_values(summary.records, axis)))):
        return None
    of_types = {name: _Scores(summary, errors, name) for name in summary.table.columns}
    panels = {
        header(name, summary.table): (_series(summary, axis, scores), _references(summary, scores))
        for name, scores in of_types.items()
        if scores.values
    }
    if len(panels) < 2:
        return None
    about = max((scores.about("Bars") for scores in of_types.values()), key=len)  # empty where no panel has bars
    figure = type_figure(panels, axis=setting_title(axis), caption=summary.plotted + about)
    figure.set_label(f"The same by task type, on separate scales, against {setting_title(axis)}.")
    return figure


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
    titles = {panel: _panel_title(panels, panel, of_panel, scores.values) for panel, of_panel in teachers.items()}
    if others := [label for label in summary.references if not any({label} == names for names in teachers.values())]:
        caption = f"compared with: {'; '.join(f'{one} {100 * scores.values[one]:.1f}' for one in others)}\n{caption}"
    best = max(dots.values(), key=lambda dot: dot.score)
    figure = factor_figure(dots, rows=setting_title(rows), titles=titles, caption=caption, best=best)
    shown = [f"a row per {setting_title(rows)}", *([f"a panel per {setting_title(panels)}"] if panels else [])]
    keyed = f"; colours and markers show {' and '.join(map(setting_title, kinds))}" if kinds else ""
    figure.set_label(f"Average score of every variant, with {' and '.join(shown)}{keyed}. {_BELOW}")
    return figure


def _panel_title(setting: str | None, value: str, teachers: Collection[str | None], scores: Mapping[str, float]) -> str:
    """Name a panel by the value of its setting, with the score of the teacher that all of its variants have."""
    name = "" if setting is None else value if setting == _TEACHER else f"{setting_title(setting)}: {value}"
    (teacher, *others) = teachers
    if others or teacher is None or math.isnan(scores.get(teacher, math.nan)):
        return name
    score = f"{100 * scores[teacher]:.1f}"
    return f"{name} (teacher {score})" if name else f"teacher {teacher}: {score}"


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
    if setting != _TEACHER:
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
