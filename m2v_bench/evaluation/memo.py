"""Cache of text embeddings within a task."""

import hashlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from m2v_bench.cache import cache_dir

_BLOCK = 50_000  # texts in memory at once
_KEPT_BYTES = 256 * 2**20  # size limit of the cache
_KEY_BYTES = 160  # memory of a cache key in Python
_IN_MEMORY = 2**30  # size limit of returned arrays in memory; larger ones are in a temporary file


class TextMemo:
    """Embeddings that a task has requested so far, so that each text is embedded once.

    Memory is bounded: beyond a quarter of a gigabyte, new texts are not cached and a repetition in another block is
    embedded again. Corpora of that size have few repetitions, or few distinct texts, such as MindSmallReranking with 42
    thousand in 5 million documents.

    Attributes:
        asked: number of requested texts.
        encoded: number of embedded texts.
    """

    def __init__(self) -> None:
        self.asked = self.encoded = 0
        self._rows: dict[bytes, int] = {}
        self._table = np.empty((0, 0), np.float32)

    def embed(
        self, texts: Iterable[str], n_texts: int, encode: Callable[[Sequence[str]], np.ndarray], *, prompt: str | None
    ) -> np.ndarray:
        """Embed `texts`: float32 array of shape (texts, dims).

        Args:
            texts: the texts; read block by block.
            n_texts: number of texts.
            encode: embeds texts that are not cached.
            prompt: prefix that `encode` adds; part of the cache key.
        """
        out = np.empty((0, 0), np.float32)
        start, stream = 0, iter(texts)
        while block := list(itertools.islice(stream, _BLOCK)):
            rows = self._block(block, encode, prompt)
            if start == 0:
                out = _empty(n_texts, rows.shape[1])
            out[start : start + len(block)] = rows
            start += len(block)
        return out[:start]

    def _block(self, texts: list[str], encode: Callable[[Sequence[str]], np.ndarray], prompt: str | None) -> np.ndarray:
        keys = [_key(text, prompt) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        self.asked += len(texts)
        self.encoded += len(new)
        fresh = encode(list(new.values())) if new else self._table[:0]
        if len(new) == len(texts):
            rows = np.array(fresh, np.float32)
        else:
            # rows of the table, then those that were just embedded
            places = dict(zip(new, range(len(self._table), len(self._table) + len(new)), strict=True))
            sources = np.array([places[key] if key in places else self._rows[key] for key in keys])
            known = sources < len(self._table)
            rows = np.empty((len(texts), fresh.shape[1]), np.float32)
            if known.any():
                rows[known] = self._table[sources[known]]
            rows[~known] = fresh[sources[~known] - len(self._table)]
        self._keep(list(new), fresh)
        return rows

    def _keep(self, keys: list[bytes], fresh: np.ndarray) -> None:
        limit = _KEPT_BYTES // (4 * fresh.shape[1] + _KEY_BYTES)
        room = limit - len(self._rows)
        keys, fresh = keys[: max(room, 0)], fresh[: max(room, 0)]
        known, needed = len(self._rows), len(self._rows) + len(keys)
        if needed > len(self._table):
            grown = np.empty((max(needed, min(2 * len(self._table), limit)), fresh.shape[1]), np.float32)
            if known:
                grown[:known] = self._table[:known]
            self._table = grown
        self._table[known:needed] = fresh
        self._rows.update(zip(keys, range(known, needed), strict=True))


def _key(text: str, prompt: str | None) -> bytes:
    # joined, not formatted: a missing text must not become the text "None"
    return hashlib.blake2b("\0".join((prompt or "", text)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _empty(n_rows: int, dims: int) -> np.ndarray:
    if 4 * math.prod((n_rows, dims)) <= _IN_MEMORY:
        return np.empty((n_rows, dims), np.float32)
    # the system's temporary folder may be in memory
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(prefix=".embeddings-", dir=cache_dir()) as file:
        return np.memmap(file, np.float32, "w+", shape=(n_rows, dims))
