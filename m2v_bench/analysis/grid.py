"""A table of texts, ready to be shown: on the terminal, as Markdown, CSV or LaTeX."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FORMATS = ("terminal", "markdown", "csv", "latex")
Format = Literal["terminal", "markdown", "csv", "latex"]


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
        """Header and rows alone, so that every reader of CSV can read it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
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
