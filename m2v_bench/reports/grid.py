"""A table of texts, ready to be shown: on the terminal, as Markdown, CSV or LaTeX."""

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
    """The text of a cell that shows of a number that it is below a bound, as `<0.0001`."""

    number: float

    def __new__(cls, text: str, number: float) -> "Exact":
        """Make the text, which knows its number."""
        made = super().__new__(cls, text)
        made.number = number
        return made


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        columns: the header; the first column holds names, the others numbers.
        rows: the cells, as many per row as there are columns.
        title: what the table shows.
        notes: lines under the table; the signature is the last one.
        bold: (row, column) of the cells to stand out, counted from 0.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def render(self, style: Format) -> str:
        """The table in one of `FORMATS`."""
        return {"terminal": self.terminal, "markdown": self.markdown, "csv": self.csv, "latex": self.latex}[style]()

    def markdown(self) -> str:
        """A Markdown table, its notes as paragraphs below it."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" + "---:|" * (len(self.columns) - 1)]
        for number, row in enumerate(self.rows):
            texts = [text.replace("|", "\\|").replace("\n", "<br>") for text in row]
            shown = [f"**{text}**" if (number, column) in self.bold else text for column, text in enumerate(texts)]
            lines.append("| " + " | ".join(shown) + " |")
        return "\n".join([*lines, "", "\n\n".join(self.notes), ""])

    def csv(self) -> str:
        """Header and rows alone, numbers as numbers, so that every reader of CSV can read it.

        A cell that holds several becomes several columns: `60.33 (9/9)†` of `Avg` is 60.33 under `Avg`, 9 under `Avg_n`
        and `Avg_of`, † under `Avg_mark`; a range is under `_low` and `_high`; `-` is an empty cell.
        """
        names = list(self.columns[:1])
        columns = [[row[0] for row in self.rows]] if names else []
        for place, name in enumerate(self.columns[1:], start=1):
            cells = [_numbers(row[place]) for row in self.rows]
            ends = [end for end in _ENDS if any(end in cell for cell in cells)] or [""]
            names += [name + end for end in ends]
            columns += [[cell.get(end, "") for cell in cells] for end in ends]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        return text.getvalue()

    def latex(self) -> str:
        """A `tabular` with booktabs rules, the notes in small print below it."""
        lines = [r"\begin{tabular}{l" + "r" * (len(self.columns) - 1) + "}", r"\toprule"]
        lines += [" & ".join(_latex(text) for text in self.columns) + r" \\", r"\midrule"]
        for number, row in enumerate(self.rows):
            texts = [_latex(text) for text in row]
            shown = [
                rf"\textbf{{{text}}}" if (number, column) in self.bold else text for column, text in enumerate(texts)
            ]
            lines.append(" & ".join(shown) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par{{\footnotesize {_latex(note)}}}" for note in self.notes]
        return "\n".join([*lines, ""])

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write NAME.md and NAME.csv to a folder; their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        made = {folder / f"{name}.md": self.markdown(), folder / f"{name}.csv": self.csv()}
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return list(made)

    def terminal(self) -> str:
        """The table as `show` prints it, without colours, 200 characters wide."""
        from rich.console import Console

        console = Console(width=200, file=io.StringIO())
        console.print(self._rich())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def show(self) -> None:
        """Print the table on the terminal."""
        from rich.console import Console

        console = Console()
        # a log file has no width to fit into
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


_ENDS = ("", "_spread", "_low", "_high", "_n", "_of", "_mark")  # of the columns that a cell's parts are under
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_PARTS = re.compile(
    rf"(?P<value><?{_NUMBER}|-)?(?: ± (?P<spread>{_NUMBER}))?(?:\ ?\((?P<low>{_NUMBER})\ -\ (?P<high>{_NUMBER})\))?"
    r"(?:\ ?\(?(?<![\d.])(?P<n>\d+)/(?P<of>\d+)\)?)?(?P<mark>[†*]+)?"
)
_RANGE = re.compile(rf"(?P<low>{_NUMBER}) - (?P<high>{_NUMBER})")


def _numbers(text: str) -> dict[str, str]:
    """Split a cell into its numbers, by the suffixes of their columns; any other text stays whole."""
    if isinstance(text, Exact) and text.startswith("<"):
        return {"": f"{text.number:.3g}"}
    found = _RANGE.fullmatch(text) or _PARTS.fullmatch(text)
    if not text or found is None:
        return {"": text}
    parts = {name: (part or "").replace(",", "").lstrip("<+") for name, part in found.groupdict().items() if part}
    return {"" if name == "value" else f"_{name}": "" if part == "-" else part for name, part in parts.items()}


_LATEX = {
    "\\": r"\textbackslash{}",
    **{each: rf"\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
