from itertools import combinations

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, spearmanr, t

from m2v_bench.stats.bootstrap import TaskBootstrap, bootstrap_task
from m2v_bench.stats.significance import Comparison, Difference, difference, holm, letters, pairwise, verdicts
from m2v_bench.tasks.samples import METRICS, Samples
from tests.stats.test_bootstrap import two_models


def on_task(models: list[Samples], *, replicates: int = 1000, seed: int = 0, confidence: float = 0.95) -> Difference:
    return comparison([models], replicates=replicates, seed=seed, confidence=confidence).on_task(0, 0, 1)


def comparison(
    tasks: list[list[Samples]], *, replicates: int, seed: int = 0, confidence: float = 0.95, types: str | None = None
) -> Comparison:
    bootstraps = [
        bootstrap_task(str(number), [{"test/a": model} for model in models], replicates=replicates, seed=seed)
        for number, models in enumerate(tasks)
    ]
    return Comparison(
        np.array([bootstrap.scores for bootstrap in bootstraps]),
        bootstraps,
        types or "t" * len(bootstraps),
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )


def spearman_gap(a, b, gold):
    return spearmanr(a, gold).statistic - spearmanr(b, gold).statistic


def mean_gap(a, b, axis=-1):
    return np.mean(a - b, axis=axis)


@pytest.mark.parametrize("metric", ["mean", "spearman"])
def test_the_interval_matches_scipy(metric):
    n, confidence = 200, 0.9
    models = two_models(metric, n, np.random.default_rng(3))
    ours = on_task(models, replicates=20_000, confidence=confidence)
    # an "expanded" percentile interval uses quantiles for n - 1 degrees of freedom and the n - 1 variance
    tail = norm.sf(np.sqrt(n / (n - 1)) * t.isf((1 - confidence) / 2, n - 1))
    data = [model.values.astype(float) for model in models] + ([] if metric == "mean" else [models[0].gold])
    theirs = bootstrap(
        data,
        mean_gap if metric == "mean" else spearman_gap,
        paired=True,
        vectorized=metric == "mean",
        method="percentile",
        confidence_level=1 - 2 * tail,
        n_resamples=20_000 if metric == "mean" else 3_000,
        rng=np.random.default_rng(0),
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.04 * width)
    assert ours.value == pytest.approx(models[0].score() - models[1].score())


@pytest.mark.parametrize("metric", METRICS)
def test_equally_good_models_differ_significantly_in_5_percent_of_cases(metric):
    rng = np.random.default_rng(11)
    p = np.array([on_task(two_models(metric, 150, rng), replicates=300, seed=case).p for case in range(400)])
    assert 0.02 <= np.mean(p < 0.05) <= 0.09  # two standard errors around 5 %: 2.8 to 7.2 %
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_the_error_rate_holds_with_ten_samples():
    rng = np.random.default_rng(5)
    draws = rng.normal(size=(800, 2, 10)).astype(np.float32)
    p = [on_task([Samples("mean", values, None, "draw") for values in pair], replicates=500).p for pair in draws]
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07


@pytest.mark.parametrize("metric", METRICS)
def test_a_real_difference_is_significant(metric):
    rng = np.random.default_rng(0)
    good, bad = two_models(metric, 1000, rng)
    worse = bad.values + (-1.0 if metric == "mean" else rng.normal(size=1000) * 3)
    if metric == "mutual_information":  # numbers of clusters
        worse = rng.permutation(bad.values)
    result = on_task([good, Samples(metric, worse.astype(np.float32), bad.gold, "pair")])
    assert result.p < 0.001
    assert 0 < result.low < result.value < result.high


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_does_not_differ_from_itself(metric):
    model = two_models(metric, 100, np.random.default_rng(0))[0]
    compared = comparison([[model, model]] * 6, replicates=200)
    for result in (compared.on_task(0, 0, 1), compared.these_tasks(0, 1), compared.tasks_like_these(0, 1)):
        assert result == Difference(0, 0, 0, 1)


def test_swapping_the_models_flips_the_sign():
    compared = comparison([two_models("pearson", 60, np.random.default_rng(2))], replicates=500)
    one, other = compared.on_task(0, 0, 1), compared.on_task(0, 1, 0)
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert other.p == pytest.approx(one.p)


@pytest.mark.parametrize("df", [2, 4, 20, 1e9])
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(df):
    deviations = np.random.default_rng(0).normal(size=2000)
    results = [difference(value, deviations, df, 0.95) for value in np.linspace(0, 6, 61)]
    clear = [
        result for result in results if abs(result.p - 0.05) > 0.003
    ]  # closer to 0.05, a single replicate would decide
    assert {result.low > 0 for result in clear} == {True, False}
    assert all((result.low > 0) == (result.p < 0.05) for result in clear)


def test_p_values_extend_beyond_the_replicates():
    deviations = np.random.default_rng(0).normal(size=1000)
    p = [difference(value, deviations, 1e9, 0.95).p for value in (5, 6, 8)]
    assert p == pytest.approx([2 * norm.sf(value / deviations.std()) for value in (5, 6, 8)])


def null_suite(rng: np.random.Generator, *, between: float, n_tasks: int, n: int) -> list[list[Samples]]:
    """Draw tasks with differences of standard deviation `between` around zero, plus 1.4 / sqrt(n) sampling noise."""
    shifts = rng.normal(size=n_tasks) * between
    values = rng.normal(size=(n_tasks, 2, n))
    values[:, 0] += shifts[:, None]
    return [[Samples("mean", sample.astype(np.float32), None, "text") for sample in pair] for pair in values]


@pytest.mark.parametrize("between", [0.0, 0.2, 1.0])
def test_the_error_rate_holds_for_tasks_like_these(between):
    rng = np.random.default_rng(0)
    p: dict[str, list[float]] = {"tasks": [], "types": []}
    for case in range(400):
        # one type has a single task
        suite = null_suite(rng, between=between, n_tasks=12, n=40)
        compared = comparison(suite, replicates=300, seed=case, types="aaaaabbbbccd")
        for average, values in p.items():
            values.append(compared.tasks_like_these(0, 1, average).p)
    for values in p.values():
        # without variance between tasks, its estimate is positive in half of the cases: the test is then conservative
        assert (0.02 if between else 0.005) <= np.mean(np.array(values) < 0.05) <= 0.09


def test_the_error_rate_holds_for_these_tasks():
    rng = np.random.default_rng(0)
    comparisons = [
        comparison(null_suite(rng, between=0, n_tasks=6, n=50), replicates=400, seed=case, types="aaaabb")
        for case in range(400)
    ]
    for average in ("tasks", "types"):
        p = np.array([compared.these_tasks(0, 1, average).p for compared in comparisons])
        assert 0.02 <= np.mean(p < 0.05) <= 0.09


def test_a_difference_can_be_significant_for_these_tasks_only():
    rng = np.random.default_rng(0)
    suite = null_suite(rng, between=1, n_tasks=8, n=4000)
    compared = comparison(suite, replicates=1000)
    assert compared.these_tasks(0, 1).p < 1e-4
    assert compared.tasks_like_these(0, 1).p > 0.05


def test_a_task_without_samples_adds_to_the_variance_between_tasks():
    suite = null_suite(np.random.default_rng(0), between=0.1, n_tasks=6, n=100)
    whole = comparison(suite, replicates=500)
    scores = np.vstack([whole.scores, [5.0, 0.0]])
    bootstraps = [
        bootstrap_task(str(number), [{"a/a": model} for model in models], replicates=500, seed=0)
        for number, models in enumerate(suite)
    ]
    more = Comparison(scores, [*bootstraps, None], "t" * 7, replicates=500, seed=0)
    assert np.isnan(more.on_task(6, 0, 1).p)
    assert np.isnan(more.these_tasks(0, 1).p)  # the uncertainty of the seventh score is unknown
    one, other = whole.tasks_like_these(0, 1), more.tasks_like_these(0, 1)
    assert other.value == pytest.approx((6 * one.value + 5) / 7)
    assert other.high - other.low > 3 * (one.high - one.low)
    assert np.isnan(other.p)  # missing samples must not make a test significant
    assert not np.isnan(one.p)


def test_without_samples_the_interval_over_tasks_is_that_of_a_mean():
    gaps = np.random.default_rng(0).normal(size=40)
    scores = np.stack([gaps, np.zeros(40)], axis=1)
    result = Comparison(scores, [None] * 40, "t" * 40, replicates=20_000, seed=0).tasks_like_these(0, 1)
    half = t.isf(0.025, 39) * gaps.std(ddof=1) / np.sqrt(40)
    assert (result.low, result.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=0.03 * half)


def test_averages_over_tasks_and_over_types():
    compared = Comparison(np.array([[0.2, 0], [0.4, 0], [0.9, 0]]), [None] * 3, "aab", replicates=100, seed=0)
    assert compared.tasks_like_these(0, 1, "tasks").value == pytest.approx(0.5)
    assert compared.tasks_like_these(0, 1, "types").value == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("types", "average", "has_interval"),
    [
        ("a", "tasks", False),
        ("aab", "tasks", False),
        ("aaaaa", "tasks", False),
        ("aaaaab", "tasks", True),
        ("aaabbb", "types", False),
        ("aaaabbb", "types", True),
        ("aabbccddee", "types", True),
    ],
)
def test_few_tasks_give_no_interval_for_tasks_like_these(types: str, average: str, has_interval: bool):
    models = two_models("mean", 30, np.random.default_rng(0))
    compared = comparison([models] * len(types), replicates=100, types=types)
    result = compared.tasks_like_these(0, 1, average)
    assert np.isfinite([result.low, result.high, result.p]).tolist() == [has_interval] * 3
    assert not np.isnan(compared.these_tasks(0, 1).p)


def test_holm_of_a_worked_example():
    # by hand: 0.005 x 4, 0.01 x 3, max(0.03 x 2, 0.03), max(0.04 x 1, 0.06)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.02, np.nan, 0.04], [0.06, np.nan, 0.08]),
        ([np.nan, np.nan, 0.04], [np.nan, np.nan, 0.12]),
        ([0.01, 0.02, 0.04, np.nan], [0.04, 0.06, 0.08, np.nan]),
    ],
)
def test_holm_counts_untested_comparisons(p: list[float], adjusted: list[float]):
    """By hand: the smallest p times their number n, the next times n - 1, etc., with p = 1 for NaN."""
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)
    known = ~np.isnan(p)
    assert holm(np.nan_to_num(p, nan=1.0))[known] == pytest.approx(holm(p)[known])


def test_verdicts_are_corrected_over_the_tasks():
    tasks = [(0.1, 0.001), (-0.1, 0.002), (0.1, 0.03), (0.1, np.nan)]
    differences = [Difference(value, 0, 0, p) for value, p in tasks]
    assert verdicts(differences[:3], alpha=0.05) == ["win", "loss", "win"]
    assert verdicts(differences, alpha=0.05) == ["win", "loss", "tie", "untested"]


def test_letters_of_a_worked_example():
    # by hand, for five models: split at the significantly different pairs (0, 3), (0, 4), (1, 3) and (1, 4)
    separable = np.zeros((5, 5), bool)
    for i, j in [(0, 3), (0, 4), (1, 3), (1, 4)]:
        separable[i, j] = separable[j, i] = True
    assert letters(separable) == ["a", "a", "ab", "b", "b"]
    separable[0, 2] = separable[2, 0] = True
    assert letters(separable) == ["a", "ab", "bc", "c", "c"]
    assert letters(np.zeros((3, 3), bool)) == ["a", "a", "a"]


@pytest.mark.parametrize("seed", range(20))
def test_models_share_a_letter_exactly_if_not_significantly_different(seed):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((9, 9)) < rng.uniform(0.1, 0.9), 1)
    separable = upper | upper.T
    names = letters(separable)
    for i, j in combinations(range(9), 2):
        assert bool(set(names[i]) & set(names[j])) != separable[i, j]


def test_pairs_are_corrected_together():
    differences = {(0, 1): 0.01, (0, 2): 0.02, (1, 2): np.nan}
    matrix = pairwise(3, {pair: Difference(0, 0, 0, p) for pair, p in differences.items()})
    assert matrix[0] == pytest.approx([1, 0.03, 0.04])  # of three pairs, one of which was not tested
    assert np.isnan(matrix[2, 1])
    assert np.array_equal(matrix, matrix.T, equal_nan=True)


def test_a_single_sample_is_not_tested():
    task = TaskBootstrap(np.array([0.5, 0.4]), np.zeros((100, 2)), 0)
    assert np.isnan(Comparison(task.scores[None], [task], "t", replicates=100, seed=0).on_task(0, 0, 1).p)


def test_equal_differences_without_samples_give_no_interval():
    scores = np.array([[0.5, 0.4], [0.7, 0.6], [0.3, 0.2]] * 2)
    result = Comparison(scores, [None] * 6, ["STS"] * 6, replicates=200, seed=0).tasks_like_these(0, 1)
    assert result.value == pytest.approx(0.1)
    assert np.isnan([result.low, result.high, result.p]).all()
