"""Token ids of many texts in two arrays, as the `tokenizers` package gives them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from tokenizers import Tokenizer, models


@dataclass(frozen=True)
class Flat:
    """Token ids of texts.

    Attributes:
        ids: ids of all texts, int32.
        starts: where in `ids` each text begins, int64 of shape (texts,).
        ends: where it ends.
        is_fast: whether compiled loops made them.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    is_fast: bool = False

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, text: int) -> np.ndarray:
        """The ids of one text."""
        return self.ids[self.starts[text] : self.ends[text]]

    def lists(self) -> list[list[int]]:
        """The ids as a list per text."""
        return [self.of(text).tolist() for text in range(len(self))]


def flat_ids(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids one text after the other, int32, and where each begins, and the end, int64."""
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    return np.fromiter(chain.from_iterable(lists), np.int32, count=offsets[-1]), offsets


def reference_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None, unknown: int | None) -> Flat:
    """The ids of texts, cut to `max_length` each, and then without the unknown token."""
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ids, offsets = flat_ids([encoding.ids[:max_length] for encoding in encodings])
    if unknown is not None:
        known = ids != unknown
        before = np.concatenate([[0], np.cumsum(known)])  # known tokens before each token
        ids, offsets = ids[known], before[offsets]
    return Flat(ids, offsets[:-1], offsets[1:])


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the unknown token; None when there is none."""
    model = tokenizer.model
    if isinstance(model, models.Unigram):
        found: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return found
    return None if model.unk_token is None else tokenizer.token_to_id(model.unk_token)
