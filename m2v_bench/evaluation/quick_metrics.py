"""Faster versions of mteb's metrics that give the same numbers; the stock ones spend their time checking arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mteb._evaluators.text.summarization_evaluator import DeprecatedSummarizationEvaluator, SummarizationEvaluator
from mteb.abstasks import AbsTaskClassification, AbsTaskPairClassification
from scipy import stats
from sklearn.metrics import average_precision_score

_stock_classification = AbsTaskClassification._calculate_scores
_stock_pairs = AbsTaskPairClassification._compute_metrics_values
_stock_summaries = SummarizationEvaluator._calculate_metrics
_deprecated_summaries = DeprecatedSummarizationEvaluator._calculate_metrics

# The p-value of a perfect correlation of three numbers depends on how it is rounded, and two numbers have none.
_FEWEST_SUMMARIES = 4


def classification_metrics(task: AbsTaskClassification, y_test: Any, y_pred: Any) -> Any:
    """Do what `AbsTaskClassification._calculate_scores` does, reading the labels once instead of seven times."""
    gold, predicted = np.asarray(y_test), np.asarray(y_pred)
    if not (gold.shape == predicted.shape == (len(gold),) and gold.dtype.kind == predicted.dtype.kind in "iU"):
        return _stock_classification(task, y_test, y_pred)
    labels, numbers = np.unique(np.concatenate([gold, predicted]), return_inverse=True)
    right = numbers[: len(gold)] == numbers[len(gold) :]
    n_gold, n_predicted = (
        np.bincount(part, minlength=len(labels)) for part in (numbers[: len(gold)], numbers[len(gold) :])
    )
    n_right = np.bincount(numbers[: len(gold)][right], minlength=len(labels))
    by_label = {
        "f1": 2 * n_right / (n_gold + n_predicted),
        "precision": n_right / np.maximum(n_predicted, 1),
        "recall": n_right / np.maximum(n_gold, 1),
    }
    scores: dict[str, Any] = {"accuracy": float(right.mean())}
    for name, values in by_label.items():
        scores[name] = float(np.average(values))
        scores[f"{name}_weighted"] = float(np.average(values, weights=n_gold))
    binary = np.count_nonzero(n_gold) == 2
    # scikit-learn does not average over two labels, so both are the same
    scores["ap"] = scores["ap_weighted"] = average_precision_score(y_test, y_pred) if binary else None
    return scores


def pair_metrics(
    task: AbsTaskPairClassification, scores: list[float], labels: np.ndarray, high_score_more_similar: bool
) -> dict[str, float]:
    """Do what `AbsTaskPairClassification._compute_metrics_values` does, for all thresholds at once."""
    values = np.array(scores, np.float64)
    if len(values) < 2 or np.isnan(values).any():
        stock: dict[str, float] = _stock_pairs(task, scores, labels, high_score_more_similar)
        return stock
    signed = values * (1 if high_score_more_similar else -1)
    order = np.argsort(-signed, kind="stable")
    # pairs above each threshold; a threshold cannot split equal scores
    ends = np.flatnonzero(np.diff(values[order]) != 0)
    n_hits, n_above = np.cumsum(labels[order] == 1)[ends], ends + 1
    n_right = n_hits + np.count_nonzero(labels == 0) - (n_above - n_hits)
    metrics = dict.fromkeys(("accuracy", "f1", "precision", "recall"), 0.0)
    metrics["accuracy"] = float(max(n_right.max(initial=0) / len(labels), 0.0))
    n_above, n_hits = n_above[n_hits > 0], n_hits[n_hits > 0]
    if len(n_hits):
        precision, recall = n_hits / n_above, n_hits / labels.sum()
        f1 = 2 * precision * recall / (precision + recall)
        best = int(np.argmax(f1))
        metrics |= {"f1": float(f1[best]), "precision": float(precision[best]), "recall": float(recall[best])}
    return {**metrics, "ap": float(average_precision_score(labels, signed))}


def auc(rates: np.ndarray, curve: np.ndarray) -> float:
    """Return the area under a curve over increasing rates, as `sklearn.metrics.auc` does.

    mteb computes it 210 times for a retrieval task, each of ten points.
    """
    return float(np.trapezoid(curve, rates))


def summary_metrics(evaluator: SummarizationEvaluator, distances: Any) -> Any:
    """Do what `SummarizationEvaluator._calculate_metrics` does, for all texts at once."""
    if min(map(len, distances["human_scores"]), default=0) < _FEWEST_SUMMARIES:
        return _stock_summaries(evaluator, distances)
    return {metric: float(np.mean(rows[:, 0])) for metric, rows in _correlations(distances).items()}


def deprecated_summary_metrics(evaluator: DeprecatedSummarizationEvaluator, distances: Any) -> Any:
    """Do what `DeprecatedSummarizationEvaluator._calculate_metrics` does: average correlations and p-values alike."""
    if min(map(len, distances["human_scores"]), default=0) < _FEWEST_SUMMARIES:
        return _deprecated_summaries(evaluator, distances)
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
    correlations = np.empty((len(human), 2))
    lengths = np.array([len(scores) for scores in human])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        sides = [np.array([scores[row] for row in rows.tolist()], np.float64) for scores in (human, predicted)]
        result = stats.pearsonr(*(stats.rankdata(side, axis=1) if ranks else side for side in sides), axis=1)
        correlations[rows, 0], correlations[rows, 1] = result.statistic, result.pvalue
    return correlations
