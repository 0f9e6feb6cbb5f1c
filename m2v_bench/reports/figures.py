"""Write figures as SVG and PNG, reproducible byte for byte, with a caption below.

The vector format is SVG rather than PDF because browsers and repository pages display it, reports can inline it, and
its text remains text. To get a PDF, convert it with `rsvg-convert -f pdf` or Inkscape.
"""

import io
import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from m2v_bench.reports.style import FAINT, STYLE

LABEL_SIZE = 8.5  # points, for names and numbers in the plot
_CAPTION_SIZE, _CAPTION_LETTERS = 6.5, 148


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.svg` and `<stem>.png` without dates, so the same figure gives the same bytes.

    Returns:
        Paths of the SVG and the PNG.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, vector = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    vector.write_text(svg(figure), encoding="utf-8")
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, metadata={"Software": None})
    return [vector, png]


def svg(figure: Figure) -> str:
    """Return the figure as the text of an SVG file."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def add_caption(figure: Figure, caption: str) -> None:
    """Add a caption in small print under the plot, wrapped to its width."""
    lines = [line for part in caption.split("\n") for line in textwrap.wrap(part, _CAPTION_LETTERS)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_CAPTION_SIZE, color=FAINT)
