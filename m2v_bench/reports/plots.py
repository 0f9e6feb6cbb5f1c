"""Plot scores against a swept setting, or ranked."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from m2v_bench.reports.figures import LABEL_SIZE, add_caption, add_interval, add_tip
from m2v_bench.reports.style import FAINT, PAPER, STYLE, Look, apart

_ROW_INCHES = 0.27  # height per row in a figure with one row per model
_LINE_INCHES = LABEL_SIZE * 1.35 / 72  # height per line of a name
_REFERENCES = "compared with"


@dataclass(frozen=True)
class Dot:
    """One model in a figure.

    Attributes:
        label: its name in the figure; in a series, the value of the swept setting.
        score: average score, 0 to 1.
        look: appearance of its model.
        reach: half the width of the score's confidence interval; NaN where it is unknown.
        tip: its tooltip.
    """

    label: str
    score: float
    look: Look
    reach: float = math.nan
    tip: str = ""


def score_figure(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str) -> Figure:
    """Plot scores of a sweep's variants against the swept setting, with reference models.

    Numeric values give one curve per series, with the references as horizontal lines; non-numeric values are separate
    markers on the right, not joined by a line. With fewer than two numeric or more than two non-numeric values, there
    is one row per value and no line.

    Args:
        series: for each curve, the variants by value of the swept setting, in the order of the sweep.
        references: models to compare with.
        axis: name of the swept setting.
        caption: small print under the plot.
    """
    references = sorted(references, key=lambda dot: dot.look.rank)
    draw = _curves if is_curve(_values(series)) else _rows
    return draw(series, references, axis=axis, caption=caption)


def _values(series: Mapping[str, Sequence[Dot]]) -> list[str]:
    """Return the values of the swept setting, in the order of the sweep."""
    return list(dict.fromkeys(dot.label for dots in series.values() for dot in dots))


def is_curve(names: Sequence[str]) -> bool:
    """Return whether to draw values along an axis: at least two are numeric, and at most two are not."""
    n_numbers = sum(_number(name) is not None for name in names)
    return n_numbers >= 2 and len(names) - n_numbers <= 2


def _number(name: str) -> float | None:
    """Return the name as a number that a logarithmic axis can show, or None."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _positions(names: Sequence[str]) -> tuple[dict[str, float], set[str]]:
    """Return the positions of the values on a logarithmic axis, and the set of non-numeric values."""
    numbers = {name: value for name in names if (value := _number(name)) is not None}
    low, high = min(numbers.values()), max(numbers.values())
    step = max(1.6, (high / low) ** 0.12)
    others = [name for name in names if name not in numbers]
    return {**numbers, **{name: high * step ** (index + 1) for index, name in enumerate(others)}}, set(others)


def _curves(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str) -> Figure:
    looks = looks_of(series, references)
    lines = sum(len(_wrapped(name)) for name in [*series, *(dot.label for dot in references)])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, max(4.4, 1.3 + lines * _LINE_INCHES)), layout="constrained")
        axes = figure.subplots()
        positions = draw_lines(axes, series, references, looks)
        last = [max(dots, key=lambda dot: positions[dot.label]) for dots in series.values()]
        if len(series) == 1:
            _write_scores(axes, next(iter(series.values())), positions)
        axes.margins(x=0.06, y=0.08)
        axes.set_xlabel(axis)
        axes.set_ylabel("average score")
        add_caption(figure, caption)
        ends = zip([*series, *(dot.label for dot in references)], [*last, *references], looks, strict=True)
        _name_ends(figure, axes, [(name, 100 * dot.score, look) for name, dot, look in ends])
    return figure


def looks_of(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot]) -> list[Look]:
    """Return distinct looks for the curves, followed by those of the reference models."""
    return apart([dots[0].look for dots in series.values()] + [dot.look for dot in references])


def draw_lines(
    axes: Any, series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], looks: Sequence[Look]
) -> dict[str, float]:
    """Draw a curve per series and a horizontal line per reference, on a logarithmic axis with a tick per value.

    Returns:
        The position of each value on the axis.
    """
    positions, non_numeric = _positions(names := _values(series))
    axes.set_xscale("log", base=2)
    for dots, look in zip(series.values(), looks, strict=False):
        _draw_curve(axes, sorted(dots, key=lambda dot: positions[dot.label]), look, positions, non_numeric)
    for dot, look in zip(references, looks[len(series) :], strict=True):
        axes.axhline(100 * dot.score, color=look.color, linestyle=look.dash, linewidth=1.4)
        add_tip(axes, dot.tip, [0, 1], [100 * dot.score] * 2)
    axes.set_xticks([positions[name] for name in names], [_tick(name) for name in names])
    axes.minorticks_off()
    return positions


def _draw_curve(
    axes: Any, dots: Sequence[Dot], look: Look, positions: Mapping[str, float], non_numeric: set[str]
) -> None:
    """Draw a marker per dot, and a line through the dots with numeric values."""
    for joined, dash in ((True, look.dash), (False, "none")):
        group = [dot for dot in dots if (dot.label not in non_numeric) == joined]
        xs, ys = [positions[dot.label] for dot in group], [100 * dot.score for dot in group]
        axes.plot(xs, ys, linestyle=dash, **look.marking)
    for dot in dots:
        add_interval(axes, dot.score, dot.reach, positions[dot.label], look.color, vertical=True)
        add_tip(axes, dot.tip, [positions[dot.label]], [100 * dot.score])


def _write_scores(axes: Any, dots: Sequence[Dot], positions: Mapping[str, float]) -> None:
    for dot in dots:
        axes.annotate(
            f"{100 * dot.score:.1f}", (positions[dot.label], _end(dot)), (0, 8), textcoords="offset points",
            ha="center", fontsize=LABEL_SIZE, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
        )  # fmt: skip


def _tick(name: str) -> str:
    """Return a tick label; large sizes are rounded to three digits, as 177k or 1.5M, so that they do not overlap."""
    size = int(name) if name.isdecimal() else 0
    if size < 1_000 or (size < 10_000 and size % 1_000):
        return name
    return f"{size / 1e6:.3g}M" if size >= 999_500 else f"{size / 1e3:.3g}k"


def _name_ends(figure: Figure, axes: Any, ends: Sequence[tuple[str, float, Look]]) -> None:
    """Label each line to the right of the plot, at the height of its end, shifted where names would overlap.

    Args:
        figure: figure of the axes.
        axes: axes of the lines.
        ends: for each line, its name, the height of its end in data coordinates, and its look.
    """
    names = [_wrapped(name) for name, *_ in ends]
    texts = [
        axes.annotate(
            "\n".join(name), (1, y), (14, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=LABEL_SIZE, annotation_clip=False,
        )
        for name, (_, y, _) in zip(names, ends, strict=True)
    ]  # fmt: skip
    figure.draw_without_rendering()  # lets the layout make room for the names
    heights = [axes.transData.transform((1, y))[1] for _, y, _ in ends]
    sizes = [_LINE_INCHES * figure.dpi * len(name) for name in names]
    frame = axes.get_window_extent()
    placed = spread(heights, sizes, frame.y0, frame.y1)
    for text, (_, _, look), height, target in zip(texts, ends, heights, placed, strict=True):
        shift = (target - height) * 72 / figure.dpi
        text.set_position((14, shift))
        axes.annotate(
            "", (1, text.xy[1]), (12, shift), ("axes fraction", "data"), "offset points", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.color, "linestyle": look.dash, "linewidth": 1.4,
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _wrapped(name: str) -> list[str]:
    return textwrap.wrap(name, 26, break_long_words=False) or [""]


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Place stacked boxes as close to their wanted centers as possible without overlap, and return their centers.

    Args:
        wanted: wanted center of each box.
        sizes: heights of the boxes.
        low, high: bounds of the stack, if it fits.
    """
    groups: list[tuple[list[int], float]] = []  # touching boxes from the bottom up, and the lower end of the lowest
    for index in sorted(range(len(wanted)), key=lambda box: wanted[box]):
        members: list[int] = []
        start = -math.inf
        groups.append(([index], wanted[index] - sizes[index] / 2))
        while groups and (not members or groups[-1][1] + sum(sizes[box] for box in groups[-1][0]) > start):
            members = [*groups.pop()[0], *members]
            height = sum(sizes[box] for box in members)
            offsets = [sum(sizes[box] for box in members[:count]) for count in range(len(members))]
            ideal = sum(
                wanted[box] - sizes[box] / 2 - offset for box, offset in zip(members, offsets, strict=True)
            ) / len(members)
            start = max(low, min(ideal, high - height))
        groups.append((members, start))
    centers = [0.0] * len(wanted)
    for members, start in groups:
        for count, box in enumerate(members):
            centers[box] = start + sum(sizes[other] for other in members[:count]) + sizes[box] / 2
    return centers


def _rows(
    series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str, by_score: bool = False
) -> Figure:
    """Draw one row per value of the setting and per reference model, with a dot at each score."""
    names = _values(series)
    shown, keys = _distinguish(series, names)
    rows = [(name, [dot for dots in shown.values() for dot in dots if dot.label == name]) for name in names]
    if by_score:
        rows = sorted([*rows, *((dot.label, [dot]) for dot in references)], key=lambda row: -row[1][0].score)
    elif references:
        rows += [(_REFERENCES, []), *((dot.label, [dot]) for dot in references)]
    ticks = [textwrap.wrap(_tick(name), 38) for name, _ in rows]
    row_height = _ROW_INCHES + 0.16 * (max(map(len, ticks)) - 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 1.5 + row_height * len(rows) + _ROW_INCHES * len(keys)), layout="constrained")
        axes = figure.subplots()
        for position, (_, dots) in enumerate(rows):
            for dot in dots:
                add_interval(axes, dot.score, dot.reach, position, dot.look.color, vertical=False)
                axes.plot([100 * dot.score], [position], linestyle="none", **dot.look.marking)
                add_tip(axes, dot.tip, [100 * dot.score], [position])
            if len(dots) == 1:
                axes.annotate(
                    f"{100 * dots[0].score:.1f}", (_end(dots[0]), position), (8, 0), textcoords="offset points",
                    va="center_baseline", fontsize=LABEL_SIZE,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), ["\n".join(lines) for lines in ticks])
        for label, (name, dots) in zip(axes.get_yticklabels(), rows, strict=True):
            if name == _REFERENCES and not dots:
                label.set_color(FAINT)
                label.set_fontsize(LABEL_SIZE)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        axes.set_xlabel("average score")
        if axis:
            axes.set_title(f"distilled, by {axis}", loc="left", fontsize=10)
        if keys:
            handles = [
                axes.plot([], [], linestyle="none", label=name, **look.marking)[0] for name, look in keys.items()
            ]
            figure.legend(handles=handles, loc="outside upper left", frameon=False, fontsize=LABEL_SIZE)
        add_caption(figure, caption)
    return figure


def _end(dot: Dot) -> float:
    """Return the upper end of a score's interval, x 100."""
    return 100 * (dot.score if math.isnan(dot.reach) else dot.score + dot.reach)


def _distinguish(
    series: Mapping[str, Sequence[Dot]], names: Sequence[str]
) -> tuple[dict[str, list[Dot]], dict[str, Look]]:
    """Return dots that differ within each row, and the legend look of each series (none for a single series)."""
    shown = {label: list(dots) for label, dots in series.items()}
    if len(series) == 1:
        return shown, {}
    rows = [[dot.look for dots in series.values() for dot in dots if dot.label == name] for name in names]
    if any(len(set(row)) < len(row) for row in rows):
        looks = apart(dots[0].look for dots in series.values())
        shown = {
            label: [replace(dot, look=look) for dot in dots]
            for (label, dots), look in zip(shown.items(), looks, strict=True)
        }
    return shown, {label: _common([dot.look for dot in dots]) for label, dots in shown.items()}


def _common(looks: Sequence[Look]) -> Look:
    """Return what a series looks like in every row; what depends on the row does not identify it."""
    first = looks[0]
    return replace(
        first,
        color=first.color if len({look.color for look in looks}) == 1 else FAINT,
        marker=first.marker if len({look.marker for look in looks}) == 1 else "o",
        hollow=all(look.hollow for look in looks),
    )


def ranked(dots: Sequence[Dot], references: Sequence[Dot], *, caption: str, at_most: int = 40) -> Figure:
    """Plot the models of a sweep over several settings, one per row, sorted by score.

    Args:
        dots: the variants.
        references: models to compare with.
        caption: small print under the plot.
        at_most: maximum number of variants to show; the best ones are kept.
    """
    best = sorted(dots, key=lambda dot: -dot.score)[:at_most]
    omission = f"\nthe {at_most} best of {len(dots)} variants" if len(dots) > at_most else ""
    return _rows({"": best}, references, axis="", caption=caption + omission, by_score=True)
