"""Compare a task's data with the descriptive statistics that mteb ships, using mteb's code."""

import contextlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mteb.abstasks import AbsTask, AbsTaskClassification

from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.own_task import OwnTask

# The definition changed after the files were written (a pair and its reverse now count as one).
_REDEFINED = {("STS", "unique_pairs")}
_SUBSETS = "hf_subset_descriptive_stats"


def n_texts(task: AbsTask) -> int | None:
    """Return mteb's count of samples (or documents and queries) in the scored splits; None if there is none."""
    samples = [expected["num_samples"] for expected in counted(task)]
    return sum(samples) if samples else None


def n_characters(task: AbsTask, *, training: bool = True) -> int | None:
    """Return the number of characters in the scored splits, as mteb or the task counts them; None if unknown.

    Args:
        task: the task.
        training: whether to include the training split of classification tasks.
    """
    if isinstance(task, OwnTask):
        return task.n_characters
    counts = []
    for split in counted(task, training=training):
        texts = [part for name, part in split.items() if name.endswith("text_statistics") and part]
        counts.append(split.get("number_of_characters") or sum(part.get("total_text_length") or 0 for part in texts))
    return int(sum(counts)) or None


def counted(task: AbsTask, *, training: bool = True) -> Iterator[Mapping[str, Any]]:
    """Yield mteb's statistics of each scored split and subset.

    Args:
        task: the task.
        training: whether to include the training split of classification tasks.
    """
    for part in parts(task):
        for split, _, expected in _expected(part):
            if training or split in part.eval_splits:
                yield expected


def differences(task: AbsTask) -> list[str]:
    """List the differences between a loaded task and mteb's statistics."""
    lines = []
    for part in parts(task):
        for split, subset, expected in _expected(part):
            where = f"{part.metadata.name}, {split}" if part is not task else split
            where = f"{where}, {subset}" if subset else where
            try:
                data = _count(part, split, subset)
            except Exception as error:
                # invalid data makes mteb's code raise anything
                lines.append(f"{where}: cannot be counted ({type(error).__name__}: {error})")
                continue
            lines += [f"{where}: {line}" for line in compare(expected, data, kind=part.metadata.type)]
    return lines


def compare(expected: Mapping[str, Any], actual: Mapping[str, Any], *, kind: str, path: str = "") -> list[str]:
    """List the leaves that differ between `expected` and `actual`, ignoring those that only one has."""
    lines = []
    labels = path.endswith("labels.")
    for name in [*expected, *(name for name in actual if labels and name not in expected)]:
        want, got = expected.get(name), actual.get(name)
        if (kind, f"{path}{name}") in _REDEFINED or (not labels and (want is None or name not in actual)):
            continue
        if isinstance(want, Mapping) and isinstance(got, Mapping):
            lines += compare(want, got, kind=kind, path=f"{path}{name}.")
        elif not _same(want, got):
            lines.append(f"{path}{name} {_text(want)} expected, {_text(got)} found")
    return lines


def _expected(task: AbsTask) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Yield split, subset and statistics of the scored splits and of the training split."""
    known: Mapping[str, Any] = task.metadata.descriptive_stats or {}
    splits = list(task.eval_splits)
    if isinstance(task, AbsTaskClassification) and task.train_split not in splits:
        splits.append(task.train_split)
    for split in splits:
        if not task.metadata.is_multilingual:
            if split in known:
                yield split, None, known[split]
            continue
        subsets = known.get(split, {}).get(_SUBSETS, {})
        yield from ((split, subset, subsets[subset]) for subset in task.hf_subsets if subset in subsets)


def _count(task: AbsTask, split: str, subset: str | None) -> Mapping[str, Any]:
    # mteb's progress bars cannot be disabled
    with contextlib.redirect_stderr(io.StringIO()):
        statistics = task._calculate_descriptive_statistics_from_split(split, hf_subset=subset)
    # as in the files: keys become strings
    as_written: Mapping[str, Any] = json.loads(json.dumps(statistics))
    return as_written


def _same(want: Any, got: Any) -> bool:
    if isinstance(want, float | int) and isinstance(got, float | int):
        return math.isclose(want, got, rel_tol=1e-9)
    return bool(want == got)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['count']:,}" if "count" in value else "some"
    if value is None:
        return "none"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
