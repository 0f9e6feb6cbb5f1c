"""Plot the variants of a sweep over several settings: a row per value of one, a panel per value of another."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import product

import matplotlib
from matplotlib.figure import Figure

from m2v_bench.reports.figures import LABEL_SIZE, add_caption, add_interval, add_tip
from m2v_bench.reports.plots import Dot
from m2v_bench.reports.style import PALETTE, STYLE, Look

_MOST_KINDS, _MOST_PANELS, _MOST_ROWS = len(PALETTE), 4, 16
_MOST_LETTERS = 46  # of a key in a legend of two columns
_ROW_INCHES = 0.16  # height per dot of a row

Cell = tuple[str, str, str]
"""Panel, row and kind of a variant."""


def arrange(values: Mapping[str, Sequence[str]]) -> tuple[str, str | None, list[str]] | None:
    """Choose the settings of rows and panels; the others decide the kind of a dot.

    Args:
        values: of each setting that differs, in the order of the sweep.

    Returns:
        The setting of the rows, that of the panels (None for a single one) and the others; None where there are too
        many values to draw.
    """
    names = sorted(values, key=lambda name: -len(values[name]))
    rows, *others = names
    panels = None
    if math.prod(len(values[name]) for name in others) > _MOST_KINDS // 2 and len(others) > 1:
        panels, *others = others
    fits = len(values[rows]) <= _MOST_ROWS and math.prod(len(values[name]) for name in others) <= _MOST_KINDS
    if not fits or (panels is not None and len(values[panels]) > _MOST_PANELS):
        return None
    return rows, panels, others


def factor_figure(
    dots: Mapping[Cell, Dot], *, rows: str, titles: Mapping[str, str], caption: str, best: Dot | None = None
) -> Figure:
    """Draw the variants of a sweep over several settings.

    Args:
        dots: by panel, row and kind.
        rows: title of the setting of the rows.
        titles: above each panel, in their order.
        caption: small print under the plot.
        best: the variant to name in the caption.
    """
    values, kinds = (list(dict.fromkeys(cell[place] for cell in dots)) for place in (1, 2))
    looks = {kind: Look(*PALETTE[number], rank=1) for number, kind in enumerate(kinds)}
    step = 0.7 / max(1, len(kinds) - 1)
    n_columns = 2 if max(map(len, kinds)) <= _MOST_LETTERS else 1
    height = 1.6 + len(values) * max(0.34, _ROW_INCHES * len(kinds)) + 0.2 * math.ceil(len(kinds) / n_columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(STYLE["figure.figsize"][0], height), layout="constrained")
        grid = figure.subplots(1, len(titles), sharex=True, sharey=True, squeeze=False)[0]
        for (panel, title), axes in zip(titles.items(), grid, strict=True):
            for (row, value), (number, kind) in product(enumerate(values), enumerate(kinds)):
                if (dot := dots.get((panel, value, kind))) is None:
                    continue
                y = row if len(kinds) == 1 else row - 0.35 + number * step
                add_interval(axes, dot.score, dot.reach, y, looks[kind].color, vertical=False)
                axes.plot([100 * dot.score], [y], linestyle="none", **{**looks[kind].marking, "markersize": 5.5})
                add_tip(axes, dot.tip, [100 * dot.score], [y])
            axes.set_title("\n".join(textwrap.wrap(title, 72 // len(titles))), fontsize=LABEL_SIZE)
            axes.set_yticks(range(len(values)), ["\n".join(textwrap.wrap(value, 24)) for value in values])
            axes.tick_params(axis="y", length=0)
            axes.tick_params(labelsize=LABEL_SIZE)
            axes.grid(visible=False, axis="y")
            for edge in range(1, len(values)):
                axes.axhline(edge - 0.5, color=STYLE["grid.color"], linewidth=0.8)
            axes.set_ylim(len(values) - 0.5, -0.5)
            axes.margins(x=0.08)
            axes.set_xlabel("average score", fontsize=LABEL_SIZE)
        grid[0].set_ylabel(rows)
        if len(kinds) > 1:
            handles = [grid[0].plot([], [], linestyle="none", label=kind, **looks[kind].marking)[0] for kind in kinds]
            figure.legend(
                handles=handles, loc="outside upper left", ncols=n_columns, frameon=False, fontsize=LABEL_SIZE
            )
        if best is not None:
            caption = f"best: {best.label} {100 * best.score:.1f}\n{caption}"
        add_caption(figure, caption)
    return figure
