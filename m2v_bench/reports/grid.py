"""Text tables rendered for the terminal or as Markdown, CSV, LaTeX, HTML or JSON."""

import csv
import html
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

FORMATS = ("terminal", "md", "csv", "latex", "html", "json")
Format = Literal["terminal", "md", "csv", "latex", "html", "json"]

_LOG_WIDTH = 200  # characters of a table in a log file
_NAME_WIDTH = 24  # of the first column, below which it is not narrowed
_TEXT_WIDTH = 40  # cells longer than this are text, which may be wrapped


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
        """Render the table in one of `FORMATS`; JSON is one object on one line."""
        ways = {"md": self.markdown, "csv": self.csv, "latex": self.latex, "html": self.html, "json": self.json}
        return self.terminal() if style == "terminal" else ways[style]()

    def compact(self) -> "Grid":
        """Move `(n/N)` from the cells of a column to its header where all of its cells have the same."""
        columns, rows = list(self.columns), [list(row) for row in self.rows]
        for position in range(1, len(columns)):
            cells = [_COVERED.fullmatch(row[position]) for row in rows]
            shared = {cell and cell["of"] for cell in cells}
            if len(shared) == 1 and None not in shared:
                columns[position] += f" ({shared.pop()})"
                for row, cell in zip(rows, cells, strict=True):
                    assert cell is not None
                    row[position] = cell["value"] + cell["mark"]
        return replace(self, columns=columns, rows=rows)

    def markdown(self) -> str:
        """Render a Markdown table, with the notes as paragraphs below it."""
        grid = self.compact()
        lines = ["| " + " | ".join(grid.columns) + " |", "|" + "---|" + "---:|" * (len(grid.columns) - 1)]
        for number, row in enumerate(grid.rows):
            texts = [text.replace("|", "\\|").replace("\n", "<br>") for text in row]
            cells = [f"**{text}**" if (number, column) in self.bold else text for column, text in enumerate(texts)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", "\n\n".join(self.notes), ""])

    def html(self) -> str:
        """Render an HTML table with a caption, and the notes as paragraphs below it; a page's style is its own."""
        grid = self.compact()
        lines = ["<table>", *([f"<caption>{html.escape(self.title)}</caption>"] if self.title else [])]
        lines.append(
            "<thead><tr>" + "".join(f'<th scope="col">{html.escape(n)}</th>' for n in grid.columns) + "</tr></thead>"
        )
        lines.append("<tbody>")
        for number, row in enumerate(grid.rows):
            texts = [html.escape(text).replace("\n", "<br>") for text in row]
            texts = [f"<b>{text}</b>" if (number, column) in self.bold else text for column, text in enumerate(texts)]
            first = f'<th scope="row">{texts[0]}</th>' if texts else ""
            lines.append(f"<tr>{first}{''.join(f'<td>{text}</td>' for text in texts[1:])}</tr>")
        lines += ["</tbody>", "</table>", *(f"<p>{html.escape(note)}</p>" for note in self.notes), ""]
        return "\n".join(lines)

    def json(self) -> str:
        """Render title, rows and notes as JSON; a row has the columns of the CSV, with numbers as numbers."""
        names, columns = self._plain()
        rows = [
            dict(zip(names, [name, *map(_value, cells)], strict=True)) for name, *cells in zip(*columns, strict=True)
        ]
        return json.dumps({"title": self.title, "rows": rows, "notes": list(self.notes)}, ensure_ascii=False) + "\n"

    def csv(self) -> str:
        """Render header and rows as CSV, without notes and with plain numbers.

        A cell with several values becomes several columns: `60.33 (9/9)†` in `Avg` becomes 60.33 in `Avg`, 9 in `Avg_n`
        and `Avg_of`, and † in `Avg_mark`; a range goes to `_low` and `_high`; `-` becomes an empty cell.
        """
        names, columns = self._plain()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        return text.getvalue()

    def _plain(self) -> tuple[list[str], list[list[str]]]:
        """Return names and cells of columns that hold one value each."""
        names = list(self.columns[:1])
        columns = [[row[0] for row in self.rows]] if names else []
        for position, name in enumerate(self.columns[1:], start=1):
            cells = [_numbers(row[position]) for row in self.rows]
            suffixes = [suffix for suffix in _SUFFIXES if any(suffix in cell for cell in cells)] or [""]
            names += [name + suffix for suffix in suffixes]
            columns += [[cell.get(suffix, "") for cell in cells] for suffix in suffixes]
        return names, columns

    def latex(self) -> str:
        """Render a LaTeX `tabular` with booktabs rules, with the notes in small print below it."""
        grid = self.compact()
        lines = [r"\begin{tabular}{l" + "r" * (len(grid.columns) - 1) + "}", r"\toprule"]
        lines += [" & ".join(_latex(text) for text in grid.columns) + r" \\", r"\midrule"]
        for number, row in enumerate(grid.rows):
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

    def terminal(self, width: int = _LOG_WIDTH) -> str:
        """Render the table as `show` prints it, without colors."""
        from rich.console import Console

        console = Console(width=width, file=io.StringIO())
        self._print(console)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def show(self) -> None:
        """Print the table on the terminal, in several parts where it is too wide for one."""
        from rich.console import Console

        console = Console()
        # a log file has no terminal width
        self._print(console if console.is_terminal else Console(width=_LOG_WIDTH))

    def _print(self, console: Any) -> None:
        from rich.markup import escape
        from rich.table import Table

        grid = self.compact()
        parts = list(grid._parts(console.width))
        for part in parts:
            table = Table(title=escape(self.title) if part is parts[0] else None, title_justify="left")
            for position, width in part:
                is_name = position == 0
                table.add_column(
                    escape(grid.columns[position]),
                    justify="left" if is_name else "right",
                    width=width,
                    overflow="fold",
                )
            for number, row in enumerate(grid.rows):
                texts = [(escape(row[position]), (number, position) in self.bold) for position, _ in part]
                table.add_row(*(f"[bold]{text}[/bold]" if bold else text for text, bold in texts))
            console.print(table)
        for note in self.notes:
            console.print(escape(note), style="italic", highlight=False)

    def _parts(self, width: int) -> Iterator[list[tuple[int, int]]]:
        """Divide the columns among tables of at most `width` characters, each with the first column.

        Yields:
            Position and width of each column; no number is broken.
        """
        least, most = [], []
        for position, name in enumerate(self.columns):
            longest = max((len(line) for row in self.rows for line in row[position].split("\n")), default=0)
            word = max(map(len, name.split()), default=0)
            least.append(max(word, longest if position and longest <= _TEXT_WIDTH else min(longest, _NAME_WIDTH)))
            most.append(max(len(name), longest))
        rest = list(range(1, len(self.columns)))
        while True:
            part, used = [0], least[0] + 4  # borders and padding: three characters per column, and one
            while rest and (len(part) == 1 or used + least[rest[0]] + 3 <= width):
                part.append(rest.pop(0))
                used += least[part[-1]] + 3
            widths = {}
            for position in part:  # what is left goes to the names, then to the others in turn
                widths[position] = min(most[position], least[position] + max(0, width - used))
                used += widths[position] - least[position]
            yield list(widths.items())
            if not rest:
                return


_SUFFIXES = ("", "_spread", "_low", "_high", "_n", "_of", "_mark")  # of the CSV columns for the parts of a cell
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_PARTS = re.compile(
    rf"(?P<value><?{_NUMBER}|-)?(?: ± (?P<spread>{_NUMBER}))?(?:\ ?\((?P<low>{_NUMBER})\ -\ (?P<high>{_NUMBER})\))?"
    r"(?:\ ?\(?(?<![\d.])(?P<n>\d+)/(?P<of>\d+)\)?)?(?P<mark>[†*]+)?"
)
_COVERED = re.compile(r"(?P<value>[-+−±\d., ]*[-\d]) ?\((?P<of>\d+/\d+)\)(?P<mark>[†*]*)")
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


def _value(text: str) -> str | int | float | None:
    """Return a cell of the CSV as a plain value; None for an empty one."""
    if not text:
        return None
    if not re.fullmatch(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?", text) or not math.isfinite(float(text)):
        return text
    return int(text) if text.lstrip("+-").isdigit() else float(text)


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
