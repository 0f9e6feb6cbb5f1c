"""Split texts into token ids with the `tokenizers` package, batch by batch."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from tokenizers import Tokenizer, models

from m2v_bench.inference.texts import check

Rules = Literal["model2vec", "sentence-transformers"]

BATCH_SIZE = 4096  # with fewer, threads waiting for the interpreter's lock take a tenth of the time of short texts
BATCH_CHARACTERS = 1 << 17  # what is computed from so many stays in the processor's cache


@dataclass(frozen=True)
class Batch:
    """Token ids of consecutive texts.

    Attributes:
        rows: positions of the texts in the input.
        ids: token ids of all texts of the batch, int32.
        starts: where in `ids` each text begins, int64 of shape (texts,).
        ends: where in `ids` each text ends, int64 of shape (texts,).
    """

    rows: slice
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def ids_of(self, text: int) -> np.ndarray:
        """Return the token ids of one text of the batch."""
        return self.ids[self.starts[text] : self.ends[text]]

    def lists(self) -> list[list[int]]:
        """Return the token ids as one list per text."""
        return [self.ids_of(text).tolist() for text in range(len(self))]


class BatchTokenizer:
    """Tokenize texts by the rules of model2vec or of sentence-transformers.

    Args:
        tokenizer: the model's tokenizer, without padding and truncation.
        rules: `model2vec` drops unknown tokens and cuts long texts by characters first; `sentence-transformers` does
            neither.
    """

    def __init__(self, tokenizer: Tokenizer, rules: Rules) -> None:
        self.tokenizer = tokenizer
        self.rules = rules
        self.unknown = unknown_id(tokenizer) if rules == "model2vec" else None

    def batches(self, texts: list[str], *, max_length: int | None, batch_size: int = BATCH_SIZE) -> Iterator[Batch]:
        """Yield the token ids of consecutive texts.

        Args:
            texts: the texts, as `texts.as_list` returns them.
            max_length: longest text in tokens, counted before unknown tokens are dropped; None cuts nothing.
            batch_size: texts per batch at most.

        Raises:
            TypeError: for a text that is not a `str`.
            BenchError: for a text with half of a surrogate pair.
        """
        check(texts)
        lengths = text_lengths(texts)
        for rows in row_slices(lengths, batch_size, BATCH_CHARACTERS):
            cut = self.cut_characters(texts[rows], lengths[rows], max_length)
            yield tokenize_batch(self.tokenizer, cut, max_length, self.unknown, rows.start)

    def cut_characters(self, texts: list[str], lengths: np.ndarray, max_length: int | None) -> list[str]:
        """Cut texts to `max_length` times the median token length, as model2vec does to spare the tokenizer the rest.

        Args:
            texts: the texts.
            lengths: their characters, shape (texts,).
            max_length: longest text in tokens; None cuts nothing.
        """
        # a token has at least one character
        if max_length is None or self.rules != "model2vec" or lengths.max(initial=0) <= max_length:
            return texts
        longest = max_length * self._median_token_length
        return [text[:longest] for text in texts]

    @cached_property
    def _median_token_length(self) -> int:
        return int(np.median([len(token) for token in self.tokenizer.get_vocab()]))


def tokenize_batch(
    tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None, unknown: int | None, start: int = 0
) -> Batch:
    """Tokenize texts, cut each to `max_length` tokens, then drop the unknown ones.

    Args:
        tokenizer: the tokenizer.
        texts: the texts.
        max_length: longest text in tokens; None cuts nothing.
        unknown: id to drop; None drops nothing.
        start: position of the first text in the input.
    """
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ids, offsets = flatten([encoding.ids[:max_length] for encoding in encodings])
    if unknown is not None:
        known = ids != unknown
        n_known = np.concatenate([[0], np.cumsum(known)])  # before each token
        ids, offsets = ids[known], n_known[offsets]
    return Batch(slice(start, start + len(texts)), ids, offsets[:-1], offsets[1:])


def flatten(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Join lists of token ids.

    Returns:
        All ids, int32, and where each list begins, followed by the end of the last, int64 of shape (lists + 1,).
    """
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    return np.fromiter(chain.from_iterable(lists), np.int32, count=offsets[-1]), offsets


def text_lengths(texts: Sequence[str | bytes]) -> np.ndarray:
    """Return the characters of each text, or the bytes of each `bytes`, int64 of shape (texts,)."""
    return np.fromiter(list(map(len, texts)), np.int64, count=len(texts))  # numpy reads a list in half of the time


def row_slices(lengths: np.ndarray, batch_size: int, characters: int) -> Iterator[slice]:
    """Divide texts into consecutive batches.

    Args:
        lengths: characters of each text, shape (texts,).
        batch_size: texts per batch at most.
        characters: characters per batch at most, unless a single text has more.
    """
    ends = np.cumsum(lengths)
    start, before = 0, 0
    while start < len(lengths):
        stop = max(start + 1, int(np.searchsorted(ends, before + characters, side="right")))
        stop = min(stop, start + batch_size)
        yield slice(start, stop)
        start, before = stop, int(ends[stop - 1])


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token; None without one."""
    model = tokenizer.model
    if isinstance(model, models.Unigram):
        unknown: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return unknown
    return None if model.unk_token is None else tokenizer.token_to_id(model.unk_token)
