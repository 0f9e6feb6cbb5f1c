"""Test `m2v-bench tasks` on the kept results of a sweep."""

import re
from pathlib import Path

import pandas as pd
import pytest

from m2v_bench import cli
from m2v_bench.config.compose import compose
from m2v_bench.errors import BenchError
from m2v_bench.reports.task_tables import task_tables
from m2v_bench.results.scores import read_results

PAPER = Path(__file__).parents[2] / "results" / "paper" / "paper_ablations.parquet"


def test_tables_of_a_kept_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cli.main(["tasks", "paper_ablations", "--results", str(PAPER), "--format", "markdown", "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    profiles, choice = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("tasks", "tasks_choice"))
    tasks = {task for model in read_results(PAPER).models if "base_model" in model.variant for task in model.tasks}
    assert set(profiles["Task"]) == tasks
    assert profiles["Agreement"].is_monotonic_decreasing
    assert profiles["Told apart"].isna().all()  # kept files have no samples
    assert (profiles["Spread"] > 0).all()
    assert choice["Tasks"].tolist() == list(range(1, len(choice) + 1))
    assert choice["These models"].between(choice["Other models"] - 0.02, 1).all()
    assert (choice["Other models"] >= choice["Random tasks"]).all()
    assert (tmp_path / "tasks.md").read_text() in shown
    assert f"{len(tasks)} tasks" in shown


def test_the_suite_that_is_named_composes():
    tables = task_tables([], PAPER, most=29, agreement=0.8)
    assert tables.override is not None
    quoted = re.findall(r"'([^']*)'|(\S+)", tables.override)
    settings = compose([one or other for one, other in quoted])
    assert 1 <= len(settings.suite.tasks) < 29
    assert tables.override in tables.choice.notes[1]
    assert task_tables([], PAPER, most=1, agreement=1.0).override is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sweeps": ["paper_ablation"]}, "Did you mean paper_ablations"),
        ({"most": 0}, "--most 0: must be 1 or more"),
        ({"agreement": 1.5}, "--agreement 1.5: must be above 0 and at most 1"),
        ({"seed": -1}, "seed"),
        ({"path": PAPER.with_name("speed_vs_score.parquet"), "sweeps": ["nothing"]}, "nothing"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(BenchError, match=re.escape(message)):
        task_tables(**{"sweeps": [], "path": PAPER} | options)
