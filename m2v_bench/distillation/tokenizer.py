"""Surgery on a tokenizer's JSON: drop tokens, number the rest anew, keep everything else as it is."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class Vocabulary:
    """The rows of a static model.

    Attributes:
        tokens: the tokens, row by row.
        base_ids: each token's id in the base model's tokenizer.
        tokenizer: splits a text into these tokens; its ids are row numbers.
        n_removed: how many tokens the `remove` pattern took out.
    """

    tokens: tuple[str, ...]
    base_ids: tuple[int, ...]
    tokenizer: Tokenizer
    n_removed: int


def model_vocabulary(base: Tokenizer, remove: str | None) -> Vocabulary:
    """The base model's own subwords, in its own order, as rows of a static model.

    Special tokens other than the unknown and the padding token are dropped, as a static model adds none
    (Model2Vec since 0.7).

    Args:
        base: the base model's tokenizer; WordPiece.
        remove: tokens whose beginning matches this regular expression are dropped; None drops none.

    Raises:
        BenchError: for another kind of tokenizer, a pattern that is none, or one that removes everything.
    """
    data: dict[str, Any] = json.loads(base.to_str())
    kind = data["model"].get("type")
    if kind != "WordPiece":
        raise BenchError(
            f"vocabulary.source=model: the base model's tokenizer is of the kind {kind}; only WordPiece "
            "(BERT-like models) can be distilled so far. Choose another base_model."
        )
    try:
        pattern = re.compile(remove) if remove else None
    except re.error as error:
        raise BenchError(f"vocabulary.remove={remove!r} is not a regular expression: {error}") from error

    unknown = data["model"]["unk_token"]
    padding = (data.get("padding") or {}).get("pad_token", "[PAD]")
    kept_special = {unknown, padding}
    special = {token["content"] for token in data["added_tokens"]} - kept_special
    by_id = sorted(data["model"]["vocab"].items(), key=lambda item: item[1])
    candidates = [(token, base_id) for token, base_id in by_id if token not in special]
    kept = [
        (token, base_id)
        for token, base_id in candidates
        if token in kept_special or not (pattern and pattern.match(token))
    ]
    if all(token in kept_special for token, _ in kept):
        raise BenchError(f"vocabulary.remove={remove!r} removes every token; choose a narrower pattern")

    rows = {token: row for row, (token, _) in enumerate(kept)}
    data["model"]["vocab"] = rows
    data["added_tokens"] = [
        {**token, "id": rows[token["content"]]} for token in data["added_tokens"] if token["content"] in rows
    ]
    data["post_processor"] = None
    data["padding"] = None
    data["truncation"] = None
    return Vocabulary(
        tokens=tuple(rows),
        base_ids=tuple(base_id for _, base_id in kept),
        tokenizer=Tokenizer.from_str(json.dumps(data)),
        n_removed=len(candidates) - len(kept),
    )


def special_token_template(base: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text, e.g. ([101], [102]) for [CLS] and [SEP]."""
    plain = Tokenizer.from_str(base.to_str())
    plain.no_padding()  # some models' files pad every text to a fixed length
    plain.no_truncation()
    encoding = plain.encode("a")
    mask = encoding.special_tokens_mask
    inner = [position for position, special in enumerate(mask) if not special]
    if not inner:
        return list(encoding.ids), []
    return encoding.ids[: inner[0]], encoding.ids[inner[-1] + 1 :]


def sequences(base_ids: Sequence[int], prefix: Sequence[int], suffix: Sequence[int]) -> list[list[int]]:
    """Each token in the template, as fed to the transformer."""
    return [[*prefix, base_id, *suffix] for base_id in base_ids]
