"""Cache the token ids of pre-tokens in a hash table that compiled loops read."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m2v_bench.inference.fast import kernels
from m2v_bench.inference.fast.boundaries import Boundaries
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
        self.word_piece, self._pieces = _word_piece(model, boundaries)
        self.clear()

    def clear(self) -> None:
        """Empty the cache, except for the pieces of a WordPiece model."""
        self._consistent = False  # an interrupt may come anywhere
        self._n_entries = 0
        self._used = np.zeros(2, np.int64)  # of keys and of ids
        self._slots = np.zeros(1 << 12, np.uint64)
        self._entries = np.empty((1 << 11, kernels.ENTRY), np.uint64)
        self._keys, self._ids = np.empty(1 << 12, np.uint8), np.empty(1 << 12, np.int32)
        if self._pieces:
            self.add(list(self._pieces), [[id_] for id_ in self._pieces.values()], are_pieces=True)
        self._consistent = True

    def make_usable(self) -> None:
        """Empty the cache when it is full, or when an interrupt left it half written."""
        if not self._consistent or 64 * self._n_entries + self._used @ (1, 4) > MAX_BYTES:
            self.clear()

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

    def add_split_words(self, words: np.ndarray, buffer: np.ndarray) -> None:
        """Add words that `kernels.tokenize` split into pieces itself.

        Args:
            words: where in `buffer` each word begins and ends, int64 of shape (words, 2).
            buffer: bytes of texts.
        """
        if len(words):
            size = int((words[:, 1] - words[:, 0]).sum())
            self._reserve(len(words), size, size)
            self._n_entries = kernels.learn(
                *(self._n_entries, words, buffer, self._fold, self.word_piece, self.arrays, self._used)
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


def _word_piece(
    model: Mapping[str, Any], boundaries: Boundaries
) -> tuple[tuple[int, int, np.ndarray], dict[bytes, int]]:
    """Return what `kernels.tokenize` needs to split words of letters and digits itself, and the pieces by their keys.

    WordPiece (Wu et al., 2016) takes the longest matching piece, from left to right; a word that cannot be matched to
    its end is unknown, and so is one that is too long. Other models have no pieces.
    """
    simple = np.zeros(256, bool)
    if model["type"] != "WordPiece" or model["unk_token"] not in model["vocab"] or not boundaries.splits_words:
        return (-1, 0, simple), {}
    simple[list((string.ascii_letters + string.digits).encode())] = True
    prefix = model["continuing_subword_prefix"]
    inside = bytes([kernels.INSIDE])
    longest = min(model["max_input_chars_per_word"], LONGEST_PRETOKEN)  # no longer word is split here

    def reachable(piece: str) -> bool:
        lower = piece == piece.lower() or not boundaries.folds
        return piece.isascii() and piece.isalnum() and lower and len(piece) <= longest

    pieces = {token.encode(): id_ for token, id_ in model["vocab"].items() if reachable(token)}
    for token, id_ in model["vocab"].items():
        if token.startswith(prefix) and reachable(token.removeprefix(prefix)):
            pieces[inside + token.removeprefix(prefix).encode()] = id_
    return (model["vocab"][model["unk_token"]], longest, simple), pieces
