"""Test the cost model of a sweep on cases that can be counted by hand."""

import mteb
import pytest

from benchmarks.scale.costs import Embedding, Line
from benchmarks.scale.play import Step, play
from benchmarks.scale.sizes import Size, search_size, size_of


def test_jobs_without_shared_steps_run_in_parallel():
    jobs = [[Step(2.0), Step(1.0)]] * 8
    assert [play(jobs, workers).wall for workers in (1, 2, 4, 8, 100)] == [24, 12, 6, 3, 3]
    assert play(jobs, 4, start=5).wall == 11
    assert play([], 4).wall == 0


def test_shared_step_is_computed_once():
    jobs = [[Step(10.0, "pass"), Step(1.0)]] * 4
    alone, four = play(jobs, 1), play(jobs, 4)
    assert (alone.wall, alone.busy, alone.waited) == (14, 14, 0)
    assert (four.wall, four.busy, four.waited) == (11, 14, 30)
    # whoever comes first computes a shared step; the other worker waits
    jobs = [[Step(3.0), Step(5.0, "one"), Step(1.0), Step(5.0, "two")]] * 2
    assert play(jobs, 2).wall == 3 + 5 + 1 + 5


def test_shared_step_limits_the_speedup():
    jobs = [[Step(1.0), Step(30.0, "teacher")]] * 64
    assert play(jobs, 64).wall == play(jobs, 1000).wall == 31
    assert play(jobs, 1).wall == 64 + 30


def test_fit_recovers_the_factors():
    rows = [{"each": 1.0, "rows": n, "pairs": n * n / 7} for n in (100, 3_000, 50_000, 800_000)]
    line = Line({"each": 0.5, "rows": 2e-4, "pairs": 3e-9})
    fitted = Line.fit(rows, [line(rows=row["rows"], pairs=row["pairs"]) for row in rows])
    assert fitted.factors == pytest.approx(line.factors, rel=1e-6)
    # negative factors become 0
    assert Line.fit([{"each": 1.0, "n": 1.0}, {"each": 1.0, "n": 2.0}], [2.0, 1.0]).factors["n"] == 0


def test_long_texts_are_truncated():
    embedding = Embedding(Line({"texts": 1e-3, "characters": 1e-5}), longest=500)
    assert embedding.seconds(Size(texts=10, characters=1_000)) == pytest.approx(10 * 1e-3 + 1_000 * 1e-5)
    assert embedding.seconds(Size(texts=10, characters=20_000)) == pytest.approx(10 * 1e-3 + 5_000 * 1e-5)
    assert embedding.seconds(Size()) == 0


def test_search_finds_a_thousand_documents_per_query():
    size = search_size(texts=0, characters=0, queries=10, documents=100_200)
    assert (size.pairs, size.ranked) == (1_002_000, 10 * 1_000)
    assert search_size(texts=0, characters=0, queries=10, documents=200).ranked == 10 * 200


def test_sizes_from_mteb_statistics():
    scifact = size_of(mteb.get_task("SciFact", eval_splits=["test"]))
    assert (scifact.texts, scifact.pairs, scifact.ranked) == (5_483, 300 * 5_183, 300_000)
    banking = size_of(mteb.get_task("Banking77Classification"))  # ten times eight texts of each label are drawn
    assert (banking.rows, banking.texts, banking.labels) == (3_080, 3_080 + 10 * 8 * 77, 77)
    assert banking.training == 10_003
    assert size_of(mteb.get_task("AskUbuntuDupQuestions")).ranked == 7_220
