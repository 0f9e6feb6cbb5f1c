"""Convert any base tokenizer to a Unigram tokenizer, as in Model2Vec 0.5 - 0.6.

Subwords lose their prefix and words get the space marker, so that words of several parts can be tokens; the normalizer
puts spaces around punctuation.
"""

import json
import math
import re
from dataclasses import dataclass
from string import punctuation
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from m2v_bench.distillation.tokenizers.surgery import Row, Rows, pruned, special_tokens, subwords
from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer
from m2v_bench.distillation.words import WordReport, Words

_SPACE = "▁"
_METASPACE = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": False}
_SPLITTERS = ("WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit", "Punctuation", "Split", "UnicodeScripts")


@dataclass(frozen=True)
class _Marks:
    """Markers of the base tokenizer for the beginning of a word (`Ġ`) and a part inside one (`##`); may be empty."""

    word: str
    subword: str

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "_Marks":
        first, second = tokenizer.encode(f" {'a' * 25}", add_special_tokens=False).tokens[:2]
        return cls(first.partition("a")[0], second.partition("a")[0])

    def is_subword(self, token: str) -> bool:
        if self.word:
            return not token.startswith(self.word)
        return bool(self.subword) and token.startswith(self.subword)

    def normal(self, token: str) -> str:
        if self.word == "Ġ":
            return token
        if self.is_subword(token):
            return token.removeprefix(self.subword)
        return _SPACE + token.removeprefix(self.word)


def unigram(base: BaseTokenizer, words: Words | None, remove: re.Pattern[str] | None) -> Rows:
    """Build the rows as in Model2Vec 0.5 - 0.6; words without subwords, which these lack, as since 0.7."""
    if words is not None and not words.subwords:
        return pruned(base, words, remove)
    report = WordReport()
    kept = {token for token in (base.unknown, base.padding) if token is not None}
    marks = _Marks.of(base.tokenizer)
    normalizer = _spaced_punctuation(base)
    splitter = base.tokenizer.pre_tokenizer  # this property builds a new object per access
    rows: list[Row] = []
    forms: set[str] = set()
    for token, base_id in subwords(base, kept, special_tokens(base) - kept, remove, report):
        if token in kept or not _is_unreachable(token, marks, splitter):
            rows.append((token if token in kept else marks.normal(token), base_id))
            forms.add(token)
    n_subwords = len(rows)
    if words is not None:
        new = _words(splitter, words, normalizer, forms, report)
        kept_words = [(form, text) for form, text in new if not (remove and remove.match(str(text)))]
        report.removed += len(new) - len(kept_words)
        rows += kept_words
        report.added = len(rows) - n_subwords
    names = {base.unknown: "[UNK]", base.padding: "[PAD]"}
    rows = [(names.get(token, token), origin) for token, origin in rows]
    return Rows(rows, n_subwords, _tokenizer(base, [token for token, _ in rows], normalizer, names), report)


def _is_unreachable(token: str, marks: _Marks, splitter: pre_tokenizers.PreTokenizer | None) -> bool:
    """Return whether the base tokenizer splits the token's text, so that no text yields the token."""
    if splitter is None or marks.word == "Ġ":
        return False
    inside = marks.is_subword(token)
    bare = (marks.subword and not inside) or (marks.word and inside)
    return bool(bare) and len(splitter.pre_tokenize_str(token)) > 1


def _words(
    splitter: pre_tokenizers.PreTokenizer | None,
    words: Words,
    normalizer: normalizers.Normalizer,
    forms: set[str],
    report: WordReport,
) -> list[Row]:
    report.given = len(words.words)
    rows: dict[str, str] = {}
    seen = set(forms)
    for word in words.words:
        text = normalizer.normalize_str(word)
        if not text:
            report.empty += 1
            continue
        split = _joined(text, splitter)
        if split in seen:
            report.duplicate += 1
            continue
        seen.add(split)
        spaced = split.startswith((_SPACE, "Ġ"))
        form = split.replace(" ", split[0]) if spaced else _SPACE + split.replace(" ", _SPACE)
        if form in rows:
            report.duplicate += 1
        else:
            rows[form] = text
            report.multiword += len(form.lstrip(form[0]).split(form[0])) > 1
    return list(rows.items())


def _joined(text: str, splitter: pre_tokenizers.PreTokenizer | None) -> str:
    """Join the parts of a pre-tokenized word, with a space where the text has one."""
    if splitter is None:
        return text
    spaced = f" {text}"
    parts = splitter.pre_tokenize_str(spaced)
    joined = parts[0][0]
    for part, (start, _) in parts[1:]:
        joined += f" {part}" if not part.startswith(_SPACE) and spaced[start - 1] == " " else part
    return joined


def _spaced_punctuation(base: BaseTokenizer) -> normalizers.Normalizer:
    """Extend the base normalizer by spaces around punctuation, or only after it.

    The releases choose by encoding "a, ,": only after it if the first comma's token differs from the second's, and also
    if the tokenizer's file pads every text, because they count the padding.
    """
    parts = base.tokenizer.encode("a, ,", add_special_tokens=False).tokens
    around = len(parts) == 3 and parts[1] == parts[2] == "," and not base.padded
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(char, f" {char} " if around else f"{char} ") for char in punctuation
    ]
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence([base.tokenizer.normalizer, *steps] if base.tokenizer.normalizer else steps)


def _tokenizer(
    base: BaseTokenizer, tokens: list[str], normalizer: normalizers.Normalizer, names: dict[str | None, str]
) -> dict[str, Any]:
    changed = Tokenizer.from_str(base.tokenizer.to_str())
    changed.normalizer = normalizer
    data: dict[str, Any] = json.loads(changed.to_str())
    data["pre_tokenizer"] = _unsplitting(data["pre_tokenizer"])
    rows = {token: row for row, token in enumerate(tokens)}
    data["model"] = {
        "type": "Unigram",
        "unk_id": rows.get("[UNK]"),
        "vocab": list(map(list, zip(tokens, _scores(base, tokens), strict=True))),
        "byte_fallback": False,
    }
    data["added_tokens"] = [
        {**token, "content": names[token["content"]], "id": rows[names[token["content"]]]}
        for token in data["added_tokens"]
        if token["content"] in names
    ]
    data["post_processor"] = data["padding"] = data["truncation"] = None
    return data


def _scores(base: BaseTokenizer, tokens: list[str]) -> list[float]:
    """Return log-probabilities: from a Unigram base, with the mean for new tokens; else proportional to length."""
    if base.kind == "Unigram":
        known = dict(base.data["model"]["vocab"])
        mean = sum(known.values()) / len(known)
        return [known.get(token, mean) for token in tokens]
    # the empty token that remains of "##" counts as the shortest
    sizes = [max(1, len(token) + token.count(_SPACE) + token.count("Ġ")) for token in tokens]
    total = sum(sizes)
    return [math.log(size / total) for size in sizes]


def _unsplitting(splitter: dict[str, Any] | None) -> dict[str, Any]:
    """Change or drop the steps of the base pre-tokenizer that would split a word of several parts."""
    if splitter is None:
        return _METASPACE
    if splitter["type"] != "Sequence":
        return _unsplitting_step(splitter) or _METASPACE
    steps = [step for step in map(_unsplitting_step, splitter["pretokenizers"]) if step]
    return {**splitter, "pretokenizers": steps} if steps else _METASPACE


def _unsplitting_step(step: dict[str, Any]) -> dict[str, Any] | None:
    if step["type"] in _SPLITTERS:
        return None
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": True, "use_regex": False}
    if step["type"] == "Metaspace":
        return {**step, "split": False, "prepend_scheme": "always"}
    return step
