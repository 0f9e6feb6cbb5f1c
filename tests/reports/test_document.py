"""Test how documents render tables."""

import pytest

from m2v_bench.reports.document import Document, Section, to_html, to_markdown
from m2v_bench.reports.grid import Grid


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60.15 (9/9)", "60.15"),
        ("63.12 (3/3)†", "63.12"),
        ("1,234", "1234.0"),
        ("-4.27", "-4.27"),
        ("+0.09*", "0.09"),
        ("<0.0001", "0.0001"),
        ("3/3", "3.0"),
        ("1e-05", "1e-05"),
    ],
)
def test_numbers_sort_as_numbers(text: str, value: str):
    grid = Grid(["Model", "x"], [["a", text], ["b", "- (0/9)"]])
    html = to_html(Document("t", [], [Section("s", [grid])]))
    assert html.count("data-value") == 1
    assert f'data-value="{value}"' in html


@pytest.mark.parametrize("text", ["9eaa08ae7aa605e8", "16d", "3min", "none", "2 of 4 scores failed; why"])
def test_other_texts_have_no_sort_value(text: str):
    html = to_html(Document("t", [], [Section("s", [Grid(["Model", "x"], [["a", text], ["b", "a word"]])])]))
    assert "data-value" not in html


def test_texts_are_escaped():
    grid = Grid(["<i>", "x"], [["<script>alert(1)</script>", 'a "b" & c']], title="<b>", notes=["</p>"])
    document = Document("<t>", [("<dt>", "<dd>")], [Section("S & T", [grid, "<p>"])])
    html = to_html(document)
    for raw in ("<script>alert", "<i>", "<t>", "<b>", 'a "b" & c'):
        assert raw not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert 'id="s-t"' in html


def test_newlines_and_bars_are_escaped_in_markdown_tables():
    grid = Grid(["Job", "Reason"], [["a", "one\ntwo | three"]])
    markdown = to_markdown(Document("t", [], [Section("s", [grid])]), "t")
    assert "| a | one<br>two \\| three |" in markdown
