"""Tokenize the bytes of texts by looking up pre-tokens; loops compiled by numba, all of which release the GIL.

Pre-tokens are found in a hash table with open addressing. `slots` holds 0, or the upper half of a pre-token's hash and
the number of its entry + 1. An entry is a cache line, uint64 of shape (8,): the last 16 bytes of its key in two words,
its number of bytes and of ids, up to four ids or where in `ids` they begin, where in `keys` a longer key begins, and
whether it is a piece of WordPiece. The key of a piece that continues a word begins with `INSIDE`.

All loops are in one file, as numba does not recompile a function when one that it calls from another file changes.
"""

import numpy as np
from numba import njit

from m2v_bench.inference.fast.boundaries import MARK, SEPARATOR

ENTRY, KEY_HERE, IDS_HERE = 8, 16, 4
INSIDE = 0xFF  # in no UTF-8
# why a text has no ids yet: a pre-token is not in the table, the text must not be split, its ids do not fit into `out`,
# too many pre-tokens are missing to look at it now; LEARN notes a word that was split here, to be added to the table
MISSING, WHOLE, NO_ROOM, LATER, LEARN = 1, 2, 3, 4, 5

_SPACE = 0x20
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
# odd numbers of random bits, as multiplicative hashing needs
_FIRST, _SECOND, _THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, nogil=True, inline="always")
def _hash(low, high, size):
    value = (low * _FIRST) ^ (high * _SECOND) ^ np.uint64(size)
    value = (value ^ (value >> _HALF)) * _THIRD
    return value ^ (value >> _HALF)


@njit(cache=True, nogil=True, inline="always")
def _find(low, high, inside, buffer, first, end, fold, table):
    """Return the entry of `buffer[first:end]`, whose last 16 folded bytes are in `high` and `low`, or -1.

    `inside` is 1 for a piece that continues a word, and 0 for others.
    """
    slots, entries, _, keys, _ = table
    size, mask = end - first + inside, np.uint64(len(slots) - 1)
    value = _hash(low, high, size)
    slot = value & mask
    match = np.int64(-1)
    while slots[slot] != 0:
        if slots[slot] >> _HALF == value >> _HALF:
            entry = np.int64(slots[slot] & _LOW) - 1
            if entries[entry, 0] == low and entries[entry, 1] == high and entries[entry, 2] & _LOW == np.uint64(size):
                k = size - KEY_HERE
                offset = np.int64(entries[entry, 5])
                while k > inside and keys[offset + k - 1] == fold[buffer[first + k - 1 - inside]]:
                    k -= 1
                if k <= inside and (k <= 0 or keys[offset] == INSIDE):
                    match = entry
                    break
        slot = (slot + np.uint64(1)) & mask
    return match


@njit(cache=True, nogil=True)
def link(first, last, table):
    """Put written entries `first` to `last` (excluded) into the slots."""
    slots, entries, _, _, _ = table
    mask = np.uint64(len(slots) - 1)
    for entry in range(first, last):
        value = _hash(entries[entry, 0], entries[entry, 1], np.int64(entries[entry, 2] & _LOW))
        slot = value & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = (value >> _HALF) << _HALF | np.uint64(entry + 1)


@njit(cache=True, nogil=True, inline="always")
def _pushed(low, high, byte):
    """Append a byte to the last 16 bytes, which are held in two words."""
    return (low << np.uint64(8)) | np.uint64(byte), (high << np.uint64(8)) | (low >> np.uint64(56))


@njit(cache=True, nogil=True, inline="always")
def _last16(raw, start, end, fold):
    low = high = np.uint64(0)
    for i in range(start, end):
        low, high = _pushed(low, high, fold[raw[i]])
    return low, high


@njit(cache=True, nogil=True)
def _write(entry, raw, start, end, fold, new_ids, is_piece, table, used):
    """Write an entry; `used` says how much of the table's `keys` and `ids` is in use."""
    _, entries, entry_ids, keys, ids = table
    count = len(new_ids)
    entries[entry, 0], entries[entry, 1] = _last16(raw, start, end, fold)
    entries[entry, 2] = np.uint64(end - start) | np.uint64(count) << _HALF
    entries[entry, 5], entries[entry, 6] = np.uint64(used[0]), np.uint64(is_piece)
    if end - start > KEY_HERE:
        for i in range(start, end):
            keys[used[0] + i - start] = fold[raw[i]]
        used[0] += end - start
    if count <= IDS_HERE:
        entry_ids[entry, 6 : 6 + count] = new_ids
    else:
        entries[entry, 3] = np.uint64(used[1])
        ids[used[1] : used[1] + count] = new_ids
        used[1] += count


@njit(cache=True, nogil=True)
def enter(first, raw, offsets, new_ids, id_offsets, fold, are_pieces, table, used):
    """Write entries from `first` on: their keys are in `raw` at `offsets`, their ids in `new_ids` at `id_offsets`."""
    for k in range(len(offsets) - 1):
        ids = new_ids[id_offsets[k] : id_offsets[k + 1]]
        _write(first + k, raw, offsets[k], offsets[k + 1], fold, ids, are_pieces, table, used)


@njit(cache=True, nogil=True)
def _word_pieces(buffer, first, end, word_piece, fold, table, left, out, n, lows, highs):
    """Split a word of letters and digits into pieces, greedily, and write up to `left` ids (-1: all) to `out[n:]`.

    `lows` and `highs` are scratch memory for as many numbers as a word may have characters.

    Returns:
        The number of pieces before the cut.
    """
    unknown, longest, _ = word_piece
    _, entries, entry_ids, _, _ = table
    count, start = 0, first
    while start < end and end - first <= longest:
        inside = 1 if start > first else 0
        low, high = np.uint64(INSIDE if inside else 0), np.uint64(0)
        for i in range(start, end):
            low, high = _pushed(low, high, fold[buffer[i]])
            lows[i - start], highs[i - start] = low, high
        stop = end
        while stop > start:
            k = stop - start - 1
            entry = _find(lows[k], highs[k], inside, buffer, start, stop, fold, table)
            if entry >= 0 and entries[entry, 6]:
                break
            stop -= 1
        if stop == start:
            break
        if left < 0 or count < left:
            out[n + count] = entry_ids[entry, 6]
        count += 1
        start = stop
    if start < end:
        out[n] = unknown
        return 1
    return count


@njit(cache=True, nogil=True)
def learn(first, words, buffer, fold, word_piece, table, used):
    """Write entries from `first` on for words that were split.

    Args:
        first: number of the first new entry.
        words: where in `buffer` each word begins and ends, int64 of shape (words, 2).
        buffer, fold, word_piece, table: see `tokenize`.
        used: see `_write`.

    Returns:
        The number of entries after that.
    """
    lows, highs = np.empty(word_piece[1] + 1, np.uint64), np.empty(word_piece[1] + 1, np.uint64)
    pieces = np.empty(word_piece[1] + 1, np.int32)
    entry = first
    for k in range(len(words)):
        start, end = words[k, 0], words[k, 1]
        low, high = _last16(buffer, start, end, fold)
        if _find(low, high, 0, buffer, start, end, fold, table) < 0:
            n = _word_pieces(buffer, start, end, word_piece, fold, table, -1, pieces, 0, lows, highs)
            _write(entry, buffer, start, end, fold, pieces[:n], 0, table, used)
            link(entry, entry + 1, table)
            entry += 1
    return entry


@njit(cache=True, nogil=True, inline="always")
def _is_plain(buffer, i, end):
    """Whether the character at `i` is neither white space nor combines with the character before it."""
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


@njit(cache=True, nogil=True, inline="always")
def _may_split(buffer, i, start, end):
    """Whether the byte at `i` is a single space between plain characters."""
    if i == start or i + 1 == end or not _is_plain(buffer, i + 1, end):
        return False
    before = i - 1
    while before > start and 0x80 <= buffer[before] < 0xC0:
        before -= 1
    return _is_plain(buffer, before, i)


@njit(cache=True, nogil=True, inline="always")
def _has_added(buffer, start, end, fold, begins, added, added_offsets):
    for i in range(start, end):
        if begins[buffer[i]]:
            for token in range(len(added_offsets) - 1):
                offset, size = added_offsets[token], added_offsets[token + 1] - added_offsets[token]
                k = 0
                while k < size and i + k < end and fold[buffer[i + k]] == added[offset + k]:
                    k += 1
                if k == size:
                    return True
    return False


@njit(cache=True, nogil=True, inline="always")
def _split(buffer, start, end, boundaries, tails, spans):
    """Split a text: `tails` receives the last 16 folded bytes of each pre-token, `spans` where it begins and ends."""
    classes, fold, _, _, _, before_spaces, keep_space = boundaries
    n = 0
    i = start
    while i < end:
        low = high = np.uint64(0)
        if before_spaces:
            first = i if keep_space or i == start else i + 1
            i = first
            while True:
                low, high = _pushed(low, high, buffer[i])
                i += 1
                if i == end or (buffer[i] == _SPACE and _may_split(buffer, i, start, end)):
                    break
        else:
            kind = classes[buffer[i]]
            first = i
            i += 1
            if kind == SEPARATOR:
                continue
            low = np.uint64(fold[buffer[first]])
            if kind != MARK:
                while i < end and classes[buffer[i]] > MARK:
                    low, high = _pushed(low, high, fold[buffer[i]])
                    i += 1
        tails[n, 0], tails[n, 1] = low, high
        spans[n, 0], spans[n, 1] = first, i
        n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def _all_of(allowed, buffer, first, end):
    """Whether every byte is allowed."""
    i = first
    while i < end and allowed[buffer[i]]:
        i += 1
    return i == end


@njit(cache=True, nogil=True, inline="always")
def _copy(entry, size, table, out, n):
    """Copy the first `size` ids of an entry to `out[n:]`; up to four places beyond may be overwritten."""
    _, entries, entry_ids, _, ids = table
    if np.int64(entries[entry, 2] >> _HALF) <= IDS_HERE:
        for k in range(IDS_HERE):
            out[n + k] = entry_ids[entry, 6 + k]
    else:
        offset = np.int64(entries[entry, 3])
        for k in range(size):
            out[n + k] = ids[offset + k]


@njit(cache=True, nogil=True, inline="always")
def _note(pending, n_pending, text, reason, first, last):
    pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2], pending[n_pending, 3] = (
        text,
        reason,
        first,
        last,
    )
    return n_pending + 1


@njit(cache=True, nogil=True)
def _touch(tails, spans, table):
    """Write the entry + 1 of each pre-token to `tails[:, 3]`, or 0 where only `_find` can tell.

    In loops this short the processor fetches many slots, and then many entries, from memory at a time.
    """
    slots, entries, _, _, _ = table
    mask = np.uint64(len(slots) - 1)
    for pretoken in range(len(spans)):
        value = _hash(tails[pretoken, 0], tails[pretoken, 1], spans[pretoken, 1] - spans[pretoken, 0])
        slot = slots[value & mask]
        tails[pretoken, 2] = slot if slot >> _HALF == value >> _HALF else np.uint64(0)
    for pretoken in range(len(spans)):
        slot, size = tails[pretoken, 2] & _LOW, np.uint64(spans[pretoken, 1] - spans[pretoken, 0])
        entry = np.int64(slot) - 1 if slot > 0 else 0
        same = entries[entry, 0] == tails[pretoken, 0] and entries[entry, 1] == tails[pretoken, 1]
        same = same and entries[entry, 2] & _LOW == size and size <= KEY_HERE
        tails[pretoken, 3] = slot if same and slot > 0 else np.uint64(0)


@njit(cache=True, nogil=True)
def _look_up(text, buffer, pretokens, fold, word_piece, table, limits, out, n, pending, n_pending, lows, highs):
    """Write the ids of a text that was split into `pretokens` to `out[n:]`.

    `limits` are the bytes of the longest pre-token, the ids of a text (-1: any number), and the rows of `pending`.

    Returns:
        Why the text has no ids, or 0; how much of `out` is in use; how many rows of `pending` are.
    """
    tails, spans = pretokens
    longest, left, last_note = limits
    _, _, simple = word_piece
    _, entries, _, _, _ = table
    _touch(tails, spans, table)
    reason = 0
    for pretoken in range(len(spans)):
        first, last = spans[pretoken, 0], spans[pretoken, 1]
        if last - first > longest:
            return WHOLE, n, n_pending
        entry = np.int64(tails[pretoken, 3]) - 1
        if entry < 0:
            entry = _find(tails[pretoken, 0], tails[pretoken, 1], 0, buffer, first, last, fold, table)
        if n + max(last - first, 0 if entry < 0 else np.int64(entries[entry, 2] >> _HALF)) + IDS_HERE > len(out):
            return max(reason, NO_ROOM), n, n_pending
        if entry >= 0:
            size = np.int64(entries[entry, 2] >> _HALF)
            size = min(size, left) if left >= 0 else size
            _copy(entry, size, table, out, n)
        elif _all_of(simple, buffer, first, last):
            size = _word_pieces(buffer, first, last, word_piece, fold, table, left, out, n, lows, highs)
            size = min(size, left) if left >= 0 else size
            if n_pending < last_note:
                n_pending = _note(pending, n_pending, text, LEARN, first, last)
        elif n_pending < last_note:
            reason = MISSING
            n_pending = _note(pending, n_pending, text, reason, first, last)
            continue
        else:
            return LATER, n, n_pending
        n += size
        left = left - size if left >= 0 else left
        if left == 0:
            break
    return reason, n, n_pending


@njit(cache=True, nogil=True)
def tokenize(
    buffer,
    starts,
    ends,
    texts,
    boundaries,
    word_piece,
    longest,
    table,
    max_length,
    unknown,
    out,
    id_starts,
    id_ends,
    pending,
):
    """Write the token ids of texts, as far as their pre-tokens are in the table.

    Args:
        buffer: the bytes of all texts, uint8.
        starts: where in `buffer` each text begins, int64.
        ends: where it ends.
        texts: numbers of the texts to do, int64.
        boundaries: `boundaries.Boundaries.fields`.
        word_piece: for a WordPiece model that has all of its pieces in the table: the unknown id, the characters of the
            longest word, and the bytes of words that are split here (bool, none for other models).
        longest: bytes of the longest pre-token to look up.
        table: slots, entries, entries as int32, keys, ids.
        max_length: ids of a text beyond it are cut; -1 cuts nothing.
        unknown: id to drop after the cut, or -1.
        out: receives the ids, int32.
        id_starts: receives where in `out` each text begins, int64.
        id_ends: receives where it ends.
        pending: receives what is left to do, int64 of shape (more than texts, 4): the text, `MISSING` or another
            reason, and where the pre-token begins and ends.

    Returns:
        How many rows of `pending` and how much of `out` are in use.
    """
    _, fold, begins, added, added_offsets, _, _ = boundaries
    lows, highs = np.empty(word_piece[1] + 1, np.uint64), np.empty(word_piece[1] + 1, np.uint64)
    n = n_pending = most = 0
    for text in texts:
        most = max(most, ends[text] - starts[text])
    tails, spans = np.empty((most, 4), np.uint64), np.empty((most, 2), np.int64)
    for text in texts:
        start, end, first_id = starts[text], ends[text], n
        reason = WHOLE if _has_added(buffer, start, end, fold, begins, added, added_offsets) else 0
        if reason == 0 and max_length != 0:
            # split first, then look up: look-ups then do not wait for each other
            n_pretokens = _split(buffer, start, end, boundaries, tails, spans)
            limits = (longest, max_length, len(pending) - len(texts))
            pretokens = (tails, spans[:n_pretokens])
            reason, n, n_pending = _look_up(
                text, buffer, pretokens, fold, word_piece, table, limits, out, n, pending, n_pending, lows, highs
            )
        if reason == 0:
            n = _without(out, first_id, n, unknown)
            id_starts[text], id_ends[text] = first_id, n
            continue
        n = first_id
        if reason != MISSING:
            n_pending = _note(pending, n_pending, text, reason, start, end)
    return n_pending, n


@njit(cache=True, nogil=True, inline="always")
def _without(out, first, end, unknown):
    """Drop the unknown id; return where the other ids end."""
    n = first
    for k in range(first, end):
        out[n] = out[k]
        n += out[k] != unknown
    return n
