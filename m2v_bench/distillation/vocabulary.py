"""Build the vocabulary of a static model: tokens, tokenizer, and the base model's input sequence for each token."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer

from m2v_bench.cache import content_hash
from m2v_bench.distillation.tokenizers.surgery import Row, Rows, extended, pruned
from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer
from m2v_bench.distillation.tokenizers.unigram import unigram
from m2v_bench.distillation.words import WordReport, Words
from m2v_bench.errors import BenchError

SURGERIES: dict[str, Callable[[BaseTokenizer, Words | None, re.Pattern[str] | None], Rows]] = {
    "extended": extended,
    "unigram": unigram,
    "pruned": pruned,
}


@dataclass(frozen=True)
class Vocabulary:
    """The rows of a static model.

    Attributes:
        tokens: the tokens, row by row.
        tokenizer: splits a text into these tokens; its ids are row numbers.
        sequences: the ids fed to the base model for each row; empty for a row of zeros.
        n_subwords: number of leading rows that are subwords; the rest are words.
        affixes: number of special tokens that the template puts before and after a token.
        padding_id: the base model's id of the padding token, or None.
        report: counts of added and dropped words.
    """

    tokens: tuple[str, ...]
    tokenizer: Tokenizer
    sequences: tuple[tuple[int, ...], ...]
    n_subwords: int
    affixes: tuple[int, int]
    padding_id: int | None
    report: WordReport

    @cached_property
    def parts(self) -> tuple["Part", ...]:
        """The sequences of the subwords and of the words, without an empty part."""
        split = (self.sequences[: self.n_subwords], False), (self.sequences[self.n_subwords :], True)
        return tuple(Part(sequences, are_words, content_hash(sequences)) for sequences, are_words in split if sequences)


@dataclass(frozen=True)
class Part:
    """Sequences that go through the base model in one pass.

    Attributes:
        sequences: the ids of each row.
        are_words: whether the rows are words.
        revision: hash of the sequences.
    """

    sequences: tuple[tuple[int, ...], ...]
    are_words: bool
    revision: str


def compile_remove(remove: str | None) -> re.Pattern[str] | None:
    """Compile the pattern of tokens to drop.

    Raises:
        BenchError: when it is not a regular expression.
    """
    try:
        return re.compile(remove) if remove else None
    except re.error as error:
        raise BenchError(f"token_remove_pattern={remove!r} is not a regular expression: {error}") from error


def build_vocabulary(
    base: BaseTokenizer, words: Words | None, *, remove: str | None, surgery: str, sequence: str
) -> Vocabulary:
    """Build the vocabulary of a static model whose base model has the tokenizer `base`.

    Args:
        base: the base model's tokenizer.
        words: words to add, or to use alone; None for the base model's subwords.
        remove: drop tokens whose beginning matches this regular expression; None drops none.
        surgery: a name in `SURGERIES`.
        sequence: a name in `dialects.SEQUENCES`.

    Raises:
        BenchError: for an invalid pattern, one that removes every token, or a list in which no word remains.
    """
    rows = SURGERIES[surgery](base, words, compile_remove(remove))
    if words is not None and not rows.report.added:
        raise BenchError(f"vocabulary={words.source}: no word is left to add ({rows.report})")
    prefix, suffix = base.template
    if sequence == "swapped":  # as in the releases: only the outermost ids, swapped
        ends = base.tokenizer.encode("A").ids
        before, after = [ends[-1]], [ends[0]]
    else:
        before, after = prefix, suffix
    splitter = rows.splitter or base.tokenizer
    subwords = _sequences(splitter, rows.rows[: rows.n_subwords], before, after)
    new = _sequences(splitter, rows.rows[rows.n_subwords :], prefix, suffix)
    known = dict(base.tokens)
    unknown_id = known.get(base.unknown or "")
    rows.report.unsplittable = sum(unknown_id in sequence for sequence in new) if unknown_id is not None else 0
    return Vocabulary(
        tokens=tuple(token for token, _ in rows.rows),
        tokenizer=Tokenizer.from_str(json.dumps(rows.data)),
        sequences=(*subwords, *new),
        n_subwords=rows.n_subwords,
        affixes=(len(before), len(after)),
        padding_id=known.get(base.padding or ""),
        report=rows.report,
    )


def _sequences(splitter: Tokenizer, rows: list[Row], before: list[int], after: list[int]) -> list[tuple[int, ...]]:
    texts = [origin for _, origin in rows if isinstance(origin, str)]
    encoded = iter(splitter.encode_batch_fast(texts))
    sequences: list[tuple[int, ...]] = []
    for _, origin in rows:
        if origin is None:
            sequences.append(())
        elif isinstance(origin, int):
            sequences.append((*before, origin, *after))
        else:
            sequences.append(tuple(next(encoded).ids))
    return sequences
