"""Score against speed and size: which models no other dominates, and the figure that shows it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from m2v_bench.reports.figures import LABEL_SIZE, add_caption
from m2v_bench.reports.style import FAINT, INK, PAPER, STYLE, Look

_AREA = 30.0  # square points of a circle per million parameters
_LARGEST = 4000.0
_NAMED = 14  # models; of more, those that are dominated stay without a name
_SCALE = (1e6, 1e7, 1e8)
_LINE, _SPREAD = "domination", "spread"


@dataclass(frozen=True)
class Point:
    """A model's score, speed and size.

    Attributes:
        label: its name in the figure.
        look: of its model.
        score: average score, 0 to 1.
        texts_per_second: on one thread.
        n_parameters: numbers in its table, or weights of a transformer.
        spread: texts per second of its slowest and its fastest round.
        own: whether it was distilled here, rather than being there to be compared with.
    """

    label: str
    look: Look
    score: float
    texts_per_second: float
    n_parameters: int
    spread: tuple[float, float]
    own: bool = False


def undominated(points: Sequence[Point]) -> list[Point]:
    """The points that no other dominates, fastest first.

    One dominates another that scores no higher and is slower beyond the spread: by its fastest round than the one by
    its slowest.
    """

    def dominated(one: Point) -> bool:
        return any(other.score >= one.score and other.spread[0] > one.spread[1] for other in points)

    return sorted((each for each in points if not dominated(each)), key=lambda each: -each.texts_per_second)


def speed_figure(points: Sequence[Point], *, texts: str, caption: str, comparable: bool = True) -> Figure:
    """The paper's plot: score against speed, circle area by number of parameters, and the line of domination.

    A bar spans the rounds of each model. A model whose bar is left of the line, and that is below it, is dominated:
    another one is faster beyond the spread and scores as well, or better.

    Args:
        points: the models; of those with a NaN score nothing is shown.
        texts: how long the texts are, for the axis.
        caption: small print under the plot: suite, machine, versions.
        comparable: whether the models were timed together; without that there is no line.
    """
    points = [each for each in points if not math.isnan(each.score)]
    best = undominated(points) if comparable else list(points)
    unit = min(_AREA, _LARGEST / max(1.0, *(each.n_parameters / 1e6 for each in points)))
    named = [each for each in points if len(points) <= _NAMED or each in best or not each.own]
    if len(named) < len(points):
        caption += f"\n{len(points) - len(named)} distilled models that another one dominates stand without a name"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.8), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        for number, each in enumerate(sorted(points, key=lambda each: -each.n_parameters), start=1):
            at = [each.texts_per_second], [100 * each.score]
            axes.scatter(*at, s=_area(each, unit), color=each.look.colour, alpha=0.35, linewidths=0)
            axes.scatter(*at, s=_area(each, unit), facecolors="none", edgecolors=each.look.colour, linewidths=0.9)
            bar = axes.plot(each.spread, [100 * each.score] * 2, color=each.look.colour, linewidth=1.4)[0]
            bar.set_gid(f"{_SPREAD}_{number}")  # becomes an id of the SVG
            axes.plot(*at, linestyle="none", **{**each.look.marking, "markersize": 5.5})
        axes.margins(x=0.1, y=0.2)
        axes.autoscale_view()
        left, right = axes.get_xlim()
        axes.set_xlim(left, right * (right / left) ** 0.15)  # names stand at the right
        if comparable:
            _staircase(axes, best)
        if max(each.texts_per_second for each in points) < 10 * min(each.texts_per_second for each in points):
            axes.xaxis.set_major_locator(MaxNLocator(5))  # less than a power of ten has one tick or none
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.set_xlabel(f"texts per second, one CPU thread, {texts} (log scale)")
        axes.set_ylabel("average score")
        _size_legend(figure, axes, unit, max(each.n_parameters for each in points), line=comparable)
        add_caption(figure, caption)
        _name_points(figure, axes, named, points, unit)
    return figure


def _area(point: Point, unit: float) -> float:
    """Area of a model's circle in square points, of which there are `unit` per million parameters."""
    return unit * point.n_parameters / 1e6


def _staircase(axes: Any, best: Sequence[Point]) -> None:
    """The border of what the best points dominate: left of their slowest rounds, and not above their scores."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    xs: list[float] = []
    ys: list[float] = []
    height = bottom  # at the speed of each, up from the highest score of the faster ones
    for each in sorted(best, key=lambda each: -each.spread[0]):
        if 100 * each.score > height:
            xs += [each.spread[0], each.spread[0]]
            ys += [height, 100 * each.score]
            height = 100 * each.score
    axes.plot([*xs, left], [*ys, height], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1, gid=_LINE)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _size_legend(figure: Figure, axes: Any, unit: float, largest: int, *, line: bool) -> None:
    sizes = [size for size in _SCALE if size <= 2 * largest] or [_SCALE[0]]
    handles = [
        axes.scatter([], [], s=unit * size / 1e6, facecolors="none", edgecolors=FAINT, label=f"{size / 1e6:.0f} M")
        for size in sizes
    ]
    if line:
        handles += axes.plot([], [], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="dominated")
    figure.legend(
        handles=handles, title=None, loc="outside upper left", ncols=len(handles), frameon=False,
        fontsize=LABEL_SIZE, handletextpad=0.6, columnspacing=1.6, borderaxespad=0.2,
        labels=[*(f"{size / 1e6:.0f} M parameters" for size in sizes), *(["below and left: dominated"] * line)],
    )  # fmt: skip


Box = tuple[float, float, float, float]
"""Left, lower, right and upper end, in pixels."""


def _name_points(figure: Figure, axes: Any, named: Sequence[Point], points: Sequence[Point], unit: float) -> None:
    """Write each model's name where it covers least of the other names, circles, the line and the edge."""
    figure.draw_without_rendering()
    scale, frame = figure.dpi / 72, axes.get_window_extent()
    centres = {id(each): axes.transData.transform((each.texts_per_second, 100 * each.score)) for each in points}
    radii = {id(each): scale * math.sqrt(_area(each, unit) / math.pi) for each in points}
    edge = (frame.x0, frame.y0, frame.x1, frame.y1)
    taken = _steps(axes)
    for each in sorted(named, key=lambda each: -each.n_parameters):
        at = (each.texts_per_second, 100 * each.score)
        text = axes.annotate(
            each.label, at, (0, 0), textcoords="offset points",
            fontsize=LABEL_SIZE, color=INK, ha="center", va="center", zorder=5,
        )  # fmt: skip
        text.set_in_layout(False)
        own = text.get_window_extent()
        others = [
            _square(centres[id(other)], max(6 * scale, 0.85 * radii[id(other)]), 2 * scale * (other is not each))
            for other in points
        ]
        best = math.inf
        for far in (1.0, 2.0, 3.5, 5.5):
            for number, (right, up) in enumerate(_DIRECTIONS):
                dx = right * (radii[id(each)] + 4 * scale * far + own.width / 2)
                dy = up * (radii[id(each)] + 4 * scale * far + own.height / 2)
                x, y = centres[id(each)] + (dx, dy)
                box = (x - own.width / 2, y - own.height / 2, x + own.width / 2, y + own.height / 2)
                cost = 6 * sum(_common(box, other) for other in taken) + sum(_common(box, other) for other in others)
                cost += 20 * (own.width * own.height - _common(box, edge)) + 40 * scale * far + 8 * number
                if cost < best:
                    best, place, shift, line = cost, box, (dx / scale, dy / scale), far > 1
        text.set_position(shift)
        if line:
            axes.annotate(
                "", at, shift, textcoords="offset points", zorder=4,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3},
            )  # fmt: skip
        text.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
        taken.append(place)


# right, left, above, below, then the corners
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.9, 0.9), (-0.9, 0.9), (0.9, -0.9), (-0.9, -0.9))


def _square(centre: Any, radius: float, more: float) -> Box:
    reach = radius + more
    return centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach


def _steps(axes: Any) -> list[Box]:
    """The parts of the line of domination, as thin boxes."""
    line = next((line for line in axes.lines if line.get_gid() == _LINE), None)
    ends = [] if line is None else axes.transData.transform(line.get_xydata())
    return [
        (min(one[0], two[0]) - 1, min(one[1], two[1]) - 1, max(one[0], two[0]) + 1, max(one[1], two[1]) + 1)
        for one, two in itertools.pairwise(ends)
    ]


def _common(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
