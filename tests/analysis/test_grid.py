import csv
import io

import pytest

from m2v_bench.analysis.grid import FORMATS, Grid

GRID = Grid(
    ["Model", "50 % & more_"],
    [["a|b [x]", "1.00 ± 0.10"], ["c", "2.00†"]],
    title="t",
    notes=["first", "suite s"],
    bold=frozenset({(1, 1)}),
)


def test_markdown_escapes_and_ends_with_the_notes():
    assert GRID.markdown().splitlines() == [
        "| Model | 50 % & more_ |",
        "|---|---:|",
        "| a\\|b [x] | 1.00 ± 0.10 |",
        "| c | **2.00†** |",
        "",
        "first",
        "",
        "suite s",
    ]


def test_csv_holds_the_cells_and_nothing_else():
    assert list(csv.reader(io.StringIO(GRID.csv()))) == [list(GRID.columns), *(list(row) for row in GRID.rows)]


def test_latex_escapes_what_latex_reads():
    lines = GRID.latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[2] == r"Model & 50 \% \& more\_ \\"
    assert r"c & \textbf{2.00$^\dagger$} \\" in lines
    assert lines[-1] == r"\par{\footnotesize suite s}"


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_shows_every_cell_and_note(style):
    text = GRID.render(style)
    assert "a|b [x]" in text.replace("\\|", "|")
    assert style == "csv" or "suite s" in text


def test_brackets_are_shown_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    GRID.show()
    assert "a|b [x]" in capsys.readouterr().out
