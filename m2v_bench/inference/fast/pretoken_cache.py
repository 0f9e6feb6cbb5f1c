"""Cache the token ids of pre-tokens in a hash table that compiled loops read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m2v_bench.inference.fast import kernels
from m2v_bench.inference.fast.boundaries import Boundaries
from m2v_bench.inference.fast.pieces import Pieces
from m2v_bench.inference.tokenizer import flatten

LONGEST_PRETOKEN = 128  # bytes; longer ones hardly occur twice
MAX_BYTES = 64_000_000  # of the cache, which is emptied beyond


class PretokenCache:
    """Token ids by pre-token. Any number of threads may read it while none changes it.

    Args:
        model: the `model` of a tokenizer's JSON.
        boundaries: how texts are split into pre-tokens.
    """

    def __init__(self, model: Mapping[str, Any], boundaries: Boundaries) -> None:
        self._fold = boundaries.fold
        self.folds = boundaries.folds
        self.pieces = Pieces(model, boundaries, LONGEST_PRETOKEN)
        self.clear()

    def clear(self) -> None:
        """Empty the cache, except for what it holds from the start."""
        self._consistent = False  # an interrupt may come anywhere
        self._n_entries = 0
        self._used = np.zeros(2, np.int64)  # of keys and of ids
        self._slots = np.zeros(1 << 12, np.uint64)
        self._entries = np.empty((1 << 11, kernels.ENTRY), np.uint64)
        self._keys, self._ids = np.empty(1 << 12, np.uint8), np.empty(1 << 12, np.int32)
        if entries := self.pieces.entries:
            self.add(list(entries), [[id_] for id_ in entries.values()], are_pieces=self.pieces.are_pieces)
        self._own = self._size()
        self._consistent = True

    def make_usable(self) -> None:
        """Empty the cache when it is full, or when an interrupt left it half written."""
        if not self._consistent or self._size() - self._own > MAX_BYTES:
            self.clear()

    def _size(self) -> int:
        return int(64 * self._n_entries + self._used @ (1, 4))

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The cache as `kernels` takes it: slots, entries, entries as int32, keys, ids."""
        return self._slots, self._entries, self._entries.view(np.int32), self._keys, self._ids

    def add(self, keys: Sequence[bytes], ids_of_keys: Sequence[Sequence[int]], *, are_pieces: bool = False) -> None:
        """Add pre-tokens that are not in the cache.

        Args:
            keys: the pre-tokens, in lower case where case makes no difference.
            ids_of_keys: token ids of each.
            are_pieces: whether they are pieces of WordPiece rather than pre-tokens.
        """
        ids, id_offsets = flatten(ids_of_keys)
        raw, offsets = np.frombuffer(b"".join(keys), np.uint8), np.cumsum([0, *map(len, keys)], dtype=np.int64)
        first = self._n_entries
        self._reserve(len(keys), len(raw), len(ids))
        kernels.enter(first, raw, offsets, ids, id_offsets, self._fold, are_pieces, self.arrays, self._used)
        self._n_entries = first + len(keys)
        kernels.link(first, self._n_entries, self.arrays)

    def add_split(self, words: np.ndarray, buffer: np.ndarray) -> None:
        """Add pre-tokens that `kernels.look_up` split itself.

        Args:
            words: where in `buffer` each begins and ends, and its prefix, int64 of shape (words, 3).
            buffer: bytes of texts.
        """
        if len(words):
            size = int((words[:, 1] - words[:, 0] + 4).sum())
            self._reserve(len(words), size, size)
            self._n_entries = kernels.learn(
                *(self._n_entries, words, buffer, self._fold, self.pieces.fields, self.arrays, self._used)
            )

    def _reserve(self, n_entries: int, n_bytes: int, n_ids: int) -> None:
        last = self._n_entries + n_entries
        self._entries = grown(self._entries, last)
        self._keys = grown(self._keys, self._used[0] + n_bytes)
        self._ids = grown(self._ids, self._used[1] + n_ids)
        if 2 * last > len(self._slots):
            self._consistent = False
            self._slots = np.zeros(1 << (2 * last).bit_length(), np.uint64)
            kernels.link(0, self._n_entries, self.arrays)
            self._consistent = True


def grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of at least `size` rows: the array itself, or a longer copy."""
    if size <= len(array):
        return array
    longer = np.empty((2 * size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
