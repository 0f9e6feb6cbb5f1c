"""Model output on every sample of a task, for statistical comparison of models.

One file per model and task, `results/samples/<model>/<revision>/[experiments/<variant>/]<task>.npz`, written with the
score.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SAME_SCORE = 1e-4  # tolerance between a score and that of its samples, which are float32 and rounded
METRICS = ("mean", "spearman", "pearson", "average_precision", "mutual_information")


@dataclass(frozen=True)
class Samples:
    """Output on the samples of one split and subset of a task.

    Attributes:
        metric: the score's function of the samples, one of `METRICS`.
        values: float32 array of shape (samples,): scores of the samples for `mean`, else predictions; for
            `mutual_information` the numbers of clusters.
        gold: float32 array of shape (samples,): gold values; None for `mean`.
        unit: the kind of sample: `text`, `pair`, `query`, `draw`.
        answers: str array of shape (samples, answers): for queries, ids of the documents that came first, empty texts
            where there are fewer; None where they were not kept.
    """

    metric: str
    values: np.ndarray
    gold: np.ndarray | None
    unit: str
    answers: np.ndarray | None = None

    def score(self, rows: np.ndarray | None = None) -> float:
        """Return the main score (0 to 1) over all samples, or over those in `rows`, which may repeat."""
        values = self.values if rows is None else self.values[rows]
        if self.metric == "mean":
            return float(values.mean(dtype=np.float64))
        assert self.gold is not None
        gold = self.gold if rows is None else self.gold[rows]
        return _SCORES[self.metric](values, gold)


def _spearman(values: np.ndarray, gold: np.ndarray) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(values), rankdata(gold))


def _pearson(values: np.ndarray, gold: np.ndarray) -> float:
    return float(np.corrcoef(values.astype(np.float64), gold.astype(np.float64))[0, 1])


def _average_precision(values: np.ndarray, gold: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(gold > 0, values))


def _mutual_information(values: np.ndarray, gold: np.ndarray) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(gold, values))


_SCORES = {
    "spearman": _spearman,
    "pearson": _pearson,
    "average_precision": _average_precision,
    "mutual_information": _mutual_information,
}


def write_samples(path: Path, parts: Mapping[str, Samples]) -> None:
    """Write the samples of a task, by `split/subset`, atomically."""
    arrays: dict[str, Any] = {}
    for name, part in parts.items():
        arrays[f"{name}|{part.metric}|{part.unit}|values"] = part.values.astype(np.float32)
        if part.gold is not None:
            arrays[f"{name}|{part.metric}|{part.unit}|gold"] = part.gold.astype(np.float32)
        if part.answers is not None:
            arrays[f"{name}|{part.metric}|{part.unit}|answers"] = part.answers
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def read_samples(path: Path) -> dict[str, Samples]:
    """Read the samples of a task, by `split/subset`; the task's main score is the mean of their scores.

    Raises:
        OSError, ValueError: when the file is absent or damaged.
    """
    parts = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            name, metric, unit, kind = key.split("|")
            if kind == "values":
                gold, answers = (
                    arrays[other] if (other := f"{name}|{metric}|{unit}|{what}") in arrays.files else None
                    for what in ("gold", "answers")
                )
                parts[name] = Samples(metric, arrays[key], gold, unit, answers)
    return parts
