import csv
import io

import pytest

from m2v_bench.reports.grid import FORMATS, Exact, Grid

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


def test_csv_holds_only_the_cells():
    assert list(csv.reader(io.StringIO(GRID.csv()))) == [
        ["Model", "50 % & more_", "50 % & more__spread", "50 % & more__mark"],
        ["a|b [x]", "1.00", "0.10", ""],
        ["c", "2.00", "", "†"],
    ]


@pytest.mark.parametrize(
    ("cell", "columns"),
    [
        ("60.33 (9/9)", {"x": "60.33", "x_n": "9", "x_of": "9"}),
        ("60.33 (9/9)†", {"x": "60.33", "x_n": "9", "x_of": "9", "x_mark": "†"}),
        ("- (0/4)", {"x": "", "x_n": "0", "x_of": "4"}),
        ("41/56", {"x_n": "41", "x_of": "56"}),
        ("+0.09*", {"x": "0.09", "x_mark": "*"}),
        ("-0.42", {"x": "-0.42"}),
        ("-", {"x": ""}),
        ("1,234", {"x": "1234"}),
        ("1,234 - 5,678", {"x_low": "1234", "x_high": "5678"}),
        ("0.12 (0.10 - 0.14)", {"x": "0.12", "x_low": "0.10", "x_high": "0.14"}),
        (Exact("<0.0001", 2.5e-7), {"x": "2.5e-07"}),
        (Exact("-", float("nan")), {"x": ""}),
        ("win", {"x": "win"}),
        ("STSBenchmark (test/default)", {"x": "STSBenchmark (test/default)"}),
    ],
)
def test_csv_splits_cells_into_plain_numbers(cell: str, columns: dict[str, str]):
    (row,) = csv.DictReader(io.StringIO(Grid(["name", "x"], [["-", cell]]).csv()))
    assert row == {"name": "-", **columns}


def test_latex_escapes_special_characters():
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


def test_brackets_are_not_markup_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    GRID.show()
    assert "a|b [x]" in capsys.readouterr().out
