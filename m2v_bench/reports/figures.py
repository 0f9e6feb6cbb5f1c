"""How every figure is written: as SVG and as PNG, the same bytes for the same numbers, with small print below it.

The vector format is SVG, not PDF: browsers and repository pages show it, the report holds it inline, and the words in
it stay words. `rsvg-convert -f pdf` or Inkscape makes a PDF of it.
"""

import io
import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from m2v_bench.reports.style import FAINT, STYLE

LABEL_SIZE = 8.5  # points, of names and numbers in the plot
_CAPTION_SIZE, _CAPTION_LETTERS = 6.5, 148


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.svg` and `<stem>.png`; the same figure gives the same bytes, as neither holds a date.

    Returns:
        The two files.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, vector = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    vector.write_text(svg(figure), encoding="utf-8")
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, metadata={"Software": None})
    return [vector, png]


def svg(figure: Figure) -> str:
    """The figure as the text of an SVG file."""
    written = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def add_caption(figure: Figure, caption: str) -> None:
    """Write small print under the plot: what its numbers are numbers of."""
    lines = [line for part in caption.split("\n") for line in textwrap.wrap(part, _CAPTION_LETTERS)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_CAPTION_SIZE, color=FAINT)
