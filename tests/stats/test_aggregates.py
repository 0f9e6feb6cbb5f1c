import math

import pandas as pd
import pytest

from m2v_bench.stats.aggregates import (
    avg_all,
    benchmark_tasks,
    borda,
    by_type,
    cqadupstack,
    fold,
    macro,
    macro_v2,
    micro,
    micro_v1,
)

FORUMS = cqadupstack()["CQADupstackRetrieval"]


def long(rows: list[tuple[str, str, str, float | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model", "task", "type", "score"])


def every_task(aggregation: str, score: float, model: str = "a") -> pd.DataFrame:
    return long([(model, task, kind, score) for task, kind in benchmark_tasks(aggregation).items()])


@pytest.fixture
def two_models() -> pd.DataFrame:
    return long(
        [
            ("a", "T1", "STS", 0.5),
            ("a", "T2", "STS", 0.7),
            ("a", "T3", "Retrieval", 0.2),
            ("b", "T1", "STS", 0.9),
            ("b", "T3", "Retrieval", None),
        ]
    )


def test_micro_is_over_tasks_and_macro_over_types(two_models: pd.DataFrame):
    assert micro(two_models)["a"].value == pytest.approx((0.5 + 0.7 + 0.2) / 3)
    assert macro(two_models)["a"].value == pytest.approx((0.6 + 0.2) / 2)


def test_absent_rows_and_nan_count_as_missing(two_models: pd.DataFrame):
    for average in (micro, macro):
        assert (average(two_models)["b"].n, average(two_models)["b"].n_all) == (1, 3)
        assert average(two_models)["b"].value == 0.9
    cells = by_type(two_models)
    assert cells["b", "STS"].text == "90.00 (1/2)"
    assert cells["b", "Retrieval"].text == "- (0/1)"


def test_a_model_without_any_score_has_no_average():
    nothing = long([("a", "T", "STS", 0.5), ("b", "T", "STS", None)])
    for average in (micro, macro):
        assert math.isnan(average(nothing)["b"].value)
        assert average(nothing)["b"].text == "- (0/1)"


def test_two_scores_of_one_task_are_refused():
    with pytest.raises(ValueError, match="duplicate"):
        micro(long([("a", "T", "STS", 0.5), ("a", "T", "STS", 0.6)]))


def test_benchmarks_have_the_stated_sizes():
    assert micro_v1(every_task("micro_v1", 0.5))["a"].text == "50.00 (56/56)"
    assert macro_v2(every_task("macro_v2", 0.5))["a"].text == "50.00 (41/41)"


def test_avg_all_covers_72_datasets_or_nine_types_even_if_missing():
    mteb_only = every_task("micro_v1", 0.5)
    extra = long([("a", f"p{n}", "PEARL", 0.8) for n in range(9)] + [("a", f"w{n}", "WordSim", 0.2) for n in range(7)])
    assert avg_all(mteb_only, "micro_v1")["a"].text == "50.00 (56/72)"
    both = avg_all(pd.concat([mteb_only, extra]), "micro_v1")["a"]
    assert (both.value, both.n, both.n_all) == (pytest.approx((56 * 0.5 + 9 * 0.8 + 7 * 0.2) / 72), 72, 72)
    types = avg_all(pd.concat([every_task("macro_v2", 0.5), extra]), "macro_v2")["a"]
    assert (types.value, types.n, types.n_all) == (pytest.approx((7 * 0.5 + 0.8 + 0.2) / 9), 57, 57)


def test_cqadupstack_counts_once():
    scores = every_task("micro_v1", 0.5)
    forums = long([("a", forum, "Retrieval", number / 12) for number, forum in enumerate(FORUMS)])
    with_forums = pd.concat([scores, forums])
    assert len(FORUMS) == 12
    assert micro_v1(with_forums)["a"] == micro_v1(scores)["a"]  # an existing score of the whole is kept
    without_whole = with_forums[with_forums["task"] != "CQADupstackRetrieval"]
    mean = sum(range(12)) / 12 / 12
    assert micro_v1(without_whole)["a"].value == pytest.approx((55 * 0.5 + mean) / 56)
    assert micro_v1(without_whole)["a"].n == 56


def test_eleven_forums_are_not_cqadupstack():
    scores = every_task("micro_v1", 0.5)
    scores = scores[scores["task"] != "CQADupstackRetrieval"]
    incomplete = pd.concat([scores, long([("a", forum, "Retrieval", 0.9) for forum in FORUMS[:11]])])
    assert micro_v1(incomplete)["a"].text == "50.00 (55/56)"


def test_each_model_is_folded_independently():
    rows = [("whole", "W", "t", 0.1), *(("parts", part, "t", 0.4) for part in "xy"), ("one", "x", "t", 0.7)]
    folded = fold(long(rows), {"W": ["x", "y"]})
    whole = folded[folded["task"] == "W"].set_index("model")["score"]
    assert dict(whole) == {"whole": 0.1, "parts": pytest.approx(0.4)}


def test_msmarco_counts_only_with_the_given_split():
    scores = every_task("micro_v1", 0.5)
    test_only = scores.replace({"task": {"MSMARCO (dev)": "MSMARCO (test)"}})
    assert "MSMARCO (dev)" in set(scores["task"])
    assert micro_v1(test_only)["a"].text == "50.00 (55/56)"
    assert micro_v1(test_only, msmarco="test")["a"].text == "50.00 (56/56)"


# By hand, for three models: T1 ranks a, b, c; T2 has a tie of a and b, ranks 1.5, 1.5, 3; T3 is missing for a, and c
# wins. Points are 3 minus the rank: a 2 + 1.5 = 3.5; b 1 + 1.5 + 1 = 3.5; c 0 + 0 + 2 = 2.
BORDA = long(
    [
        ("a", "T1", "STS", 0.9),
        ("b", "T1", "STS", 0.8),
        ("c", "T1", "STS", 0.7),
        ("a", "T2", "STS", 0.5),
        ("b", "T2", "STS", 0.5),
        ("c", "T2", "STS", 0.4),
        ("a", "T3", "STS", None),
        ("b", "T3", "STS", 0.1),
        ("c", "T3", "STS", 0.2),
    ]
)


def test_borda_of_a_worked_example():
    ranks = borda(BORDA)
    assert dict(ranks["points"]) == {"a": 3.5, "b": 3.5, "c": 2.0}
    assert dict(ranks["rank"]) == {"a": 1, "b": 1, "c": 3}
    assert dict(ranks["mean_rank"]) == {"a": 1.25, "b": pytest.approx(5.5 / 3), "c": pytest.approx(7 / 3)}
    assert dict(ranks["n"]) == {"a": 2, "b": 3, "c": 3}


def test_borda_matches_mtebs_leaderboard():
    import polars
    from mteb.benchmarks._create_table import _borda_rank_from_long

    rows = BORDA.dropna().rename(columns={"model": "model_name", "task": "task_name"})
    theirs = _borda_rank_from_long(polars.DataFrame(rows.to_dict("list")), n_models=3)
    assert dict(theirs.iter_rows()) == dict(borda(BORDA)["rank"])
