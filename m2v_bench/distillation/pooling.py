"""Pool the hidden states of a token's sequence into one vector.

A pooling is a function (states of sequences of equal length) -> (batch, hidden).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2v_bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class States:
    """Output of the transformer for a batch.

    Attributes:
        hidden: last hidden states (batch, positions, hidden).
        pooler: pooler output (batch, hidden), or None.
        pieces: the positions of the token's pieces, between the special tokens of the template.
        mask: 1 for positions attended to, 0 for the others (batch, positions); None when all are attended to.
    """

    hidden: "Tensor"
    pooler: "Tensor | None"
    pieces: slice
    mask: "Tensor | None" = None


def token(states: States) -> "Tensor":
    """Return the mean over the token's pieces, without special tokens (Model2Vec until 0.3.7)."""
    pieces = states.hidden[:, states.pieces]
    return pieces.mean(dim=1) if pieces.shape[1] else pieces.sum(dim=1)  # special tokens only: zeros


def mean(states: States) -> "Tensor":
    """Return the mean over all positions attended to, special tokens included (Model2Vec since 0.3.8)."""
    if states.mask is None:
        return states.hidden.mean(dim=1)
    weights = states.mask[:, :, None].to(states.hidden.dtype)
    return (states.hidden * weights).sum(dim=1) / weights.sum(dim=1)


def first(states: States) -> "Tensor":
    """Return the first position: [CLS] in BERT-like models."""
    return states.hidden[:, 0]


def last(states: States) -> "Tensor":
    """Return the last position: [SEP] or the end-of-sequence token."""
    return states.hidden[:, -1]


def pooler(states: States) -> "Tensor":
    """Return the model's pooler output, a learned projection of [CLS]."""
    if states.pooler is None:
        raise BenchError("pooling=pooler: this base model has no pooler output; allowed: token, mean, first, last")
    return states.pooler


POOLINGS: dict[str, Callable[[States], "Tensor"]] = {
    "token": token,
    "mean": mean,
    "first": first,
    "last": last,
    "pooler": pooler,
}
