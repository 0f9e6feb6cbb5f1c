"""Split the bytes of texts into pre-tokens; loops compiled by numba, all of which release the GIL.

All loops of this file are in one file, as numba does not recompile a function when one that it calls from another file
changes.
"""

import numpy as np
from numba import njit

from m2v_bench.inference.fast.boundaries import (
    AS_A_WHOLE,
    ASK,
    AT_SPACES,
    BEFORE_SPACES,
    LOOK,
    MARK,
    MARKS,
    METASPACE,
    PREFIX,
    SEPARATOR,
    UNITS,
    WHOLE,
)
from m2v_bench.inference.fast.characters import (
    CHANGES,
    COMBINES,
    EXTENDS,
    FIRST,
    KIND,
    LETTER,
    NEWLINE,
    NUMBER,
    ODD,
    OTHER,
    PUNCTUATION,
    SECOND,
    SPACE,
    SPACED,
    UNKNOWN,
)
from m2v_bench.inference.fast.utf8_kernels import (
    are_printable,
    character,
    has_byte,
    inlined,
    inner,
    key,
    load8,
    size_of,
)

_ZERO = np.int64(0)  # numba compiles a function once more for a number in the code

_SPACE, _APOSTROPHE = np.int64(0x20), 0x27


@inlined
def _add(buffer, first, last, info, lowers, tails, spans, n):
    """Append a pre-token."""
    tails[n, 0], tails[n, 1] = key(buffer, first, last, info & PREFIX, lowers)
    spans[n, 0], spans[n, 1], spans[n, 2] = first, last, info
    return n + 1


@inlined
def _kind(buffer, i, kinds):
    byte = buffer[i]
    return kinds[byte] & KIND if byte < 0x80 else kinds[character(buffer, i)] & KIND


@inner
def _has_added(buffer, start, end, fold, tokens):
    """Return whether an added token is in a text, in any case where case makes no difference."""
    begins, few, added, added_offsets = tokens
    if len(added) == 0:
        return False
    i = start
    while i < end:
        if len(few) > 0 and i + 8 <= end:
            word, hit = load8(buffer, i), False
            for byte in few:
                hit |= has_byte(word, byte)
            if not hit:
                i += 8
                continue
        # byte by byte until the next eight
        last = min(i + 8, end)
        while i < last:
            if begins[buffer[i]] and _is_added(buffer, i, end, fold, added, added_offsets):
                return True
            i += 1
    return False


@inner
def _is_added(buffer, i, end, fold, added, added_offsets):
    for token in range(len(added_offsets) - 1):
        offset, size = added_offsets[token], added_offsets[token + 1] - added_offsets[token]
        k = 0
        while k < size and i + k < end and fold[buffer[i + k]] == added[offset + k]:
            k += 1
        if k == size:
            return True
    return False


@inlined
def _is_plain(buffer, i, end):
    """Return whether the character at `i` is neither white space nor combines with the character before it."""
    byte = buffer[i]
    if byte < 0x80:
        return 0x20 < byte < 0x7F
    if 0xC3 <= byte <= 0xC9 or 0xCF <= byte <= 0xD1:  # Latin, Greek, Cyrillic
        return True
    if byte == 0xCE:
        return i + 1 < end and buffer[i + 1] >= 0x86
    if byte == 0xE2:  # dashes, quotation marks, ellipsis
        return i + 2 < end and buffer[i + 1] == 0x80 and 0x90 <= buffer[i + 2] <= 0xA7 and buffer[i + 2] != 0x97
    return 0xE5 <= byte <= 0xE9 or 0xEB <= byte <= 0xEC  # Han, Hangul


@inner
def _may_split(buffer, i, start, end):
    """Return whether the byte at `i` is a single space between plain characters."""
    if i == start or i + 1 == end or not _is_plain(buffer, i + 1, end):
        return False
    before = i - 1
    while before > start and 0x80 <= buffer[before] < 0xC0:
        before -= 1
    return _is_plain(buffer, before, i)


@inner
def _at_spaces(buffer, start, end, classes, lowers, tails, spans, n):
    """Append the words and marks between white space."""
    i = start
    while i < end:
        kind = classes[buffer[i]]
        first = i
        i += 1
        if kind == SEPARATOR:
            continue
        while kind != MARK and i < end and classes[buffer[i]] > MARK:
            i += 1
        n = _add(buffer, first, i, _ZERO, lowers, tails, spans, n)
    return n


@inner
def _before_spaces(buffer, start, end, tails, spans, n):
    """Append what is between two places where every tokenizer of a kind splits: single spaces of plain characters."""
    i = start
    while i < end:
        first = i
        i = first + 1
        while i < end and not (buffer[i] == _SPACE and _may_split(buffer, i, start, end)):
            i += 1
        n = _add(buffer, first, i, AS_A_WHOLE, False, tails, spans, n)
    return n


@inner
def _scan(buffer, start, end, characters):
    """Return which of 1 (unknown kinds), 2 (odd characters) and 4 (characters to be replaced) a text has.

    Characters that may compose, or change places, or are replaced together, are odd.
    """
    kinds, orders, (_, sizes, _), plain, (grapheme, composed) = characters
    seen = 0
    # of the character before; whether it, or a mark or what the marks are on, may compose with the next one
    order, changed, size, is_first = 0, False, 0, False
    i = start
    while i < end:
        if plain and i + 8 <= end and are_printable(load8(buffer, i)):
            order, changed, size, is_first = 0, False, 1, kinds[buffer[i + 7]] & FIRST != 0
            i += 8
            continue
        byte = buffer[i]
        if byte < 0x80:
            kind = kinds[byte]
            size = 1
            i += 1
            if kind & CHANGES == 0 or sizes[byte] > 0:  # what is removed separates nothing
                order, is_first = 0, kind & FIRST != 0
        else:
            point = character(buffer, i)
            kind = kinds[point]
            together = size + size_of(byte)
            size = size_of(byte)
            i += size
            if (changed and kind & EXTENDS and together <= grapheme) or (
                is_first and kind & SECOND and together <= composed
            ):
                seen |= 2
            if kind & COMBINES:
                # marks that are not in canonical order change places
                if order > orders[point]:
                    seen |= 2
                order = orders[point]
                is_first = is_first or kind & FIRST != 0
            elif kind & CHANGES == 0 or sizes[point] > 0:
                order = 0
                is_first = kind & FIRST != 0
        changed = kind & (CHANGES | SPACED) != 0
        if kind & CHANGES:
            seen |= 4
        if kind & KIND == UNKNOWN:
            seen |= 1
        elif kind & KIND == ODD:
            seen |= 2
    return seen


@inner
def _replaced(buffer, start, end, kinds, replacements, at):
    """Write a text with its characters replaced to `buffer[at:]`, and return where it ends, or -1 without room."""
    offsets, sizes, pool = replacements
    i = start
    while i < end:
        size = size_of(buffer[i])
        point = character(buffer, i)
        if at + max(size, sizes[point]) > len(buffer):
            return -1
        if kinds[point] & CHANGES:
            for k in range(sizes[point]):
                buffer[at + k] = pool[offsets[point] + k]
            at += sizes[point]
        else:
            for k in range(size):
                buffer[at + k] = buffer[i + k]
            at += size
        i += size
    return at


@inner
def _words_and_marks(buffer, start, end, classes, lowers, characters, used, tails, spans, n):
    """Append the words and punctuation marks of a text.

    Words with other characters than printable ASCII are split by the kinds of their characters; those that only the
    package can split become one pre-token.

    Returns:
        Why the text is not split, or 0; how many pre-tokens there are; how much of `buffer` is in use.
    """
    kinds, _, replacements, _, _ = characters
    i = start
    while i < end:
        first = i
        seen = classes[buffer[i]]
        i += 1
        if seen == SEPARATOR:
            continue
        while seen != MARK and i < end and classes[buffer[i]] > MARK:
            seen |= classes[buffer[i]]
            i += 1
        if seen != LOOK:
            n = _add(buffer, first, i, _ZERO, lowers, tails, spans, n)
            continue
        odd = _scan(buffer, first, i, characters)
        if odd & 1:
            return ASK, n, used
        if odd & 2:
            n = _add(buffer, first, i, AS_A_WHOLE, lowers, tails, spans, n)
            continue
        last = i
        if odd & 4:
            last = _replaced(buffer, first, i, kinds, replacements, used)
            if last < 0:
                return WHOLE, n, used
            first, used = used, last
        n = _by_kinds(buffer, first, last, kinds, lowers, tails, spans, n)
    return _ZERO, n, used


@inner
def _by_kinds(buffer, start, end, kinds, lowers, tails, spans, n):
    i = start
    while i < end:
        first, kind = i, _kind(buffer, i, kinds)
        i += size_of(buffer[i])
        if kind == SPACE:
            continue
        while kind != PUNCTUATION and i < end and _kind(buffer, i, kinds) not in (SPACE, PUNCTUATION):
            i += size_of(buffer[i])
        n = _add(buffer, first, i, _ZERO, lowers, tails, spans, n)
    return n


@inner
def _contraction(buffer, i, end, ignore_case):
    """Return the bytes of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` at `i`, or 0."""
    case = 0x20 if ignore_case else 0
    if i >= end:
        return 0
    first = buffer[i] | case
    if first in (0x73, 0x74, 0x6D, 0x64):
        return 1
    if i + 1 < end:
        second = buffer[i + 1] | case
        if first in (0x72, 0x76) and second == 0x65:
            return 2
        if first == 0x6C and second == 0x6C:
            return 2
    return 0


@inlined
def _run(buffer, i, end, kinds, kind):
    """Return where a run of characters of a kind ends."""
    while i < end and _kind(buffer, i, kinds) == kind:
        i += size_of(buffer[i])
    return i


@inner
def _match(buffer, i, end, kinds, expression, prefix):
    """Return where the match of the regular expression at `i` ends, or -1 where a prefixed space is by itself.

    See `boundaries.Boundaries.expression` for the alternatives, which are tried in order. With `prefix`, a space is
    before `i`.
    """
    contractions, any_before_letters, most_numbers, newlines_after_marks, newlines, _ = expression
    kind = _kind(buffer, i, kinds)
    byte = buffer[i]
    if byte == _APOSTROPHE and contractions and not prefix:
        size = _contraction(buffer, i + 1, end, contractions == 2)
        if size:
            return i + 1 + size
    after = i + size_of(byte)
    if kind == LETTER:
        return _run(buffer, after, end, kinds, LETTER)
    takes_one = byte == _SPACE or (any_before_letters and kind in (SPACE, OTHER))
    if takes_one and not prefix and after < end and _kind(buffer, after, kinds) == LETTER:
        return _run(buffer, after, end, kinds, LETTER)
    begin, kind_then = i, kind
    if byte == _SPACE and after < end:
        begin, kind_then = after, _kind(buffer, after, kinds)
    if most_numbers == 0:
        if kind_then == NUMBER:
            return _run(buffer, begin, end, kinds, NUMBER)
    elif kind == NUMBER:
        if prefix:
            return -1
        k = 0
        while k < most_numbers and i < end and _kind(buffer, i, kinds) == NUMBER:
            i += size_of(buffer[i])
            k += 1
        return i
    if kind_then == OTHER:
        last = _run(buffer, begin, end, kinds, OTHER)
        if newlines_after_marks:
            last = _run(buffer, last, end, kinds, NEWLINE)
        return last
    if prefix:
        return -1
    # white space
    last, before_last, after_newline = i, i, i
    while last < end:
        kind = _kind(buffer, last, kinds)
        if kind not in (SPACE, NEWLINE):
            break
        before_last = last
        last += size_of(buffer[last])
        if kind == NEWLINE:
            after_newline = last
    if newlines and after_newline > i:
        return after_newline
    return last if last == end or before_last == i else before_last


@inner
def _by_expression(buffer, start, end, kinds, expression, prefix, tails, spans, n):
    """Append the matches of the regular expression; return -1 for a text that only the package can split."""
    i = start
    while i < end:
        before = prefix if i == start else _ZERO
        # most are ASCII letters after a space
        last = i + 1 if buffer[i] == _SPACE else i
        first = last
        while last < end and buffer[last] < 0x80 and kinds[buffer[last]] & KIND == LETTER:
            last += 1
        if last == first or (last < end and buffer[last] >= 0x80):
            last = _match(buffer, i, end, kinds, expression, before != 0)
        if last < 0:
            return -1
        if expression[5] and buffer[i] != _SPACE:
            before = _SPACE
        n = _add(buffer, i, last, before, False, tails, spans, n)
        i = last
    return n


@inner
def _words(buffer, start, end, kinds, metaspace, tails, spans, n):
    """Append words with the space before them, which is their prefix."""
    at_white_space, prefix_first, collapses, strips = metaspace
    while strips and end > start:
        last = end - 1
        while last > start and 0x80 <= buffer[last] < 0xC0:
            last -= 1
        if _kind(buffer, last, kinds) != SPACE:
            break
        end = last
    i = start
    while i < end:
        is_space = _kind(buffer, i, kinds) == SPACE
        prefix = _SPACE if is_space or prefix_first or at_white_space else _ZERO
        if is_space:
            i += size_of(buffer[i])
            if at_white_space:
                continue
            while collapses and i < end and _kind(buffer, i, kinds) == SPACE:
                i += size_of(buffer[i])
        first = i
        while i < end and _kind(buffer, i, kinds) != SPACE:
            i += size_of(buffer[i])
        n = _add(buffer, first, i, prefix, False, tails, spans, n)
    return n


@inlined
def _space_width(buffer, i, end):
    """Return the bytes of the space at `i`, or of the character that tokens have for one, else 0."""
    if buffer[i] == _SPACE:
        return 1
    return 3 if i + 2 < end and buffer[i] == 0xE2 and buffer[i + 1] == 0x96 and buffer[i + 2] == 0x81 else 0


@inner
def _units(buffer, start, end, tails, spans, n):
    """Append words with all spaces before them, and another one before the first."""
    i = start
    while i < end:
        first = i
        while i < end and _space_width(buffer, i, end) > 0:
            i += _space_width(buffer, i, end)
        while i < end and _space_width(buffer, i, end) == 0:
            i += 1
        n = _add(buffer, first, i, _SPACE if first == start else _ZERO, False, tails, spans, n)
    return n


@inlined
def _is_word(kind):
    joins = kind & (COMBINES | EXTENDS | SECOND) != 0
    return kind & KIND != ODD and kind & KIND != SPACE and kind & KIND != NEWLINE and not joins


@inner
def _around_odd(buffer, start, end, characters, rules, prefix, tails, spans, n):
    """Append the pre-tokens of a text with odd characters: the words around one go to the package together."""
    mode, expression, metaspace = rules
    kinds = characters[0]
    first = start
    while first < end:
        # up to a single space between characters that do nothing to each other
        last, kind = first, kinds[character(buffer, first)]
        while True:
            last += size_of(buffer[last])
            if last >= end:
                break
            before, kind = kind, kinds[character(buffer, last)]
            is_single = buffer[last] == _SPACE and last + 1 < end and _is_word(before)
            if is_single and _is_word(kinds[character(buffer, last + 1)]):
                break
        prefix_here = prefix if first == start else _ZERO
        if _scan(buffer, first, last, characters) & 2:
            n = _add(buffer, first, last, AS_A_WHOLE, False, tails, spans, n)
        elif mode == METASPACE:
            n = _words(buffer, first, last, kinds, metaspace, tails, spans, n)
        else:
            n = _by_expression(buffer, first, last, kinds, expression, prefix_here, tails, spans, n)
            if n < 0:
                return n
        first = last
    return n


@njit(cache=True, nogil=True, _nrt=False)
def split(buffer, starts, ends, texts, boundaries, characters, used, tails, spans, firsts, reasons):
    """Split texts into pre-tokens.

    Args:
        buffer: `PADDING` bytes, the bytes of all texts, and room for texts with replaced characters, uint8.
        starts: where in `buffer` each text begins, int64.
        ends: where it ends.
        texts: numbers of the texts to do, int64.
        boundaries: `boundaries.Boundaries.fields`.
        characters: `characters.Characters.fields`.
        used: bytes of `buffer` in use.
        tails: receives the last 16 folded bytes of each pre-token, uint64 of shape (more than bytes, 4).
        spans: receives where it begins and ends, and a byte before it or `AS_A_WHOLE`, int64 of shape (same, 3).
        firsts: receives the first pre-token of each of the texts, and the end of the last, int64 of shape (texts + 1,).
        reasons: receives why a text is not split, or 0, uint8 of shape (texts,).
    """
    classes, fold, lowers, tokens, mode, prefix, expression, metaspace = boundaries
    kinds, _, replacements, _, _ = characters
    n = _ZERO
    for number in range(len(texts)):
        text = texts[number]
        start, end = starts[text], ends[text]
        firsts[number], reasons[number] = n, 0
        if _has_added(buffer, start, end, fold, tokens):
            reasons[number] = WHOLE
        elif mode == AT_SPACES:
            n = _at_spaces(buffer, start, end, classes, lowers, tails, spans, n)
        elif mode == MARKS:
            reasons[number], n, used = _words_and_marks(
                buffer, start, end, classes, lowers, characters, used, tails, spans, n
            )
        elif mode == BEFORE_SPACES:
            n = _before_spaces(buffer, start, end, tails, spans, n)
        elif mode == UNITS:
            n = _units(buffer, start, end, tails, spans, n)
        else:
            seen = _scan(buffer, start, end, characters)
            if seen & 4 and seen & 3 == 0:
                at = used
                used = _replaced(buffer, start, end, kinds, replacements, at)
                start, end = at, used
                if used < 0:
                    seen, used = 6, at
            add = prefix if end > start and buffer[start] != _SPACE else _ZERO
            if seen & 1:
                reasons[number] = ASK
            elif seen & 6 == 6:
                reasons[number] = WHOLE
            elif seen & 2:
                last = _around_odd(buffer, start, end, characters, (mode, expression, metaspace), add, tails, spans, n)
                reasons[number], n = (WHOLE, n) if last < 0 else (0, last)
            elif mode == METASPACE:
                n = _words(buffer, start, end, kinds, metaspace, tails, spans, n)
            else:
                last = _by_expression(buffer, start, end, kinds, expression, add, tails, spans, n)
                reasons[number], n = (WHOLE, n) if last < 0 else (0, last)
    firsts[len(texts)] = n
