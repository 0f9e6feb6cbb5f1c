"""Where a text may be cut so that its parts, tokenized one by one, have the tokens of the whole.

A word's tokens do not depend on its neighbours in the tokenizers that split texts into words first. What holds for a
tokenizer is read from its JSON, and tried out on `probes` by whoever relies on it.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

# what a byte is to `kernels.tokenize`
SEPARATOR, MARK, WORD = 0, 1, 2

_ANY_NORMALIZERS = {"Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_COMPOSING = {"NFC", "NFKC"}  # they join an accent to a mark or a capital before it
_SPACE = "▁"
_IDENTITY = np.arange(256, dtype=np.uint8)
# what expressions that split texts for byte-level BPE are made of: none matches a space behind something else
_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_ALTERNATIVES = {
    *_CONTRACTIONS.split("|"),
    f"(?i:{_CONTRACTIONS})",
    *(r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"),
    *(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}", r"\p{N}{1,3}", r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+"),
}
_MANY_ADDED = 64  # each is looked for wherever its first byte stands


class Unproven(Exception):
    """Nothing is known of where a tokenizer's texts may be cut; the message says why."""


@dataclass(frozen=True)
class Cuts:
    """How texts are cut.

    Attributes:
        classes: what each byte is, uint8 of shape (256,): white space between parts, a mark that is a part of its own,
            or a byte of a word.
        fold: the byte that stands for each byte, uint8 of shape (256,): lower case, where case makes no difference.
        before_spaces: parts begin before a single space, instead of being what stands between white space.
        keep_space: whether a part that begins before a space keeps it.
        added: tokens that are matched in the raw text; a text that holds one, in whatever case, is not cut.
        splits_words: whether a word of letters and digits goes to the model as it is, folded.
    """

    classes: np.ndarray
    fold: np.ndarray
    before_spaces: bool
    keep_space: bool
    added: tuple[bytes, ...]
    splits_words: bool = False

    @property
    def folds(self) -> bool:
        """Whether lower case stands for upper case."""
        return bool((self.fold != _IDENTITY).any())

    @cached_property
    def fields(self) -> tuple[Any, ...]:
        """What `kernels.tokenize` takes.

        classes and fold; which bytes an added token begins with (bool), the tokens' bytes one after the other and
        where each begins (int64); before_spaces, keep_space.
        """
        # by folded bytes, as the folded text may hold a token where the text itself does not
        added = self.fold[np.frombuffer(b"".join(self.added), np.uint8)]
        offsets = np.cumsum([0, *map(len, self.added)], dtype=np.int64)
        begins = np.isin(self.fold, added[offsets[:-1]])
        return self.classes, self.fold, begins, added, offsets, self.before_spaces, self.keep_space


def find_cuts(data: Mapping[str, Any]) -> Cuts:
    """Read from a tokenizer's JSON where its texts may be cut.

    Raises:
        Unproven: when it is of a kind of which that is not known.
    """
    added = _added(data)
    model = data["model"]["type"]
    if model not in ("WordPiece", "WordLevel", "BPE", "Unigram"):
        raise Unproven(f"its model is {model}")
    if data["model"].get("dropout"):
        raise Unproven("its BPE drops merges at random")
    steps = _steps(data["normalizer"], "normalizers")
    splitters = _steps(data["pre_tokenizer"], "pretokenizers")
    names = [step["type"] for step in splitters]
    lowers = any(step["type"] == "Lowercase" or step.get("lowercase") for step in steps)
    if names in (["BertPreTokenizer"], ["Whitespace"], ["WhitespaceSplit"]):
        _check_normalizers(steps, {*_ANY_NORMALIZERS, "BertNormalizer"})
        composes = any(step["type"] in _COMPOSING for step in steps)
        marks = names == ["BertPreTokenizer"] and not composes
        return _between_spaces(marks=marks, lowers=lowers and not composes, added=added)
    if names and names[-1] in ("ByteLevel", "Metaspace"):
        _check_splitters(splitters)
        _check_normalizers(steps, {*_ANY_NORMALIZERS, "Precompiled", "Strip", "Replace"})
        return _before_spaces(added, keep_space=True)
    if not names and [step["type"] for step in steps] == ["Prepend", "Replace"]:
        _check_unsplit(data["model"], steps)
        return _before_spaces(added, keep_space=False)
    raise Unproven(f"its splitting is {' + '.join(names) or 'none'}")


def _steps(part: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    """A step, or the steps of a sequence, in one list."""
    if part is None:
        return []
    return [deep for step in part[inner] for deep in _steps(step, inner)] if part["type"] == "Sequence" else [part]


def _added(data: Mapping[str, Any]) -> tuple[bytes, ...]:
    tokens = data["added_tokens"]
    if len(tokens) > _MANY_ADDED:
        raise Unproven(f"it has {len(tokens)} added tokens")
    if any(token["normalized"] for token in tokens) and data["normalizer"] is not None:
        raise Unproven("added tokens are matched in the normalized text")
    return tuple(token["content"].encode() for token in tokens)


def _check_normalizers(steps: Sequence[Mapping[str, Any]], known: set[str]) -> None:
    for step in steps:
        name = step["type"]
        spaces = step.get("pattern") == {"Regex": " {2,}"} and step.get("content") in (" ", _SPACE)
        if name not in known or (name == "Replace" and not spaces) or (name == "Strip" and step["strip_left"]):
            raise Unproven(f"its normalization has the step {name}")


def _check_splitters(steps: Sequence[Mapping[str, Any]]) -> None:
    """Byte-level splitting, by its own expression or one before it; words with the sign of a space."""
    *before, last = steps
    names = [step["type"] for step in before]
    if last["type"] == "Metaspace":
        if not last.get("split", True) or names not in ([], ["WhitespaceSplit"]):
            raise Unproven("its words may hold spaces")
    elif names != ([] if last.get("use_regex", True) else ["Split"]) or not all(map(_is_known_split, before)):
        raise Unproven("its bytes are split in a way of its own")


def _is_known_split(step: Mapping[str, Any]) -> bool:
    alternatives = re.split(r"\|(?![^(]*\))", str(step["pattern"].get("Regex")))  # at bars outside parentheses
    # of all kinds of characters there must be one, as what none matches is a piece whatever it holds
    kinds = (r"\\s\+", r".*\\p\{L\}\+", r".*\\p\{N\}.*", r".*\[\^\\s\\p\{L\}\\p\{N\}\]\+.*")
    whole = all(any(re.fullmatch(kind, alternative) for alternative in alternatives) for kind in kinds)
    return step["behavior"] == "Isolated" and not step["invert"] and whole and _ALTERNATIVES.issuperset(alternatives)


def _check_unsplit(model: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
    """A BPE that sees the whole text, as Llama's: no merge may reach over the beginning of a word."""
    prepend, replace = steps
    spaced = prepend["prepend"] == _SPACE and (replace["pattern"], replace["content"]) == ({"String": " "}, _SPACE)
    odd = ("ignore_merges", "end_of_word_suffix", "continuing_subword_prefix")
    if model["type"] != "BPE" or not spaced or not model.get("byte_fallback") or any(model.get(name) for name in odd):
        raise Unproven("its words may hold spaces")
    if any(_SPACE in token.lstrip(_SPACE) for token in model["vocab"]):
        raise Unproven("its tokens reach over spaces")
    if any(f"<0x{byte:02X}>" not in model["vocab"] for byte in range(256)):
        raise Unproven("it joins unknown characters")


def _between_spaces(*, marks: bool, lowers: bool, added: tuple[bytes, ...]) -> Cuts:
    classes = np.full(256, WORD, np.uint8)
    classes[list(b" \t\n\r")] = SEPARATOR
    if marks:
        classes[list(string.punctuation.encode())] = MARK
    fold = _IDENTITY.copy()
    if lowers:
        fold[list(string.ascii_uppercase.encode())] = list(string.ascii_lowercase.encode())
    return Cuts(classes, fold, before_spaces=False, keep_space=False, added=added, splits_words=marks)


def _before_spaces(added: tuple[bytes, ...], *, keep_space: bool) -> Cuts:
    nothing = np.zeros(256, np.uint8)
    return Cuts(nothing, _IDENTITY, before_spaces=True, keep_space=keep_space, added=added)


def probes(added: Sequence[bytes]) -> list[str]:
    """Texts in which everything that may stand around a space, or beside an added token, does."""
    signs = [
        "a",
        "Z",
        "7",
        "'",
        "'s",
        ".",
        "-",
        "[",
        "#",
        "▁",
        "Ġ",
        "é",
        "ß",
        "İ",
        "Ж",
        "日",
        "한",
        "ก",
        "ﬁ",
        "½",
        "🙂",
    ]
    signs += [
        "\u0301",
        "\u200b",
        "\u200d",
        "\xa0",
        "\u3000",
        "\u2028",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\x1c",
        "\x85",
        "\xad",
    ]
    signs += [token.decode() for token in added[:4]] + [token.decode().swapcase() for token in added[:4]]
    spaces = ["", " ", "  ", "\n", " \n", "\t "]
    texts = [f"{left}{space}{right}" for left, space, right in product(signs, spaces, signs)]
    texts += [f" {sign} word{sign}Word {sign}" for sign in signs]
    return [*texts, "", " ", "x" * 150, "don't stop-words, U.S. $3.14 (really)!", " ".join(texts[::7])]
