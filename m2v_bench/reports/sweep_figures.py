"""Draw the figures of a sweep or a run from its summary."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from m2v_bench.reports.panels import type_figure
from m2v_bench.reports.pareto import Point, speed_figure
from m2v_bench.reports.plots import Dot, is_curve, ranked, score_figure
from m2v_bench.reports.score_table import header
from m2v_bench.reports.style import setting_title
from m2v_bench.reports.summary import Summary
from m2v_bench.results.record import RunRecord


def draw(summary: Summary, axis: str | None) -> dict[str, Figure]:
    """Draw the figures of a sweep or a run, by the suffix of their files' names.

    Args:
        summary: of its records.
        axis: the setting that scores are drawn along; None takes the one that differs, and draws the models in the
            order of their scores when several do.

    Returns:
        The scores under "", where there is more than one variant or an axis; by task type under "-types", along an
        axis of numbers; speed against score under "-speed", where speed was measured.
    """
    if not summary.table.n_common:
        return {}
    figures = {}
    axis = axis or (summary.changed[0] if len(summary.changed) == 1 else None)
    common, looks = summary.table.common, summary.looks
    references = _references(summary, common)
    short = short_labels(summary.students)
    if axis is not None:
        figures[""] = score_figure(
            _series(summary, axis, common), references, axis=setting_title(axis), caption=summary.plotted
        )
        if (by_type := _by_type(summary, axis)) is not None:
            figures["-types"] = by_type
    elif len(summary.students) > 1:
        dots = [Dot(short[label], common[label], looks[label]) for label in summary.students]
        figures[""] = ranked(dots, references, caption=summary.plotted)
    if points := speed_points(summary, short):
        length = next(iter(summary.speeds.values())).mean_characters
        figures["-speed"] = speed_figure(
            points,
            texts=f"texts of {length:.0f} characters on average",
            caption=f"{summary.plotted}\n{summary.timing}",
            comparable=summary.timed_together,
        )
    return figures


def _by_type(summary: Summary, axis: str) -> Figure | None:
    """Draw the scores of each task type along an axis of numbers; None for other axes, or a single type."""
    if not is_curve(list(dict.fromkeys(_values(summary.records, axis)))):
        return None
    table, panels = summary.table, {}
    for name in table.columns:
        scores = {label: score for (label, type_), score in table.common_by_type.items() if type_ == name}
        if scores:
            panels[header(name, table)] = _series(summary, axis, scores), _references(summary, scores)
    return type_figure(panels, axis=setting_title(axis), caption=summary.plotted) if len(panels) > 1 else None


def _references(summary: Summary, scores: Mapping[str, float]) -> list[Dot]:
    dots = [Dot(label, scores[label], summary.looks[label]) for label in summary.references]
    return sorted(dots, key=lambda dot: dot.look.rank)


def speed_points(summary: Summary, short: Mapping[str, str]) -> list[Point]:
    """Return the models whose speed and score are known, under the labels of `short` where it has them."""
    return [
        Point(
            short.get(label, label),
            summary.looks[label],
            summary.table.common[label],
            speed.texts_per_second,
            speed.n_parameters,
            (speed.slowest, speed.fastest),
            is_student=label in summary.students,
        )
        for label, speed in summary.speeds.items()
        if not math.isnan(summary.table.common.get(label, math.nan))
    ]


def _series(summary: Summary, axis: str, scores: Mapping[str, float]) -> dict[str, list[Dot]]:
    """Group the variants of a sweep into curves along the setting `axis`, by their other settings."""
    changed, records = summary.changed, summary.records
    values = {key: _values(records, key) for key in {*changed, axis}}
    series: dict[str, list[Dot]] = {}
    for number, label in enumerate(summary.students):
        others = ", ".join(
            f"{key.removesuffix('.name')}={values[key][number]}" for key in changed if key != axis
        ) or shared_words(summary.students)
        dot = Dot(values[axis][number], scores[label], summary.looks[label])
        series.setdefault(others, []).append(dot)
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
