import csv
import io

import pandas as pd
import pytest

from m2v_bench.cli import main
from m2v_bench.paper import published
from m2v_bench.paper.published import (
    COLUMNS,
    TABLES,
    comes_out,
    comparability,
    published_grids,
    published_scores,
    published_tables,
    recomputed,
    render_all,
    retrieval_splits,
)
from m2v_bench.reports.grid import FORMATS
from m2v_bench.stats.aggregates import benchmark_tasks
from tests.conftest import TEST_DATA

OFF_2024 = {
    ("all-MiniLM-L6-v2", "clust"),
    ("all-MiniLM-L6-v2", "sts"),
    ("M2V_base_glove", "sum"),
    ("M2V_base_output", "sum"),
}


def off(table: str) -> set[tuple[str, str]]:
    """Return the cells that do not match with the MSMARCO split that matches retrieval."""
    splits, rows = retrieval_splits(table), published_tables()[table]["rows"]
    return {
        (model, column)
        for model in rows
        for column, cell in recomputed(table, msmarco=splits.get(model, "dev")).get(model, {}).items()
        if not comes_out(rows[model][column], cell)
    }


def test_scores_match_the_source_file():
    given = TEST_DATA / "reference" / "published_mteb_scores.csv"
    if not given.is_file():
        pytest.skip(f"no published scores at {given} (set M2V_BENCH_TEST_DATA)")
    source = pd.read_csv(given)
    ours = published_scores().merge(source, on=["model", "task", "subset", "split"], suffixes=("", "_given"))
    assert len(ours) == len(published_scores())
    assert (ours["main_score"] == ours["main_score_given"]).all()
    assert set(source["task"]) - set(ours["task"]) == {t for t in source["task"] if t.endswith("-VN")}
    for suite, aggregation in (("v1", "micro_v1"), ("v2", "macro_v2")):
        named = set(source["task"][source["suites"].fillna("").str.contains(suite)])
        assert named == {t.partition(" (")[0] for t in benchmark_tasks(aggregation)}


def test_all_recomputable_2026_cells_match():
    assert off("main_2026") == set()
    models = set(published_tables()["main_2026"]["rows"]) & set(recomputed("main_2026", msmarco="dev"))
    assert models == {"all-MiniLM-L6-v2", "potion-base-32M", "potion-base-8M", "M2V_base_output"}


def test_all_but_four_2024_cells_match():
    assert off("main_2024_09") == OFF_2024
    assert off("ablations") == {("M2V_base_output", "sum")}


def test_the_2024_table_mixes_two_msmarco_splits():
    splits = retrieval_splits("main_2024_09")
    assert splits.pop("all-MiniLM-L6-v2") == "dev"
    assert splits == dict.fromkeys(["M2V_base_glove_subword", "M2V_base_glove", "M2V_base_output"], "test")
    for split, expected in (("test", (26.14, 27.16, 29.26)), ("dev", (25.12, 26.18, 28.01))):
        cells = recomputed("main_2024_09", msmarco=split)
        ours = [cells[f"M2V_base_{name}"]["ret"].value for name in ("output", "glove_subword", "glove")]
        assert [round(100 * value, 2) for value in ours] == list(expected)
    statement = comparability("main_2024_09")
    assert statement is not None
    assert statement.startswith("NOT COMPARABLE")
    for number in ("41.95", "26.14", "27.16", "29.26", "25.12", "26.18", "28.01"):
        assert number in statement


def test_a_table_with_one_msmarco_split_is_comparable(monkeypatch: pytest.MonkeyPatch):
    assert comparability("ablations") == "Ret comes out with MSMARCO's test split for M2V_base_output (26.14)."
    assert comparability("main_2026") is None
    # the statement depends on the scores: without the only row of the other split, nothing is mixed
    tables = {name: dict(published_tables()[name]) for name in TABLES}
    rows = dict(tables["main_2024_09"]["rows"])
    del rows["all-MiniLM-L6-v2"]
    tables["main_2024_09"]["rows"] = rows
    monkeypatch.setattr(published, "published_tables", lambda: tables)
    statement = comparability("main_2024_09")
    assert statement is not None
    assert not statement.startswith("NOT COMPARABLE")


def test_missing_scores_are_counted():
    cells = recomputed("main_2024_09", msmarco="dev")
    assert (cells["potion-base-32M"]["avg_mteb"].n, cells["potion-base-32M"]["avg_mteb"].n_all) == (25, 56)
    assert (cells["bge-base-en-v1.5"]["avg_mteb"].n, cells["bge-base-en-v1.5"]["avg_mteb"].n_all) == (56, 56)
    only_dev = recomputed("main_2024_09", msmarco="test")["bge-base-en-v1.5"]["ret"]
    assert (only_dev.n, only_dev.n_all) == (14, 15)
    assert not comes_out(100 * only_dev.value, only_dev)


def test_every_row_is_shown_or_listed_as_not_recomputed():
    for name, grid in zip(TABLES, published_grids()[: len(TABLES)], strict=True):
        shown = {row[0] for row in grid.rows}
        assert all(model in shown or model in grid.notes[2] for model in published_tables()[name]["rows"])
        assert "suite MTEB(eng" in grid.notes[-1]
    everyone = {model.rpartition("/")[2] for model in published_scores()["model"]}
    assert {row[0] for row in published_grids()[0].rows} == everyone == {row[0] for row in published_grids()[2].rows}


def test_csv_is_a_single_table():
    rows = list(csv.DictReader(io.StringIO(render_all(published_grids(), "csv"))))
    columns = [name + end for name in COLUMNS.values() for end in ("", "_n", "_of")]
    assert list(rows[0]) == ["Table", "Model", "", *columns]
    for row in rows:
        assert all(text == "" or float(text) is not None for text in [row[name] for name in columns])
    assert {row["Table"][:8] for row in rows} == {"Septembe", "May 2026"}


@pytest.mark.parametrize("style", [*FORMATS, "markdown"])
def test_published_command(style: str, capsys: pytest.CaptureFixture[str]):
    main(["published", "--format", style])
    shown = capsys.readouterr().out
    assert "26.14" in shown
    if style != "csv":
        assert "NOT COMPARABLE" in shown


def test_all_published_facts_are_shown():
    shown = render_all(published_grids(), "md")
    for fact in ("91.54", "5165.96", "102", "announcement of 2024-09-22", "a tenth of the training split"):
        assert fact in shown
    assert "bold differences are 0.01 or more before they are rounded" in shown


def test_mteb_versions_come_from_the_scores_of_the_table():
    notes = [grid.notes[-1] for grid in published_grids()]
    assert notes[0].endswith("; mteb 1.12.22 to 2.11.2")
    assert notes[1].endswith("; mteb 1.18.0")  # its one row with official scores
