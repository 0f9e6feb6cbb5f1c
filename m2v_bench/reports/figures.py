"""Write figures as SVG and PNG, reproducible byte for byte, with a caption below and tooltips.

The vector format is SVG rather than PDF because browsers and repository pages display it, reports can inline it, and
its text remains text. To get a PDF, convert it with `rsvg-convert -f pdf` or Inkscape.
"""

import io
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from m2v_bench.reports.style import FAINT, PAPER, STYLE

LABEL_SIZE = 8.5  # points, for names and numbers in the plot
_CAPTION_SIZE, _CAPTION_LETTERS = 6.5, 148
_TIP = "tip: "  # begins the id of an artist whose text the pointer shows
_TARGET = 17.0  # points, the diameter of the area in which a mark shows its tooltip


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.svg` and `<stem>.png` without dates, so the same figure gives the same bytes.

    Returns:
        Paths of the SVG and the PNG.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, vector = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    vector.write_text(svg(figure), encoding="utf-8")
    pixels = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(pixels, format="png", metadata={"Software": None})
    # lines and text in few colours: a palette makes the file a third as large
    with Image.open(pixels) as image:
        image.convert("RGB").quantize(dither=Image.Dither.NONE).save(png, optimize=True, dpi=image.info["dpi"])
    return [vector, png]


def svg(figure: Figure) -> str:
    """Return the figure as the text of an SVG file."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(
        rf"<g id=([\"']){_TIP}(.*?)\1>", r'<g class="tip"><title>\2</title>', buffer.getvalue(), flags=re.DOTALL
    )


def add_interval(axes: Any, score: float, reach: float, place: float, color: str, *, vertical: bool) -> None:
    """Draw the confidence interval of a score.

    Args:
        axes: matplotlib axes with scores x 100.
        score: 0 to 1.
        reach: half the width of the interval; nothing is drawn where it is NaN.
        place: position on the other axis.
        color: of the line.
        vertical: whether the scores are on the vertical axis.
    """
    if math.isnan(reach):
        return
    ends, places = [100 * (score - reach), 100 * (score + reach)], [place, place]
    xs, ys = (places, ends) if vertical else (ends, places)
    axes.plot(xs, ys, color=color, linewidth=1, solid_capstyle="butt")


def add_tip(axes: Any, text: str, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Add a tooltip to a point, or to the horizontal line through two points.

    Args:
        axes: matplotlib axes.
        text: one line; nothing is added for an empty one.
        xs, ys: data coordinates of the point; for a line, fractions of the axes' width and data coordinates.
    """
    if not text:
        return
    look: Any = {"color": PAPER, "alpha": 0, "gid": _TIP + text, "label": "_tip"}
    if len(xs) == 1:
        axes.plot(xs, ys, linestyle="none", marker="o", markersize=_TARGET, zorder=6, **look)
    else:
        axes.axhline(ys[0], xs[0], xs[1], linewidth=_TARGET / 2, zorder=5, **look)


def add_caption(figure: Figure, caption: str) -> None:
    """Add a caption in small print under the plot, wrapped to its width."""
    lines = [line for part in caption.split("\n") for line in textwrap.wrap(part, _CAPTION_LETTERS)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_CAPTION_SIZE, color=FAINT)
