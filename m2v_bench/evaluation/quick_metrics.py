"""Metrics of mteb whose checks of arguments cost far more than their arithmetic, with the same numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mteb._evaluators.text.summarization_evaluator import DeprecatedSummarizationEvaluator, SummarizationEvaluator
from scipy import stats

_stock, _deprecated = SummarizationEvaluator._calculate_metrics, DeprecatedSummarizationEvaluator._calculate_metrics


# The p-value of a perfect correlation of three numbers depends on how it is rounded, and two numbers have none.
_FEWEST_SUMMARIES = 4


def auc(rates: np.ndarray, curve: np.ndarray) -> float:
    """Return the area under a curve over increasing rates, as `sklearn.metrics.auc` does.

    mteb computes it 210 times for a retrieval task, each of ten points.
    """
    return float(np.trapezoid(curve, rates))


def summary_metrics(evaluator: SummarizationEvaluator, distances: Any) -> Any:
    """Do what `SummarizationEvaluator._calculate_metrics` does, for all texts at once."""
    if min(map(len, distances["human_scores"]), default=0) < _FEWEST_SUMMARIES:
        return _stock(evaluator, distances)
    return {metric: float(np.mean(rows[:, 0])) for metric, rows in _correlations(distances).items()}


def deprecated_summary_metrics(evaluator: DeprecatedSummarizationEvaluator, distances: Any) -> Any:
    """Do what `DeprecatedSummarizationEvaluator._calculate_metrics` does: average correlations and p-values alike."""
    if min(map(len, distances["human_scores"]), default=0) < _FEWEST_SUMMARIES:
        return _deprecated(evaluator, distances)
    return {metric: float(np.mean(rows)) for metric, rows in _correlations(distances).items()}


def _correlations(distances: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return correlation and p-value of each text, float64 of shape (texts, 2), by metric."""
    human, correlations = distances["human_scores"], {}
    for prefix, name in (("", "similarity_scores"), ("cosine_", "cosine_scores"), ("dot_", "dot_scores")):
        correlations[f"{prefix}pearson"] = _correlate(human, distances[name], ranks=False)
        correlations[f"{prefix}spearman"] = _correlate(human, distances[name], ranks=True)
    return correlations


def _correlate(human: Sequence[Any], predicted: Sequence[Any], *, ranks: bool) -> np.ndarray:
    """Return Pearson's correlations, or those of ranks, which are Spearman's; both have the p-value of one t-test."""
    found = np.empty((len(human), 2))
    lengths = np.array([len(scores) for scores in human])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        sides = [np.array([scores[row] for row in rows.tolist()], np.float64) for scores in (human, predicted)]
        result = stats.pearsonr(*(stats.rankdata(side, axis=1) if ranks else side for side in sides), axis=1)
        found[rows, 0], found[rows, 1] = result.statistic, result.pvalue
    return found
