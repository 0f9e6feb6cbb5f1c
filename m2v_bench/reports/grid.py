"""Text tables rendered for the terminal or as Markdown, CSV or LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FORMATS = ("terminal", "markdown", "csv", "latex")
Format = Literal["terminal", "markdown", "csv", "latex"]


class Exact(str):
    """A cell that shows a bound, e.g. `<0.0001`, and keeps the exact number for CSV."""

    number: float

    def __new__(cls, text: str, number: float) -> "Exact":
        """Create the text and attach its number."""
        cell = super().__new__(cls, text)
        cell.number = number
        return cell


@dataclass(frozen=True)
class Grid:
    """A text table.

    Attributes:
        columns: header; the first column holds names, the others numbers.
        rows: cells, one per column.
        title: title of the table.
        notes: lines below the table; the last one is the signature.
        bold: (row, column) of the bold cells, counted from 0.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def render(self, style: Format) -> str:
        """Render the table in one of `FORMATS`."""
        return {"terminal": self.terminal, "markdown": self.markdown, "csv": self.csv, "latex": self.latex}[style]()

    def markdown(self) -> str:
        """Render a Markdown table, with the notes as paragraphs below it."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" + "---:|" * (len(self.columns) - 1)]
        for number, row in enumerate(self.rows):
            texts = [text.replace("|", "\\|").replace("\n", "<br>") for text in row]
            cells = [f"**{text}**" if (number, column) in self.bold else text for column, text in enumerate(texts)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", "\n\n".join(self.notes), ""])

    def csv(self) -> str:
        """Render header and rows as CSV, without notes and with plain numbers.

        A cell with several values becomes several columns: `60.33 (9/9)†` in `Avg` becomes 60.33 in `Avg`, 9 in `Avg_n`
        and `Avg_of`, and † in `Avg_mark`; a range goes to `_low` and `_high`; `-` becomes an empty cell.
        """
        names = list(self.columns[:1])
        columns = [[row[0] for row in self.rows]] if names else []
        for position, name in enumerate(self.columns[1:], start=1):
            cells = [_numbers(row[position]) for row in self.rows]
            suffixes = [suffix for suffix in _SUFFIXES if any(suffix in cell for cell in cells)] or [""]
            names += [name + suffix for suffix in suffixes]
            columns += [[cell.get(suffix, "") for cell in cells] for suffix in suffixes]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        return text.getvalue()

    def latex(self) -> str:
        """Render a LaTeX `tabular` with booktabs rules, with the notes in small print below it."""
        lines = [r"\begin{tabular}{l" + "r" * (len(self.columns) - 1) + "}", r"\toprule"]
        lines += [" & ".join(_latex(text) for text in self.columns) + r" \\", r"\midrule"]
        for number, row in enumerate(self.rows):
            texts = [_latex(text) for text in row]
            cells = [
                rf"\textbf{{{text}}}" if (number, column) in self.bold else text for column, text in enumerate(texts)
            ]
            lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par{{\footnotesize {_latex(note)}}}" for note in self.notes]
        return "\n".join([*lines, ""])

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write NAME.md and NAME.csv to a folder and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {folder / f"{name}.md": self.markdown(), folder / f"{name}.csv": self.csv()}
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        return list(files)

    def terminal(self) -> str:
        """Render the table as `show` prints it, without colors and 200 characters wide."""
        from rich.console import Console

        console = Console(width=200, file=io.StringIO())
        console.print(self._rich())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def show(self) -> None:
        """Print the table on the terminal."""
        from rich.console import Console

        console = Console()
        # a log file has no terminal width
        (console if console.is_terminal else Console(width=200)).print(self._rich())

    def _rich(self) -> object:
        from rich.markup import escape
        from rich.table import Table

        grid = Table(title=escape(self.title), caption=escape("\n".join(self.notes)))
        grid.title_justify = grid.caption_justify = "left"
        for number, name in enumerate(self.columns):
            grid.add_column(escape(name), no_wrap=number == 0, justify="left" if number == 0 else "right")
        for number, row in enumerate(self.rows):
            grid.add_row(
                *(f"[bold]{escape(t)}[/bold]" if (number, c) in self.bold else escape(t) for c, t in enumerate(row))
            )
        return grid


_SUFFIXES = ("", "_spread", "_low", "_high", "_n", "_of", "_mark")  # of the CSV columns for the parts of a cell
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_PARTS = re.compile(
    rf"(?P<value><?{_NUMBER}|-)?(?: ± (?P<spread>{_NUMBER}))?(?:\ ?\((?P<low>{_NUMBER})\ -\ (?P<high>{_NUMBER})\))?"
    r"(?:\ ?\(?(?<![\d.])(?P<n>\d+)/(?P<of>\d+)\)?)?(?P<mark>[†*]+)?"
)
_RANGE = re.compile(rf"(?P<low>{_NUMBER}) - (?P<high>{_NUMBER})")


def _numbers(text: str) -> dict[str, str]:
    """Split a cell into its numbers, keyed by column suffix; keep any other text whole."""
    if isinstance(text, Exact) and text.startswith("<"):
        return {"": f"{text.number:.3g}"}
    match = _RANGE.fullmatch(text) or _PARTS.fullmatch(text)
    if not text or match is None:
        return {"": text}
    parts = {name: (part or "").replace(",", "").lstrip("<+") for name, part in match.groupdict().items() if part}
    return {"" if name == "value" else f"_{name}": "" if part == "-" else part for name, part in parts.items()}


_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
