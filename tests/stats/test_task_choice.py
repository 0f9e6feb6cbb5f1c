import numpy as np
import pytest
from scipy.stats import kendalltau

from m2v_bench.stats.bootstrap import TaskBootstrap, bootstrap_task
from m2v_bench.stats.significance import Comparison
from m2v_bench.stats.task_choice import SPLITS, choose, profiles, tau
from m2v_bench.tasks.samples import Samples

MODELS, DRAWS = 24, {"replicates": 200, "seed": 1}


def comparison(scores: np.ndarray, *, samples: bool = False) -> Comparison:
    bootstraps: list[TaskBootstrap | None] = [None] * len(scores)
    if samples:  # 400 answers, the share of right ones is the score; the same samples for all models
        answers = np.random.default_rng(2).random((len(scores), 1, 400)) < scores[:, :, None]
        bootstraps = [
            bootstrap_task(
                str(task), [{"test/a": Samples("mean", row.astype(np.float32), None, "text")} for row in rows], **DRAWS
            )
            for task, rows in enumerate(answers)
        ]
        scores = np.array([bootstrap.scores for bootstrap in bootstraps if bootstrap is not None])
    return Comparison(scores, bootstraps, ["STS"] * len(scores), **DRAWS)


def noisy(noise: list[float], seed: int = 0) -> np.ndarray:
    """Scores of models whose quality rises, on tasks that measure it with more or less noise."""
    quality = np.linspace(0.3, 0.6, MODELS)
    return np.stack(
        [quality + level * np.random.default_rng([seed, task]).normal(size=MODELS) for task, level in enumerate(noise)]
    )


def test_agreement_is_scipys_tau():
    rng = np.random.default_rng(0)
    one, other = np.triu_indices(12, 1)
    for _ in range(50):
        a, b = rng.integers(0, 6, (2, 12)) / 7  # with ties
        assert float(tau(a[one] - a[other], b[one] - b[other])) == pytest.approx(kendalltau(a, b).statistic)
    assert np.isnan(tau(np.zeros(66), a[one] - a[other]))


def test_agreement_ignores_rounding():
    values = np.array([0.1 + 0.2, 0.3, 0.5])  # the first two differ in the last bit
    one, other = np.triu_indices(3, 1)
    assert (
        float(tau(values[one] - values[other], np.array([0.3, 0.3, 0.5])[one] - np.array([0.3, 0.3, 0.5])[other])) == 1
    )


def test_a_task_with_less_noise_agrees_better_and_tells_more_models_apart():
    quiet, *_, loud = profiles(comparison(noisy([0.0, 0.05, 0.05, 0.05, 0.2]), samples=True))
    assert quiet.agreement > loud.agreement + 0.2
    same, *_ = profiles(comparison(np.stack([np.full(MODELS, 0.5), np.linspace(0.3, 0.6, MODELS)]), samples=True))
    assert same.told_apart == 0 < quiet.told_apart < 1
    assert 0.02 < quiet.width < 0.2  # of the difference of two shares of 400
    without = profiles(comparison(noisy([0.0, 0.1])))[0]
    assert np.isnan([without.told_apart, without.width]).all()
    assert not np.isnan(without.agreement)


def test_the_quiet_tasks_are_chosen_and_agree_on_models_not_seen():
    scores = noisy([1.0, 0.02, 1.0, 0.02, 1.0])
    scores[[0, 2, 4]] = scores[[0, 2, 4]] / 50 + 0.4  # a little noise, nothing else
    choice = choose(comparison(scores), ["STS"] * 5, ["a"] * MODELS, [1.0] * 5, average="tasks", most=3, seed=7)
    assert sorted(choice.tasks[:2]) == [1, 3]
    assert choice.halves[1] > choice.random[1] + 0.1
    assert choice.smallest(0.8) <= 2
    assert choice.smallest(1.01) is None
    assert np.isnan(choice.teachers).all()
    assert np.isnan(choice.itself)


def test_all_tasks_agree_with_themselves_and_choices_are_repeatable():
    compared = comparison(noisy([0.05] * 4), samples=True)
    options = {
        "types": ["STS", "STS", "Ret", "Ret"],
        "teachers": ["a", "b"] * (MODELS // 2),
        "costs": [1.0] * 4,
        "average": "types",
    }
    first, second = (choose(compared, most=9, seed=5, **options) for _ in range(2))
    assert sorted(first.tasks) == [0, 1, 2, 3]
    assert first.seen[-1] == first.halves[-1] == first.teachers[-1] == 1
    assert 0.5 < first.itself < 1
    assert first.tasks == second.tasks
    assert first.random.tolist() == second.random.tolist()


def test_a_choice_that_fits_chance_is_exposed_by_other_models():
    """On noise alone, tasks chosen among many agree with themselves, not with other models."""
    scores = np.random.default_rng(3).random((40, MODELS))
    choice = choose(comparison(scores), ["STS"] * 40, ["a"] * MODELS, [1.0] * 40, average="tasks", most=5, seed=1)
    assert choice.seen[4] > choice.halves[4] + 0.2
    assert choice.halves[4] < choice.random[4] + 0.2


def test_few_models_are_not_divided():
    choice = choose(
        comparison(noisy([0.1] * 3)[:, :7]), ["STS"] * 3, ["a"] * 7, [np.nan] * 3, average="tasks", most=2, seed=1
    )
    assert np.isnan(choice.halves).all()
    assert choice.smallest(0.1) is None
    assert not np.isnan(choice.seen).any()
    assert SPLITS >= 50


def test_of_tasks_that_are_as_good_the_cheapest_is_chosen():
    scores = np.repeat(noisy([0.02]), 4, axis=0)
    choice = choose(
        comparison(scores), ["STS"] * 4, ["a"] * MODELS, [3.0, 2.0, 1.0, 2.0], average="tasks", most=4, seed=1
    )
    assert choice.tasks == [2, 1, 3, 0]
