from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from m2v_bench.reports.daggers import daggers
from m2v_bench.reports.score_table import score_table
from m2v_bench.tasks.samples import Samples

N = 400
TYPES = {"T1": "STS", "T2": "STS", "T3": "STS", "T4": "Retrieval", "T5": "Retrieval"}


class Scored:
    """Models scored on tasks whose samples are correct at a given rate."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.samples: dict[tuple[str, str], Samples] = {}

    def add(self, label: str, **shares: float) -> None:
        for task, share in shares.items():
            values = (np.random.default_rng(len(self.rows)).permutation(N) < share * N).astype(np.float32)
            self.samples[label, task] = Samples("mean", values, None, "text")
            row = {"label": label, "kind": "static", "task": task, "type": TYPES[task], "teacher": None}
            self.rows.append({**row, "main_score": float(values.mean())})

    def read(self, label: str, task: str) -> Mapping[str, Samples] | None:
        part = self.samples.get((label, task))
        return None if part is None else {"test/default": part}

    def daggers(self, aggregation: str = "micro") -> tuple[dict[str, set[str]], str]:
        scores = pd.DataFrame(self.rows)
        table = score_table(scores, aggregation)
        tested = daggers(scores, table, aggregation, self.read, replicates=500)
        marks, notes = dict(tested.marks), tested.notes
        return marks, "\n".join(notes)


@pytest.fixture
def scored() -> Scored:
    """Make b significantly better than a only where T4 weighs as much as the three others together."""
    made = Scored()
    made.add("a", T1=0.60, T2=0.60, T3=0.60, T4=0.60)
    made.add("b", T1=0.57, T2=0.57, T3=0.57, T4=0.75)
    return made


def test_an_average_is_tested_as_the_table_makes_it(scored: Scored):
    assert scored.daggers("micro")[0] == {"Avg": {"a", "b"}, "STS": {"a", "b"}}
    assert scored.daggers("macro")[0] == {"STS": {"a", "b"}}


def test_a_model_without_all_tasks_of_a_column_is_named(scored: Scored):
    scored.add("c", T4=0.74)
    marks, notes = scored.daggers()
    assert marks == {"Avg": {"a", "b"}, "STS": {"a", "b"}, "Retrieval": {"b", "c"}}
    assert "c lacks tasks of Avg, STS and is not tested there" in notes
    assert (
        "† Not significantly different from the best static model (α = 0.05, paired bootstrap over samples, "
        "Holm-corrected)." in notes
    )


@pytest.mark.parametrize(("n_more", "marked"), [(0, {}), (1, {}), (5, {"Retrieval": {"a", "b"}})])
def test_models_that_lack_a_task_count_among_the_pairs(n_more: int, marked: dict[str, set[str]]):
    """a and b differ on two tasks at p = 0.006 or so, not significant among 21 pairs, however few can be tested."""
    made = Scored()
    made.add("a", T4=0.60, T5=0.60)
    made.add("b", T4=0.67, T5=0.67)
    for number in range(n_more):
        made.add(f"c{number}", T4=0.30 + 0.01 * number)
    assert made.daggers()[0].get("Retrieval", {}) == marked.get("Retrieval", {})


def test_a_column_without_samples_is_named(scored: Scored):
    del scored.samples["a", "T2"]
    marks, notes = scored.daggers()
    assert marks == {}
    assert "Not tested for significance, as per-sample outputs are missing: Avg, STS" in notes


def test_other_samples_and_those_of_another_score_are_named_and_not_used(scored: Scored):
    scored.samples["a", "T1"] = Samples("mean", np.ones(N, np.float32), None, "text")
    part = scored.samples["a", "T2"]
    scored.samples["a", "T2"] = Samples("mean", np.tile(part.values, 2), None, "text")
    marks, notes = scored.daggers()
    assert "samples of a that do not give the main score and are not used: T1" in notes
    assert "T2: a and b were not scored on the same samples: test/default has 800 and 400 of them" in notes
    assert marks == {}


def test_standard_errors_come_from_samples_or_from_an_export(scored: Scored):
    scores = pd.DataFrame(scored.rows)
    errors = daggers(scores, score_table(scores), "micro", scored.read, replicates=2000).errors
    assert set(errors) == {(row["label"], row["task"]) for row in scored.rows}
    rate = 0.60
    assert errors["a", "T1"] == pytest.approx(np.sqrt(rate * (1 - rate) / (N - 1)), rel=0.1)
    exported = scores.assign(standard_error=0.0125)
    assert daggers(exported, score_table(exported), "micro", lambda label, task: None).errors == dict.fromkeys(
        errors, 0.0125
    )


def test_models_with_other_samples_have_errors_but_are_not_compared(scored: Scored):
    scores = pd.DataFrame(scored.rows)
    scored.samples["b", "T1"] = Samples("mean", np.repeat([0, 1], [43, 57]).astype(np.float32), None, "text")
    tested = daggers(scores, score_table(scores), "micro", scored.read, replicates=500)
    assert {("a", "T1"), ("b", "T1"), ("a", "T2")} <= set(tested.errors)
    assert tested.errors["b", "T1"] > 1.5 * tested.errors["b", "T2"]
    assert any("were not scored on the same samples" in note for note in tested.notes)
    assert "Avg" not in tested.columns
    alone = scores[scores["label"] == "a"]
    assert set(daggers(alone, score_table(alone), "micro", scored.read, replicates=500).errors) == {
        ("a", task) for task in alone["task"]
    }
