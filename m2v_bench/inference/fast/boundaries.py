"""Read from a tokenizer's JSON how texts are split into pre-tokens, which have the same tokens wherever they occur.

Compiled loops split as the package does where they know the rules, else only at spaces where it is safe. The caller
checks what was read on the texts of `probes`.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

# classes of bytes for `split_kernels.split`
SEPARATOR, MARK, WORD, LOOK = range(4)
# how texts are split: at white space; before spaces, where it is safe; or as the package does: into words and marks, by
# a regular expression, into words, or into words with all spaces before them
AT_SPACES, BEFORE_SPACES, MARKS, EXPRESSION, METASPACE, UNITS = range(6)
# about a pre-token, in `INFO` of its row: the byte before it that the text lacks; that only the package can split it
PREFIX, AS_A_WHOLE = 0xFF, np.int64(0x100)
# Why a text has no ids yet: a pre-token is not in the cache; the text must not be split; its ids do not fit; too many
# pre-tokens are missing to look at it now; kinds of its characters are not known.
MISSING, WHOLE, NO_ROOM, LATER, ASK = (np.int64(reason) for reason in range(1, 6))

_ANY_NORMALIZERS = {"Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_COMPOSING = {"NFC", "NFKC"}  # they compose an accent with a punctuation mark or a capital before it
_SPACE = "▁"
# Alternatives of the expressions that split texts for byte-level BPE, in the order of those that compiled loops match;
# the values are described at `Boundaries`. None matches a space after another character.
_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_IN_ORDER: tuple[dict[str, int], ...] = (
    {"": 0, _CONTRACTIONS: 1, f"(?i:{_CONTRACTIONS})": 2},
    {r" ?\p{L}+": 0, r"[^\r\n\p{L}\p{N}]?\p{L}+": 1},
    {r" ?\p{N}+": 0, r"\p{N}": 1, r"\p{N}{1,3}": 3},
    {r" ?[^\s\p{L}\p{N}]+": 0, r" ?[^\s\p{L}\p{N}]+[\r\n]*": 1},
    {"": 0, r"\s*[\r\n]+": 1, r"\s*[\r\n]": 1},
)
_WHITE_SPACE = (r"\s+(?!\S)", r"\s+")
_ALTERNATIVES = {*_CONTRACTIONS.split("|"), *_WHITE_SPACE, *(text for part in _IN_ORDER for text in part if text)}
_EXPRESSIONS = {
    "|".join([*(text for text, _ in parts if text), *_WHITE_SPACE]): tuple(value for _, value in parts)
    for parts in product(*(part.items() for part in _IN_ORDER))
}
_BYTE_LEVEL = 1, 0, 0, 0, 0
_FEW = 3  # bytes that are searched for 64 at a time
_MANY_ADDED = 64  # each is searched for wherever its first byte occurs


class Unproven(Exception):
    """It is not known where the texts of a tokenizer may be split; the message says why."""


@dataclass(frozen=True)
class Boundaries:
    """Rules that split texts into pre-tokens.

    Attributes:
        added: tokens matched in the raw text; a text that contains one, in any case, is not split.
        mode: `AT_SPACES` or another of these constants.
        classes: class of each byte, uint8 of shape (256,), for `AT_SPACES` and `MARKS`: SEPARATOR for white space
            between pre-tokens, MARK for a punctuation mark, which is a pre-token by itself, WORD, or LOOK for a byte of
            a character whose kind decides.
        lowers: whether ASCII letters are put into lower case.
        prefixes: whether a text that does not begin with a space gets one.
        expression: for `EXPRESSION`: whether contractions are split off, and whatever their case (0, 1, 2); whether any
            character but a space may be before letters (0, 1); how many numerals go together (0: all, after a space);
            whether marks take the ends of lines after them (0, 1); whether white space ends with lines (0, 1); whether
            every pre-token that does not begin with a space gets one (0, 1).
        words: for `METASPACE`: whether words are separated by any white space; whether the first one gets a space (0,
            1; 2: unless characters before it are removed); whether spaces in a row count as one; and whether they are
            removed at the end.
        normalizer: for `MARKS`, `EXPRESSION` and `METASPACE`: the steps that change single characters.
    """

    added: tuple[bytes, ...]
    mode: int
    classes: np.ndarray = field(default_factory=lambda: np.zeros(256, np.uint8))
    lowers: bool = False
    prefixes: bool = False
    expression: tuple[int, ...] = (*_BYTE_LEVEL, 0)
    words: tuple[int, ...] = (0, 0, 0, 0)
    normalizer: tuple[Mapping[str, Any], ...] = ()

    @cached_property
    def fields(self) -> tuple[Any, ...]:
        """The rules as `split_kernels.split` takes them.

        classes; whether case is lowered; the added tokens: which bytes begin one (bool), these bytes (none if
        they are many), the bytes of all tokens, and where each begins (int64); mode; the byte before a text;
        expression; words.
        """
        # in lower case, as such a text may contain a token where the text itself does not
        joined = b"".join(self.added)
        added = np.frombuffer(joined.lower() if self.lowers else joined, np.uint8)
        offsets = np.cumsum([0, *map(len, self.added)], dtype=np.int64)
        begins = np.isin(np.arange(256), added[offsets[:-1]])
        few = np.flatnonzero(begins).astype(np.uint8)
        tokens = begins, few[: len(few) if len(few) <= _FEW else 0], added, offsets
        prefix = ord(" ") if self.prefixes else 0
        return self.classes, self.lowers, tokens, self.mode, prefix, self.expression, self.words


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
        rules = _split_at_spaces(marks=marks, lowers=lowers and not composes, added=added)
        is_whole = model == "WordPiece" and data["model"]["unk_token"] in data["model"]["vocab"]
        return _into_marks(rules, steps) if marks and is_whole else rules
    if names and names[-1] in ("ByteLevel", "Metaspace"):
        _check_splitters(splitters)
        _check_normalizers(steps, {*_ANY_NORMALIZERS, "Precompiled", "Strip", "Replace"})
        find = _expression if names[-1] == "ByteLevel" else _words
        return find(data["model"], steps, splitters, added) or Boundaries(added, BEFORE_SPACES)
    if not names and [step["type"] for step in steps] == ["Prepend", "Replace"]:
        _check_unsplit(data["model"], steps)
        return Boundaries(added, UNITS)
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
    if model["type"] != "BPE" or not spaced or not _falls_back(model):
        raise Unproven("its words may hold spaces")
    if any(_SPACE in token.lstrip(_SPACE) for token in model["vocab"]):
        raise Unproven("its tokens reach over spaces")


def _expression(
    model: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    splitters: Sequence[Mapping[str, Any]],
    added: tuple[bytes, ...],
) -> Boundaries | None:
    """Return rules that match the regular expression of a byte-level BPE, or None where they are not known."""
    *before, last = splitters
    expression = _EXPRESSIONS.get(str(before[0]["pattern"].get("Regex"))) if before else _BYTE_LEVEL
    if expression is None or [step["type"] for step in steps] not in ([], ["NFC"]):
        return None
    if model["type"] != "BPE" or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return None
    if not model["vocab"].keys() >= _IN_UTF8 or (model.get("ignore_merges") and steps):
        return None  # some text has no tokens; or a token may be no pre-token, as it changes
    prefixes = bool(last["add_prefix_space"])
    expression = *expression, int(prefixes and bool(before))
    prefixes = prefixes and not before
    return Boundaries(added, EXPRESSION, prefixes=prefixes, expression=expression, normalizer=tuple(steps))


def _words(
    model: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    splitters: Sequence[Mapping[str, Any]],
    added: tuple[bytes, ...],
) -> Boundaries | None:
    """Return rules that split into words as `Metaspace` does, or None where they are not known."""
    scheme, at_white_space = splitters[-1].get("prepend_scheme", "always"), len(splitters) > 1
    names = [step["type"] for step in steps]
    last = [name for name in names if name in ("Strip", "Replace")]
    n_first = len(names) - len(last)
    if names[n_first:] != last or last not in ([], ["Strip"], ["Replace"], ["Strip", "Replace"]):
        return None  # spaces are removed in another order
    if splitters[-1]["replacement"] != _SPACE or (at_white_space and scheme != "always"):
        return None
    if not (_is_whole_unigram(model) or (model["type"] == "BPE" and _falls_back(model))):
        return None
    prefix = {"never": 0, "always": 1, "first": 2}[scheme]
    words = int(at_white_space), prefix, int("Replace" in last), int("Strip" in last)
    return Boundaries(added, METASPACE, words=words, normalizer=tuple(steps[:n_first]))


def byte_characters() -> list[str]:
    """Return the characters that byte-level BPE writes for bytes: printable ones for themselves, others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


_IN_UTF8 = {character for byte, character in enumerate(byte_characters()) if byte not in (0xC0, 0xC1) and byte < 0xF5}


def _is_whole_unigram(model: Mapping[str, Any]) -> bool:
    """Return whether a Unigram model splits every text: it has an unknown token, or falls back to all bytes."""
    if model["type"] != "Unigram" or model.get("unk_id") is None:
        return False
    tokens = {token for token, _ in model["vocab"]}
    in_bytes = sum(f"<0x{byte:02X}>" in tokens for byte in range(256)) if model.get("byte_fallback") else 0
    return in_bytes in (0, 256) and not any(" " in token for token in tokens)


def _falls_back(model: Mapping[str, Any]) -> bool:
    """Return whether a BPE splits unknown characters into bytes, and nothing else is unusual about it."""
    odd = any(model.get(name) for name in ("ignore_merges", "end_of_word_suffix", "continuing_subword_prefix"))
    in_bytes = all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256))
    return bool(model.get("byte_fallback")) and in_bytes and _SPACE in model["vocab"] and not odd


def _split_at_spaces(*, marks: bool, lowers: bool, added: tuple[bytes, ...]) -> Boundaries:
    classes = np.full(256, WORD, np.uint8)
    classes[list(b" \t\n\r")] = SEPARATOR
    if marks:
        classes[list(string.punctuation.encode())] = MARK
    return Boundaries(added, AT_SPACES, classes=classes, lowers=lowers)


def _into_marks(rules: Boundaries, steps: Sequence[Mapping[str, Any]]) -> Boundaries:
    """Split other characters than printable ASCII as well, by their kinds."""
    classes = rules.classes.copy()
    classes[[byte for byte in range(256) if not 0x20 <= byte < 0x7F and byte not in b"\t\n\r"]] = LOOK
    return replace(rules, mode=MARKS, classes=classes, normalizer=tuple(steps))


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
