"""Retrieval metrics computed from the ranks of the relevant documents alone, equal to those of mteb."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from itertools import accumulate
from typing import Any

import numpy as np
import pytrec_eval


class RankEvaluator(pytrec_eval.RelevanceEvaluator):
    """Do what `pytrec_eval.RelevanceEvaluator` does for mteb's five metrics, without sorting all documents.

    pytrec_eval is trec_eval 9, which ranks documents by their scores as float32, and equal ones by id, the largest
    first. A document is relevant if its relevance is above 0.
    """

    def __init__(self, qrels: Mapping[str, Mapping[str, int]], measures: Set[str], *more: Any, **options: Any) -> None:
        super().__init__(qrels, measures, *more, **options)
        self._qrels = qrels
        self._cutoffs = dict(measure.partition(".")[::2] for measure in measures)
        known = self._cutoffs.keys() <= _METRICS and all(self._cutoffs.values())
        self._is_known = known and len(self._cutoffs) == len(measures) and not more and not options

    def evaluate(self, results: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """Return the metrics of each query that has judged documents, by names such as `ndcg_cut_10`."""
        if not self._is_known:
            metrics: dict[str, dict[str, float]] = super().evaluate(results)
            return metrics
        cutoffs = {name: [int(cutoff) for cutoff in values.split(",")] for name, values in self._cutoffs.items()}
        metrics = {}
        for query, scores in results.items():
            if not self._qrels.get(query):
                continue
            gains = {id_: gain for id_, gain in self._qrels[query].items() if gain > 0}
            hits = sorted((rank, gains[id_]) for id_, rank in _ranks(scores, gains, np.float32).items())
            ranks, dcg = [rank for rank, _ in hits], _dcg(hits)
            ideal = _dcg(list(enumerate(sorted(gains.values(), reverse=True), start=1)))
            precisions = [0.0, *accumulate(number / rank for number, rank in enumerate(ranks, start=1))]
            metrics[query] = {}
            for name, values in cutoffs.items():
                for cutoff in values:
                    n_hits = bisect_right(ranks, cutoff)
                    if name == "P":
                        value = n_hits / cutoff
                    elif name == "success":
                        value = float(n_hits > 0)
                    elif not gains:
                        value = 0.0
                    elif name == "recall":
                        value = n_hits / len(gains)
                    elif name == "map_cut":
                        value = precisions[n_hits] / len(gains)
                    else:
                        value = dcg[n_hits] / ideal[min(cutoff, len(gains))]
                    metrics[query][f"{name}_{cutoff}"] = value
        return metrics


_METRICS = {"map_cut", "ndcg_cut", "recall", "P", "success"}


def _dcg(hits: Sequence[tuple[int, int]]) -> list[float]:
    """Return the discounted cumulative gain before and after each of the hits, which are pairs of rank and gain."""
    return [0.0, *accumulate(gain / math.log2(rank + 1) for rank, gain in hits)]


def mrr(
    qrels: Mapping[str, Mapping[str, int]], results: Mapping[str, Mapping[str, float]], k_values: Sequence[int]
) -> dict[str, list[float]]:
    """Return reciprocal ranks, as `mteb._evaluators.retrieval_metrics.mrr` does, without sorting all documents."""
    reciprocal: dict[str, list[float]] = defaultdict(list)
    for query, scores in results.items():
        relevant = [id_ for id_, gain in qrels[query].items() if gain > 0]
        rank = min(_ranks(scores, relevant, np.float64).values(), default=math.inf)
        for k in k_values:
            reciprocal[f"MRR@{k}"].append(1.0 / rank if rank <= k else 0.0)
    return reciprocal


def confidence_scores(scores: Sequence[float]) -> dict[str, float]:
    """Return what `mteb._evaluators.retrieval_metrics.confidence_scores` does, without sorting."""
    if not scores:
        return {"max": 0.0, "std": 0.0, "diff1": 0.0}
    values = np.array(scores, np.float64)
    best = np.partition(values, -2)[-2:] if len(values) > 1 else values
    return {"max": float(best[-1]), "std": float(np.std(values)), "diff1": float(best[-1] - best[0])}


def _ranks(scores: Mapping[str, float], relevant: Sequence[str] | Mapping[str, int], dtype: type) -> dict[str, int]:
    """Return the ranks of relevant documents among `scores`; among equal ones, the largest id is first.

    Args:
        scores: score of each document.
        relevant: ids of documents; those without a score get no rank.
        dtype: type in which scores are compared.
    """
    present = [id_ for id_ in relevant if id_ in scores]
    if not present:
        return {}
    values: np.ndarray = np.fromiter(scores.values(), dtype, len(scores))
    ranks = {}
    for id_ in present:
        score = dtype(scores[id_])
        ranks[id_] = 1 + int(np.count_nonzero(values > score))
        equal = np.flatnonzero(values == score)
        if len(equal) > 1:
            ids = list(scores)
            ranks[id_] += sum(ids[place] > id_ for place in equal.tolist())
    return ranks
