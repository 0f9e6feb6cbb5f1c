"""Average the rows of each text's tokens by compiled loops, to the same bits as numpy."""

from functools import cached_property

import numpy as np

from m2v_bench.inference.embeddings import Embeddings
from m2v_bench.inference.fast import mean_kernel
from m2v_bench.inference.fast.workers import FEWEST_TEXTS, in_threads, threads_for
from m2v_bench.inference.tokenizer import Batch


class FastEmbeddings(Embeddings):
    """The rows of a model's tokens, averaged by compiled loops."""

    def mean(self, batch: Batch, *, out: np.ndarray, normalize: bool) -> None:
        """Average the rows of each text, as `Embeddings.mean` does.

        Raises:
            IndexError: for a token id without a row.
        """
        n_tokens = len(self.table if self.mapping is None else self.mapping)
        if len(batch.ids) and batch.ids.max() >= n_tokens:  # compiled loops do not check where they read
            raise IndexError(f"token id {batch.ids.max()} of {n_tokens} tokens: the tokenizer's ids have holes")
        if self.table.shape[1] == 1:  # numpy adds a single column in another order
            super().mean(batch, out=out, normalize=normalize)
            return

        def average(rows: slice) -> None:
            mean_kernel.mean(
                *(self._table, batch.ids, batch.starts[rows], batch.ends[rows], self._mapping, self._weights),
                *(out[rows], normalize, np.empty((1, 64), np.float32)),
            )

        threads = threads_for(len(batch))
        step = len(batch) if threads == 1 else max(FEWEST_TEXTS, len(batch) // (16 * threads))
        in_threads(average, [slice(first, first + step) for first in range(0, len(batch), step)], threads)

    @cached_property
    def _table(self) -> np.ndarray:
        table: np.ndarray
        if self.table.dtype == np.float16:
            table = self.table.view(np.uint16) if mean_kernel.HALVES else self.table.astype(np.float32)
        else:
            table = self.table if self.table.dtype == np.int8 else self.table.astype(np.float32, copy=False)
        table = table.view(np.ndarray)
        if table.strides[1] != table.itemsize:  # compiled loops read neighbouring columns at once
            table = np.ascontiguousarray(table)
        table.flags.writeable = False  # numba compiles once more for a table that is
        return table

    @cached_property
    def _mapping(self) -> np.ndarray:
        return np.empty(0, np.int64) if self.mapping is None else self.mapping.astype(np.int64)

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.empty(0, np.float32) if self.weights is None else self.weights.astype(np.float32)
