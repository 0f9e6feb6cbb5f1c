"""What a tokenizer's normalization and splitting do with each character, asked of the `tokenizers` package itself."""

import functools
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from m2v_bench.inference.fast.boundaries import EXPRESSION, METASPACE, Boundaries

# Kinds of characters; an odd one is left to the package, together with its neighbours.
KIND = 0x0F
UNKNOWN, LETTER, NUMBER, SPACE, NEWLINE, OTHER, ODD = range(7)
# is replaced; may join the character before; has a combining class; stands for a space, and what joins it may vanish
CHANGES, EXTENDS, COMBINES, SPACED = 0x10, 0x20, 0x40, 0x80

_POINTS = 0x110000
_BLOCK = 256  # characters looked at together
_SURROGATES = range(0xD800, 0xE000)
# Characters that are no marks and join the one before all the same: joiners, Thai and Lao vowels, emoji modifiers.
_JOINING = {0x200C, 0x200D, 0x0E33, 0x0EB3, *range(0x1F3FB, 0x1F400)}
_WORD_SPACE = "▁"


class Characters:
    """Kinds of characters, looked up block by block when a text has one.

    Args:
        kinds_of: returns kind and replacement of each character of a string.
        orders_matter: whether the normalization sorts marks by combining class.
    """

    def __init__(self, kinds_of: Callable[[str], Iterable[tuple[int, str]]], *, orders_matter: bool) -> None:
        self._kinds_of = kinds_of
        self._orders_matter = orders_matter
        self._kinds, self._orders = np.zeros(_POINTS, np.uint8), np.zeros(_POINTS, np.uint8)
        self._offsets, self._sizes = np.zeros(_POINTS, np.int32), np.zeros(_POINTS, np.uint8)
        self._pool = np.zeros(0, np.uint8)
        for block in (0x00, 0x20):
            self._fill(block)
        printable = self._kinds[ord(" ") : ord("~") + 1]
        self._plain = bool(((printable != ODD) & (printable <= KIND)).all())

    @property
    def fields(self) -> tuple[Any, ...]:
        """The tables as `split_kernels.split` takes them.

        Kinds, uint8 of shape (0x110000,); canonical combining classes, likewise; the replacements: offset and size in
        bytes by code point, and the bytes; and whether printable ASCII is neither odd nor replaced.
        """
        return self._kinds, self._orders, (self._offsets, self._sizes, self._pool), self._plain

    def learn(self, texts: Iterable[str]) -> None:
        """Look up the characters of texts, and others near them."""
        points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        for block in np.unique(points // _BLOCK).tolist():
            self._fill(block)

    def _fill(self, block: int) -> None:
        points = [point for point in range(block * _BLOCK, (block + 1) * _BLOCK) if point not in _SURROGATES]
        if not points or self._kinds[points[0]] != UNKNOWN:
            return
        pool = [self._pool]
        used = len(self._pool)
        for point, (kind, replacement) in zip(points, self._kinds_of("".join(map(chr, points))), strict=True):
            character = chr(point)
            self._kinds[point] = kind
            if self._orders_matter and unicodedata.combining(character):
                self._kinds[point] |= COMBINES
                self._orders[point] = unicodedata.combining(character)
            if unicodedata.category(character)[0] == "M" or point in _JOINING:
                self._kinds[point] |= EXTENDS
            if replacement != character:
                raw = np.frombuffer(replacement.encode(), np.uint8)
                self._kinds[point] |= CHANGES
                self._offsets[point], self._sizes[point] = used, len(raw)
                pool.append(raw)
                used += len(raw)
        self._pool = np.concatenate(pool)


class NoCharacters:
    """Takes the place of `Characters` where texts are split by their bytes."""

    fields = (*(np.zeros(1, np.uint8),) * 2, (np.zeros(1, np.int32), *(np.zeros(1, np.uint8),) * 2), False)

    def learn(self, texts: Iterable[str]) -> None:
        """Do nothing."""


def characters_of(boundaries: Boundaries) -> Characters | NoCharacters:
    """Return the characters of a tokenizer."""
    if boundaries.mode == EXPRESSION:
        return _of_expression(composes=bool(boundaries.normalizer))
    if boundaries.mode == METASPACE:
        at_white_space, _, _, strips = boundaries.words
        return _of_words(boundaries.normalizer, at_white_space=at_white_space, strips=strips)
    return NoCharacters()


def _of_expression(*, composes: bool) -> Characters:
    """Return the characters of a tokenizer that splits by a regular expression, with NFC or no normalization."""
    matchers = [
        (kind, pre_tokenizers.Split(Regex(pattern), "removed"))
        for kind, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s"))
    ]

    def kinds_of(characters: str) -> Iterable[tuple[int, str]]:
        kinds = np.full(len(characters), OTHER)
        for kind, matcher in matchers:
            matched = np.ones(len(characters), bool)
            for _, (start, end) in matcher.pre_tokenize_str(characters):
                matched[start:end] = False
            kinds[matched] = kind
        for number, (character, kind) in enumerate(zip(characters, kinds.tolist(), strict=True)):
            odd = character == "ſ"  # matches an s where case is ignored
            if composes:
                odd = odd or character in _seconds() or unicodedata.normalize("NFC", character) != character
                odd = odd or unicodedata.category(character) == "Cn"  # the package may know a newer Unicode
            kinds[number] = ODD if odd else (NEWLINE if character in "\r\n" else kind)
        return zip(kinds.tolist(), characters, strict=True)

    return Characters(kinds_of, orders_matter=composes)


def _of_words(steps: Sequence[Mapping[str, Any]], *, at_white_space: bool, strips: bool) -> Characters:
    """Return the characters of a tokenizer that splits at spaces.

    Args:
        steps: the steps of its normalization that work character by character.
        at_white_space: whether any white space separates words, rather than the space alone.
        strips: whether white space is removed at the end of a text.
    """
    normalize = _normalizer(steps)
    names = {step["type"] for step in steps}
    composes, sorts = bool(names & {"NFC", "NFKC"}), bool(names & {"NFC", "NFD", "NFKC", "NFKD"})
    strips_accents = "StripAccents" in names
    seconds = set(_seconds()) if composes or "Precompiled" in names else set()
    for step in steps:
        if step["type"] == "Precompiled":
            seconds |= _second_characters(step["precompiled_charsmap"])
    # "\r\n" is one grapheme, which a map of characters may replace by one space
    joins_lines = not at_white_space and normalize("\r\n") != normalize("\r") + normalize("\n")
    split = pre_tokenizers.WhitespaceSplit()

    def kind_of(character: str) -> tuple[int, str]:
        replacement = normalize(character)
        if replacement == " " or (at_white_space and replacement and not split.pre_tokenize_str(replacement)):
            spaced = SPACED if replacement != character else 0
            return (ODD if joins_lines and character in "\r\n" else SPACE | spaced), character
        odd = character in seconds or unicodedata.category(character) == "Cn" or not seconds.isdisjoint(replacement)
        odd = odd or " " in replacement or _WORD_SPACE in replacement
        if at_white_space:
            odd = odd or [part for part, _ in split.pre_tokenize_str(replacement)] not in ([], [replacement])
        elif strips:
            odd = odd or replacement.isspace()
        if replacement != character and sorts and not strips_accents:
            odd = odd or any(map(unicodedata.combining, replacement))
        odd = odd or normalize(replacement) != replacement
        return (ODD, character) if odd else (OTHER, replacement)

    return Characters(functools.partial(map, kind_of), orders_matter=sorts and not strips_accents)


def _normalizer(steps: Sequence[Mapping[str, Any]]) -> Callable[[str], str]:
    if not steps:
        return str
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    data = {"version": "1.0", "normalizer": {"type": "Sequence", "normalizers": list(steps)}, "model": model}
    normalizer: Any = Tokenizer.from_str(json.dumps({**data, "added_tokens": []})).normalizer
    normalize: Callable[[str], str] = normalizer.normalize_str
    return normalize


@functools.cache
def _seconds() -> frozenset[str]:
    """Return the characters that may compose with the one before them: canonical decompositions have them second."""
    points = itertools.chain(
        range(0xC0, 0x3100), range(0xFB00, 0xFB50), range(0x11000, 0x12000), range(0x16000, 0x17000)
    )
    pairs = (unicodedata.decomposition(chr(point)).split() for point in (*points, *range(0x1D100, 0x1D200)))
    found = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    jamo = itertools.chain(range(0x1161, 0x1176), range(0x11A8, 0x11C3))  # Hangul is composed by arithmetic
    return frozenset(found | set(map(chr, jamo)))


def _second_characters(charsmap: Any) -> set[str]:
    """Return the characters that follow others in the keys of SentencePiece's map of characters, a double-array trie.

    The format is that of Darts-clone: a unit holds the label of the byte that leads to it, whether a key ends below it,
    and the offset of its children.
    """
    import base64

    raw = base64.b64decode(charsmap) if isinstance(charsmap, str) else bytes(charsmap)
    size = int.from_bytes(raw[:4], "little")
    units = np.frombuffer(raw[4 : 4 + size], np.uint32)

    def offset(places: np.ndarray) -> np.ndarray:
        unit = units[places]
        return (unit >> 10) << ((unit & (1 << 9)) >> 6)

    labels = np.arange(1, 256, dtype=np.uint32)
    places, keys = np.zeros(1, np.uint32), [b""]
    seconds: set[str] = set()
    while len(places):
        children = (places ^ offset(places))[:, None] ^ labels
        inside = children < len(units)
        found = inside & ((units[np.where(inside, children, 0)] & (1 << 31 | 0xFF)) == labels)
        rows, columns = np.nonzero(found)
        places = children[rows, columns]
        keys = [keys[row] + bytes([column + 1]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]
        for key in keys:
            seconds.update(key.decode(errors="ignore")[1:])
    return seconds
