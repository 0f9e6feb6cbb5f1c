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
from m2v_bench.inference.fast.intrinsics import (
    BLOCK,
    bits_between,
    fetch,
    inlined,
    inner,
    load8,
    lowest_bit,
    store8,
)
from m2v_bench.inference.fast.short_kernels import find_short, first_slot
from m2v_bench.inference.fast.utf8_kernels import (
    PADDING,
    after_letters,
    bits_before,
    character,
    key,
    lower,
    others_than_letters,
    size_of,
)

# Columns of a row, which says what a pre-token is: its key, see `utf8_kernels.key`; where it begins and ends; a byte
# before it, or `AS_A_WHOLE`; its bytes, with that one; for who looks it up, a slot of the table and its entry + 1.
LOW, HIGH, BEGIN, END, INFO, SIZE, SLOT, FOUND = range(8)
COLUMNS = 8
RECENT = 256  # pre-tokens to look for in the short table together, when it has come from memory

_ZERO = np.int64(0)  # numba compiles a function once more for a number in the code

_SPACE, _APOSTROPHE = np.int64(0x20), 0x27


@inlined
def _add(buffer, first, last, info, sink, n):
    """Append a pre-token, and look up the recent ones when there are many; it stays, even if the text fails later."""
    _, _, _, short, recent = sink
    low, high = key(buffer, first, last, info & PREFIX)
    size = last - first + (1 if info & PREFIX else 0)
    slot = first_slot(low, high, size, short)
    fetch(short, slot, 0)
    place = n & (RECENT - 1)
    recent[place, LOW], recent[place, HIGH] = low, high
    recent[place, BEGIN], recent[place, END], recent[place, INFO] = first, last, info
    recent[place, SIZE], recent[place, SLOT] = size, slot
    n += 1
    if n & (RECENT - 1) == 0:
        _look_up_short(n - RECENT, n, sink)
    return n


@inner
def _look_up_short(begin, end, sink):
    """Write the ids of recent pre-tokens that are in the short table, and the rows of those that are not."""
    codes, counts, rows, short, recent = sink
    row = counts[0]
    for n in range(begin, end):
        place = n & (RECENT - 1)
        size, slot = np.int64(recent[place, SIZE]), np.int64(recent[place, SLOT])
        code = find_short(recent[place, LOW], recent[place, HIGH], size, slot, short)
        if code == 0:
            for column in range(COLUMNS):
                rows[row, column] = recent[place, column]
            code = -1 - row
            row += 1
        codes[n] = code
    counts[0] = row


@inlined
def _kind(buffer, i, kinds):
    byte = buffer[i]
    return kinds[byte] & KIND if byte < 0x80 else kinds[character(buffer, i)] & KIND


@inner
def _next_added(buffer, start, end, tokens):
    """Return where the first added token from `start` on begins, in any case where case makes no difference, or `end`.

    Between two texts is a byte, which tokens may have: then the text is said to have one, which costs only time.
    """
    begins, few, added, added_offsets = tokens
    for block in range(start, end if len(added) > 0 else start, BLOCK):
        bits = np.uint64(0) if len(few) > 0 else ~np.uint64(0)
        for byte in few:
            bits |= bits_between(buffer, block, 0, byte, byte)
        bits = bits_before(bits, block, end)
        while bits != 0:
            i = block + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            if begins[buffer[i]] and _is_added(buffer, i, end, added, added_offsets):
                return i
    return end


@inner
def _is_added(buffer, i, end, added, added_offsets):
    for token in range(len(added_offsets) - 1):
        offset, size = added_offsets[token], added_offsets[token + 1] - added_offsets[token]
        k = 0
        while k < size and i + k < end and buffer[i + k] == added[offset + k]:
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
def _before_spaces(buffer, start, end, sink, n):
    """Append what is between two places where every tokenizer of a kind splits: single spaces of plain characters."""
    i = start
    while i < end:
        first = i
        i = first + 1
        while i < end and not (buffer[i] == _SPACE and _may_split(buffer, i, start, end)):
            i += 1
        n = _add(buffer, first, i, AS_A_WHOLE, sink, n)
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
        byte = buffer[i]
        if plain and byte < 0x80:
            others = bits_before(~bits_between(buffer, i, 0, 0x20, 0x7E), i, end)
            after = i + lowest_bit(others) if others != 0 else min(i + BLOCK, end)
            if after > i:
                order, changed, size, is_first = 0, False, 1, kinds[buffer[after - 1]] & FIRST != 0
                i = after
                continue
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


@inlined
def _words_and_marks(buffer, start, end, classes, characters, used, sink, n):
    """Append the words and punctuation marks of a text.

    Returns:
        Why the text is not split, or 0; how many pre-tokens there are; how much of `buffer` is in use.
    """
    first, looks, reason = start, False, _ZERO
    for block in range(start, end, BLOCK):
        others = others_than_letters(buffer, block, end, True)
        while others != 0:
            i = block + lowest_bit(others)
            others &= others - np.uint64(1)
            kind = classes[buffer[i]]
            if kind > MARK:
                looks |= kind == LOOK
                continue
            if looks:
                reason, n, used = _odd_word(buffer, first, i, characters, used, sink, n)
                if reason != 0:
                    return reason, n, used
            elif i > first:
                n = _add(buffer, first, i, _ZERO, sink, n)
            if kind == MARK:
                n = _add(buffer, i, i + 1, _ZERO, sink, n)
            first, looks = i + 1, False
    if looks:
        return _odd_word(buffer, first, end, characters, used, sink, n)
    if end > first:
        n = _add(buffer, first, end, _ZERO, sink, n)
    return reason, n, used


@inner
def _odd_word(buffer, first, last, characters, used, sink, n):
    """Append the pre-tokens of a word with other characters than printable ASCII, by the kinds of its characters.

    A word that only the package can split becomes one pre-token. Returns what `_words_and_marks` does.
    """
    kinds, _, replacements, _, _ = characters
    odd = _scan(buffer, first, last, characters)
    if odd & 1:
        return ASK, n, used
    if odd & 2:
        return _ZERO, _add(buffer, first, last, AS_A_WHOLE, sink, n), used
    if odd & 4:
        end = _replaced(buffer, first, last, kinds, replacements, used)
        if end < 0:
            return WHOLE, n, used
        first, last, used = used, end, end
    return _ZERO, _by_kinds(buffer, first, last, kinds, sink, n), used


@inner
def _by_kinds(buffer, start, end, kinds, sink, n):
    i = start
    while i < end:
        first, kind = i, _kind(buffer, i, kinds)
        i += size_of(buffer[i])
        if kind == SPACE:
            continue
        while kind != PUNCTUATION and i < end and _kind(buffer, i, kinds) not in (SPACE, PUNCTUATION):
            i += size_of(buffer[i])
        n = _add(buffer, first, i, _ZERO, sink, n)
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
def _by_expression(buffer, start, end, kinds, expression, prefix, sink, n):
    """Append the matches of the regular expression; return -1, with none appended, if only the package can split it."""
    block, others = start, np.uint64(0)
    i = start
    while i < end:
        before = prefix if i == start else _ZERO
        # most are ASCII letters after a space
        first = i + 1 if buffer[i] == _SPACE else i
        last, block, others = after_letters(buffer, first, end, False, block, others)
        if last == first or (last < end and buffer[last] >= 0x80):
            last = _match(buffer, i, end, kinds, expression, before != 0)
        if last < 0:
            return -1
        if expression[5] and buffer[i] != _SPACE:
            before = _SPACE
        n = _add(buffer, i, last, before, sink, n)
        i = last
    return n


@inner
def _words(buffer, start, end, kinds, metaspace, sink, n):
    """Append words with the space before them, which is their prefix."""
    at_white_space, prefix_first, collapses, strips = metaspace
    while strips and end > start:
        last = end - 1
        while last > start and 0x80 <= buffer[last] < 0xC0:
            last -= 1
        if _kind(buffer, last, kinds) != SPACE:
            break
        end = last
    block, others = start, np.uint64(0)
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
        i, block, others = after_letters(buffer, i, end, True, block, others)
        while i < end and _kind(buffer, i, kinds) != SPACE:
            i, block, others = after_letters(buffer, i + size_of(buffer[i]), end, True, block, others)
        n = _add(buffer, first, i, prefix, sink, n)
    return n


@inlined
def _space_width(buffer, i, end):
    """Return the bytes of the space at `i`, or of the character that tokens have for one, else 0."""
    if buffer[i] == _SPACE:
        return 1
    return 3 if i + 2 < end and buffer[i] == 0xE2 and buffer[i + 1] == 0x96 and buffer[i + 2] == 0x81 else 0


@inner
def _units(buffer, start, end, sink, n):
    """Append words with all spaces before them, and another one before the first."""
    block, others = start, np.uint64(0)
    i = start
    while i < end:
        first = i
        while i < end and _space_width(buffer, i, end) > 0:
            i += _space_width(buffer, i, end)
        i, block, others = after_letters(buffer, i, end, True, block, others)
        while i < end and _space_width(buffer, i, end) == 0:
            i, block, others = after_letters(buffer, i + 1, end, True, block, others)
        n = _add(buffer, first, i, _SPACE if first == start else _ZERO, sink, n)
    return n


@inlined
def _is_word(kind):
    joins = kind & (COMBINES | EXTENDS | SECOND) != 0
    return kind & KIND != ODD and kind & KIND != SPACE and kind & KIND != NEWLINE and not joins


@inner
def _around_odd(buffer, start, end, characters, rules, prefix, sink, n):
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
            n = _add(buffer, first, last, AS_A_WHOLE, sink, n)
        elif mode == METASPACE:
            n = _words(buffer, first, last, kinds, metaspace, sink, n)
        else:
            n = _by_expression(buffer, first, last, kinds, expression, prefix_here, sink, n)
            if n < 0:
                return n
        first = last
    return n


@inlined
def _lower(buffer, first, last):
    """Put ASCII letters into lower case, and up to seven bytes beyond."""
    for i in range(first, last, 8):
        store8(buffer, i, lower(load8(buffer, i)))


@njit(cache=True, nogil=True, _nrt=False)
def split(
    buffer,
    starts,
    ends,
    texts,
    boundaries,
    characters,
    short,
    used,
    codes,
    counts,
    rows,
    recent,
    firsts,
    reasons,
):
    """Split texts into pre-tokens.

    Args:
        buffer: `PADDING` bytes, the bytes of all texts, and room for texts with replaced characters, uint8. Letters are
            put into lower case there, where case makes no difference.
        starts: where in `buffer` each text begins, int64.
        ends: where it ends.
        texts: numbers of the texts to do, in ascending order, int64.
        boundaries: `boundaries.Boundaries.fields`.
        characters: `characters.Characters.fields`.
        short: ids of short pre-tokens, see `short_kernels`.
        used: bytes of `buffer` in use.
        codes: receives the packed ids of each pre-token, or -1 less its row, int64 of shape (more than bytes,).
        counts: receives how many rows there are, and 0, int64.
        rows: receives the rows of pre-tokens that are not in the short table, uint64 of shape (more than bytes,
            COLUMNS).
        recent: scratch memory, uint64 of shape (RECENT, COLUMNS).
        firsts: receives the first pre-token of each of the texts, and the end of the last, int64 of shape (texts + 1,).
        reasons: receives why a text is not split, or 0, uint8 of shape (texts,).
    """
    classes, lowers, tokens, mode, prefix, expression, metaspace = boundaries
    kinds, _, replacements, _, _ = characters
    sink = codes, counts, rows, short, recent
    n = counts[0] = counts[1] = _ZERO
    if lowers:
        _lower(buffer, PADDING, used)
    texts_end, added_at = used, np.int64(-1)
    for number in range(len(texts)):
        text = texts[number]
        start, end = starts[text], ends[text]
        firsts[number], reasons[number] = n, 0
        if added_at < start:
            added_at = _next_added(buffer, start, texts_end, tokens)
        if added_at < end:
            reasons[number] = WHOLE
        elif mode in (AT_SPACES, MARKS):
            reasons[number], n, used = _words_and_marks(*(buffer, start, end, classes, characters, used, sink, n))
        elif mode == BEFORE_SPACES:
            n = _before_spaces(buffer, start, end, sink, n)
        elif mode == UNITS:
            n = _units(buffer, start, end, sink, n)
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
                last = _around_odd(buffer, start, end, characters, (mode, expression, metaspace), add, sink, n)
                reasons[number], n = (WHOLE, n) if last < 0 else (0, last)
            elif mode == METASPACE:
                n = _words(buffer, start, end, kinds, metaspace, sink, n)
            else:
                last = _by_expression(buffer, start, end, kinds, expression, add, sink, n)
                reasons[number], n = (WHOLE, n) if last < 0 else (0, last)
    firsts[len(texts)] = n
    _look_up_short(n - (n & (RECENT - 1)), n, sink)
