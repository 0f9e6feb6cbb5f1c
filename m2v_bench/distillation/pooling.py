"""From the hidden states of a token's sequence to one vector.

A pooling is a function of the transformer's output for sequences of equal length: last hidden states
(batch, positions, hidden) and the pooler output (batch, hidden) or None -> (batch, hidden).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from m2v_bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

Pooling = Callable[["Tensor", "Tensor | None"], "Tensor"]


def mean(hidden: "Tensor", pooler: "Tensor | None") -> "Tensor":
    """The mean over all positions, special tokens included (Model2Vec since 0.3.8)."""
    return hidden.mean(dim=1)


def first(hidden: "Tensor", pooler: "Tensor | None") -> "Tensor":
    """The first position: [CLS] in BERT-like models."""
    return hidden[:, 0]


def last(hidden: "Tensor", pooler: "Tensor | None") -> "Tensor":
    """The last position: [SEP] or the end-of-sequence token."""
    return hidden[:, -1]


def pooler(hidden: "Tensor", pooler: "Tensor | None") -> "Tensor":
    """The model's own pooler output, a learned projection of [CLS]."""
    if pooler is None:
        raise BenchError("pooling.name=pooler: this base model has no pooler output; allowed: mean, first, last")
    return pooler


POOLINGS: dict[str, Pooling] = {"mean": mean, "first": first, "last": last, "pooler": pooler}
