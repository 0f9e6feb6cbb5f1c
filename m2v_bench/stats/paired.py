"""Paired comparison of stored models on the tasks and samples that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m2v_bench.errors import BenchError, check_seed, did_you_mean
from m2v_bench.results.sample_files import Reader, matching_samples, reader, stale_notes
from m2v_bench.results.score_files import TaskScores
from m2v_bench.results.scores import Results, StoredModel
from m2v_bench.stats.aggregates import TYPE_LABELS, cqadupstack
from m2v_bench.stats.bootstrap import bootstrap_tasks, check_same
from m2v_bench.stats.significance import LEAST_DF, Comparison
from m2v_bench.tasks.samples import Samples

REPLICATES = 2_000  # percentiles need 1,000 or more (Efron and Tibshirani, 1993, ch. 13)
CONFIDENCE = 0.95
QUESTIONS = "these tasks: samples resampled; tasks like these: tasks and samples resampled"


@dataclass(frozen=True)
class Compared:
    """Models on the tasks that all of them have a score of.

    Attributes:
        labels: of the models.
        tasks, types: names and types of the tasks, in the order of the paper's columns.
        comparison: the statistics.
        sampled: per task, whether all models have samples.
        notes: remarks on the data for the reader.
        signature: tasks, seeds and versions.
    """

    labels: list[str]
    tasks: list[str]
    types: list[str]
    comparison: Comparison
    sampled: list[bool]
    notes: list[str]
    signature: str

    def withheld(self, average: str = "tasks") -> str | None:
        """Return why an average gets no verdict on tasks like these; None where it gets one."""
        if absent := self.sampled.count(False):
            return f"no per-sample outputs of {absent} of {len(self.tasks)} tasks"
        groups = len(set(self.types)) if average == "types" else 1
        if len(self.tasks) - groups < LEAST_DF:
            of_types = f" of {groups} types" * (average == "types")
            return f"{len(self.tasks)} tasks{of_types}, {groups + LEAST_DF} are needed"
        return None

    @property
    def averages(self) -> list[str]:
        """The averages that differ: over tasks and, with several types, over types."""
        return ["tasks", "types"] if len(set(self.types)) > 1 else ["tasks"]


def load(
    models: Sequence[StoredModel],
    results: Results,
    *,
    tasks: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
    places: Mapping[str, Path] | None = None,
) -> Compared:
    """Read the models' scores and samples, and resample the tasks that have samples.

    Args:
        models: of `results`, two or more.
        results: where they were read.
        tasks: names of the tasks to compare on; all that the models share when empty.
        replicates: resamples of each task.
        seed: seed of the draws.
        confidence: of the intervals.
        places: results folder of each model's samples, by label; that of `results` when None.

    Raises:
        BenchError: for an unknown task, or models that were not scored on the same data, splits and samples.
    """
    check_seed(seed)
    if not 0.5 <= confidence < 1:
        raise BenchError(f"--confidence {confidence}: must lie between 0.5 and 1, e.g. 0.95")
    if not 100 <= replicates <= 1_000_000:
        raise BenchError(f"--replicates {replicates}: must lie between 100 and 1000000")
    if twice := {model.id for model in models if list(models).count(model) > 1}:
        raise BenchError(f"compare: {', '.join(sorted(twice))} is named twice")
    labels = [model.label for model in models]
    scores = [model.scored_tasks() for model in models]
    chosen, n_all = _common_tasks(scores, tasks)
    types = results.task_types(chosen)
    order = list(TYPE_LABELS)
    chosen.sort(key=lambda task: (order.index(types[task]) if types[task] in order else 99, types[task], task))
    parts = {task: _common_parts(task, [known[task] for known in scores], labels) for task in chosen}
    table = np.array(
        [[np.mean([known[task].known[name] for name in parts[task]]) for known in scores] for task in chosen]
    )
    readers = {
        model.label: reader(
            results.path if places is None else places[model.label],
            {model.label: model.folder},
            lambda label, task: parts[task],
        )
        for model in models
    }
    samples, notes = _samples(lambda label, task: readers[label](label, task), labels, chosen, table)
    for task, of_models in samples.items():
        check_same(task, of_models, labels)
    bootstraps = dict(bootstrap_tasks(samples.items(), replicates=replicates, seed=seed))
    if partial := [task for task in chosen if any(known[task].known.keys() != set(parts[task]) for known in scores)]:
        notes.append(f"only the splits and subsets that all models have: {', '.join(partial)}")
    notes += results.notes
    if absent := len(chosen) - len(samples):
        notes.append(
            f"{absent} of {len(chosen)} tasks without samples: untested; their main scores count in the intervals of "
            "tasks like these, and averages get no p-value and no verdict"
        )
    comparison = Comparison(
        table,
        [bootstraps.get(task) for task in chosen],
        [types[task] for task in chosen],
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
    return Compared(
        labels,
        chosen,
        [types[task] for task in chosen],
        comparison,
        [task in samples for task in chosen],
        notes,
        f"tasks {len(chosen)}/{n_all}; {_made_with(models)}; {replicates} replicates, bootstrap seed {seed}; "
        f"{_versions(scores, chosen)}",
    )


def _common_tasks(scores: Sequence[Mapping[str, TaskScores]], wanted: Sequence[str]) -> tuple[list[str], int]:
    """Return the tasks that all models have, and how many there are or were asked for.

    An aggregate counts once: its tasks are left out where it is there, unless they are asked for by name.
    """
    known = {task for by_task in scores for task in by_task}
    for task in wanted:
        if task not in known:
            raise BenchError(f"--tasks {task}: none of the models has a score on it.{did_you_mean(task, known)}")
    parts = {part for whole, tasks in cqadupstack().items() if whole in known for part in tasks}
    asked = set(wanted) or known - parts
    common = [task for task in asked if all(task in by_task for by_task in scores)]
    if not common:
        raise BenchError("the models have no task in common; score them on the same suite")
    return common, len(asked)


def _common_parts(task: str, scores: Sequence[TaskScores], labels: Sequence[str]) -> list[str]:
    for score, label in zip(scores, labels, strict=True):
        if score.dataset_revision != scores[0].dataset_revision:
            raise BenchError(
                f"{task}: {labels[0]} and {label} were scored on other data (dataset revisions "
                f"{scores[0].dataset_revision} and {score.dataset_revision}).\n"
                "Score both on the same data, or name the tasks to compare on with --tasks."
            )
    common = [name for name in scores[0].known if all(name in score.known for score in scores)]
    if not common:
        has = "; ".join(f"{label}: {', '.join(score.known)}" for label, score in zip(labels, scores, strict=True))
        raise BenchError(
            f"{task}: the models were not scored on the same splits and subsets ({has}).\n"
            "Score both on the same ones, or name the tasks to compare on with --tasks."
        )
    return common


def _samples(
    read: Reader, labels: Sequence[str], tasks: Sequence[str], table: np.ndarray
) -> tuple[dict[str, list[Mapping[str, Samples]]], list[str]]:
    """Return the samples of all models, by task, where all have them, and notes on those that contradict a score."""
    usable: dict[str, list[Mapping[str, Samples]]] = {}
    stale: dict[str, list[str]] = {}
    for task, scores in zip(tasks, table, strict=True):
        known = [matching_samples(read, label, task, score, stale) for label, score in zip(labels, scores, strict=True)]
        complete = [samples for samples in known if samples is not None]
        if len(complete) == len(labels):
            usable[task] = complete
    return usable, stale_notes(stale)


def _made_with(models: Sequence[StoredModel]) -> str:
    """Name the dialects of the distilled models, and the seeds of the draws that tasks made."""
    dialects = sorted({str(model.variant["dialect"]) for model in models if "dialect" in model.variant})
    seeds = sorted({str(model.seed) for model in models})
    return f"dialect {' and '.join(dialects) or 'none'}; seed {' and '.join(seeds)}"


def _versions(scores: Sequence[Mapping[str, TaskScores]], tasks: Sequence[str]) -> str:
    from m2v_bench.system.version import __version__

    versions = sorted({by_task[task].mteb_version for by_task in scores for task in tasks})
    return f"m2v_bench {__version__}, scored by mteb {' and '.join(versions)}"
