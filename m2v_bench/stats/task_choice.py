"""Measure how well each task tells models apart, and choose few tasks that rank models as all of them do.

Agreement of two rankings is Kendall's tau-b (*The Treatment of Ties in Ranking Problems*, 1945): 1 when they order all
pairs of models alike, 0 when they are unrelated, -1 when one is the reverse of the other.

Tasks are chosen greedily: the next one is that with which the ranking by the chosen tasks agrees best with the one by
all. Among tasks within 0.01 of the best, the cheapest is taken. A choice fits the models that it was made with, so its
agreement is measured on other models: on one half of the models after choosing with the other half, for many random
halves, and on the models of each teacher after choosing with those of the other teachers. Randomly chosen tasks are
measured beside them, on the same halves.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from m2v_bench.stats.significance import Comparison, weights_of

SPLITS = 100  # of the models into halves
FEWEST_MODELS = 8  # a half of fewer says little
_CLOSE = 0.01  # agreements that are as good as equal
# pairs of models; of more, a sample says as much
_MOST_PAIRS, _MOST_INTERVALS = 20_000, 2_000


@dataclass(frozen=True)
class TaskProfile:
    """How well a task tells models apart.

    Attributes:
        agreement: tau-b of its order of the models with that of the mean over the other tasks; NaN for a single task.
        told_apart: share of the pairs of models whose difference on it has an interval without zero; NaN without
            samples.
        width: median width of these intervals, 0 to 1; NaN without samples.
    """

    agreement: float
    told_apart: float
    width: float


@dataclass(frozen=True)
class Choice:
    """Chosen tasks, in the order in which they were chosen, and the agreement of each number of them.

    Attributes:
        tasks: indices of the tasks.
        seen: tau-b with all tasks on the models that they were chosen with, one value per number of tasks.
        halves: the same on the other half of the models, mean over random halves; NaN with too few models.
        random: the same for randomly drawn tasks.
        teachers: the same on the models of another teacher, mean over teachers; NaN without three models of each of
            several teachers.
        itself: tau-b of all tasks with themselves on resampled samples, mean over resamples: what no choice can be
            expected to exceed on other samples; NaN without samples of all tasks.
    """

    tasks: list[int]
    seen: np.ndarray
    halves: np.ndarray
    random: np.ndarray
    teachers: np.ndarray
    itself: float

    def smallest(self, agreement: float) -> int | None:
        """Return the smallest number of tasks from which on it reaches an agreement on other models, or None."""
        reached = np.flatnonzero(np.nan_to_num(self.halves) >= agreement)
        return int(reached[0]) + 1 if len(reached) else None


def tau(differences: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b of scores with other ones, from the differences of all pairs of models.

    Args:
        differences: float64 array of shape (..., pairs).
        reference: float64 array of shape (pairs,).

    Returns:
        float64 array of shape (...); NaN where all models have equal scores.
    """
    signs, others = np.sign(_rounded(differences)), np.sign(_rounded(reference))
    norm = np.sqrt(np.abs(signs).sum(axis=-1) * np.abs(others).sum())
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(norm > 0, signs @ others / norm, np.nan))


def _rounded(differences: np.ndarray) -> np.ndarray:
    """Make equal what differs by the order of additions alone."""
    return np.round(differences, 12)


def profiles(comparison: Comparison) -> list[TaskProfile]:
    """Measure how well each task of a comparison tells its models apart."""
    scores = comparison.scores
    one, other = _pairs(scores.shape[1], _MOST_PAIRS)
    differences = scores[:, one] - scores[:, other]
    few = np.stack(_pairs(scores.shape[1], _MOST_INTERVALS), axis=1).tolist()
    measured = []
    for task in range(len(scores)):
        others = np.delete(differences, task, axis=0)
        agreement = float(tau(differences[task], others.mean(axis=0))) if len(others) else np.nan
        told_apart = width = np.nan
        if comparison.bootstraps[task] is not None:
            intervals = [comparison.on_task(task, a, b) for a, b in few]
            told_apart = float(np.mean([one.low > 0 or one.high < 0 for one in intervals]))
            width = float(np.median([one.high - one.low for one in intervals]))
        measured.append(TaskProfile(agreement, told_apart, width))
    return measured


def choose(
    comparison: Comparison,
    types: Sequence[str],
    teachers: Sequence[str],
    costs: Sequence[float],
    *,
    average: str,
    most: int,
    seed: int,
) -> Choice:
    """Choose up to `most` tasks that rank the models of a comparison as all its tasks do.

    Args:
        comparison: all models on all tasks.
        types: type of each task.
        teachers: teacher of each model.
        costs: of each task, in any unit; NaN counts as nothing.
        average: `tasks` or `types`, as in `Comparison`.
        most: the largest number of tasks.
        seed: seed of the halves, the random tasks and the resamples.
    """
    rng = np.random.default_rng(seed)
    scores, groups = comparison.scores, np.array(list(types))
    everyone = np.arange(scores.shape[1])
    most, prices = min(most, len(scores)), np.nan_to_num(np.array(list(costs), np.float64))
    chosen = _greedy(scores, groups, average, prices, most)
    sizes = range(1, most + 1)

    def agreement(tasks: list[int], models: np.ndarray) -> list[float]:
        return _agreement(scores[:, models], groups, average, [tasks[:size] for size in sizes]).tolist()

    halves, random = [], []
    for _ in range(SPLITS if len(everyone) >= FEWEST_MODELS else 0):
        order = rng.permutation(everyone)
        one, other = order[: len(order) // 2], order[len(order) // 2 :]
        halves.append(agreement(_greedy(scores[:, one], groups, average, prices, most), other))
        random.append(agreement(rng.permutation(len(scores))[:most].tolist(), other))
    of_teachers = []
    names = np.array(list(teachers))
    for name in dict.fromkeys(teachers) if _are_enough(names) else ():
        of_others = _greedy(scores[:, names != name], groups, average, prices, most)
        of_teachers.append(agreement(of_others, everyone[names == name]))
    return Choice(
        chosen,
        np.array(agreement(chosen, everyone)),
        _mean(halves, most),
        _mean(random, most),
        _mean(of_teachers, most),
        _with_itself(comparison, average),
    )


def _are_enough(teachers: np.ndarray) -> bool:
    _, counts = np.unique(teachers, return_counts=True)
    return len(counts) > 1 and bool(counts.min() >= 3)


def _mean(rows: Sequence[Sequence[float]], size: int) -> np.ndarray:
    return np.mean(rows, axis=0) if len(rows) else np.full(size, np.nan)


@functools.lru_cache(maxsize=16)
def _pairs(n_models: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the second model of all pairs, or of a sample where they are more than `most`."""
    one, other = np.triu_indices(n_models, 1)
    if len(one) > most:
        drawn = np.sort(np.random.default_rng(n_models).choice(len(one), most, replace=False))
        one, other = one[drawn], other[drawn]
    return one, other


def _greedy(scores: np.ndarray, groups: np.ndarray, average: str, prices: np.ndarray, most: int) -> list[int]:
    """Choose tasks one by one."""
    chosen: list[int] = []
    while len(chosen) < most:
        left = [task for task in range(len(scores)) if task not in chosen]
        agreements = np.nan_to_num(_agreement(scores, groups, average, [[*chosen, task] for task in left]), nan=-2.0)
        good = np.flatnonzero(agreements >= agreements.max() - _CLOSE)
        chosen.append(min((left[place] for place in good), key=lambda task: (prices[task], task)))
    return chosen


def _agreement(scores: np.ndarray, groups: np.ndarray, average: str, choices: Sequence[Sequence[int]]) -> np.ndarray:
    """Return tau-b of the mean over each choice of tasks with the mean over all, float64 of shape (choices,)."""
    one, other = _pairs(scores.shape[1], _MOST_PAIRS)
    whole = weights_of(groups, average) @ scores
    means = np.stack([weights_of(groups[tasks], average) @ scores[tasks] for tasks in map(list, choices)])
    return tau(means[:, one] - means[:, other], whole[one] - whole[other])


def _with_itself(comparison: Comparison, average: str) -> float:
    bootstraps = [bootstrap for bootstrap in comparison.bootstraps if bootstrap is not None]
    if len(bootstraps) < len(comparison.bootstraps):
        return np.nan
    weights = comparison.weights(average)
    whole = weights @ comparison.scores
    deviations = sum(
        weight * bootstrap.deviations[:SPLITS] for weight, bootstrap in zip(weights, bootstraps, strict=True)
    )
    one, other = _pairs(len(whole), _MOST_PAIRS)
    resampled = whole + deviations
    return float(np.mean(tau(resampled[:, one] - resampled[:, other], whole[one] - whole[other])))
