"""What a tokenizer's normalization and splitting do with each character, asked of the `tokenizers` package itself."""

import functools
import itertools
import json
import string
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from unicodedata import category

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from m2v_bench.inference.fast.boundaries import EXPRESSION, MARKS, METASPACE, Boundaries

# Kinds of characters; an odd one is left to the package, together with its neighbours.
KIND = 0x07
UNKNOWN, LETTER, NUMBER, SPACE, NEWLINE, PUNCTUATION, OTHER, ODD = range(8)
CHANGES = 0x10  # is replaced
EXTENDS = 0x20  # may join the character before
COMBINES = 0x40  # has a combining class
SPACED = 0x80  # is replaced by a space, and what joins it may vanish

_POINTS = 0x110000
_BLOCK = 256  # characters looked at together
_SURROGATES = range(0xD800, 0xE000)
# Characters that are no marks and join the one before all the same: joiners, Thai and Lao vowels, emoji modifiers.
_JOINING = set(map(chr, [0x200C, 0x200D, 0x0E33, 0x0EB3, *range(0x1F3FB, 0x1F400)]))
_WHITE_SPACE = {*"\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}
_WORD_SPACE = "▁"
Look = Callable[[Sequence[str]], tuple[np.ndarray, Sequence[str | None]]]


class Characters:
    """Kinds of characters, looked up block by block when a text has one.

    Args:
        look: returns the kind of each of some characters, uint8, and its replacement, or None.
        orders_matter: whether the normalization sorts marks by combining class.
        neighbours_matter: whether a character that is replaced may join the next one.
    """

    def __init__(self, look: "Look", *, orders_matter: bool, neighbours_matter: bool = True) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._orders_matter, self._neighbours_matter = orders_matter, neighbours_matter
        self._kinds, self._orders = np.zeros(_POINTS, np.uint8), np.zeros(_POINTS, np.uint8)
        self._offsets, self._sizes = np.zeros(_POINTS, np.int32), np.zeros(_POINTS, np.uint8)
        self._pool = np.zeros(0, np.uint8)
        self._learn([0x00, 0x20])

    @property
    def fields(self) -> tuple[Any, ...]:
        """The tables as `split_kernels.split` takes them.

        Kinds, uint8 of shape (0x110000,); canonical combining classes, likewise; the replacements: offset and size in
        bytes by code point, and the bytes; and whether printable ASCII is neither odd nor replaced.
        """
        return self._fields

    def learn(self, texts: Iterable[str]) -> None:
        """Look up the characters of texts, and others near them."""
        points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        with self._lock:
            self._learn(np.unique(points // _BLOCK).tolist())

    def _learn(self, blocks: Sequence[int]) -> None:
        """Look up blocks; threads that read the tables go on with those from before."""
        all_kinds, pool = self._kinds.copy(), [self._pool]
        used = len(self._pool)
        for block in blocks:
            points = [point for point in range(block * _BLOCK, (block + 1) * _BLOCK) if point not in _SURROGATES]
            if not points or all_kinds[points[0]] != UNKNOWN:
                continue
            characters = list(map(chr, points))
            kinds, replacements = self._look(characters)
            orders = list(map(unicodedata.combining, characters))
            if self._neighbours_matter:
                joins = [category(character)[0] == "M" or character in _JOINING for character in characters]
                kinds |= np.where(joins, EXTENDS, 0).astype(np.uint8)
            if self._orders_matter:
                kinds |= np.where(orders, COMBINES, 0).astype(np.uint8)
            for number, replacement in enumerate(replacements):
                if replacement is not None:
                    kinds[number] |= CHANGES
                    pool.append(np.frombuffer(replacement.encode(), np.uint8))
                    self._offsets[points[number]], self._sizes[points[number]] = used, len(pool[-1])
                    used += len(pool[-1])
            part = slice(points[0], points[-1] + 1)
            all_kinds[part], self._orders[part] = kinds, orders
        self._kinds, self._pool = all_kinds, np.concatenate(pool)
        printable = all_kinds[ord(" ") : ord("~") + 1]
        plain = bool(((printable != ODD) & (printable <= KIND)).all())
        self._fields = self._kinds, self._orders, (self._offsets, self._sizes, self._pool), plain


class NoCharacters:
    """Takes the place of `Characters` where texts are split by their bytes."""

    fields = (*(np.zeros(1, np.uint8),) * 2, (np.zeros(1, np.int32), *(np.zeros(1, np.uint8),) * 2), False)

    def learn(self, texts: Iterable[str]) -> None:
        """Do nothing."""


def characters_of(boundaries: Boundaries) -> Characters | NoCharacters:
    """Return the characters of a tokenizer; those that treat characters alike share them."""
    return _characters_of(boundaries.mode, json.dumps(boundaries.normalizer), boundaries.words)


@functools.lru_cache(maxsize=16)
def _characters_of(mode: int, normalizer: str, words: tuple[bool, ...]) -> Characters | NoCharacters:
    steps = json.loads(normalizer)
    if mode == MARKS:
        return _of_marks(steps)
    if mode == EXPRESSION:
        return _of_expression(composes=bool(steps))
    if mode == METASPACE:
        at_white_space, _, _, strips = words
        return _of_words(steps, at_white_space=at_white_space, strips=strips)
    return NoCharacters()


def forget_characters() -> None:
    """Start over in a forked process, where nobody holds the locks."""
    _characters_of.cache_clear()


def _of_marks(steps: Sequence[Mapping[str, Any]]) -> Characters:
    """Return the characters of a tokenizer that splits into words and punctuation marks, as BERT's."""
    normalize = _normalizer(steps)
    splitter = pre_tokenizers.BertPreTokenizer()

    def kind_of(character: str) -> tuple[int, str | None]:
        changed = normalize(character)
        inside = [part for part, _ in splitter.pre_tokenize_str(f"q{changed}q")]
        if inside == ["q", "q"]:
            return SPACE, None
        if inside == ["q", character, "q"]:
            return PUNCTUATION, None
        if category(character) == "Cn" or any(map(unicodedata.combining, changed)) or normalize(changed) != changed:
            return ODD, None  # the package may know a newer Unicode; marks that stay may change places
        if inside == [f"q{changed}q"]:
            is_folded = character.isascii() and changed == character.lower()
            return OTHER, None if changed == character or is_folded else changed
        return (OTHER, changed) if len(changed) == 1 and changed in string.punctuation else (ODD, None)

    def look(characters: Sequence[str]) -> tuple[np.ndarray, Sequence[str | None]]:
        pairs = list(map(kind_of, characters))
        return np.array([kind for kind, _ in pairs], np.uint8), [replacement for _, replacement in pairs]

    return Characters(look, orders_matter=False, neighbours_matter=False)


def _of_expression(*, composes: bool) -> Characters:
    """Return the characters of a tokenizer that splits by a regular expression, with NFC or no normalization."""
    matchers = [
        (kind, pre_tokenizers.Split(Regex(pattern), "removed"))
        for kind, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s"))
    ]

    def look(characters: Sequence[str]) -> tuple[np.ndarray, Sequence[str | None]]:
        whole = "".join(characters)
        kinds = np.full(len(characters), OTHER, np.uint8)
        for kind, matcher in matchers:
            matched = np.ones(len(characters), bool)
            for _, (start, end) in matcher.pre_tokenize_str(whole):
                matched[start:end] = False
            kinds[matched] = kind
        kinds[[character in "\r\n" for character in characters]] = NEWLINE
        odd = np.array([character == "ſ" for character in characters])  # matches an s where case is ignored
        if composes:
            odd |= [character in _seconds() for character in characters]
            odd |= [category(character) == "Cn" for character in characters]  # the package may know a newer Unicode
            if not unicodedata.is_normalized("NFC", _apart(characters)):
                odd |= [unicodedata.normalize("NFC", character) != character for character in characters]
        kinds[odd] = ODD
        return kinds, [None] * len(characters)

    return Characters(look, orders_matter=composes)


def _apart(characters: Sequence[str]) -> str:
    """Join characters so that none meets another; nothing composes with a q."""
    return "q".join(characters)


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
    ends = {*" ", _WORD_SPACE, *(_WHITE_SPACE if at_white_space else ())}

    def kind_of(character: str, replacement: str) -> tuple[int, str | None]:
        if replacement == " " or (at_white_space and replacement in _WHITE_SPACE):
            spaced = SPACED if replacement != character else 0
            return (ODD if joins_lines and character in "\r\n" else SPACE | spaced), None
        odd = character in seconds or category(character) == "Cn" or not seconds.isdisjoint(replacement)
        odd = odd or not ends.isdisjoint(replacement) or (strips and replacement.isspace())
        if replacement == character:
            return (ODD if odd else OTHER), None
        if sorts and not strips_accents:
            odd = odd or any(map(unicodedata.combining, replacement))
        odd = odd or normalize(replacement) != replacement or len(replacement.encode()) > np.iinfo(np.uint8).max
        return (ODD, None) if odd else (OTHER, replacement)

    def look(characters: Sequence[str]) -> tuple[np.ndarray, Sequence[str | None]]:
        whole = _apart(characters)
        unchanged = normalize(whole) == whole
        pairs = [kind_of(one, one if unchanged else normalize(one)) for one in characters]
        return np.array([kind for kind, _ in pairs], np.uint8), [replacement for _, replacement in pairs]

    return Characters(look, orders_matter=sorts and not strips_accents)


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
    pairs = (unicodedata.decomposition(chr(point)).split() for point in range(0xC0, 0x20000))
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    jamo = itertools.chain(range(0x1161, 0x1176), range(0x11A8, 0x11C3))  # Hangul is composed by arithmetic
    return frozenset(seconds | set(map(chr, jamo)))


def _second_characters(charsmap: Any) -> set[str]:
    """Return the characters that follow others in the keys of SentencePiece's map, a double-array trie."""
    import base64

    from m2v_bench.inference.fast.utf8_kernels import later_characters

    raw = base64.b64decode(charsmap) if isinstance(charsmap, str) else bytes(charsmap)
    size = int.from_bytes(raw[:4], "little")
    are_later = np.zeros(_POINTS, bool)
    later_characters(np.frombuffer(raw[4 : 4 + size], np.uint32), are_later)
    return set(map(chr, np.flatnonzero(are_later).tolist()))
