import math

import pandas as pd
import pytest

from m2v_bench.reports.score_table import AVERAGE, score_table, to_grid

ROWS = [
    ("static a", "static", "T1", "STS", 0.5),
    ("static a", "static", "T2", "STS", 0.7),
    ("static a", "static", "T3", "WordSim", 0.2),
    ("static b", "static", "T1", "STS", 0.9),
    ("static b", "static", "T2", "STS", None),
    ("static b", "static", "T3", "WordSim", 0.3),
    ("teacher", "transformer", "T1", "STS", 0.8),
    ("teacher", "transformer", "T2", "STS", 0.8),
    ("teacher", "transformer", "T3", "WordSim", 0.4),
]


def frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "kind", "task", "type", "main_score"]).assign(teacher=None)


@pytest.fixture
def table():
    return score_table(frame(ROWS).assign(teacher="teacher"))


def test_averages_per_type_and_over_tasks(table):
    assert table.columns == [AVERAGE, "STS", "WordSim"]
    assert table.cells["static a", "STS"].value == pytest.approx(0.6)
    assert table.cells["static a", AVERAGE].value == pytest.approx((0.5 + 0.7 + 0.2) / 3)


def test_a_missing_score_is_counted_not_averaged(table):
    cell = table.cells["static b", "STS"]
    assert (cell.value, cell.n, cell.n_all) == (0.9, 1, 2)
    assert cell.text == "90.00 (1/2)"


def test_the_best_static_model_is_complete_and_not_a_transformer(table):
    assert table.best_static("STS") == "static a"  # b's higher average misses a task
    assert table.best_static("WordSim") == "static b"


def test_the_share_of_the_teacher_is_over_shared_tasks(table):
    assert table.kept["teacher"] == 1
    assert table.kept["static a"] == pytest.approx(1.4 / 2.0)
    assert table.kept["static b"] == pytest.approx(1.2 / 1.2)


def test_without_a_teacher_there_is_no_share():
    table = score_table(frame(ROWS[:3]))
    assert math.isnan(table.kept["static a"])
    assert "| - |" in to_grid(table, signature="s").markdown()


def test_a_type_without_any_score_is_a_dash():
    assert score_table(frame([("a", "static", "T", "STS", None)])).cells["a", "STS"].text == "- (0/1)"


def test_common_averages_are_over_tasks_of_all_models(table):
    assert table.n_common == 2  # static b has no T2
    assert table.common["static a"] == pytest.approx((0.5 + 0.2) / 2)
    assert table.common["teacher"] == pytest.approx((0.8 + 0.4) / 2)


def test_each_model_is_compared_with_its_teacher():
    rows = [("s1", 0.3), ("t1", 0.6), ("s2", 0.4), ("t2", 0.5)]
    scores = frame([(label, "static", "T", "STS", score) for label, score in rows])
    table = score_table(scores.assign(teacher=["t1", "t1", "t2", "t2"]))
    assert [table.kept[label] for label in ("s1", "t1", "s2", "t2")] == pytest.approx([0.5, 1, 0.8, 1])


def test_labels_are_shown_verbatim(capsys: pytest.CaptureFixture[str]):
    table = score_table(frame([("my [v2] [/a] | model", "static", "T", "STS", 0.5)]))
    to_grid(table, title="t [x]", signature="s [y]").show()
    shown = capsys.readouterr().out
    assert "my [v2] [/a] | model" in shown
    assert "t [x]" in shown
    assert "my [v2] [/a] \\| model" in to_grid(table, signature="s").markdown()


def test_markdown_has_bold_best_static_models_and_a_signature(table):
    lines = to_grid(table, signature="suite x; seed 42").markdown().splitlines()
    assert lines[0] == "| Model | Avg | STS | WordSim (1/1) | % of teacher |"
    assert lines[2] == "| static a | **46.67 (3/3)** | **60.00 (2/2)** | 20.00 | 70.0 |"
    assert "**" not in lines[4]
    assert lines[-1] == "suite x; seed 42"
