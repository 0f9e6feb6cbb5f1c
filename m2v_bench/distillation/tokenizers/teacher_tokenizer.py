"""Base model's tokenizer: kind, special tokens, and the template around a text."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from m2v_bench.errors import BenchError

KINDS = ("WordPiece", "BPE", "Unigram")


@dataclass(frozen=True)
class BaseTokenizer:
    """The tokenizer of a base model.

    Attributes:
        tokenizer: the tokenizer, without padding, truncating at the model's maximum length.
        unknown: the unknown token, or None.
        padding: the padding token, or None.
        padded: whether its file pads every text to a fixed length, a leftover of training.
    """

    tokenizer: Tokenizer
    unknown: str | None
    padding: str | None
    padded: bool

    @cached_property
    def data(self) -> dict[str, Any]:
        """The tokenizer's JSON, read-only; use `fresh_data` for edits."""
        return self.fresh_data()

    def fresh_data(self) -> dict[str, Any]:
        """Return a new copy of the tokenizer's JSON."""
        return json.loads(self.tokenizer.to_str())

    @property
    def kind(self) -> str:
        """`WordPiece`, `BPE` or `Unigram`."""
        return self.data["model"]["type"]

    @cached_property
    def tokens(self) -> list[tuple[str, int]]:
        """Every token and its id, special ones included, sorted by id."""
        return sorted(self.tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])

    @cached_property
    def template(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer puts before and after a text, e.g. ([101], [102]) for [CLS] and [SEP]."""
        encoding = self.tokenizer.encode("a")
        inner = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
        if not inner:
            return list(encoding.ids), []
        return encoding.ids[: inner[0]], encoding.ids[inner[-1] + 1 :]


def read_tokenizer(source: Any, where: str) -> BaseTokenizer:
    """Convert a `transformers` tokenizer to a `BaseTokenizer`.

    Args:
        source: a tokenizer of `transformers`.
        where: name of the tokenizer in error messages.

    Raises:
        BenchError: for a slow tokenizer, one with special tokens only, or one of an unsupported kind.
    """
    backend = getattr(source, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise BenchError(f"base_model: {where} has no tokenizer that the `tokenizers` package can run")
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if source.model_max_length < 1_000_000:  # transformers uses a far larger number for "no limit"
        tokenizer.enable_truncation(source.model_max_length)
    # without tokenizer files, transformers builds one with special tokens only
    if set(tokenizer.get_vocab()) <= set(source.all_special_tokens):
        raise BenchError(f"base_model: {where} has no tokenizer; copy the model's tokenizer.json beside its weights")
    known, declared = tokenizer.get_vocab(), _declared_unknown(tokenizer)
    base = BaseTokenizer(
        tokenizer=tokenizer,
        # declared in tokenizer_config.json, tokenizer.json, or both
        unknown=next((token for token in (source.unk_token, declared) if token in known), None),
        padding=source.pad_token if source.pad_token in known else None,
        padded=bool((backend.padding or {}).get("length")),
    )
    if base.kind not in KINDS:
        raise BenchError(
            f"base_model: the tokenizer of {where} is of the kind {base.kind}; allowed: {', '.join(KINDS)}. "
            "Choose another base_model."
        )
    if base.kind == "WordPiece" and base.unknown is None:
        raise BenchError(
            f"base_model: the tokenizer of {where} has no token {declared!r} for unknown words; add it to the "
            "vocabulary of tokenizer.json, or name another as its unk_token"
        )
    return base


def _declared_unknown(tokenizer: Tokenizer) -> str | None:
    """Return the unknown token that tokenizer.json declares, or None."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    token: str | None = model.get("unk_token")
    return token


def load_tokenizer(path: Path) -> BaseTokenizer:
    """Load the tokenizer of the model in `path`.

    Raises:
        BenchError: when there is none, or one that `read_tokenizer` refuses.
    """
    from transformers import AutoTokenizer

    try:
        source = AutoTokenizer.from_pretrained(path, use_fast=True)
    except Exception as error:  # transformers and tokenizers raise many types, even a plain Exception
        raise BenchError(
            f"base_model: {path} has no tokenizer that the `tokenizers` package can run: {error}"
        ) from error
    return read_tokenizer(source, str(path))
