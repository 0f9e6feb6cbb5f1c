"""Cache of text embeddings within a task."""

import itertools
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from m2v_bench.cache import cache_dir

_BLOCK = 50_000  # texts in memory at once
_KEPT_BYTES = 256 * 2**20  # size limit of the cache
_KEY_BYTES = 110  # memory of an entry in Python, beside its text and its row
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
        self._rows: dict[str | None, dict[str, int]] = {}  # prompt -> text -> row of all blocks together
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []  # first row of each block
        self._used = 0  # rows
        self._bytes = 0  # of rows and texts

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
                if len(block) == n_texts:
                    return rows
                out = _empty(n_texts, rows.shape[1])
            out[start : start + len(block)] = rows
            start += len(block)
        return out[:start]

    def _block(self, texts: list[str], encode: Callable[[Sequence[str]], np.ndarray], prompt: str | None) -> np.ndarray:
        rows = self._rows.setdefault(prompt, {})
        sources = list(map(rows.get, texts))
        new = dict.fromkeys(text for text, row in zip(texts, sources, strict=True) if row is None)
        self.asked += len(texts)
        self.encoded += len(new)
        unknown = list(new)
        fresh = np.asarray(encode(unknown), np.float32) if new else np.empty((0, self._blocks[0].shape[1]), np.float32)
        if len(new) == len(texts):
            embeddings = fresh
        else:
            # rows of the cache, then those that were just embedded
            places = dict(zip(unknown, range(self._used, self._used + len(new)), strict=True))
            pairs = zip(texts, sources, strict=True)
            which = np.array([places[text] if row is None else row for text, row in pairs])
            embeddings = np.empty((len(texts), fresh.shape[1]), np.float32)
            if new:  # the rows of the others are overwritten
                np.take(fresh, which - self._used, axis=0, out=embeddings, mode="clip")
            block_of = np.searchsorted([*self._starts, self._used], which, side="right") - 1
            for number, (start, block) in enumerate(zip(self._starts, self._blocks, strict=True)):
                if len(inside := np.flatnonzero(block_of == number)):
                    embeddings[inside] = block[which[inside] - start]
        self._keep(rows, unknown, fresh)
        return embeddings

    def _keep(self, rows: dict[str, int], texts: list[str], fresh: np.ndarray) -> None:
        sizes = np.fromiter(map(sys.getsizeof, texts), np.int64, len(texts)) + _KEY_BYTES + 4 * fresh.shape[1]
        count = int(np.searchsorted(np.cumsum(sizes), _KEPT_BYTES - self._bytes, side="right"))
        if not count:
            return
        self._bytes += int(sizes[:count].sum())
        self._starts.append(self._used)
        self._blocks.append(fresh[:count].copy())  # the caller may change its array
        rows.update(zip(texts[:count], range(self._used, self._used + count), strict=True))
        self._used += count


def _empty(n_rows: int, dims: int) -> np.ndarray:
    if 4 * math.prod((n_rows, dims)) <= _IN_MEMORY:
        return np.empty((n_rows, dims), np.float32)
    # the system's temporary folder may be in memory
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(prefix=".embeddings-", dir=cache_dir()) as file:
        return np.memmap(file, np.float32, "w+", shape=(n_rows, dims))
