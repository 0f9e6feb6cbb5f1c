import numpy as np
import pytest

from m2v_bench.errors import BenchError
from m2v_bench.stats.bootstrap import bootstrap_task, bootstrap_tasks, check_same, resampled_scores
from m2v_bench.tasks.samples import METRICS, Samples


def two_models(metric: str, n: int, rng: np.random.Generator, *, decimals: int = 6) -> list[Samples]:
    """Return two equally good models; fewer decimals give more ties."""
    truth = rng.normal(size=n)
    if metric == "mutual_information":
        gold = (truth > 0.3) + 1.0 * (truth > 1)
        clusters = [np.clip(np.round(truth + rng.normal(size=n)), -1, decimals // 3) for _ in range(2)]
        return [Samples(metric, one.astype(np.float32), gold.astype(np.float32), "entity") for one in clusters]
    gold = {
        "mean": None,
        "spearman": np.round(truth, decimals),
        "pearson": truth,
        "average_precision": truth + rng.normal(size=n) > 0.5,
    }[metric]
    values = [np.round(truth + rng.normal(size=n), decimals).astype(np.float32) for _ in range(2)]
    return [Samples(metric, scores, None if gold is None else gold.astype(np.float32), "pair") for scores in values]


@pytest.mark.parametrize("decimals", [6, 0], ids=["distinct", "tied"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_score_of_a_resample_is_the_score_of_its_samples(metric, decimals):
    n = 300  # with one decimal there are too many distinct rows for grouped draws
    models = two_models(metric, n, np.random.default_rng(0), decimals=decimals or (1 if metric == "mean" else 0))
    scores = resampled_scores(models, 10, np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(0, n, (10, n))  # the same draws as in the blocks
    for replicate, rows in enumerate(drawn):
        expected = [model.score(rows) for model in models]
        assert scores[replicate] == pytest.approx(expected, abs=1e-12)


def test_grouped_draws_have_the_distribution_of_single_draws():
    correct = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [50, 30, 20, 100], axis=0).astype(np.float32)
    models = [Samples("mean", column, None, "text") for column in correct.T]
    scores = resampled_scores(models, 20_000, np.random.default_rng(0))
    assert scores.mean(axis=0) == pytest.approx(correct.mean(axis=0), abs=2e-3)
    assert np.cov(scores.T) == pytest.approx(np.cov(correct.T, bias=True) / 200, rel=0.05)


def test_a_resample_with_undefined_score_scores_zero():
    constant = Samples("spearman", np.array([1, 1, 2], np.float32), np.array([1, 2, 3], np.float32), "pair")
    rare = Samples("average_precision", np.array([1, 2, 3], np.float32), np.array([1, 0, 0], np.float32), "pair")
    single = Samples("mutual_information", np.array([1, 1, 2], np.float32), np.array([0, 1, 1], np.float32), "entity")
    for samples in (constant, rare, single):
        scores = resampled_scores([samples], 200, np.random.default_rng(0))
        assert np.isfinite(scores).all()
        assert scores.min() == 0


def test_deviations_have_the_unbiased_variance():
    values = np.arange(10, dtype=np.float32)
    task = bootstrap_task("T", [{"test/a": Samples("mean", values, None, "draw")}], replicates=50_000, seed=0)
    assert task.df == 9
    assert task.deviations.var() == pytest.approx(values.var(ddof=1) / 10, rel=0.02)


def test_parts_are_resampled_separately_and_averaged():
    rng = np.random.default_rng(0)
    a, b = (Samples("mean", rng.normal(size=n).astype(np.float32), None, "text") for n in (40, 400))
    task = bootstrap_task("T", [{"test/a": a, "test/b": b}], replicates=20_000, seed=0)
    assert task.scores == pytest.approx([(a.score() + b.score()) / 2])
    expected = (a.values.var(ddof=1) / 40 + b.values.var(ddof=1) / 400) / 4
    assert task.deviations.var() == pytest.approx(expected, rel=0.05)
    assert task.df == 39


def test_replicates_depend_on_the_seed_but_not_on_other_tasks():
    rng = np.random.default_rng(0)
    tasks = {name: [{"test/a": model} for model in two_models("spearman", 50, rng)] for name in "ABCDEFGH"}
    whole = dict(bootstrap_tasks(tasks.items(), replicates=200, seed=1))
    alone = dict(bootstrap_tasks([("B", tasks["B"])], replicates=200, seed=1))
    other = dict(bootstrap_tasks([("B", tasks["B"])], replicates=200, seed=2))
    assert list(whole) == list(tasks)
    assert np.array_equal(whole["B"].deviations, alone["B"].deviations)
    assert not np.array_equal(alone["B"].deviations, other["B"].deviations)
    assert not np.array_equal(whole["A"].deviations, whole["C"].deviations)


def parts(n: int, *, gold: float = 0, metric: str = "pearson", name: str = "test/a") -> dict[str, Samples]:
    values = np.arange(n, dtype=np.float32)
    return {name: Samples(metric, values, None if metric == "mean" else values + gold, "pair")}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (parts(9), "test/a has 10 and 9 of them"),
        (parts(10, gold=1), "the gold values of test/a differ"),
        (parts(10, metric="mean"), "test/a is scored by pearson and by mean"),
        (parts(10, name="dev/a"), "test/a against dev/a"),
    ],
)
def test_models_with_different_samples_are_refused(other, reason):
    with pytest.raises(BenchError, match=f"STS-X: one and two were not scored on the same samples: {reason}"):
        check_same("STS-X", [parts(10), other], ["one", "two"])
