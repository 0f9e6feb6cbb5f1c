"""The mean of each text's token rows, in numpy or by compiled loops, which give the same bits."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from m2v_bench.inference.token_ids import Flat


@dataclass(frozen=True)
class Rows:
    """What tokens are worth.

    Attributes:
        table: rows of shape (rows, dims): float32, float16 or int8.
        mapping: each token's row; None where token i has row i.
        weights: one factor per token, or None.
    """

    table: np.ndarray
    mapping: np.ndarray | None
    weights: np.ndarray | None

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The weighted rows of tokens, float32 of shape (tokens, dims)."""
        rows = self.table[ids if self.mapping is None else self.mapping[ids]].astype(np.float32)
        return rows if self.weights is None else rows * self.weights[ids].astype(np.float32)[:, None]

    def mean(self, flat: Flat, out: np.ndarray) -> None:
        """Write the means of texts to `out`, float32 of shape (texts, dims); zeros for a text without tokens."""
        for text in range(len(flat)):
            ids = flat.of(text)
            np.add.reduce(self.of(ids), axis=0, out=out[text])
            out[text] /= np.float32(max(len(ids), 1))

    def fast_mean(self, flat: Flat, out: np.ndarray) -> None:
        """As `mean`, by compiled loops."""
        from m2v_bench.inference.fast import mean_kernel

        n_tokens = len(self.table if self.mapping is None else self.mapping)
        if len(flat.ids) and flat.ids.max() >= n_tokens:  # compiled loops do not look where they read
            raise IndexError(f"token id {flat.ids.max()} of {n_tokens} tokens: the tokenizer's ids have holes")
        if self.table.shape[1] == 1:  # numpy adds a single column in another order
            self.mean(flat, out)
            return
        mean_kernel.mean(self._table, flat.ids, flat.starts, flat.ends, self._mapping, self._weights, out)

    @cached_property
    def _table(self) -> np.ndarray:
        """The table as `mean_kernel.mean` takes it."""
        from m2v_bench.inference.fast import mean_kernel

        if self.table.dtype == np.float16:
            return self.table.view(np.uint16) if mean_kernel.HALVES else self.table.astype(np.float32)
        return self.table if self.table.dtype == np.int8 else self.table.astype(np.float32, copy=False)

    @cached_property
    def _mapping(self) -> np.ndarray:
        return np.empty(0, np.int64) if self.mapping is None else self.mapping.astype(np.int64)

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.empty(0, np.float32) if self.weights is None else self.weights.astype(np.float32)


def normalize(embeddings: np.ndarray) -> None:
    """Divide each embedding by its L2 norm + 1e-32, in place."""
    embeddings /= np.sqrt(np.einsum("td,td->t", embeddings, embeddings))[:, None] + np.float32(1e-32)
