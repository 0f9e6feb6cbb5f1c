"""Resample the tasks of stored models, each once, whatever the number of its readers."""

from collections.abc import Iterator, Mapping

import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.results.sample_files import Reader, matching_samples, stale_notes
from m2v_bench.stats.bootstrap import TaskBootstrap, bootstrap_tasks, check_same
from m2v_bench.tasks.samples import Samples

SEED = 42  # of the resamples of every task

Resampled = tuple[list[str], TaskBootstrap]
"""The labels of the models that have samples of a task, and their bootstrap."""


def resample(wide: pd.DataFrame, samples: Reader, replicates: int) -> tuple[dict[str, Resampled], list[str]]:
    """Resample each task once, whatever the number of its columns; note samples that cannot be used.

    Args:
        wide: scores of models x tasks, NaN for a missing one.
        samples: reads the samples.
        replicates: resamples of each task.
    """
    labels: dict[str, list[str]] = {}
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
            if len(parts) < 2:
                continue
            try:
                check_same(task, list(parts.values()), list(parts))
            except BenchError as error:
                notes.append(str(error).partition("\n")[0])
                continue
            labels[task] = list(parts)
            yield task, list(parts.values())

    bootstraps = dict(bootstrap_tasks(usable(), replicates=replicates, seed=SEED))
    return {task: (labels[task], bootstrap) for task, bootstrap in bootstraps.items()}, [*notes, *stale_notes(stale)]


def standard_errors(bootstraps: Mapping[str, Resampled]) -> dict[tuple[str, str], float]:
    """Return the standard error of each score, by (label, task): the spread of its replicates."""
    return {
        (label, task): float(error)
        for task, (labels, bootstrap) in bootstraps.items()
        for label, error in zip(labels, bootstrap.deviations.std(axis=0), strict=True)
    }
