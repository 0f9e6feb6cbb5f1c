"""Read the per-sample outputs of stored models, and check them against the scores beside them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.stats.aggregates import cqadupstack
from m2v_bench.tasks.samples import SAME_SCORE, Samples, read_samples

Reader = Callable[[str, str], Mapping[str, Samples] | None]
"""From a model's label and a task to the samples of the parts that its score averages over; None if unknown."""


def read_task_samples(folder: Path, task: str, results: Path) -> dict[str, Samples] | None:
    """Read the samples of a model on a task, by `split/subset`; None without a file.

    Args:
        folder: of the model, below `samples/`.
        task: name of the task.
        results: a results folder; an exported table has no samples.

    Raises:
        BenchError: when the file is damaged.
    """
    path = results / "samples" / folder / f"{task}.npz"
    if not path.is_file():
        return _of_its_tasks(folder, task, results)
    try:
        return read_samples(path)
    except Exception as error:  # numpy and zipfile raise half a dozen kinds
        raise BenchError(f"{path}: cannot be read ({error}); delete it and score the task again") from None


def _of_its_tasks(folder: Path, whole: str, results: Path) -> dict[str, Samples] | None:
    """Read the samples of an aggregate that was scored task by task, under the keys that its own file would have."""
    if not (results / "samples").is_dir() or whole not in cqadupstack():
        return None
    samples: dict[str, Samples] = {}
    for task in cqadupstack()[whole]:
        if (parts := read_task_samples(folder, task, results)) is None:
            return None
        samples |= {f"{task}/{key}": part for key, part in parts.items()}
    return samples


def complete(samples: Mapping[str, Samples] | None, parts: Sequence[str] | None = None) -> dict[str, Samples] | None:
    """Keep the samples of some parts; None when a part has fewer than the two that resampling needs.

    A part may itself have several, as the tables of a fuzzy join, or be several tasks in one.

    Args:
        samples: by `split/subset`.
        parts: the parts to keep; all of them when None.
    """
    kept: dict[str, Samples] = {}
    for name in (samples or {}) if parts is None else parts:
        matching = {key: part for key, part in (samples or {}).items() if f"/{name}/" in f"/{key}/"}
        if not matching or any(len(part.values) < 2 for part in matching.values()):
            return None
        kept |= matching
    return kept or None


def reader(
    results: Path, folders: Mapping[str, Path | None], parts: Callable[[str, str], Sequence[str] | None]
) -> Reader:
    """Return a function that reads the complete samples of a model on a task.

    Args:
        results: a results folder.
        folders: of the models, by label; None for a model without one.
        parts: the parts that a model's score on a task averages over, by label and task; None for all of them.
    """

    def read(label: str, task: str) -> Mapping[str, Samples] | None:
        folder = folders[label]
        samples = None if folder is None else read_task_samples(folder, task, results)
        return None if samples is None else complete(samples, parts(label, task))

    return read


def matching_samples(
    read: Reader, label: str, task: str, score: float, stale: dict[str, list[str]]
) -> Mapping[str, Samples] | None:
    """Read the samples of a model on a task; None when there are none, or they do not give the score.

    Args:
        read: reads them.
        label, task: the model and the task.
        score: the main score beside them, 0 to 1.
        stale: gets the task, by label, when the samples are of another score.

    Raises:
        BenchError: when the file is damaged.
    """
    samples = read(label, task)
    if samples is None:
        return None
    if not abs(np.mean([part.score() for part in samples.values()]) - score) <= SAME_SCORE:  # nor where NaN
        stale.setdefault(label, []).append(task)
        return None
    return samples


def stale_notes(stale: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the samples that do not give the score beside them."""
    return [
        f"samples of {label} that do not give the main score and are not used: {', '.join(tasks)}"
        for label, tasks in stale.items()
    ]
