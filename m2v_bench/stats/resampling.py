"""Resample the tasks of stored models, for comparisons and for standard errors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.results.sample_files import Reader, matching_samples, stale_notes
from m2v_bench.stats.bootstrap import TaskBootstrap, bootstrap_tasks, check_same
from m2v_bench.tasks.samples import Samples

SEED = 42  # of the resamples of every task

Resampled = tuple[list[str], TaskBootstrap]
"""The labels of the models that have samples of a task, and their bootstrap."""


@dataclass(frozen=True)
class Resampling:
    """What resampling the samples of all tasks gives.

    Attributes:
        tasks: the bootstrap of each task that two models or more share the samples of.
        errors: the standard error of each score that has samples, by (label, task).
        notes: samples that cannot be used, and why.
    """

    tasks: Mapping[str, Resampled]
    errors: Mapping[tuple[str, str], float]
    notes: Sequence[str]


def resample(wide: pd.DataFrame, samples: Reader, replicates: int) -> Resampling:
    """Resample each task once, with the same resamples for all models that were scored on the same samples.

    A task on which two models have different samples is in `errors`, but not in `tasks`: it cannot be compared.

    Args:
        wide: scores of models x tasks, NaN for a missing one.
        samples: reads the samples.
        replicates: resamples of each task.
    """
    groups: list[tuple[str, list[str], bool]] = []  # in the order of the bootstraps: task, labels, comparable
    notes: list[str] = []
    stale: dict[str, list[str]] = {}

    def usable() -> Iterator[tuple[str, list[Mapping[str, Samples]]]]:
        for task in wide.columns:
            parts: dict[str, Mapping[str, Samples]] = {}
            for label, score in wide[task].dropna().items():
                try:
                    matching = matching_samples(samples, str(label), task, score, stale)
                except BenchError as error:
                    notes.append(str(error))
                    continue
                if matching is not None:
                    parts[str(label)] = matching
            alike = _alike(task, parts, notes)
            for labels in alike:
                groups.append((task, labels, len(alike) == 1 and len(labels) > 1))
                yield task, [parts[label] for label in labels]

    tasks: dict[str, Resampled] = {}
    errors: dict[tuple[str, str], float] = {}
    bootstraps = bootstrap_tasks(usable(), replicates=replicates, seed=SEED)
    for number, (task, bootstrap) in enumerate(bootstraps):
        _, labels, comparable = groups[number]
        spreads = bootstrap.deviations.std(axis=0)
        errors |= {(label, task): float(error) for label, error in zip(labels, spreads, strict=True)}
        if comparable:
            tasks[task] = labels, bootstrap
    return Resampling(tasks, errors, [*notes, *stale_notes(stale)])


def _alike(task: str, parts: Mapping[str, Mapping[str, Samples]], notes: list[str]) -> list[list[str]]:
    """Group the labels of models that were scored on the same samples; note the first difference."""
    groups: list[list[str]] = []
    first = len(notes)
    for label, own in parts.items():
        for group in groups:
            try:
                check_same(task, [parts[group[0]], own], [group[0], label])
            except BenchError as error:
                if len(notes) == first:
                    notes.append(str(error).partition("\n")[0])
                continue
            group.append(label)
            break
        else:
            groups.append([label])
    return groups
