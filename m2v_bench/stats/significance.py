"""Confidence intervals, p-values and multiple-comparison corrections for differences between models.

There are two questions. *These tasks*: would other samples of the same tasks give the same sign? Samples are resampled
within every task. *Tasks like these*: would other tasks? Tasks are resampled, and samples within each.

Intervals are percentile intervals (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13) with the
quantiles moved outwards for small samples (Hesterberg, *What Teachers Should Know About the Bootstrap*, 2015, "expanded
percentile"). They respect the range and skew of a score, mean the same within a task and over tasks, and unlike BCa
need no acceleration, which is not defined for two levels. A p-value is one minus the confidence of the widest interval
that excludes zero, so intervals and p-values never contradict each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import norm, t

from m2v_bench.stats.bootstrap import TaskBootstrap

LEAST_DF = 5  # for a bootstrap over tasks: with 5 tasks of the same sign, a sign test gives p = 0.06
_ZERO = 1e-12  # above the rounding error of sums in a different order


@dataclass(frozen=True)
class Difference:
    """Difference between two models, with its confidence interval and p-value.

    Attributes:
        value: difference of their scores (0 to 1).
        low, high: bounds of the confidence interval; NaN if there is nothing to resample.
        p: two-sided p-value of no difference; NaN if there is nothing to resample or required samples are missing.
    """

    value: float
    low: float
    high: float
    p: float


def difference(value: float, deviations: np.ndarray, df: float, confidence: float) -> Difference:
    """Compute the interval and p-value of a difference from its bootstrap.

    Beyond the outermost replicate, the tail of a normal distribution with the replicates' standard deviation is used.
    Whatever the number of replicates, p-values can thus be small enough to survive correction for many comparisons,
    and intervals with very few degrees of freedom wide enough.

    Args:
        value: the difference.
        deviations: float64 array of shape (replicates,): resampled differences minus `value`.
        df: degrees of freedom of their spread; below 1, interval and p-value are NaN.
        confidence: confidence level of the interval, e.g. 0.95.
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


def weights_of(types: np.ndarray, average: str) -> np.ndarray:
    """Return each task's weight in the mean over `tasks` or in the mean of the means per type (`types`).

    Args:
        types: type of each task, shape (tasks,).
        average: `tasks` or `types`.

    Returns:
        float64 array of shape (tasks,) that sums to 1.
    """
    if average == "tasks":
        return np.full(len(types), 1 / len(types))
    _, group, sizes = np.unique(types, return_inverse=True, return_counts=True)
    return 1 / (len(sizes) * sizes[group])


class Comparison:
    """Pairwise comparison of several models on several tasks.

    Args:
        scores: float64 array of shape (tasks, models), 0 to 1, without NaN.
        bootstraps: bootstrap of each task; None for a task without samples, whose scores still inform the variance
            between tasks.
        types: type of each task.
        replicates: number of resamples, as in `bootstraps`.
        seed: seed of the draws of tasks.
        confidence: confidence level of the intervals.
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
        # shared by all pairs of models: the task drawn in place of each task, and the index of its resample
        self._task = rng.integers(0, len(scores), shape)
        self._resample = rng.integers(0, replicates, shape)

    def weights(self, average: str) -> np.ndarray:
        """Return each task's weight in an average, see `weights_of`."""
        return weights_of(self._types, average)

    def on_task(self, task: int, a: int, b: int) -> Difference:
        """Compare model `a` with model `b` (a minus b) on one task; without samples the interval is NaN."""
        value, bootstrap = float(self.scores[task, a] - self.scores[task, b]), self.bootstraps[task]
        if bootstrap is None:
            return Difference(value, np.nan, np.nan, np.nan)
        return difference(value, _pair(bootstrap, a, b), bootstrap.df, self._confidence)

    def these_tasks(self, a: int, b: int, average: str = "tasks") -> Difference:
        """Compare average scores (a minus b), resampling the samples of the same tasks.

        Interval and p are NaN if a task has no samples, since the uncertainty of its score is unknown.
        """
        weights = self.weights(average)
        value = float(weights @ (self.scores[:, a] - self.scores[:, b]))
        if any(bootstrap is None for bootstrap in self.bootstraps):
            return Difference(value, np.nan, np.nan, np.nan)
        deviations = weights[:, None] * self._within(a, b)
        return difference(value, deviations.sum(axis=0), self._df(deviations.var(axis=1)), self._confidence)

    def tasks_like_these(self, a: int, b: int, average: str = "tasks") -> Difference:
        """Compare average scores (a minus b) with a two-level bootstrap over tasks and the samples of each.

        Each task is replaced by one drawn from all tasks: the residual of the drawn task (its difference minus the
        mean of its group: all tasks, or those of its type) is added to the group mean of the replaced task. Types thus
        keep their sizes, and a type with a single task does not count as certain. Task differences already contain
        sampling noise, which the second level adds again (Davison and Hinkley, *Bootstrap Methods and their
        Application*, 1997, sec. 3.8); the residuals are shrunk to compensate.

        The interval is NaN if the tasks leave fewer than `LEAST_DF` degrees of freedom (tasks minus groups), or if no
        task has samples and all differences are equal: both say too little about the variance between tasks. p is also
        NaN if any task has no samples, so that missing data cannot make a test significant.
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
        if total < _ZERO**2 and all(bootstrap is None for bootstrap in self.bootstraps):
            return Difference(value, np.nan, np.nan, np.nan)
        between = max(total - variances.mean(), 0.0)
        if total > 0:
            residuals *= np.sqrt(len(gaps) / df * between / total)
        if between == 0:
            # sampling noise alone explains the spread between tasks, so its degrees of freedom apply
            df = max(df, self._df(variances))
        drawn = residuals[self._task] + within[self._task, self._resample]
        result = difference(value, drawn @ weights, df, self._confidence)
        return replace(result, p=np.nan) if any(bootstrap is None for bootstrap in self.bootstraps) else result

    def _within(self, a: int, b: int) -> np.ndarray:
        """Return deviations of the differences, float64 of shape (tasks, replicates); 0 for a task without samples."""
        within = np.zeros((len(self.bootstraps), len(self._task)))
        for task, bootstrap in enumerate(self.bootstraps):
            if bootstrap is not None:
                within[task] = _pair(bootstrap, a, b)
        return within

    def _df(self, variances: np.ndarray) -> float:
        """Return the degrees of freedom of a sum over tasks with these variances (Satterthwaite, 1946)."""
        spread = sum(
            variance**2 / bootstrap.df
            for variance, bootstrap in zip(variances, self.bootstraps, strict=True)
            if bootstrap is not None
        )
        return float(variances.sum() ** 2 / spread) if spread else np.inf


def _pair(bootstrap: TaskBootstrap, a: int, b: int) -> np.ndarray:
    return bootstrap.deviations[:, a] - bootstrap.deviations[:, b]


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust the p-values of a family of comparisons for multiple testing (Holm, 1979).

    Args:
        p_values: p-values of the family, of any length; NaN, an untested comparison, counts as p = 1, so the others
            are corrected as much as if it had been tested.

    Returns:
        float64 array of the same length, in the same order, at most 1; NaN where the input was NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    scaled = p[order] * np.arange(len(p), len(p) - len(order), -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def verdicts(differences: Sequence[Difference], *, alpha: float) -> list[str]:
    """Return `win`, `tie` or `loss` per task, Holm-corrected over the tasks; `untested` without samples."""
    adjusted = holm([difference.p for difference in differences])
    return [verdict(difference.value, p, alpha) for difference, p in zip(differences, adjusted, strict=True)]


def verdict(value: float, p: float, alpha: float) -> str:
    """Return `win` or `loss` for a difference significantly above or below zero, else `tie`; `untested` for NaN."""
    if np.isnan(p):
        return "untested"
    if p >= alpha:
        return "tie"
    return "win" if value > 0 else "loss"


def pairwise(n_models: int, compare: Mapping[tuple[int, int], Difference]) -> np.ndarray:
    """Return Holm-adjusted p-values over all pairs of models.

    Args:
        n_models: number of models.
        compare: difference of each pair (i, j), i < j.

    Returns:
        float64 array of shape (models, models), symmetric, 1 on the diagonal; NaN for an untested pair.
    """
    pairs = list(combinations(range(n_models), 2))
    matrix = np.ones((n_models, n_models))
    for (i, j), p in zip(pairs, holm([compare[pair].p for pair in pairs]), strict=True):
        matrix[i, j] = matrix[j, i] = p
    return matrix


def letters(separable: np.ndarray) -> list[str]:
    """Build a compact letter display: two models share a letter if and only if they do not differ significantly.

    Uses insert-and-absorb (Piepho, *An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons*, 2004).

    Args:
        separable: bool array of shape (models, models), symmetric: whether two models differ significantly; models in
            the order of the table, best first.

    Returns:
        The letters of each model; `a` is the first group, and `z` is followed by `aa`.
    """
    n = len(separable)
    groups = [frozenset(range(n))]
    for i, j in combinations(range(n), 2):
        if not separable[i, j]:
            continue
        split = [part for group in groups for part in ((group - {i}, group - {j}) if {i, j} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups = sorted(groups, key=sorted)
    names = [_letter(number) for number in range(len(groups))]
    return ["".join(name for name, group in zip(names, groups, strict=True) if model in group) for model in range(n)]


def _letter(number: int) -> str:
    prefix, position = divmod(number, 26)
    return (_letter(prefix - 1) if prefix else "") + chr(ord("a") + position)
