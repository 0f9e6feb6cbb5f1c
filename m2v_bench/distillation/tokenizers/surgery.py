"""Surgery on a tokenizer's JSON: drop tokens, add words, number the rest anew, keep everything else as it is.

A surgery makes the tokenizer of a static model from that of its base model, and says what each row stands for.
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
"""A row's token, and what is fed to the base model for it: an id, a text, or nothing (a row of zeros)."""


@dataclass
class Rows:
    """What a surgery gives.

    Attributes:
        rows: every row, in the order of the table.
        n_subwords: rows from here on are words.
        data: the JSON of the tokenizer that splits texts into these rows.
        report: what became of the words.
        splitter: splits a text that is fed to the base model; None for the base model's own tokenizer.
    """

    rows: list[Row]
    n_subwords: int
    data: dict[str, Any]
    report: WordReport
    splitter: Tokenizer | None = None


def extended(base: BaseTokenizer, words: Words | None, remove: re.Pattern[str] | None) -> Rows:
    """Model2Vec 0.1 - 0.4.1: every special token stays, words are appended to the vocabulary of WordPiece.

    A word is what the base tokenizer makes of it by encoding and decoding; what is left of a word without known
    pieces is empty. Whole words alone stand after the special tokens, whose rows are zeros.

    Raises:
        BenchError: for words and a tokenizer that is not WordPiece, as these releases have no answer.
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
    """Model2Vec since 0.7: of the special tokens only the unknown and the padding token stay.

    A word that the base tokenizer does not split is a token of its own; one that it splits is matched as it is
    in the normalized text. Like the releases, a word beside subwords is fed to the base model in the form that
    its token has, which for byte-level BPE begins with the sign of a space. Words are fed without the base tokenizer's
    added tokens but those of its template, so a word that is one of them is split like any other.
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
    _match_as_they_are(data, multiword, tokens)
    report.added = len(new) + len(multiword)
    fed: list[Row] = [(token, known.get(token, token)) for token in tokens]
    return Rows(fed, n_subwords, data, report, _without_added_tokens(base))


def _whole_words(base: BaseTokenizer, words: Words, remove: re.Pattern[str] | None, report: WordReport) -> Rows:
    """Words alone: a word-level tokenizer behind the base model's normalization and splitting."""
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
    _match_as_they_are(data, multiword, tokens)
    report.added = len(rows) - len(special)
    return Rows(rows, len(special), data, report, _without_added_tokens(base))


def _without_added_tokens(base: BaseTokenizer) -> Tokenizer | None:
    """The base tokenizer without its added tokens, apart from unknown, padding and template; None where it has none.

    The tokens keep their ids, which are the base model's: each one's name becomes a text that no input leads to.
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
    """The tokens that the base tokenizer adds to its model's: special ones and others matched as they are."""
    return {token["content"] for token in base.data["added_tokens"]}


def subwords(
    base: BaseTokenizer, kept: set[str], dropped: set[str], remove: re.Pattern[str] | None, report: WordReport
) -> list[tuple[str, int]]:
    """The base model's tokens but `dropped` ones and those that `remove` matches and `kept` does not hold."""
    candidates = [(token, id_) for token, id_ in base.tokens if token not in dropped]
    left = [(token, id_) for token, id_ in candidates if token in kept or not (remove and remove.match(token))]
    report.removed = len(candidates) - len(left)
    if all(token in kept for token, _ in left):
        raise BenchError(
            f"token_remove_pattern={remove.pattern if remove else None!r} removes every token; "
            "choose a narrower pattern"
        )
    return left


def _split(
    base: BaseTokenizer, words: Words, remove: re.Pattern[str] | None, report: WordReport
) -> tuple[dict[str, str], dict[str, None]]:
    """Words that the tokenizer leaves whole, as {piece: normalized word}, and those that it splits."""
    tokenizer = Tokenizer.from_str(json.dumps(_with_prefix_space(base.fresh_data())))
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer  # made anew at every access
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
            text = normal.strip()  # the tokenizer strips around such a token
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
    """The base tokenizer's JSON with `tokens` as its vocabulary, in their order."""
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
    """The first word of a text is split as the others are: byte-level tokenizers put a space before it.

    Where another step splits before the bytes, as in Qwen's tokenizers, every part gets one; so do the releases.
    """
    splitter = data["pre_tokenizer"] or {}
    for part in splitter.get("pretokenizers", [splitter]):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
            break
    return data


def _match_as_they_are(data: dict[str, Any], texts: Iterable[str], tokens: list[str]) -> None:
    rows = {token: row for row, token in enumerate(tokens)}
    flags = {"single_word": False, "lstrip": True, "rstrip": True, "normalized": True, "special": False}
    data["added_tokens"] += [{"id": rows[text], "content": text, **flags} for text in texts]
