import csv
import io
import json

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


WIDE = Grid(
    ["Model", *(f"Type {number}" for number in range(12)), "Reason"],
    [
        [f"a model with a long name of {number} words", *(["60.13 (9/9)†"] * 11), f"1.00 ({number}/2)", "a text " * 12]
        for number in (1, 2)
    ],
    notes=["suite s"],
)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_terminal_breaks_no_number(width: int):
    text = WIDE.terminal(width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("60.13†") == 22
    assert "1.00 (1/2)" in text and "1.00 (2/2)" in text
    assert text.count("model with a") == 2 * text.count("Model")  # every part names its rows


def test_shared_counts_are_in_the_header():
    compact = WIDE.compact()
    assert compact.columns[1] == "Type 0 (9/9)"
    assert compact.columns[12] == "Type 11"
    assert compact.rows[0][1] == "60.13†"
    assert compact.compact() == compact


def test_json_and_html_hold_every_cell():
    value = json.loads(WIDE.json())
    assert value["rows"][1]["Type 0"] == 60.13
    assert value["rows"][1]["Type 0_n"] == 9
    assert value["rows"][1]["Type 11_n"] == 2
    assert value["notes"] == ["suite s"]
    table = Grid(["Model", "Avg"], [["a<b", "1.0"], ["c", "-"]], bold=frozenset({(0, 1)})).html()
    assert '<th scope="row">a&lt;b</th><td><b>1.0</b></td>' in table


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_shows_every_cell_and_note(style):
    text = GRID.render(style)
    assert "a|b [x]" in text.replace("\\|", "|")
    assert style == "csv" or "suite s" in text


def test_brackets_are_not_markup_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    GRID.show()
    assert "a|b [x]" in capsys.readouterr().out
