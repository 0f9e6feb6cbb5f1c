"""Find texts of tasks among the texts that a model was trained on."""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import cached_arrays
from m2v_bench.evaluation.loaded_tasks import load_task, task_key, text_columns
from m2v_bench.tasks.suite import SuiteTask

_VERSION = 1
STAGE = "overlap"
SHINGLE = 5  # words
NEAR = 0.8  # of the shingles of the shorter text
LEAST_WORDS = 4  # shorter texts, such as names, occur in any corpus
_LEAST_SHINGLES = 4

_WORD = re.compile(r"\w+")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overlap:
    """Texts of a task that also are in a training corpus.

    Attributes:
        task: name of the task.
        texts: distinct texts of its evaluation splits, of at least `LEAST_WORDS` words.
        exact: texts that equal a training text in their words.
        near: further texts that share most of their word sequences with a training text.
    """

    task: str
    texts: int
    exact: int
    near: int


def overlaps(suite: Sequence[SuiteTask], revision: str, read: Callable[[], "TrainingIndex"]) -> list[Overlap]:
    """Compare the texts of tasks with training texts; the counts are cached.

    Two texts are exact duplicates if their words are equal, ignoring case and punctuation. They are near duplicates if
    they share at least `NEAR` of the shorter text's sequences of `SHINGLE` words, so that a sentence of an article
    counts as well.

    Args:
        suite: the tasks; those without data are skipped.
        revision: hash of what determines the training texts.
        read: reads them; only called if a task has not been compared before.
    """
    counts, index = [], functools.cache(read)
    for entry in suite:
        if entry.missing:
            continue
        kind, key = task_key(entry)
        identity = {"version": _VERSION, "training": revision, "task": [kind.__name__, key]}

        def compute(_: Path, entry: SuiteTask = entry) -> dict[str, np.ndarray]:
            return {"counts": np.array(index().count(texts_of(load_task(entry))))}

        try:
            arrays, _ = cached_arrays(STAGE, identity, compute)
        except Exception as error:  # a task that cannot be read must not cost what the others gave
            log.warning("texts of %s are not compared with the training corpus: %s", entry.name, error)
            continue
        counts.append(Overlap(entry.name, *arrays["counts"].tolist()))
    return counts


class TrainingIndex:
    """Training texts by their words and word sequences.

    Args:
        texts: the texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

        self._whole: dict[int, list[int]] = {}
        parts = []
        for place, words in enumerate(map(_words, texts)):
            self._whole.setdefault(hash(tuple(words)), []).append(place)
            parts.append(_shingle_hashes(words))
        # hashes of all shingles in order, the text of each, and the number of shingles per text
        sizes = np.array([len(part) for part in parts], np.int64)
        hashes = np.concatenate([*parts, np.empty(0, np.uint64)])
        owners = np.repeat(np.arange(len(parts)), sizes)
        order = np.argsort(hashes, kind="stable")
        self._shingles = hashes[order], owners[order], sizes

    def count(self, texts: Iterable[str]) -> tuple[int, int, int]:
        """Return the number of distinct texts that are long enough, of exact and of further near duplicates."""
        n_texts = exact = near = 0
        seen: set[int] = set()
        for text in texts:
            words = _words(text)
            whole = hash(tuple(words))
            if len(words) < LEAST_WORDS or whole in seen:
                continue
            seen.add(whole)
            n_texts += 1
            if whole in self._whole:
                exact += 1
            elif self._near(_shingle_hashes(words)):
                near += 1
        return n_texts, exact, near

    def duplicates(self, texts: Iterable[str]) -> set[int]:
        """Return the places of the training texts that are exact or near duplicates of texts that are long enough."""
        found: set[int] = set()
        for words in map(_words, texts):
            if len(words) >= LEAST_WORDS:
                found.update(self._whole.get(hash(tuple(words)), []), self._near(_shingle_hashes(words)))
        return found

    def _near(self, shingles: np.ndarray) -> list[int]:
        """Return the places of the training texts that share most shingles with a text."""
        hashes, owners, sizes = self._shingles
        if len(shingles) < _LEAST_SHINGLES or not len(hashes):
            return []
        first = np.searchsorted(hashes, shingles, side="left")
        is_known = hashes[np.minimum(first, len(hashes) - 1)] == shingles
        if is_known.sum() < NEAR * _LEAST_SHINGLES:
            return []
        last = np.searchsorted(hashes, shingles[is_known], side="right")
        shared: dict[int, int] = {}
        for start, end in zip(first[is_known], last, strict=True):
            for owner in owners[start:end].tolist():
                shared[owner] = shared.get(owner, 0) + 1
        return [
            owner
            for owner, n in shared.items()
            if sizes[owner] >= _LEAST_SHINGLES and n >= NEAR * min(sizes[owner], len(shingles))
        ]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _shingle_hashes(words: Sequence[str]) -> np.ndarray:
    """Return a hash of every distinct sequence of `SHINGLE` words, uint64."""
    if len(words) < SHINGLE:
        return np.empty(0, np.uint64)
    hashes = np.array([hash(word) for word in words], dtype=np.int64).view(np.uint64)
    mixed = np.zeros(len(words) - SHINGLE + 1, np.uint64)
    for place in range(SHINGLE):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + len(mixed)]
    return np.unique(mixed)


def texts_of(task: Any) -> Iterator[str]:
    """Yield the texts of a task's evaluation splits; a list of texts is taken apart."""
    for column in text_columns(task):
        for value in column:
            yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
