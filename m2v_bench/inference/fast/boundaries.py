"""Read from a tokenizer's JSON where a text may be split without changing its tokens.

Tokenizers that split texts into words first give a word the same tokens whatever its neighbours are. The caller checks
what was read on the texts of `probes`.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

# classes of bytes for `kernels.tokenize`
SEPARATOR, MARK, WORD = 0, 1, 2

_ANY_NORMALIZERS = {"Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_COMPOSING = {"NFC", "NFKC"}  # they compose an accent with a punctuation mark or a capital before it
_SPACE = "▁"
_IDENTITY = np.arange(256, dtype=np.uint8)
# alternatives of the expressions that split texts for byte-level BPE; none matches a space after another character
_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_ALTERNATIVES = {
    *_CONTRACTIONS.split("|"),
    f"(?i:{_CONTRACTIONS})",
    *(r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"),
    *(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}", r"\p{N}{1,3}", r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+"),
}
_MANY_ADDED = 64  # each is searched for wherever its first byte occurs


class Unproven(Exception):
    """It is not known where the texts of a tokenizer may be split; the message says why."""


@dataclass(frozen=True)
class Boundaries:
    """Rules that split texts into pre-tokens.

    Attributes:
        classes: class of each byte, uint8 of shape (256,): SEPARATOR for white space between pre-tokens, MARK for a
            punctuation mark, which is a pre-token by itself, or WORD.
        fold: replacement of each byte, uint8 of shape (256,): lower case where case makes no difference.
        before_spaces: whether pre-tokens begin before single spaces, rather than lie between white space.
        keep_space: whether a pre-token that begins before a space keeps it.
        added: tokens matched in the raw text; a text that contains one, in any case, is not split.
        splits_words: whether a word of letters and digits reaches the model unchanged except for case.
    """

    classes: np.ndarray
    fold: np.ndarray
    before_spaces: bool
    keep_space: bool
    added: tuple[bytes, ...]
    splits_words: bool = False

    @property
    def folds(self) -> bool:
        """Whether upper case is replaced by lower case."""
        return bool((self.fold != _IDENTITY).any())

    @cached_property
    def fields(self) -> tuple[Any, ...]:
        """The arguments of `kernels.tokenize`.

        classes; fold; which bytes begin an added token (bool); the bytes of all added tokens, and where each begins
        (int64); before_spaces; keep_space.
        """
        # folded, as the folded text may contain a token where the text itself does not
        added = self.fold[np.frombuffer(b"".join(self.added), np.uint8)]
        offsets = np.cumsum([0, *map(len, self.added)], dtype=np.int64)
        begins = np.isin(self.fold, added[offsets[:-1]])
        return self.classes, self.fold, begins, added, offsets, self.before_spaces, self.keep_space


def find_boundaries(data: Mapping[str, Any]) -> Boundaries:
    """Read from a tokenizer's JSON where its texts may be split.

    Raises:
        Unproven: for a kind of tokenizer of which this is not known.
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
        return _split_at_spaces(marks=marks, lowers=lowers and not composes, added=added)
    if names and names[-1] in ("ByteLevel", "Metaspace"):
        _check_splitters(splitters)
        _check_normalizers(steps, {*_ANY_NORMALIZERS, "Precompiled", "Strip", "Replace"})
        return _split_before_spaces(added, keep_space=True)
    if not names and [step["type"] for step in steps] == ["Prepend", "Replace"]:
        _check_unsplit(data["model"], steps)
        return _split_before_spaces(added, keep_space=False)
    raise Unproven(f"its splitting is {' + '.join(names) or 'none'}")


def _steps(part: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    """List the steps of a normalizer or pre-tokenizer, sequences unpacked."""
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
    """Allow byte-level splitting, by its own expression or one before it, and words that begin with `▁`."""
    *before, last = steps
    names = [step["type"] for step in before]
    if last["type"] == "Metaspace":
        if not last.get("split", True) or names not in ([], ["WhitespaceSplit"]):
            raise Unproven("its words may hold spaces")
    elif names != ([] if last.get("use_regex", True) else ["Split"]) or not all(map(_is_known_split, before)):
        raise Unproven("its bytes are split in a way of its own")


def _is_known_split(step: Mapping[str, Any]) -> bool:
    alternatives = re.split(r"\|(?![^(]*\))", str(step["pattern"].get("Regex")))  # at bars outside parentheses
    # every kind of character needs an alternative, as text that none matches becomes one piece whatever it contains
    kinds = (r"\\s\+", r".*\\p\{L\}\+", r".*\\p\{N\}.*", r".*\[\^\\s\\p\{L\}\\p\{N\}\]\+.*")
    whole = all(any(re.fullmatch(kind, alternative) for alternative in alternatives) for kind in kinds)
    return step["behavior"] == "Isolated" and not step["invert"] and whole and _ALTERNATIVES.issuperset(alternatives)


def _check_unsplit(model: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
    """Allow a BPE that sees the whole text, as Llama's, if no merge crosses the beginning of a word."""
    prepend, replace = steps
    spaced = prepend["prepend"] == _SPACE and (replace["pattern"], replace["content"]) == ({"String": " "}, _SPACE)
    odd = ("ignore_merges", "end_of_word_suffix", "continuing_subword_prefix")
    if model["type"] != "BPE" or not spaced or not model.get("byte_fallback") or any(model.get(name) for name in odd):
        raise Unproven("its words may hold spaces")
    if any(_SPACE in token.lstrip(_SPACE) for token in model["vocab"]):
        raise Unproven("its tokens reach over spaces")
    if any(f"<0x{byte:02X}>" not in model["vocab"] for byte in range(256)):
        raise Unproven("it joins unknown characters")


def _split_at_spaces(*, marks: bool, lowers: bool, added: tuple[bytes, ...]) -> Boundaries:
    classes = np.full(256, WORD, np.uint8)
    classes[list(b" \t\n\r")] = SEPARATOR
    if marks:
        classes[list(string.punctuation.encode())] = MARK
    fold = _IDENTITY.copy()
    if lowers:
        fold[list(string.ascii_uppercase.encode())] = list(string.ascii_lowercase.encode())
    return Boundaries(classes, fold, before_spaces=False, keep_space=False, added=added, splits_words=marks)


def _split_before_spaces(added: tuple[bytes, ...], *, keep_space: bool) -> Boundaries:
    nothing = np.zeros(256, np.uint8)
    return Boundaries(nothing, _IDENTITY, before_spaces=True, keep_space=keep_space, added=added)


def probes(added: Sequence[bytes]) -> list[str]:
    """Return texts that combine awkward characters with spaces and added tokens."""
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
