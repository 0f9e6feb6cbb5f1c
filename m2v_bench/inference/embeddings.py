"""Average the rows of each text's tokens."""

from dataclasses import dataclass

import numpy as np

from m2v_bench.inference.tokenizer import Batch


@dataclass(frozen=True)
class Embeddings:
    """The rows of a model's tokens.

    Attributes:
        table: shape (rows, dims), float32, float16 or int8.
        mapping: the row of each token, shape (tokens,); None where token i has row i.
        weights: one factor per token, shape (tokens,), or None.
    """

    table: np.ndarray
    mapping: np.ndarray | None
    weights: np.ndarray | None

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Return the weighted rows of tokens, float32 of shape (tokens, dims)."""
        rows = self.table[ids if self.mapping is None else self.mapping[ids]].astype(np.float32)
        return rows if self.weights is None else rows * self.weights[ids].astype(np.float32)[:, None]

    def mean(self, batch: Batch, *, out: np.ndarray, normalize: bool) -> None:
        """Average the rows of each text.

        Args:
            batch: token ids of texts.
            out: receives the means, float32 of shape (texts, dims); zeros for a text without tokens.
            normalize: whether to divide each mean by its L2 norm.
        """
        for text in range(len(batch)):
            ids = batch.ids_of(text)
            np.add.reduce(self.rows(ids), axis=0, out=out[text])
            out[text] /= np.float32(max(len(ids), 1))
        if normalize:
            divide_by_norm(out)


def divide_by_norm(embeddings: np.ndarray) -> None:
    """Divide each embedding by its L2 norm + 1e-32, in place.

    The squares are added in an order that is the same on every processor and in compiled loops: of each column those of
    every 64th, then of each half the other one.
    """
    n_sums = 64
    sums = np.zeros((len(embeddings), n_sums), np.float32)
    for first in range(0, embeddings.shape[1], n_sums):
        columns = embeddings[:, first : first + n_sums]
        sums[:, : columns.shape[1]] += columns * columns
    while n_sums > 1:
        n_sums //= 2
        sums = sums[:, :n_sums] + sums[:, n_sums:]
    embeddings /= np.sqrt(sums) + np.float32(1e-32)
