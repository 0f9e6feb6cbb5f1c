"""Render a document of text, tables, figures and commands as a self-contained HTML page or as Markdown."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from m2v_bench.reports.figures import svg
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.style import DARK

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """A figure, its alternative text (`shows`) and the suffix of its file names (`ending`)."""

    figure: Figure
    shows: str
    ending: str


@dataclass(frozen=True)
class Code:
    """Commands to type."""

    text: str


Block: TypeAlias = str | Grid | Picture | Code


@dataclass(frozen=True)
class Section:
    """A section of a document; a folded one starts collapsed on screen and is expanded in print."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False

    @property
    def id(self) -> str:
        """Anchor of the section."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Document:
    """A title, sentences that say what came out, short facts as (name, text), and sections."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=tuple)
    lead: Sequence[str] = ()


def to_html(document: Document) -> str:
    """Render the document as one HTML page with inline styles, script and figures; it loads nothing else."""
    parts = {name: template_text(f"report.{name}") for name in ("css", "js")}
    return template("report.html").render(document=document, dark=DARK, **parts)


def template(name: str) -> Template:
    """Return a template of a page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.tests |= {
        "grid": lambda block: isinstance(block, Grid),
        "picture": lambda block: isinstance(block, Picture),
        "code": lambda block: isinstance(block, Code),
    }
    environment.globals |= {"numeric": _numeric, "number_of": _number, "inline": _inline}
    return environment.get_template(name)


def template_text(name: str) -> Markup:
    """Return a style sheet or a script, for inclusion in a page."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _numeric(grid: Grid) -> list[bool]:
    """Return whether each column holds only numbers, apart from dashes and empty cells."""
    columns = [[row[column] for row in grid.rows] for column in range(len(grid.columns))]
    return [
        any(column) and all(_number(text) is not None or text.startswith("-") or not text for text in column)
        for column in columns
    ]


# matches the value in `60.15 (9/9)`, `+0.09*`, `<0.0001`; does not match revisions or `16d`
_NUMBER = re.compile(r"<?([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?=[\s(†*%/]|$)")


def _number(text: str) -> float | None:
    """Return the number that a text begins with, or None."""
    match = _NUMBER.match(text)
    return float(match[1].replace(",", "")) if match else None


def _inline(picture: Picture) -> Markup:
    """Return the figure as inline SVG, with unique ids and the colors of the page's light or dark theme."""
    text = _figure_svg(picture)
    prefix = f"fig{picture.ending}-"
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", text).replace("xlink:href", "href")
    text = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
    for color in DARK:
        text = text.replace(color.lower(), f"var(--c{color[1:].lower()})")
    return Markup(text)


@functools.lru_cache(maxsize=8)
def _figure_svg(picture: Picture) -> str:
    return svg(picture.figure)


def to_markdown(document: Document, stem: str) -> str:
    """Render the document as Markdown; it refers to figure files in the same folder.

    Args:
        document: document to render.
        stem: prefix of the figures' file names.
    """
    lines = [f"# {document.title}", "", *([" ".join(document.lead), ""] if document.lead else [])]
    lines += [*(f"- {name}: {text}" for name, text in document.facts)]
    for section in document.sections:
        lines += ["", f"## {section.title}"]
        for block in section.blocks:
            lines += ["", _markdown(block, stem)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _markdown(block: Block, stem: str) -> str:
    if isinstance(block, Grid):
        return (f"**{block.title}**\n\n" if block.title else "") + block.markdown()
    if isinstance(block, Picture):
        name = f"{stem}{block.ending}"
        return f"[![{block.shows}]({name}.png)]({name}.svg)"
    if isinstance(block, Code):
        return f"```sh\n{block.text}\n```"
    return block
