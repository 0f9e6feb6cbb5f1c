"""Models of a results folder, brought together on the tasks and samples that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m2v_bench.errors import BenchError, check_seed, did_you_mean
from m2v_bench.results.stored import (
    StoredModel,
    StoredScore,
    read_scores,
    read_task_samples,
    record_facts,
    task_types,
)
from m2v_bench.stats.aggregates import TYPE_LABELS, cqadupstack
from m2v_bench.stats.bootstrap import bootstrap_tasks
from m2v_bench.stats.significance import LEAST_DF, Comparison
from m2v_bench.tasks.samples import SAME_SCORE, Samples

REPLICATES = 2_000  # percentiles need 1,000 or more (Efron and Tibshirani, 1993, ch. 13)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Compared:
    """Models on the tasks that all of them have a score on.

    Attributes:
        labels: of the models, each one once.
        tasks, types: names and types of the tasks, in the order of the paper's columns.
        comparison: the statistics.
        sampled: per task, whether its samples are known for all models.
        notes: what a reader must know about the data.
        signature: how the numbers were made.
    """

    labels: list[str]
    tasks: list[str]
    types: list[str]
    comparison: Comparison
    sampled: list[bool]
    notes: list[str]
    signature: str

    def withheld(self, average: str = "tasks") -> str | None:
        """Why nothing is said of tasks like these on an average, as of `averages`; None where something is."""
        if absent := self.sampled.count(False):
            return f"no per-sample outputs of {absent} of {len(self.tasks)} tasks"
        groups = len(set(self.types)) if average == "types" else 1
        if len(self.tasks) - groups < LEAST_DF:
            over = f" of {groups} types" * (average == "types")
            return f"{len(self.tasks)} tasks{over}, {groups + LEAST_DF} are needed"
        return None

    @property
    def averages(self) -> list[str]:
        """The averages that differ: over tasks and, with several types, over types."""
        return ["tasks", "types"] if len(set(self.types)) > 1 else ["tasks"]


def load(
    models: Sequence[StoredModel],
    results_dir: Path,
    *,
    tasks: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
) -> Compared:
    """Read the models' scores and samples, and resample the tasks that have samples."""
    check_seed(seed)
    if not 100 <= replicates <= 1_000_000:
        raise BenchError(f"--replicates {replicates}: must lie between 100 and 1000000")
    if twice := {each.id for each in models if list(models).count(each) > 1}:
        raise BenchError(f"compare: {', '.join(sorted(twice))} is named twice")
    labels = _unique_labels(models)
    scores = [read_scores(model, results_dir) for model in models]
    chosen, n_all = _common_tasks(scores, tasks)
    types = task_types(chosen, results_dir)
    order = list(TYPE_LABELS)
    chosen.sort(key=lambda task: (order.index(types[task]) if types[task] in order else 99, types[task], task))
    parts = {task: _common_parts(task, [each[task] for each in scores], labels) for task in chosen}
    table = np.array(
        [[np.mean([each[task].parts[name] for name in parts[task]]) for each in scores] for task in chosen]
    )
    samples, notes = _samples(models, labels, results_dir, parts, table)
    bootstraps = bootstrap_tasks(samples, replicates=replicates, seed=seed, labels=labels)
    some = [t for t in chosen if any(each[t].parts.keys() != set(parts[t]) for each in scores)]
    if some:
        notes.append(f"only the splits and subsets that all have: {', '.join(some)}")
    notes += record_facts(results_dir).notes
    if absent := len(chosen) - len(samples):
        notes.append(
            f"{absent} of {len(chosen)} tasks without samples: untested; their main scores count in the intervals of "
            "tasks like these, and averages get no p and no verdict"
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


def _unique_labels(models: Sequence[StoredModel]) -> list[str]:
    labels = [model.label for model in models]
    short = [
        label if labels.count(label) == 1 else f"{label} {model.revision[:6]}"
        for label, model in zip(labels, models, strict=True)
    ]
    return [
        label if short.count(label) == 1 else f"{label} {model.folder.name}"
        for label, model in zip(short, models, strict=True)
    ]


def _common_tasks(scores: Sequence[Mapping[str, StoredScore]], wanted: Sequence[str]) -> tuple[list[str], int]:
    """The tasks that all models have, and how many there are or were asked for.

    An aggregate counts once: its tasks are left out where it is there, unless they are asked for by name.
    """
    known = {task for each in scores for task in each}
    for task in wanted:
        if task not in known:
            raise BenchError(f"--tasks {task}: none of the models has a score on it.{did_you_mean(task, known)}")
    parts = {part for whole, tasks in cqadupstack().items() if whole in known for part in tasks}
    asked = set(wanted) or known - parts
    common = [task for task in asked if all(task in each for each in scores)]
    if not common:
        raise BenchError("the models have no task in common; score them on the same suite")
    return common, len(asked)


def _common_parts(task: str, scores: Sequence[StoredScore], labels: Sequence[str]) -> list[str]:
    for score, label in zip(scores, labels, strict=True):
        if score.dataset_revision != scores[0].dataset_revision:
            raise BenchError(
                f"{task}: {labels[0]} and {label} were scored on other data (dataset revisions "
                f"{scores[0].dataset_revision} and {score.dataset_revision}).\n"
                "Score both on the same data, or name the tasks to compare on with --tasks."
            )
    common = [name for name in scores[0].parts if all(name in each.parts for each in scores)]
    if not common:
        has = "; ".join(f"{label}: {', '.join(each.parts)}" for label, each in zip(labels, scores, strict=True))
        raise BenchError(
            f"{task}: the models were not scored on the same splits and subsets ({has}).\n"
            "Score both on the same ones, or name the tasks to compare on with --tasks."
        )
    return common


def _samples(
    models: Sequence[StoredModel],
    labels: Sequence[str],
    results_dir: Path,
    parts: Mapping[str, Sequence[str]],
    table: np.ndarray,
) -> tuple[dict[str, list[dict[str, Samples]]], list[str]]:
    """By task the samples of all models where they can be resampled, and notes on those that contradict a score."""
    usable: dict[str, list[dict[str, Samples]]] = {}
    stale: dict[str, list[str]] = {}
    for task, scores in zip(parts, table, strict=True):
        known = []
        for model, label, score in zip(models, labels, scores, strict=True):
            samples = complete(read_task_samples(model.folder, task, results_dir), parts[task])
            if samples is None:
                continue
            if not abs(np.mean([each.score() for each in samples.values()]) - score) <= SAME_SCORE:  # nor where NaN
                stale.setdefault(label, []).append(task)
                continue
            known.append(samples)
        if len(known) == len(models):
            usable[task] = known
    return usable, [
        f"samples of {label} that do not give the main score and are not used: {', '.join(tasks)}"
        for label, tasks in stale.items()
    ]


def complete(samples: Mapping[str, Samples] | None, parts: Sequence[str]) -> dict[str, Samples] | None:
    """The samples of the parts, or None when a part has not even two, so that nothing can be resampled.

    A part may itself have several, as the tables of a fuzzy join, or be several tasks in one.
    """
    found: dict[str, Samples] = {}
    for name in parts:
        own = {key: part for key, part in (samples or {}).items() if f"/{name}/" in f"/{key}/"}
        if not own or any(len(part.values) < 2 for part in own.values()):
            return None
        found |= own
    return found


def _made_with(models: Sequence[StoredModel]) -> str:
    """The dialects of those that are distilled, and the seeds of the draws that tasks make."""
    dialects = sorted({str(model.variant["dialect"]) for model in models if "dialect" in model.variant})
    seeds = sorted({str(model.variant.get("seed", 42)) for model in models})
    return f"dialect {' and '.join(dialects) or 'none'}; seed {' and '.join(seeds)}"


def _versions(scores: Sequence[Mapping[str, StoredScore]], tasks: Sequence[str]) -> str:
    from m2v_bench.system.version import __version__

    found = sorted({each[task].mteb_version for each in scores for task in tasks})
    return f"m2v_bench {__version__}, scored by mteb {' and '.join(found)}"
