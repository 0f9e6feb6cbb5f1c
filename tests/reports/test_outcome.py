"""Test the sentences of a report: they say what the statistics support, and no more."""

from collections.abc import Mapping
from typing import Any

from m2v_bench.reports.daggers import Daggers
from m2v_bench.reports.outcome import outcome
from m2v_bench.reports.summary import Summary, summarise
from m2v_bench.results.record import RunRecord
from tests.reports.test_run_report import record


def sweep(scores: Mapping[int, float], sizes: Mapping[int, int] | None = None, **fields: Any) -> Summary:
    """Return the summary of a sweep over PCA sizes whose teacher scores 0.9."""
    jobs = []
    for dims, score in scores.items():
        size = {"dims": dims, "n_parameters": dims, "bytes_on_disk": sizes[dims] if sizes else dims}
        jobs.append({**record(f"M2V {dims}d", f"r{dims}", score, 0.9, **{"pca_dims": dims}), "size": size, **fields})
    return summarise([RunRecord.from_json(job) for job in jobs])


SWEEP = {64: 0.58, 128: 0.592, 256: 0.60}


def test_untested_differences_are_not_called_significant():
    text = " ".join(outcome(sweep(SWEEP), Daggers()))
    assert text.startswith("M2V 256d scores 60.00 on average over 1 task")
    assert "the best of 3 static models" in text
    assert "M2V 64d (dimensions after PCA: 64) keeps 96.7 % of that score at 25 % of the size." in text
    assert "significant" not in text


def test_significance_is_that_of_the_tests():
    every = outcome(sweep(SWEEP), Daggers(columns=["Avg"]))
    assert every[1] == "It is significantly better on these tasks than every other static model."
    assert every[2].endswith("at 25 % of the size; the difference is significant.")
    some = outcome(sweep(SWEEP), Daggers({"Avg": {"M2V 256d", "M2V 128d"}}, columns=["Avg"]))
    assert some[1] == "Not significantly different from it on these tasks: M2V 128d."
    assert some[2].endswith("; the difference is significant.")
    equal = outcome(sweep(SWEEP), Daggers({"Avg": {"M2V 256d", "M2V 128d", "M2V 64d"}}, columns=["Avg"]))
    assert equal[2].endswith("; the difference is not significant.")


def test_a_smaller_model_is_named_only_where_it_is_smaller_and_nearly_as_good():
    assert len(outcome(sweep({64: 0.5, 256: 0.6}), Daggers())) == 1
    assert len(outcome(sweep(SWEEP, sizes=dict.fromkeys(SWEEP, 100)), Daggers())) == 1
    assert len(outcome(sweep({64: 0.6, 256: 0.59}), Daggers())) == 1


def test_a_run_of_one_model_has_one_sentence():
    (sentence,) = outcome(sweep({256: 0.6}), Daggers())
    assert sentence == "M2V 256d scores 60.00 on average over 1 task, 66.7 % of its teacher."
