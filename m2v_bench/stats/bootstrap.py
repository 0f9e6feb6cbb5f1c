"""Paired bootstrap (Efron, 1979) of task scores over samples, with the same resamples for all models.

A resample is stored as the number of draws of each sample. Every score of `samples.METRICS` follows exactly from these
counts and the ranks and thresholds of the whole task, so no resample is sorted.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.tasks.samples import Samples

_BLOCK = 20_000  # counts per block of resamples, few enough to fit in a core's cache

Parts = Mapping[str, Samples]
"""Samples of one model on one task, keyed by `split/subset`."""


@dataclass(frozen=True)
class TaskBootstrap:
    """Scores of all models on one task, with their bootstrap replicates.

    Attributes:
        scores: float64 array of shape (models,): mean score over the task's parts.
        deviations: float64 array of shape (replicates, models): resampled score minus score, scaled per part by
            sqrt(n / (n - 1)) to correct for the too narrow spread of n samples around their mean.
        df: degrees of freedom of the deviations, those of the smallest part.
    """

    scores: np.ndarray
    deviations: np.ndarray
    df: int


def bootstrap_tasks(
    tasks: Iterable[tuple[str, Sequence[Parts]]], *, replicates: int, seed: int
) -> Iterator[tuple[str, TaskBootstrap]]:
    """Bootstrap each task, in parallel on all cores; the result for a task does not depend on the other tasks.

    Args:
        tasks: task names with the parts of every model, read as cores become free.
        replicates: number of resamples per task.
        seed: seed of the draws.

    Yields:
        The tasks in the same order.
    """
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        running: deque[tuple[str, Future[TaskBootstrap]]] = deque()
        for task, models in tasks:
            running.append((task, pool.submit(bootstrap_task, task, models, replicates=replicates, seed=seed)))
            if len(running) > cores:
                first, job = running.popleft()
                yield first, job.result()
        yield from ((task, job.result()) for task, job in running)


def check_same(task: str, models: Sequence[Parts], labels: Sequence[str]) -> None:
    """Check that all models were scored on the same samples of a task.

    Raises:
        BenchError: if not, naming the task, two models and the difference.
    """
    for label, parts in zip(labels, models, strict=True):
        if reason := _difference(models[0], parts):
            raise BenchError(
                f"{task}: {labels[0]} and {label} were not scored on the same samples: {reason}.\n"
                "Score both on the same data, or name the tasks to compare on with --tasks."
            )


def _difference(first: Parts, other: Parts) -> str | None:
    """Describe how the samples of two models differ, or return None."""
    if first.keys() != other.keys():
        return f"{', '.join(first)} against {', '.join(other)}"
    for name, one in first.items():
        two = other[name]
        if one.metric != two.metric:
            return f"{name} is scored by {one.metric} and by {two.metric}"
        if len(one.values) != len(two.values):
            return f"{name} has {len(one.values)} and {len(two.values)} of them"
        if one.gold is not None and two.gold is not None and not np.array_equal(one.gold, two.gold):
            return f"the gold values of {name} differ"
    return None


def bootstrap_task(task: str, models: Sequence[Parts], *, replicates: int, seed: int) -> TaskBootstrap:
    """Bootstrap the score of each model on a task, resampling each part separately.

    Args:
        task: name of the task; it seeds the draws together with `seed` and the part's name.
        models: the parts of each model; all models have the same parts, each with at least two samples.
        replicates: number of resamples.
        seed: seed of the draws.
    """
    scores, deviations, sizes = [], [], []
    for name in models[0]:
        parts = [model[name] for model in models]
        n = len(parts[0].values)
        rng = np.random.default_rng([seed, zlib.crc32(task.encode()), zlib.crc32(name.encode())])
        score = np.array([part.score() for part in parts])
        scores.append(score)
        deviations.append(np.sqrt(n / (n - 1)) * (resampled_scores(parts, replicates, rng) - score))
        sizes.append(n)
    return TaskBootstrap(np.mean(scores, axis=0), np.mean(deviations, axis=0), min(sizes) - 1)


def resampled_scores(models: Sequence[Samples], replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Return scores on shared resamples, float64 of shape (replicates, models).

    A resample whose score is undefined (all values equal, or no positive pair) scores 0.
    """
    n = len(models[0].values)
    if models[0].metric == "mean":
        values = np.stack([model.values for model in models], axis=1).astype(np.float64)
        kinds, counts = np.unique(values, axis=0, return_counts=True)
        if len(kinds) * 10 < n:
            # count rows that are equal for all models together: faster, with the same distribution
            return rng.multinomial(n, counts / n, size=replicates) @ kinds / n
        return _blocks(lambda drawn: drawn @ values / n, n, replicates, len(models), rng)
    gold = models[0].gold
    assert gold is not None  # only `mean` has no gold values
    scorer = _SCORERS[models[0].metric](gold, [model.values for model in models])
    return _blocks(scorer, n, replicates, len(models), rng)


def _blocks(
    scorer: Callable[[np.ndarray], np.ndarray], n: int, replicates: int, n_models: int, rng: np.random.Generator
) -> np.ndarray:
    """Apply `scorer` block by block; it maps counts (resamples, n) to scores (resamples, models)."""
    scores = np.empty((replicates, n_models))
    size = max(1, _BLOCK // n)
    for start in range(0, replicates, size):
        rows = min(size, replicates - start)
        drawn = rng.integers(0, n, (rows, n))
        drawn += n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        scores[start : start + rows] = scorer(counts.astype(np.float64))
    return scores


def _pearson(gold: np.ndarray, models: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer for the Pearson correlation."""
    # center first to avoid cancellation in the sums of squares
    x = np.stack(models, axis=1).astype(np.float64)
    x -= x.mean(axis=0)
    y = gold.astype(np.float64) - gold.mean(dtype=np.float64)
    n, m = len(gold), len(models)
    moments = np.concatenate([x, x**2, x * y[:, None], y[:, None], y[:, None] ** 2], axis=1)

    def score(drawn: np.ndarray) -> np.ndarray:
        means = drawn @ moments / n
        x_mean, xx, xy = means[:, :m], means[:, m : 2 * m], means[:, 2 * m : 3 * m]
        y_mean, yy = means[:, -2, None], means[:, -1, None]
        return _ratio(xy - x_mean * y_mean, (xx - x_mean**2) * (yy - y_mean**2))

    return score


def _spearman(gold: np.ndarray, models: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer for the Pearson correlation of ranks; equal values share their mean rank."""
    n = len(gold)
    y_ranks, x_ranks = _ranks(gold), [_ranks(values) for values in models]

    def score(drawn: np.ndarray) -> np.ndarray:
        y, yy = y_ranks(drawn)
        y *= drawn
        scores = np.empty((len(drawn), len(models)))
        for number, ranks in enumerate(x_ranks):
            x, xx = ranks(drawn)
            scores[:, number] = _ratio(np.einsum("ij,ij->i", x, y) - float(n) ** 3, xx * yy)
        return scores

    return score


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function from counts to ranks and their sum of squares.

    Ranks are returned as 2 x rank - 1, of shape (resamples, n) and mean n; the sum of squares is around that mean.
    For n distinct values it is (n**3 - n) / 3. Each group of t draws with the same value shares its middle rank, which
    lowers the sum by (t**3 - t) / 3 (Kendall, *Rank Correlation Methods*, 1948, ch. 3).
    """
    n = len(values)
    order = np.argsort(values, kind="stable")
    group = np.unique(values, return_inverse=True)[1]  # (n,): equal values share a group
    last = _ends(group[order])

    def ranks(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below = np.zeros((len(drawn), 1 + len(last)))  # number of draws up to and including each group
        if len(last) == n:
            np.cumsum(drawn.take(order, axis=1), axis=1, out=below[:, 1:])
            tied = drawn
        else:
            np.cumsum(drawn.take(order, axis=1), axis=1).take(last, axis=1, out=below[:, 1:], mode="clip")
            tied = np.diff(below, axis=1)
        squares = (float(n) ** 3 - np.einsum("ij,ij,ij->i", tied, tied, tied)) / 3
        return (below[:, :-1] + below[:, 1:]).take(group, axis=1), squares

    return ranks


def _ends(groups: np.ndarray) -> np.ndarray:
    """Return the index of the last element of each group in a sorted array of group numbers."""
    return np.flatnonzero(np.append(groups[1:] != groups[:-1], True))


def _average_precision(gold: np.ndarray, models: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer for average precision as scikit-learn defines it."""
    positive = gold > 0
    scorers = [_precision(positive, values) for values in models]

    def score(drawn: np.ndarray) -> np.ndarray:
        counts = drawn.astype(np.int32)  # exact, and four times as fast to sum up as floats
        return np.stack([scorer(counts) for scorer in scorers], axis=1)

    return score


def _precision(positive: np.ndarray, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer for the average precision of one model."""
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    positions = np.flatnonzero(positive[order])
    # samples with equal values pass a threshold together
    last = np.searchsorted(-descending, -descending[positions], side="right") - 1
    last_positive = np.searchsorted(-descending[positions], -descending[positions], side="right") - 1
    order_positive = order[positions]

    def score(drawn: np.ndarray) -> np.ndarray:
        retrieved = np.cumsum(drawn.take(order, axis=1), axis=1, dtype=np.int32).take(last, axis=1)
        relevant = drawn.take(order_positive, axis=1)
        hits = np.cumsum(relevant, axis=1, dtype=np.int32).take(last_positive, axis=1)
        total = relevant.sum(axis=1)
        return np.einsum("ij,ij->i", relevant, hits / np.maximum(retrieved, 1)) / np.maximum(total, 1)

    return score


def _mutual_information(gold: np.ndarray, models: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer for the mutual information of clusters and classes over the mean of their entropies.

    The clusters stay those of the whole task.
    """
    classes = np.unique(gold, return_inverse=True)[1]
    tables = []
    for values in models:
        clusters = np.unique(values, return_inverse=True)[1]
        shape = classes.max() + 1, clusters.max() + 1
        tables.append((shape, np.eye(shape[0] * shape[1])[classes * shape[1] + clusters]))

    def score(drawn: np.ndarray) -> np.ndarray:
        scores = np.empty((len(drawn), len(models)))
        for number, (shape, cells) in enumerate(tables):
            shares = (drawn @ cells / len(gold)).reshape(-1, *shape)
            of_classes, of_clusters = _entropy(shares.sum(axis=2)), _entropy(shares.sum(axis=1))
            information = of_classes + of_clusters - _entropy(shares.reshape(len(drawn), -1))
            scores[:, number] = _ratio(information, ((of_classes + of_clusters) / 2) ** 2)
        return scores

    return score


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Return the entropy of each row."""
    return -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=1)


def _ratio(covariance: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return covariance / sqrt(product of variances), or 0 where a variance is 0."""
    defined = variances > 1e-24
    return np.where(defined, covariance / np.sqrt(np.where(defined, variances, 1)), 0.0)


_SCORERS = {
    "pearson": _pearson,
    "spearman": _spearman,
    "average_precision": _average_precision,
    "mutual_information": _mutual_information,
}
