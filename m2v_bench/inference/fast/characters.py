"""What a tokenizer's normalization and splitting do with each character, asked of the `tokenizers` package itself."""

import functools
import itertools
import json
import string
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any
from unicodedata import category

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from m2v_bench.inference.fast.boundaries import EXPRESSION, MARKS, METASPACE, Boundaries

# Kinds of characters; an odd one is left to the package, together with its neighbours.
KIND = 0x07
UNKNOWN, LETTER, NUMBER, SPACE, NEWLINE, PUNCTUATION, OTHER, ODD = range(8)
CHANGES = 0x10  # is replaced
EXTENDS = 0x20  # may be replaced together with the character before it
COMBINES = 0x40  # has a combining class, or its replacement ends with a character that has one
SPACED = 0x80  # is replaced by a space, and what joins it may vanish
FIRST, SECOND = 0x100, 0x200  # may compose with a character after it, or before it

GRAPHEME = 5  # bytes of characters that SentencePiece's map may replace together, in the tokenizers package
ANY_NUMBER = 1 << 30

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
        look: returns the kind of each of some characters, uint16, and its replacement, or None.
        orders_matter: whether the normalization sorts marks by combining class.
        grapheme: longest sequence, in bytes, that is replaced as one.
        composed: longest sequence, in bytes, that is composed.
    """

    def __init__(self, look: "Look", *, orders_matter: bool = False, grapheme: int = 0, composed: int = 0) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._orders_matter, self._limits = orders_matter, (grapheme, composed)
        self._kinds, self._orders = np.zeros(_POINTS, np.uint16), np.zeros(_POINTS, np.uint8)
        self._offsets, self._sizes = np.zeros(_POINTS, np.int32), np.zeros(_POINTS, np.uint8)
        self._pool = np.zeros(0, np.uint8)
        self._learn([0x00, 0x20])

    @property
    def fields(self) -> tuple[Any, ...]:
        """The tables as `split_kernels.split` takes them.

        Kinds, uint16 of shape (0x110000,); canonical combining classes, uint8; the replacements: offset and size in
        bytes by code point, and the bytes; whether printable ASCII is neither odd nor replaced; and the limits.
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
            pairs = zip(characters, replacements, strict=True)
            orders = [unicodedata.combining((replacement or character)[-1]) for character, replacement in pairs]
            if self._limits[0]:
                joins = [category(character)[0] == "M" or character in _JOINING for character in characters]
                kinds |= np.where(joins, EXTENDS, 0).astype(np.uint16)
            if self._orders_matter:
                kinds |= np.where(orders, COMBINES, 0).astype(np.uint16)
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
        plain = bool(((printable & ~np.uint16(FIRST)) < ODD).all())
        self._fields = self._kinds, self._orders, (self._offsets, self._sizes, self._pool), plain, self._limits


class NoCharacters:
    """Takes the place of `Characters` where texts are split by their bytes."""

    _nothing = np.zeros(1, np.uint8)
    fields = (np.zeros(1, np.uint16), _nothing, (np.zeros(1, np.int32), _nothing, _nothing), False, (0, 0))

    def learn(self, texts: Iterable[str]) -> None:
        """Do nothing."""


def characters_of(boundaries: Boundaries) -> Characters | NoCharacters:
    """Return the characters of a tokenizer; those that treat characters alike share them."""
    return _characters_of(boundaries.mode, json.dumps(boundaries.normalizer), boundaries.words)


@functools.lru_cache(maxsize=16)
def _characters_of(mode: int, normalizer: str, words: tuple[int, ...]) -> Characters | NoCharacters:
    steps = json.loads(normalizer)
    if mode == MARKS:
        return _of_marks(steps)
    if mode == EXPRESSION:
        return _of_expression(composes=bool(steps))
    if mode == METASPACE:
        at_white_space, prefix, _, strips = words
        return _of_words(steps, at_white_space=bool(at_white_space), strips=bool(strips), removes=prefix != 2)
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
        return _kinds(map(kind_of, characters))

    return Characters(look)


def _kinds(pairs: Iterable[tuple[int, str | None]]) -> tuple[np.ndarray, Sequence[str | None]]:
    kinds, replacements = zip(*pairs, strict=True)
    return np.array(kinds, np.uint16), replacements


def _of_expression(*, composes: bool) -> Characters:
    """Return the characters of a tokenizer that splits by a regular expression, with NFC or no normalization."""
    matchers = [
        (kind, pre_tokenizers.Split(Regex(pattern), "removed"))
        for kind, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s"))
    ]

    def composed(character: str, kind: int) -> tuple[int, str | None]:
        changed = unicodedata.normalize("NFC", character)
        flags = _composition_flags(character, changed, *_pairs())
        if changed == character:
            return kind | flags, None
        # the kinds of what replaces it must be known
        known = all(ord(one) // _BLOCK in (0, ord(character) // _BLOCK) for one in changed)
        return (kind | flags, changed) if known and not unicodedata.combining(changed[0]) else (ODD, None)

    def look(characters: Sequence[str]) -> tuple[np.ndarray, Sequence[str | None]]:
        whole = "".join(characters)
        kinds = np.full(len(characters), OTHER, np.uint16)
        for kind, matcher in matchers:
            matched = np.ones(len(characters), bool)
            for _, (start, end) in matcher.pre_tokenize_str(whole):
                matched[start:end] = False
            kinds[matched] = kind
        kinds[[character in "\r\n" for character in characters]] = NEWLINE
        odd = np.array([character == "ſ" for character in characters])  # matches an s where case is ignored
        replacements: Sequence[str | None] = [None] * len(characters)
        if composes:
            odd |= [category(character) == "Cn" for character in characters]  # the package may know a newer Unicode
            kinds, replacements = _kinds(map(composed, characters, kinds.tolist()))
        kinds[odd] = ODD
        return kinds, replacements

    return Characters(look, orders_matter=composes, composed=ANY_NUMBER if composes else 0)


def _composition_flags(character: str, replacement: str, firsts: Set[str], seconds: Set[str]) -> int:
    """Return FIRST and SECOND: whether a character or its replacement may compose with the next or the previous one."""
    forms = [character, *(unicodedata.normalize("NFD", form) for form in (character, replacement))]
    is_first = any(not firsts.isdisjoint(form) for form in forms)
    is_second = any(not seconds.isdisjoint(form[:1]) for form in forms)
    return (FIRST if is_first else 0) | (SECOND if is_second else 0)


def _apart(characters: Sequence[str]) -> str:
    """Join characters so that none meets another; nothing composes with a q."""
    return "q".join(characters)


def _of_words(steps: Sequence[Mapping[str, Any]], *, at_white_space: bool, strips: bool, removes: bool) -> Characters:
    """Return the characters of a tokenizer that splits at spaces.

    Args:
        steps: the steps of its normalization that work character by character.
        at_white_space: whether any white space separates words, rather than the space alone.
        strips: whether white space is removed at the end of a text.
        removes: whether a character can be removed like any other; else it is odd.
    """
    normalize = _normalizer(steps)
    names = {step["type"] for step in steps}
    composes, sorts = bool(names & {"NFC", "NFKC"}), bool(names & {"NFC", "NFD", "NFKC", "NFKD"})
    strips_accents = "StripAccents" in names
    pairs = [_pairs()] if composes else []
    pairs += [_pairs_of_map(step["precompiled_charsmap"]) for step in steps if step["type"] == "Precompiled"]
    firsts: set[str] = set().union(*(one for one, _ in pairs))
    seconds: set[str] = set().union(*(other for _, other in pairs))
    grapheme = GRAPHEME if "Precompiled" in names else 0
    # "\r\n" is one grapheme, which a map of characters may replace by one space
    joins_lines = not at_white_space and normalize("\r\n") != normalize("\r") + normalize("\n")
    ends = {*" ", _WORD_SPACE, *(_WHITE_SPACE if at_white_space else ())}

    def kind_of(character: str, replacement: str) -> tuple[int, str | None]:
        if replacement == " " or (at_white_space and replacement in _WHITE_SPACE):
            spaced = SPACED if replacement != character else 0
            return (ODD if joins_lines and character in "\r\n" else SPACE | spaced), None
        odd = category(character) == "Cn" or not ends.isdisjoint(replacement) or (strips and replacement.isspace())
        flags = _composition_flags(character, replacement, firsts, seconds)
        if replacement == character:
            return (ODD if odd else OTHER | flags), None
        if not replacement:
            odd = odd or not removes
        elif sorts and not strips_accents:
            odd = odd or unicodedata.combining(replacement[0]) != 0
        odd = odd or normalize(replacement) != replacement or len(replacement.encode()) > np.iinfo(np.uint8).max
        return (ODD, None) if odd else (OTHER | flags, replacement)

    def look(characters: Sequence[str]) -> tuple[np.ndarray, Sequence[str | None]]:
        whole = _apart(characters)
        unchanged = normalize(whole) == whole
        return _kinds(kind_of(one, one if unchanged else normalize(one)) for one in characters)

    orders_matter = composes or (sorts and not strips_accents)
    return Characters(
        look, orders_matter=orders_matter, grapheme=grapheme, composed=ANY_NUMBER if composes else grapheme
    )


def _normalizer(steps: Sequence[Mapping[str, Any]]) -> Callable[[str], str]:
    if not steps:
        return str
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    data = {"version": "1.0", "normalizer": {"type": "Sequence", "normalizers": list(steps)}, "model": model}
    normalizer: Any = Tokenizer.from_str(json.dumps({**data, "added_tokens": []})).normalizer
    normalize: Callable[[str], str] = normalizer.normalize_str
    return normalize


@functools.cache
def _pairs() -> tuple[Set[str], Set[str]]:
    """Return the characters that may compose with one after them, and with one before them, by Unicode."""
    decomposed = (unicodedata.decomposition(chr(point)).split() for point in range(0xC0, 0x20000))
    pairs = [(chr(int(one[0], 16)), chr(int(one[1], 16))) for one in decomposed if len(one) == 2 and one[0][0] != "<"]
    # Hangul is composed by arithmetic: consonant and vowel, then that syllable and another consonant
    firsts = itertools.chain(range(0x1100, 0x1113), range(0xAC00, 0xD7A4, 28))
    seconds = itertools.chain(range(0x1161, 0x1176), range(0x11A8, 0x11C3))
    return (
        frozenset({first for first, _ in pairs} | set(map(chr, firsts))),
        frozenset({second for _, second in pairs} | set(map(chr, seconds))),
    )


def _pairs_of_map(charsmap: Any) -> tuple[Set[str], Set[str]]:
    """Return the characters with others after them, and before them, in a key of SentencePiece's map."""
    import base64

    from m2v_bench.inference.fast.utf8_kernels import neighbours

    raw = base64.b64decode(charsmap) if isinstance(charsmap, str) else bytes(charsmap)
    size = int.from_bytes(raw[:4], "little")
    have_after, have_before = np.zeros(_POINTS, bool), np.zeros(_POINTS, bool)
    neighbours(np.frombuffer(raw[4 : 4 + size], np.uint32), have_after, have_before)
    firsts, seconds = (set(map(chr, np.flatnonzero(have).tolist())) for have in (have_after, have_before))
    return firsts, seconds
