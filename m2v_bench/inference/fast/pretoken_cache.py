"""Cache the token ids of pre-tokens in a hash table that compiled loops read and fill."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m2v_bench.inference.fast import kernels, short_kernels
from m2v_bench.inference.fast.boundaries import Boundaries
from m2v_bench.inference.fast.pieces import Pieces
from m2v_bench.inference.fast.utf8_kernels import PADDING
from m2v_bench.inference.tokenizer import flatten

LONGEST_PRETOKEN = 128  # bytes; longer ones hardly occur twice
MAX_BYTES = 64_000_000  # of the cache, which is emptied beyond
_ROOM = 1 << 12  # entries that compiled loops may add before the next call, at least
_BYTES, _IDS = 16, 4  # of such an entry, on average
_HUGE_PAGE = 1 << 21


class Table:
    """Token ids by pre-token. Any number of threads may read it while none changes it.

    Args:
        is_read: whether texts are looked up in it at once, rather than what it has gathered added to another table.
    """

    def __init__(self, *, is_read: bool = True) -> None:
        self._is_read = is_read
        self.clear()

    def clear(self) -> None:
        """Drop all entries."""
        self._consistent = False  # an interrupt may come anywhere
        self.used = np.zeros(3, np.int64)  # of keys, ids and entries
        self._slots = np.zeros(2 * _ROOM, np.uint64)
        self._entries = np.empty((_ROOM, kernels.ENTRY), np.uint64)
        self._keys, self._ids = np.empty(_BYTES * _ROOM, np.uint8), np.empty(_IDS * _ROOM, np.int32)
        self.short = _short_table(short_kernels.SLOTS if self._is_read else 2)
        self._consistent = True

    def __len__(self) -> int:
        return int(self.used[2])

    @property
    def is_consistent(self) -> bool:
        """Whether no interrupt left it half written."""
        return self._consistent

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        n_keys, n_ids, n_entries = self.used.tolist()
        return int(n_keys + 4 * n_ids + 64 * n_entries)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The table as `kernels` takes it: slots, entries, entries as int32, keys, ids, short table."""
        return self._slots, self._entries, self._entries.view(np.int32), self._keys, self._ids, self.short

    def add(self, keys: Sequence[bytes], ids_of_keys: Sequence[Sequence[int]]) -> None:
        """Add pre-tokens that are not in the table.

        Args:
            keys: the pre-tokens, in lower case where case makes no difference.
            ids_of_keys: token ids of each.
        """
        ids, id_offsets = flatten(ids_of_keys)
        raw = np.frombuffer(bytes(PADDING) + b"".join(keys), np.uint8)
        offsets = PADDING + np.cumsum([0, *map(len, keys)], dtype=np.int64)
        self.reserve(len(keys), len(raw), len(ids))
        kernels.enter(raw, offsets, ids, id_offsets, self.arrays, self.used)

    def merge(self, other: "Table") -> None:
        """Add the entries of another table."""
        if len(other):
            self.reserve(len(other), int(other.used[0]), int(other.used[1]))
            kernels.merge(other.arrays, other.used, self.arrays, self.used)

    def reserve_for(self, n_bytes: int) -> None:
        """Make room for the new pre-tokens to expect in so many bytes of text."""
        n_entries = max(_ROOM, n_bytes // 16)
        self.reserve(n_entries, _BYTES * n_entries, _IDS * n_entries)

    def reserve(self, n_entries: int, n_bytes: int, n_ids: int) -> None:
        """Make room for more entries."""
        last = len(self) + n_entries
        self._entries = grown(self._entries, last)
        self._keys = grown(self._keys, int(self.used[0]) + n_bytes)
        self._ids = grown(self._ids, int(self.used[1]) + n_ids)
        if 2 * last > len(self._slots):
            self._consistent = False
            self._slots = np.zeros(1 << (2 * last).bit_length(), np.uint64)
            kernels.link(len(self), self.arrays)
            self._consistent = True


class PretokenCache:
    """Token ids of the pre-tokens of a tokenizer.

    Args:
        model: the `model` of a tokenizer's JSON.
        boundaries: how texts are split into pre-tokens.

    Attributes:
        longest: bytes of the longest pre-token in it.
    """

    def __init__(self, model: Mapping[str, Any], boundaries: Boundaries) -> None:
        self.pieces = Pieces(model, boundaries)
        self.longest = max([LONGEST_PRETOKEN, *map(len, self.pieces.entries)])
        self.table = Table()
        self.clear()

    def clear(self) -> None:
        """Empty the cache, except for what it holds from the start."""
        self.table.clear()
        self._usable = False
        if entries := self.pieces.entries:
            self.table.add(list(entries), [[id_] for id_ in entries.values()])
        self._own_bytes = self.table.n_bytes
        self._usable = True

    def make_usable(self) -> None:
        """Empty the cache when it is full, or when an interrupt left it half written."""
        if not (self._usable and self.table.is_consistent) or self.table.n_bytes - self._own_bytes > MAX_BYTES:
            self.clear()

    def add(self, keys: Sequence[bytes], ids_of_keys: Sequence[Sequence[int]]) -> None:
        """Add pre-tokens that are not in the cache, in lower case where case makes no difference."""
        self.table.add(keys, ids_of_keys)

    def merge(self, other: Table) -> None:
        """Add the pre-tokens of a table, and empty that."""
        self.table.merge(other)
        if len(other):
            other.clear()


def _short_table(slots: int) -> np.ndarray:
    """Return an empty table of short pre-tokens.

    A large one begins where Linux can use a page of 2 MB, which makes reading at random faster; numpy asks for such
    pages for 4 MB and more.
    """
    size = 8 * short_kernels.WORDS * slots
    room = _HUGE_PAGE if size >= _HUGE_PAGE else 0
    memory = np.zeros(size + room, np.uint8)
    first = -memory.ctypes.data % _HUGE_PAGE if room else 0
    return memory[first : first + size].view(np.uint64).reshape(slots, short_kernels.WORDS)


def grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of at least `size` rows: the array itself, or a longer copy."""
    if size <= len(array):
        return array
    longer = np.empty((2 * size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
