"""Record the per-sample outputs of a task while mteb scores it."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mteb.abstasks import (
    AbsTask,
    AbsTaskClassification,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)
from mteb.abstasks.text.summarization import AbsTaskSummarization
from mteb.results import TaskResult

from m2v_bench.tasks import manifest
from m2v_bench.tasks.samples import SAME_SCORE, Samples, read_samples, write_samples

log = logging.getLogger(__name__)

_ANSWERS = 5  # documents kept per query


class Recorder:
    """Keep what statistics need of the predictions, instead of mteb's JSON files, which are too large.

    Attributes:
        folder: prediction folder passed to mteb; nothing is written there.
    """

    folder = Path("predictions")

    def __init__(self, task: AbsTask) -> None:
        self._parts: dict[str, dict[str, Samples]] = {}
        self._leaves = list(manifest.parts(task))
        for leaf in self._leaves:
            self._parts[leaf.metadata.name] = {}
            hooks: dict[str, Any] = {"_save_task_predictions": functools.partial(self._save, leaf)}
            if isinstance(leaf, AbsTaskRetrieval):
                hooks["task_specific_scores"] = functools.partial(self._per_query, leaf)
            vars(leaf).update(hooks)

    def write(self, result: TaskResult, path_of: Callable[[str], Path]) -> None:
        """Write the samples of `result`, keeping those of splits scored before.

        Args:
            result: the scores of a task, or of an aggregate task.
            path_of: maps a task name to the path of its samples.
        """
        path = path_of(result.task_name)
        wanted = {f"{split}/{entry['hf_subset']}" for split, entries in result.scores.items() for entry in entries}
        parts = {**_readable(path), **self._of(result, path_of)}
        parts = {name: part for name, part in parts.items() if _of_wanted(name, wanted)}
        expected = float(result.get_score())
        if parts and not np.isnan(expected):  # a NaN score has no samples
            score = float(np.mean([part.score() for part in parts.values()]))
            if abs(score - expected) <= SAME_SCORE:
                write_samples(path, parts)
                return
            log.warning(
                "%s: its samples give %.4f, but its score is %.4f; the samples are discarded",
                result.task_name,
                score,
                expected,
            )
        path.unlink(missing_ok=True)  # samples of an earlier score

    def _of(self, result: TaskResult, path_of: Callable[[str], Path]) -> dict[str, Samples]:
        parts = self._parts.get(result.task_name)
        if parts is None:  # an aggregate: read the samples of its parts, which may have been scored before
            names = [leaf.metadata.name for leaf in self._leaves]
            return {f"{name}/{key}": part for name in names for key, part in _readable(path_of(name)).items()}
        draws = {}
        for split, entries in result.scores.items():
            for entry in entries:
                values = _draws(entry)
                if values is not None:
                    draws[f"{split}/{entry['hf_subset']}"] = Samples("mean", values, None, "draw")
        return {**draws, **parts}

    def _save(self, task: AbsTask, predictions: Any, *args: Any, hf_split: str, hf_subset: str) -> None:
        parts = self._parts[task.metadata.name]
        for name, part in _samples(task, predictions, hf_split, hf_subset).items():
            parts["/".join(filter(None, (hf_split, hf_subset, name)))] = part

    def _per_query(self, task: Any, scores: Any, qrels: Any, results: Any, *, hf_split: str, hf_subset: str) -> Any:
        # all judged queries in a fixed order, so that models are compared on the same queries
        values = _query_scores(task, scores, qrels, results)
        answers = _first_answers(sorted(qrels), results) if len(values) == len(qrels) else None
        part = Samples("mean", np.array(values, np.float32), None, "query", answers)
        self._parts[task.metadata.name][f"{hf_split}/{hf_subset}"] = part
        return type(task).task_specific_scores(task, scores, qrels, results, hf_split=hf_split, hf_subset=hf_subset)


def _query_scores(task: Any, scores: Any, qrels: Any, results: Any) -> list[float]:
    main = task.metadata.main_score
    if not main.startswith("max_over_subqueries_"):
        metric = main.replace("_at_", "_cut_")
        return [scores.get(query, {}).get(metric, 0.0) for query in sorted(qrels)]
    from mteb._evaluators.retrieval_metrics import max_over_subqueries

    whole: dict[str, dict[str, Any]] = {}
    for query in sorted(qrels):
        whole.setdefault(query.rpartition("_")[0], {})[query] = qrels[query]
    return [max_over_subqueries(part, results, task.k_values)[main] for part in whole.values()]


def _first_answers(queries: Sequence[str], results: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Return the documents that came first for each query, str of shape (queries, `_ANSWERS`)."""
    first = [
        sorted(found, key=lambda document: (-found[document], document))[:_ANSWERS]
        for found in (results.get(query, {}) for query in queries)
    ]
    return np.array([[*documents, *[""] * (_ANSWERS - len(documents))] for documents in first], dtype=np.str_)


def _readable(path: Path) -> dict[str, Samples]:
    try:
        return read_samples(path)
    except (OSError, ValueError, KeyError):
        return {}


def _of_wanted(name: str, wanted: set[str]) -> bool:
    """Return whether a part, `[task/]split/subset[/part]`, belongs to the splits and subsets of a score."""
    names = name.split("/")
    return any("/".join(names[start : start + 2]) in wanted for start in range(len(names) - 1))


def _draws(entry: Mapping[str, Any]) -> np.ndarray | None:
    """Return the V-measures of a clustering's draws, which mteb stores with the score."""
    measures = entry.get("v_measures")
    if measures is None or entry.get("main_score") != entry.get("v_measure"):
        return None
    levels = measures.values() if isinstance(measures, Mapping) else [measures]
    return np.array([value for level in levels for value in level], np.float32)


def _samples(task: AbsTask, predictions: Any, split: str, subset: str) -> dict[str, Samples]:
    """Return the samples of mteb's predictions, by part; empty for scores that do not decompose into samples."""
    main = task.metadata.main_score
    if isinstance(predictions, dict) and all(isinstance(part, Samples) for part in predictions.values()):
        return predictions  # from a task of this package
    if isinstance(task, AbsTaskSTS) and main.endswith(("spearman", "pearson")):
        similarity, _, metric = main.rpartition("_")
        gold = np.array(_rows(task, split, subset)["score"], np.float32)
        return {"": Samples(metric, np.array(predictions[_STS_SCORES[similarity]], np.float32), gold, "pair")}
    if isinstance(task, AbsTaskPairClassification) and main == "max_ap":
        return {"": _best_pairs(predictions, np.array(_pair_labels(task, split, subset), np.float32))}
    if isinstance(task, AbsTaskClassification) and main == "accuracy":
        gold = np.array(_rows(task, split, subset)[task.label_column_name])
        hits = np.array([np.asarray(labels) == gold for labels in predictions])
        return {"": Samples("mean", hits.mean(axis=0).astype(np.float32), None, "text")}
    if isinstance(task, AbsTaskSummarization) and main == "cosine_spearman":
        return _summaries(task, predictions, len(_rows(task, split, subset)))
    return {}


def _summaries(task: AbsTaskSummarization, predictions: Mapping[str, Any], n_texts: int) -> dict[str, Samples]:
    """Return the rank correlation within the summaries of each text."""
    from mteb._evaluators.text.summarization_evaluator import DeprecatedSummarizationEvaluator
    from scipy.stats import spearmanr

    pairs = zip(predictions["human_scores"], predictions["cosine_scores"], strict=True)
    correlations = [spearmanr(human, cosine) for human, cosine in pairs]
    # the first version of the task averages correlation and p-value
    first = task.evaluator is DeprecatedSummarizationEvaluator
    values = [np.mean(correlation) if first else correlation.statistic for correlation in correlations]
    if len(values) != n_texts:
        return {}  # mteb skipped texts that differ per model, without saying which
    return {"": Samples("mean", np.array(values, np.float32), None, "text")}


_STS_SCORES = {
    "": "similarity_scores",
    "cosine": "cosine_scores",
    "manhattan": "manhattan_distances",
    "euclidean": "euclidean_distances",
}


def _rows(task: AbsTask, split: str, subset: str) -> Any:
    data: Any = task.dataset
    return data[subset][split] if subset in data else data[split]


def _pair_labels(task: AbsTaskPairClassification, split: str, subset: str) -> Any:
    rows = _rows(task, split, subset)
    rows = rows[0] if len(rows) == 1 else rows  # older datasets hold everything in one row, some tasks in a list of one
    return list(rows[task.label_column_name])


def _best_pairs(predictions: Mapping[str, Any], gold: np.ndarray) -> Samples:
    """Return the samples of the similarity with the highest average precision, which `max_ap` reports."""
    signs = {"distances": -1.0, "scores": 1.0}
    candidates = [
        Samples("average_precision", signs[name.rpartition("_")[2]] * np.array(values, np.float32), gold, "pair")
        for name, values in predictions.items()
        if values is not None
    ]
    return max(candidates, key=Samples.score)
