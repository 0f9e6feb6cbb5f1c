"""Plot a sweep over a numeric setting, with one panel per task type."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from m2v_bench.reports.figures import LABEL_SIZE, add_caption
from m2v_bench.reports.plots import Dot, draw_lines, looks_of
from m2v_bench.reports.style import STYLE, Look

_COLUMNS = 3

Panel = tuple[Mapping[str, Sequence[Dot]], Sequence[Dot]]
"""Series and reference models, as `plots.score_figure` takes them."""


def type_figure(panels: Mapping[str, Panel], *, axis: str, caption: str) -> Figure:
    """Draw one plot per task type, with separate score axes because score ranges differ between types.

    Args:
        panels: one or more, keyed by title; all have the same series and reference models in the same order.
        axis: name of the swept setting.
        caption: small print under the plots.
    """
    series, references = next(iter(panels.values()))
    looks = looks_of(series, references)
    n_rows, n_columns = math.ceil(len(panels) / _COLUMNS), min(_COLUMNS, len(panels))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(STYLE["figure.figsize"][0], 1.3 + 1.75 * n_rows), layout="constrained")
        grid = figure.subplots(n_rows, n_columns, sharex=True, squeeze=False).ravel()
        for axes, (title, panel) in zip(grid, panels.items(), strict=False):
            draw_lines(axes, *panel, looks)
            axes.set_title(title, fontsize=10)
            axes.tick_params(axis="x", rotation=90, labelbottom=True)
            axes.tick_params(labelsize=LABEL_SIZE)
        for axes in grid[len(panels) - n_columns : len(panels)]:  # the lowest panel of each column
            axes.set_xlabel(axis, fontsize=LABEL_SIZE)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        handles = _keys(series, references, looks)
        figure.legend(handles=handles, loc="outside upper left", ncols=_COLUMNS, fontsize=LABEL_SIZE, frameon=False)
        figure.supylabel("average score", fontsize=10)
        add_caption(figure, caption)
    return figure


def _keys(series: Mapping[str, Any], references: Sequence[Dot], looks: Sequence[Look]) -> list[Line2D]:
    """Return the legend handles: a line with markers per curve, a plain line per reference model."""
    curves = [
        Line2D([], [], linestyle=look.dash, label=name, **look.marking)
        for name, look in zip(series, looks, strict=False)
    ]
    reference_looks = zip(references, looks[len(series) :], strict=True)
    return curves + [
        Line2D([], [], color=look.color, linestyle=look.dash, linewidth=1.4, label=dot.label)
        for dot, look in reference_looks
    ]
