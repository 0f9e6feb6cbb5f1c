"""Figures of scores: against a swept setting, and in their order."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from m2v_bench.reports.figures import LABEL_SIZE, add_caption
from m2v_bench.reports.style import FAINT, PAPER, STYLE, Look, apart

_ROW_INCHES = 0.27  # of a figure with a row per model
_LINE_INCHES = LABEL_SIZE * 1.35 / 72  # of a name's line
_APART = "compared with"


@dataclass(frozen=True)
class Dot:
    """One model in a figure.

    Attributes:
        label: what it is called there; in a series, the value of the swept setting.
        score: average score, 0 to 1.
        look: of its model.
    """

    label: str
    score: float
    look: Look


def score_figure(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str) -> Figure:
    """Score of the variants of a sweep against the swept setting, beside reference models.

    Along numbers it is a curve per series, the references as level lines; values that are no numbers stand apart at
    the right, as no line leads to them. Where fewer than two values are numbers, or more than two are none, there is a
    row per value and no line.

    Args:
        series: per curve, the variants by value of the swept setting, in the order of the sweep.
        references: the models they are compared with.
        axis: name of the swept setting.
        caption: small print under the plot.
    """
    references = sorted(references, key=lambda dot: dot.look.rank)
    draw = _curves if is_curve(_values(series)) else _rows
    return draw(series, references, axis=axis, caption=caption)


def _values(series: Mapping[str, Sequence[Dot]]) -> list[str]:
    """The values of the swept setting, in the order of the sweep."""
    return list(dict.fromkeys(dot.label for dots in series.values() for dot in dots))


def is_curve(names: Sequence[str]) -> bool:
    """Whether values of a setting are drawn along an axis: at least two are numbers, and at most two are none."""
    n_numbers = sum(_number(name) is not None for name in names)
    return n_numbers >= 2 and len(names) - n_numbers <= 2


def _number(name: str) -> float | None:
    """The name as a number that a logarithmic axis can show, or None."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _places(names: Sequence[str]) -> tuple[dict[str, float], set[str]]:
    """Where the values stand on an axis of powers of two, and which of them are names."""
    numbers = {name: value for name in names if (value := _number(name)) is not None}
    low, high = min(numbers.values()), max(numbers.values())
    step = max(1.6, (high / low) ** 0.12)
    words = [name for name in names if name not in numbers]
    return {**numbers, **{name: high * step ** (place + 1) for place, name in enumerate(words)}}, set(words)


def _curves(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str) -> Figure:
    looks = looks_of(series, references)
    lines = sum(len(_wrapped(name)) for name in [*series, *(dot.label for dot in references)])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, max(4.4, 1.3 + lines * _LINE_INCHES)), layout="constrained")
        axes = figure.subplots()
        places = draw_lines(axes, series, references, looks)
        last = [max(dots, key=lambda dot: places[dot.label]) for dots in series.values()]
        if len(series) == 1:
            _write_scores(axes, next(iter(series.values())), places)
        axes.margins(x=0.06, y=0.08)
        axes.set_xlabel(axis)
        axes.set_ylabel("average score")
        add_caption(figure, caption)
        named = zip([*series, *(dot.label for dot in references)], [*last, *references], looks, strict=True)
        _name_ends(figure, axes, [(name, 100 * dot.score, look) for name, dot, look in named])
    return figure


def looks_of(series: Mapping[str, Sequence[Dot]], references: Sequence[Dot]) -> list[Look]:
    """Of the curves and then of the reference models, told apart where they would be the same."""
    return apart([dots[0].look for dots in series.values()] + [dot.look for dot in references])


def draw_lines(
    axes: Any, series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], looks: Sequence[Look]
) -> dict[str, float]:
    """Draw a curve per series and a level line per reference model over a logarithmic axis with a tick per value.

    Returns:
        Where each value stands.
    """
    places, words = _places(names := _values(series))
    axes.set_xscale("log", base=2)
    for dots, look in zip(series.values(), looks, strict=False):
        _draw_curve(axes, sorted(dots, key=lambda dot: places[dot.label]), look, places, words)
    for dot, look in zip(references, looks[len(series) :], strict=True):
        axes.axhline(100 * dot.score, color=look.colour, linestyle=look.dash, linewidth=1.4)
    axes.set_xticks([places[name] for name in names], [_tick(name) for name in names])
    axes.minorticks_off()
    return places


def _draw_curve(axes: Any, dots: Sequence[Dot], look: Look, places: Mapping[str, float], words: set[str]) -> None:
    """A marker per dot, and a line through those whose values are numbers."""
    for is_word, dash in ((False, look.dash), (True, "none")):
        own = [dot for dot in dots if (dot.label in words) == is_word]
        xs, ys = [places[dot.label] for dot in own], [100 * dot.score for dot in own]
        axes.plot(xs, ys, linestyle=dash, **look.marking)


def _write_scores(axes: Any, dots: Sequence[Dot], places: Mapping[str, float]) -> None:
    for dot in dots:
        axes.annotate(
            f"{100 * dot.score:.1f}", (places[dot.label], 100 * dot.score), (0, 8), textcoords="offset points",
            ha="center", fontsize=LABEL_SIZE, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
        )  # fmt: skip


def _tick(name: str) -> str:
    """Thousands as `k`, so that large sizes do not touch."""
    return f"{int(name) // 1000}k" if name.isdecimal() and int(name) >= 1000 and int(name) % 1000 == 0 else name


def _name_ends(figure: Figure, axes: Any, ends: Sequence[tuple[str, float, Look]]) -> None:
    """Write beside the plot what each line is, at the height where it ends, moved where names would touch.

    Args:
        figure: which holds the axes.
        axes: which holds the lines.
        ends: per line its name, the height of its end and its look.
    """
    names = [_wrapped(name) for name, *_ in ends]
    texts = [
        axes.annotate(
            "\n".join(name), (1, y), (14, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=LABEL_SIZE, annotation_clip=False,
        )
        for name, (_, y, _) in zip(names, ends, strict=True)
    ]  # fmt: skip
    figure.draw_without_rendering()  # the layout now has room for the names
    heights = [axes.transData.transform((1, y))[1] for _, y, _ in ends]
    sizes = [_LINE_INCHES * figure.dpi * len(name) for name in names]
    frame = axes.get_window_extent()
    placed = spread(heights, sizes, frame.y0, frame.y1)
    for text, (_, _, look), at, wanted in zip(texts, ends, heights, placed, strict=True):
        shift = (wanted - at) * 72 / figure.dpi
        text.set_position((14, shift))
        axes.annotate(
            "", (1, text.xy[1]), (12, shift), ("axes fraction", "data"), "offset points", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.colour, "linestyle": look.dash, "linewidth": 1.4,
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _wrapped(name: str) -> list[str]:
    return textwrap.wrap(name, 26, break_long_words=False) or [""]


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Middles of stacked boxes, as near to where they are wanted as they can be without touching.

    Args:
        wanted: where each box would be in the middle.
        sizes: their heights.
        low, high: between which they stay, where they fit.
    """
    groups: list[tuple[list[int], float]] = []  # boxes that touch, lowest first, and the lower end of the lowest
    for index in sorted(range(len(wanted)), key=lambda each: wanted[each]):
        members: list[int] = []
        start = -math.inf
        groups.append(([index], wanted[index] - sizes[index] / 2))
        while groups and (not members or groups[-1][1] + sum(sizes[each] for each in groups[-1][0]) > start):
            members = [*groups.pop()[0], *members]
            height = sum(sizes[each] for each in members)
            below = [sum(sizes[each] for each in members[:place]) for place in range(len(members))]
            middle = sum(
                wanted[each] - sizes[each] / 2 - rest for each, rest in zip(members, below, strict=True)
            ) / len(members)
            start = max(low, min(middle, high - height))
        groups.append((members, start))
    middles = [0.0] * len(wanted)
    for members, start in groups:
        for place, each in enumerate(members):
            middles[each] = start + sum(sizes[other] for other in members[:place]) + sizes[each] / 2
    return middles


def _rows(
    series: Mapping[str, Sequence[Dot]], references: Sequence[Dot], *, axis: str, caption: str, by_score: bool = False
) -> Figure:
    """A row per value of the setting and one per reference model, a dot at the score of each."""
    names = _values(series)
    shown, keys = _told_apart(series, names)
    rows = [(name, [dot for dots in shown.values() for dot in dots if dot.label == name]) for name in names]
    if by_score:
        rows = sorted([*rows, *((dot.label, [dot]) for dot in references)], key=lambda row: -row[1][0].score)
    elif references:
        rows += [(_APART, []), *((dot.label, [dot]) for dot in references)]
    ticks = [textwrap.wrap(_tick(name), 38) for name, _ in rows]
    row = _ROW_INCHES + 0.16 * (max(map(len, ticks)) - 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 1.5 + row * len(rows) + _ROW_INCHES * len(keys)), layout="constrained")
        axes = figure.subplots()
        for place, (_, dots) in enumerate(rows):
            for dot in dots:
                axes.plot([100 * dot.score], [place], linestyle="none", **dot.look.marking)
            if len(dots) == 1:
                axes.annotate(
                    f"{100 * dots[0].score:.1f}", (100 * dots[0].score, place), (8, 0), textcoords="offset points",
                    va="center_baseline", fontsize=LABEL_SIZE,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), ["\n".join(lines) for lines in ticks])
        for label, (name, dots) in zip(axes.get_yticklabels(), rows, strict=True):
            if name == _APART and not dots:
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


def _told_apart(
    series: Mapping[str, Sequence[Dot]], names: Sequence[str]
) -> tuple[dict[str, list[Dot]], dict[str, Look]]:
    """The dots, so that those of a row differ, and what a legend says of each series; nothing of a single one."""
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
    # where a colour tells of the row, it says nothing of the series
    keys = {
        label: dots[0].look if len({dot.look for dot in dots}) == 1 else replace(dots[0].look, colour=FAINT)
        for label, dots in shown.items()
    }
    return shown, keys


def ranked(dots: Sequence[Dot], references: Sequence[Dot], *, caption: str, at_most: int = 40) -> Figure:
    """The models of a sweep over several settings in the order of their scores, a row each.

    Args:
        dots: the variants.
        references: the models they are compared with.
        caption: small print under the plot.
        at_most: how many of the variants are shown, the best ones.
    """
    best = sorted(dots, key=lambda dot: -dot.score)[:at_most]
    left = f"\nthe {at_most} best of {len(dots)} variants" if len(dots) > at_most else ""
    return _rows({"": best}, references, axis="", caption=caption + left, by_score=True)
