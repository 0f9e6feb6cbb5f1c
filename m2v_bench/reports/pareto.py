"""Find the models that no other dominates in score and speed, and plot score against speed and size."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from m2v_bench.reports.figures import LABEL_SIZE, add_caption, add_interval, add_tip
from m2v_bench.reports.style import FAINT, INK, PAPER, STYLE, Look

_AREA = 30.0  # square points of a circle per million parameters
_LARGEST = 4000.0  # square points of the largest circle
_MAX_NAMED = 14  # with more models than this, dominated distilled models are not labeled
_SCALE = (1e6, 1e7, 1e8)
_LINE, _SPREAD = "domination", "spread"


@dataclass(frozen=True)
class Point:
    """A model's score, speed and size.

    Attributes:
        label: name in the figure.
        look: appearance of the model.
        score: average score, 0 to 1.
        texts_per_second: speed on one thread.
        n_parameters: number of values in its embedding table, or of a transformer's weights.
        spread: texts per second in its slowest and its fastest round.
        is_student: whether it was distilled here rather than being a reference model.
        reach: half the width of the score's confidence interval; NaN where it is unknown.
        tip: its tooltip.
    """

    label: str
    look: Look
    score: float
    texts_per_second: float
    n_parameters: int
    spread: tuple[float, float]
    is_student: bool = False
    reach: float = math.nan
    tip: str = ""


def undominated(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other dominates, fastest first.

    A point dominates another that scores no higher and whose fastest round is slower than its slowest one.
    """

    def dominated(one: Point) -> bool:
        return any(other.score >= one.score and other.spread[0] > one.spread[1] for other in points)

    return sorted((point for point in points if not dominated(point)), key=lambda point: -point.texts_per_second)


def speed_figure(points: Sequence[Point], *, texts: str, caption: str, comparable: bool = True) -> Figure:
    """Draw the paper's plot: score against speed, circle area by number of parameters, and the Pareto front.

    A horizontal bar spans the rounds of each model, a vertical one the confidence interval of its score, where it is
    known. A model is dominated if its whole horizontal bar lies to the left of the front and below
    it: another model is faster in all rounds and scores at least as high.

    Args:
        points: the models; those with a NaN score are not shown.
        texts: description of the texts' length, for the axis.
        caption: small print under the plot: suite, machine, versions.
        comparable: whether the models were timed together; otherwise no front is drawn.
    """
    points = [point for point in points if not math.isnan(point.score)]
    best = undominated(points) if comparable else list(points)
    unit = min(_AREA, _LARGEST / max(1.0, *(point.n_parameters / 1e6 for point in points)))
    named = [point for point in points if len(points) <= _MAX_NAMED or point in best or not point.is_student]
    if len(named) < len(points):
        caption += f"\n{len(points) - len(named)} distilled models that another one dominates stand without a name"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.8), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        for number, point in enumerate(sorted(points, key=lambda point: -point.n_parameters), start=1):
            at = [point.texts_per_second], [100 * point.score]
            color = point.look.color
            axes.scatter(*at, s=_area(point, unit), color=color, alpha=0.35, linewidths=0)
            axes.scatter(*at, s=_area(point, unit), facecolors="none", edgecolors=color, linewidths=0.9)
            bar = axes.plot(point.spread, [100 * point.score] * 2, color=color, linewidth=1.4)[0]
            bar.set_gid(f"{_SPREAD}_{number}")  # becomes an id in the SVG
            add_interval(axes, point.score, point.reach, point.texts_per_second, color, vertical=True)
            axes.plot(*at, linestyle="none", **{**point.look.marking, "markersize": 5.5})
            add_tip(axes, point.tip, *at)
        axes.margins(x=0.1, y=0.2)
        axes.autoscale_view()
        left, right = axes.get_xlim()
        axes.set_xlim(left, right * (right / left) ** 0.15)  # room for names on the right
        if comparable:
            _staircase(axes, best)
        if max(point.texts_per_second for point in points) < 10 * min(point.texts_per_second for point in points):
            axes.xaxis.set_major_locator(MaxNLocator(5))  # a range below a power of ten would have at most one tick
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.set_xlabel(f"texts per second, one CPU thread, {texts} (log scale)")
        axes.set_ylabel("average score")
        _size_legend(figure, axes, unit, max(point.n_parameters for point in points), line=comparable)
        add_caption(figure, caption)
        _name_points(figure, axes, named, points, unit)
    return figure


def _area(point: Point, unit: float) -> float:
    """Return the area of a model's circle in square points, with `unit` square points per million parameters."""
    return unit * point.n_parameters / 1e6


def _staircase(axes: Any, best: Sequence[Point]) -> None:
    """Draw the border of the region that the best points dominate: slower than their slowest rounds, not above them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    xs: list[float] = []
    ys: list[float] = []
    height = bottom  # highest score among the faster points
    for point in sorted(best, key=lambda point: -point.spread[0]):
        if 100 * point.score > height:
            xs += [point.spread[0], point.spread[0]]
            ys += [height, 100 * point.score]
            height = 100 * point.score
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
"""Left, bottom, right and top, in pixels."""


def _name_points(figure: Figure, axes: Any, named: Sequence[Point], points: Sequence[Point], unit: float) -> None:
    """Place each model's name to minimize overlap with other names, circles, the front and the edge."""
    figure.draw_without_rendering()
    scale, frame = figure.dpi / 72, axes.get_window_extent()
    centers = {id(point): axes.transData.transform((point.texts_per_second, 100 * point.score)) for point in points}
    radii = {id(point): scale * math.sqrt(_area(point, unit) / math.pi) for point in points}
    edge = (frame.x0, frame.y0, frame.x1, frame.y1)
    taken = _steps(axes)
    for point in sorted(named, key=lambda point: -point.n_parameters):
        at = (point.texts_per_second, 100 * point.score)
        text = axes.annotate(
            point.label, at, (0, 0), textcoords="offset points",
            fontsize=LABEL_SIZE, color=INK, ha="center", va="center", zorder=5,
        )  # fmt: skip
        text.set_in_layout(False)
        size = text.get_window_extent()
        others = [
            _square(centers[id(other)], max(6 * scale, 0.85 * radii[id(other)]), 2 * scale * (other is not point))
            for other in points
        ]
        best = math.inf
        for distance in (1.0, 2.0, 3.5, 5.5):
            for number, (right, up) in enumerate(_DIRECTIONS):
                dx = right * (radii[id(point)] + 4 * scale * distance + size.width / 2)
                dy = up * (radii[id(point)] + 4 * scale * distance + size.height / 2)
                x, y = centers[id(point)] + (dx, dy)
                box = (x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)
                cost = 6 * sum(_overlap(box, other) for other in taken) + sum(_overlap(box, other) for other in others)
                cost += 20 * (size.width * size.height - _overlap(box, edge)) + 40 * scale * distance + 8 * number
                if cost < best:
                    best, chosen, shift, needs_line = cost, box, (dx / scale, dy / scale), distance > 1
        text.set_position(shift)
        if needs_line:
            axes.annotate(
                "", at, shift, textcoords="offset points", zorder=4,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3},
            )  # fmt: skip
        text.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
        taken.append(chosen)


# right, left, above, below, then the corners
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.9, 0.9), (-0.9, 0.9), (0.9, -0.9), (-0.9, -0.9))


def _square(center: Any, radius: float, margin: float) -> Box:
    reach = radius + margin
    return center[0] - reach, center[1] - reach, center[0] + reach, center[1] + reach


def _steps(axes: Any) -> list[Box]:
    """Return the segments of the front as thin boxes."""
    line = next((line for line in axes.lines if line.get_gid() == _LINE), None)
    ends = [] if line is None else axes.transData.transform(line.get_xydata())
    return [
        (min(one[0], two[0]) - 1, min(one[1], two[1]) - 1, max(one[0], two[0]) + 1, max(one[1], two[1]) + 1)
        for one, two in itertools.pairwise(ends)
    ]


def _overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
