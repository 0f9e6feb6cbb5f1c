"""Is the difference of two models more than chance? Intervals, p-values, and what may be said about many of them.

Two questions, two answers. *These tasks*: would other samples of the same tasks give the same sign? Samples are
resampled within every task. *Tasks like these*: would other tasks? Tasks are resampled, and samples within each.

Intervals are percentile intervals (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13) with the
quantiles taken further out for few samples, as Hesterberg does (*What Teachers Should Know About the Bootstrap*, 2015,
"expanded percentile"). They follow a bounded and skewed score, they mean the same within a task and over tasks, and
unlike BCa they need no acceleration, which is not defined for two levels. A p-value is one less the confidence of the
widest interval without zero, so that the two never contradict each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import norm, t

from m2v_bench.stats.bootstrap import TaskBootstrap

LEAST_DF = 5  # of a bootstrap over tasks: of 5 tasks that all have one sign, a sign test gives p = 0.06
_ZERO = 1e-12  # sums in another order differ by less


@dataclass(frozen=True)
class Difference:
    """How far one model is above another.

    Attributes:
        value: difference of their scores (0 to 1).
        low, high: bounds of its confidence interval; NaN when there is nothing to resample.
        p: two-sided p-value of no difference; NaN likewise, and where samples are missing that it needs.
    """

    value: float
    low: float
    high: float
    p: float


def difference(value: float, deviations: np.ndarray, df: float, confidence: float) -> Difference:
    """Interval and p-value of a difference from its bootstrap.

    Where there are no replicates, further out than the last one, a normal distribution with their standard deviation
    stands in: so p-values are small enough to be corrected for many comparisons, and intervals of very few degrees of
    freedom wide enough, whatever the number of replicates.

    Args:
        value: the difference.
        deviations: float64 array of shape (replicates,): differences of the resamples less `value`.
        df: degrees of freedom of their spread; below 1 nothing can be said.
        confidence: of the interval, e.g. 0.95.
    """
    if df < 1:
        return Difference(value, np.nan, np.nan, np.nan)
    z = t.isf((1 - confidence) / 2, df)
    tail = norm.sf(z)
    low, high = np.quantile(deviations, [tail, 1 - tail])
    if tail * (len(deviations) + 1) < 1:
        reach = z * np.std(deviations)
        low, high = min(low, -reach), max(high, reach)
    return Difference(value, float(value + low), float(value + high), _p_value(value, deviations, df))


def _p_value(value: float, deviations: np.ndarray, df: float) -> float:
    replicates = value + deviations
    beyond = min(np.sum(replicates <= _ZERO), np.sum(replicates >= -_ZERO))
    z = norm.isf(min((beyond + 1) / (len(replicates) + 1), 0.5))
    spread = np.std(deviations)
    if not beyond:
        z = max(z, abs(value) / spread) if spread else np.inf
    return float(2 * t.sf(z, df))


class Comparison:
    """Several models on several tasks.

    Args:
        scores: float64 array of shape (tasks, models), 0 to 1, without NaN.
        bootstraps: per task; None for a task without samples, whose score still tells how tasks vary.
        types: per task, its type.
        replicates: number of resamples, as in `bootstraps`.
        seed: seed of the draws of tasks.
        confidence: of the intervals.
    """

    def __init__(
        self,
        scores: np.ndarray,
        bootstraps: Sequence[TaskBootstrap | None],
        types: Sequence[str],
        *,
        replicates: int,
        seed: int,
        confidence: float = 0.95,
    ) -> None:
        self.scores, self.bootstraps, self._types = scores, list(bootstraps), np.array(list(types))
        self._confidence = confidence
        rng = np.random.default_rng(seed)
        shape = (replicates, len(scores))
        # the same for every pair of models: which task stands in a task's place, and which of its resamples
        self._task = rng.integers(0, len(scores), shape)
        self._resample = rng.integers(0, replicates, shape)

    def weights(self, average: str) -> np.ndarray:
        """Weight of each task in the average over `tasks`, or in the mean of the averages of `types`; sums to 1."""
        if average == "tasks":
            return np.full(len(self._types), 1 / len(self._types))
        _, group, sizes = np.unique(self._types, return_inverse=True, return_counts=True)
        return 1 / (len(sizes) * sizes[group])

    def on_task(self, task: int, a: int, b: int) -> Difference:
        """Model `a` less model `b` on one task; without samples an interval of NaN."""
        value, bootstrap = float(self.scores[task, a] - self.scores[task, b]), self.bootstraps[task]
        if bootstrap is None:
            return Difference(value, np.nan, np.nan, np.nan)
        return difference(value, _pair(bootstrap, a, b), bootstrap.df, self._confidence)

    def these_tasks(self, a: int, b: int, average: str = "tasks") -> Difference:
        """The average difference, other samples being drawn of the same tasks.

        An interval of NaN when a task has no samples: how certain its score is, is not known.
        """
        weights = self.weights(average)
        value = float(weights @ (self.scores[:, a] - self.scores[:, b]))
        if any(each is None for each in self.bootstraps):
            return Difference(value, np.nan, np.nan, np.nan)
        deviations = weights[:, None] * self._within(a, b)
        return difference(value, deviations.sum(axis=0), self._df(deviations.var(axis=1)), self._confidence)

    def tasks_like_these(self, a: int, b: int, average: str = "tasks") -> Difference:
        """The average difference, other tasks being drawn, and other samples of each: a bootstrap at two levels.

        In each task's place stands a task drawn from all: its difference less the mean of its group (all tasks, or
        those of its type) is added to the mean of the group whose place it takes, so that the types stay as they are
        and one with a single task does not count as certain. Differences of tasks already hold the noise of their
        samples, which the second level adds once more (Davison and Hinkley, *Bootstrap Methods and their
        Application*, 1997, sec. 3.8); they are drawn together by as much. An interval of NaN when the tasks leave
        fewer than `LEAST_DF` degrees of freedom, tasks less groups, or when no task has samples and all differ by the
        same: too little then tells how they vary. A p of NaN when a task has no samples, so that a test never finds
        more where less is known.
        """
        gaps = self.scores[:, a] - self.scores[:, b]
        weights = self.weights(average)
        group = np.zeros(len(gaps), int) if average == "tasks" else np.unique(self._types, return_inverse=True)[1]
        df: float = len(gaps) - (group.max() + 1)
        value = float(weights @ gaps)
        if df < LEAST_DF:
            return Difference(value, np.nan, np.nan, np.nan)
        residuals = gaps - (np.bincount(group, gaps) / np.bincount(group))[group]
        within = self._within(a, b)
        variances = within.var(axis=1)
        total = residuals @ residuals / df
        if total < _ZERO**2 and all(each is None for each in self.bootstraps):
            return Difference(value, np.nan, np.nan, np.nan)
        between = max(total - variances.mean(), 0.0)
        if total > 0:
            residuals *= np.sqrt(len(gaps) / df * between / total)
        if between == 0:
            # tasks scatter no more than their samples do, and it is the samples that tell by how much
            df = max(df, self._df(variances))
        drawn = residuals[self._task] + within[self._task, self._resample]
        found = difference(value, drawn @ weights, df, self._confidence)
        return replace(found, p=np.nan) if any(each is None for each in self.bootstraps) else found

    def _within(self, a: int, b: int) -> np.ndarray:
        """Deviations of the differences, of shape (tasks, replicates); 0 for a task without samples."""
        within = np.zeros((len(self.bootstraps), len(self._task)))
        for task, bootstrap in enumerate(self.bootstraps):
            if bootstrap is not None:
                within[task] = _pair(bootstrap, a, b)
        return within

    def _df(self, variances: np.ndarray) -> float:
        """Degrees of freedom of a sum over tasks with these variances (Satterthwaite, 1946)."""
        spread = sum(
            variance**2 / each.df for variance, each in zip(variances, self.bootstraps, strict=True) if each is not None
        )
        return float(variances.sum() ** 2 / spread) if spread else np.inf


def _pair(bootstrap: TaskBootstrap, a: int, b: int) -> np.ndarray:
    return bootstrap.deviations[:, a] - bootstrap.deviations[:, b]


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values of a family of comparisons, such that all may be read at one level (Holm, 1979).

    Args:
        p_values: of any length; NaN, a comparison that could not be tested, counts as one with p = 1, so that the
            others are corrected as much as if it had been tested.

    Returns:
        float64 array of the same length, in the same order, at most 1; NaN where it was NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    scaled = p[order] * np.arange(len(p), len(p) - len(order), -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def verdicts(differences: Sequence[Difference], *, alpha: float) -> list[str]:
    """Per task `win`, `tie` or `loss`, corrected over the tasks, or `untested` where there are no samples."""
    adjusted = holm([each.p for each in differences])
    return [verdict(each.value, p, alpha) for each, p in zip(differences, adjusted, strict=True)]


def verdict(value: float, p: float, alpha: float) -> str:
    """`win` or `loss` by the sign of a difference that is separable from zero, else `tie`; `untested` for NaN."""
    if np.isnan(p):
        return "untested"
    if p >= alpha:
        return "tie"
    return "win" if value > 0 else "loss"


def pairwise(n_models: int, compare: Mapping[tuple[int, int], Difference]) -> np.ndarray:
    """Holm's p-values over all pairs of models.

    Args:
        n_models: how many models there are.
        compare: the difference of each pair (i, j), i < j.

    Returns:
        float64 array of shape (models, models), symmetric, 1 on the diagonal; NaN for a pair that was not tested.
    """
    pairs = list(combinations(range(n_models), 2))
    matrix = np.ones((n_models, n_models))
    for (i, j), p in zip(pairs, holm([compare[pair].p for pair in pairs]), strict=True):
        matrix[i, j] = matrix[j, i] = p
    return matrix


def letters(separable: np.ndarray) -> list[str]:
    """Compact letter display: two models share a letter when they are not separable, and only then.

    Insert and absorb (Piepho, *An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons*, 2004).

    Args:
        separable: bool array of shape (models, models), symmetric; models in the order of the table, best first.

    Returns:
        Per model its letters, `a` being of the first group; after `z` comes `aa`.
    """
    n = len(separable)
    groups = [frozenset(range(n))]
    for i, j in combinations(range(n), 2):
        if not separable[i, j]:
            continue
        split = [part for group in groups for part in ((group - {i}, group - {j}) if {i, j} <= group else (group,))]
        groups = [each for each in dict.fromkeys(split) if not any(each < other for other in split)]
    groups = sorted(groups, key=sorted)
    names = [_letter(number) for number in range(len(groups))]
    return ["".join(name for name, group in zip(names, groups, strict=True) if model in group) for model in range(n)]


def _letter(number: int) -> str:
    rest, place = divmod(number, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("a") + place)
