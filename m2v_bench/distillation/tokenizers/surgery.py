"""Edit a tokenizer's JSON: drop tokens, add words and renumber, leaving everything else unchanged.

A surgery derives a static model's tokenizer from that of its base model, and the base model's input for each row.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from m2v_bench.distillation.tokenizers.merges import Merges
from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer
from m2v_bench.distillation.words import WordReport, Words
from m2v_bench.errors import BenchError

Row = tuple[str, int | str | None]
"""A row's token, and the base model's input for it: an id, a text, or None (a row of zeros)."""


@dataclass
class Rows:
    """Result of a surgery.

    Attributes:
        rows: every row, in the order of the table.
        n_subwords: number of leading rows that are subwords; the rest are words.
        data: JSON of the static model's tokenizer.
        report: counts of added and dropped words.
        splitter: tokenizer of the texts fed to the base model; None for the base model's tokenizer.
    """

    rows: list[Row]
    n_subwords: int
    data: dict[str, Any]
    report: WordReport
    splitter: Tokenizer | None = None


def extended(base: BaseTokenizer, words: Words | None, remove: re.Pattern[str] | None) -> Rows:
    """Keep every special token and append words to a WordPiece vocabulary, as in Model2Vec 0.1 - 0.4.1.

    A word is encoded and decoded by the base tokenizer first; without known pieces it becomes empty. Without subwords,
    the words follow the special tokens, whose rows are zeros.

    Raises:
        BenchError: for words with a tokenizer that is not WordPiece, which these releases do not support.
    """
    report = WordReport()
    special = special_tokens(base)
    rows: list[Row]
    if words is not None and not words.subwords:
        rows, seen = [(token, None) for token, _ in base.tokens if token in special], set()
    else:
        rows, seen = list(subwords(base, special, set(), remove, report)), {token for token, _ in base.tokens}
    if words is None:
        return Rows(rows, len(rows), _with_rows(base, [token for token, _ in rows]), report)
    if base.kind != "WordPiece":
        raise BenchError(
            f"vocabulary={words.source}: until 0.4.1, Model2Vec adds words to WordPiece tokenizers only and "
            f"the base model's is {base.kind}; choose dialect=m2v-0.7 or m2v-0.5, or vocabulary=model"
        )
    n_subwords = len(rows)
    report.given = len(words.words)
    encodings = base.tokenizer.encode_batch(list(words.words), add_special_tokens=False)
    for word in base.tokenizer.decode_batch([encoding.ids for encoding in encodings]):
        if not word:
            report.empty += 1
        elif word in seen:
            report.duplicate += 1
        elif remove and remove.match(word):
            report.removed += 1
        else:
            seen.add(word)
            rows.append((word, word))
    report.added = len(rows) - n_subwords
    return Rows(rows, n_subwords, _with_rows(base, [token for token, _ in rows]), report)


def pruned(base: BaseTokenizer, words: Words | None, remove: re.Pattern[str] | None) -> Rows:
    """Drop special tokens except unknown and padding, and add words, as in Model2Vec since 0.7.

    A word that the base tokenizer does not split becomes a token; one that it splits is matched verbatim in the
    normalized text. As in the releases, a word beside subwords is fed to the base model in its token's form, which for
    byte-level BPE begins with the space marker. Words are tokenized without the base tokenizer's added tokens, except
    those of the template, so a word equal to an added token is split like any other.
    """
    report = WordReport()
    if words is not None and not words.subwords:
        return _whole_words(base, words, remove, report)
    kept = {token for token in (base.unknown, base.padding) if token is not None}
    dropped = special_tokens(base) - kept
    rows = subwords(base, kept, dropped, remove, report)
    tokens = [token for token, _ in rows]
    if words is None:
        return Rows(list(rows), len(rows), _with_prefix_space(_with_rows(base, tokens)), report)

    known = {token: id_ for token, id_ in base.tokens if token not in dropped}
    pieces, multiword = _split(base, words, remove, report)
    tokens = [token for token in tokens if token not in multiword]
    n_subwords = len(tokens)
    new = [piece for piece in pieces if piece not in known]
    report.duplicate += len(pieces) - len(new)
    merges = None
    if base.kind == "BPE":
        merges = Merges(_with_rows(base, tokens)["model"]["merges"])
        tokens = merges.extend(tokens, new)
    else:
        tokens += new
    tokens += multiword
    data = _with_prefix_space(_with_rows(base, tokens, merges.pairs if merges else None))
    _match_verbatim(data, multiword, tokens)
    report.added = len(new) + len(multiword)
    all_rows: list[Row] = [(token, known.get(token, token)) for token in tokens]
    return Rows(all_rows, n_subwords, data, report, _without_added_tokens(base))


def _whole_words(base: BaseTokenizer, words: Words, remove: re.Pattern[str] | None, report: WordReport) -> Rows:
    """Build a word-level tokenizer with the base model's normalizer and pre-tokenizer, without subwords."""
    pieces, multiword = _split(base, words, remove, report)
    unknown = base.unknown or "[UNK]"
    special = dict.fromkeys(token for token in (base.padding, unknown) if token is not None)
    rows: list[Row] = [(token, None) for token in special]
    rows += [(piece, word) for piece, word in pieces.items() if piece not in special]
    rows += [(word, word) for word in multiword]
    tokens = [token for token, _ in rows]
    data = _with_prefix_space(base.fresh_data())
    data["model"] = {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": unknown}
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in special]
    _renumber(data, tokens)
    _match_verbatim(data, multiword, tokens)
    report.added = len(rows) - len(special)
    return Rows(rows, len(special), data, report, _without_added_tokens(base))


def _without_added_tokens(base: BaseTokenizer) -> Tokenizer | None:
    """Remove added tokens other than unknown, padding and template; return None if there are none to remove.

    The removed tokens are renamed to texts that no input contains, so that all tokens keep the base model's ids.
    """
    template = {id_ for ids in base.template for id_ in ids}
    dropped = {
        token: f"\U0010ffff{id_}"
        for token, id_ in base.tokens
        if token in special_tokens(base) - {base.unknown, base.padding} and id_ not in template
    }
    if not dropped:
        return None
    data = base.fresh_data()
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in dropped]
    model = data["model"]
    if base.kind == "Unigram":
        model["vocab"] = [[dropped.get(token, token), score] for token, score in model["vocab"]]
    else:
        model["vocab"] = {dropped.get(token, token): id_ for token, id_ in model["vocab"].items()}
    if base.kind == "BPE":
        prefix = len(model.get("continuing_subword_prefix") or "")
        model["merges"] = [
            [left, right]
            for left, right in model["merges"]
            if left not in dropped and right not in dropped and left + right[prefix:] not in dropped
        ]
    return Tokenizer.from_str(json.dumps(data))


def special_tokens(base: BaseTokenizer) -> set[str]:
    """Return the base tokenizer's added tokens: special ones and others matched verbatim."""
    return {token["content"] for token in base.data["added_tokens"]}


def subwords(
    base: BaseTokenizer, kept: set[str], dropped: set[str], remove: re.Pattern[str] | None, report: WordReport
) -> list[tuple[str, int]]:
    """Return the base model's tokens and ids, except `dropped` ones and matches of `remove` that are not in `kept`."""
    candidates = [(token, id_) for token, id_ in base.tokens if token not in dropped]
    remaining = [(token, id_) for token, id_ in candidates if token in kept or not (remove and remove.match(token))]
    report.removed = len(candidates) - len(remaining)
    if all(token in kept for token, _ in remaining):
        raise BenchError(
            f"token_remove_pattern={remove.pattern if remove else None!r} removes every token; "
            "choose a narrower pattern"
        )
    return remaining


def _split(
    base: BaseTokenizer, words: Words, remove: re.Pattern[str] | None, report: WordReport
) -> tuple[dict[str, str], dict[str, None]]:
    """Sort words into those that stay whole, {piece: normalized word}, and those that the pre-tokenizer splits."""
    tokenizer = Tokenizer.from_str(json.dumps(_with_prefix_space(base.fresh_data())))
    normalizer, splitter = (
        tokenizer.normalizer,
        tokenizer.pre_tokenizer,
    )  # these properties build a new object per access
    report.given = len(words.words)
    pieces: dict[str, str] = {}
    multiword: dict[str, None] = {}
    for word in words.words:
        normal = normalizer.normalize_str(word) if normalizer else word
        split = [piece for piece, _ in splitter.pre_tokenize_str(normal)] if splitter and normal else [normal]
        if not split or not normal:
            report.empty += 1
        elif len(split) > 1 and not words.subwords and remove and remove.match(normal.strip()):
            report.removed += 1
        elif len(split) > 1:
            text = normal.strip()  # its added token has lstrip and rstrip
            report.duplicate += text in multiword
            multiword[text] = None
        elif split[0] in pieces:
            report.duplicate += 1
        elif remove and remove.match(split[0]):
            report.removed += 1
        else:
            pieces[split[0]] = normal
    report.multiword = len(multiword)
    return pieces, multiword


def _with_rows(base: BaseTokenizer, tokens: list[str], merges: list[list[str]] | None = None) -> dict[str, Any]:
    """Return the base tokenizer's JSON with `tokens` as the vocabulary, in this order."""
    data: dict[str, Any] = base.fresh_data()
    model = data["model"]
    rows = {token: row for row, token in enumerate(tokens)}
    if base.kind == "Unigram":
        scores = dict(model["vocab"])
        lowest = min(scores.values())
        model["vocab"] = [[token, scores.get(token, lowest)] for token in tokens]
        model["unk_id"] = rows.get(base.unknown) if base.unknown is not None else None
    else:
        model["vocab"] = rows
        model["unk_token"] = base.unknown
    if base.kind == "BPE":
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = model["merges"] if merges is None else merges
        model["merges"] = [
            [left, right] for left, right in pairs if left in rows and right in rows and left + right[prefix:] in rows
        ]
    _renumber(data, tokens)
    return data


def _renumber(data: dict[str, Any], tokens: list[str]) -> None:
    rows = {token: row for row, token in enumerate(tokens)}
    data["added_tokens"] = [
        {**token, "id": rows[token["content"]]} for token in data["added_tokens"] if token["content"] in rows
    ]
    data["post_processor"] = data["padding"] = data["truncation"] = None


def _with_prefix_space(data: dict[str, Any]) -> dict[str, Any]:
    """Make byte-level tokenizers put a space before a text, so that its first word is split like the others.

    Where an earlier step splits first, as in Qwen's tokenizers, every part gets a space, as in the releases.
    """
    splitter = data["pre_tokenizer"] or {}
    for part in splitter.get("pretokenizers", [splitter]):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
            break
    return data


def _match_verbatim(data: dict[str, Any], texts: Iterable[str], tokens: list[str]) -> None:
    rows = {token: row for row, token in enumerate(tokens)}
    flags = {"single_word": False, "lstrip": True, "rstrip": True, "normalized": True, "special": False}
    data["added_tokens"] += [{"id": rows[text], "content": text, **flags} for text in texts]
