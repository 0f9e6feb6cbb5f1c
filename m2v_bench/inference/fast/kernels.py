"""Loops over the bytes of texts, compiled by numba; all release the interpreter's lock.

A part of a text is found in a hash table with open addressing. `slots` holds 0, or the upper half of a part's hash and
the number of its entry + 1. An entry is a cache line, uint64 of shape (8,): the last 16 bytes of its key in two words,
its bytes and its ids by number, up to four ids, or where in `ids` they begin, where in `keys` a longer key begins, and
whether it is a piece of WordPiece's. A piece that goes on within a word has a key that begins with `INSIDE`.

All of it is in one file, as numba does not compile anew what calls a function of another file that changed.
"""

import numpy as np
from numba import njit

from m2v_bench.inference.fast.boundaries import MARK, SEPARATOR

ENTRY, KEY_HERE, IDS_HERE = 8, 16, 4
INSIDE = 0xFF  # in no UTF-8
# why a text has no ids yet: a part of it is not in the table, it must not be cut, its ids did not find room, or too
# many parts are missing to look at it now; and a word that was split, and need not be again
PART, WHOLE, NO_ROOM, LATER, LEARN = 1, 2, 3, 4, 5

_SPACE = 0x20
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
# odd numbers of random bits, as multiplicative hashing wants them
_FIRST, _SECOND, _THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, nogil=True, inline="always")
def _hash(low, high, size):
    value = (low * _FIRST) ^ (high * _SECOND) ^ np.uint64(size)
    value = (value ^ (value >> _HALF)) * _THIRD
    return value ^ (value >> _HALF)


@njit(cache=True, nogil=True, inline="always")
def _find(low, high, inside, buffer, first, end, fold, table):
    """The entry of what stands in `buffer`, or -1; its last 16 folded bytes are in `high` and `low`.

    `inside` is 1 for a piece that goes on within a word, and 0 for others.
    """
    slots, entries, _, keys, _ = table
    size, mask = end - first + inside, np.uint64(len(slots) - 1)
    value = _hash(low, high, size)
    slot = value & mask
    found = np.int64(-1)
    while slots[slot] != 0:
        if slots[slot] >> _HALF == value >> _HALF:
            entry = np.int64(slots[slot] & _LOW) - 1
            if entries[entry, 0] == low and entries[entry, 1] == high and entries[entry, 2] & _LOW == np.uint64(size):
                k = size - KEY_HERE
                offset = np.int64(entries[entry, 5])
                while k > inside and keys[offset + k - 1] == fold[buffer[first + k - 1 - inside]]:
                    k -= 1
                if k <= inside and (k <= 0 or keys[offset] == INSIDE):
                    found = entry
                    break
        slot = (slot + np.uint64(1)) & mask
    return found


@njit(cache=True, nogil=True)
def link(first, last, table):
    """Let entries `first` to `last` (excluded), which are in place, be found."""
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
    """The last 16 bytes, in two words, with one more."""
    return (low << np.uint64(8)) | np.uint64(byte), (high << np.uint64(8)) | (low >> np.uint64(56))


@njit(cache=True, nogil=True, inline="always")
def _last16(raw, start, end, fold):
    low = high = np.uint64(0)
    for i in range(start, end):
        low, high = _pushed(low, high, fold[raw[i]])
    return low, high


@njit(cache=True, nogil=True)
def _write(entry, raw, start, end, fold, new_ids, is_piece, table, taken):
    """Write an entry; `taken` says how much of the table's `keys` and `ids` is."""
    _, entries, entry_ids, keys, ids = table
    count = len(new_ids)
    entries[entry, 0], entries[entry, 1] = _last16(raw, start, end, fold)
    entries[entry, 2] = np.uint64(end - start) | np.uint64(count) << _HALF
    entries[entry, 5], entries[entry, 6] = np.uint64(taken[0]), np.uint64(is_piece)
    if end - start > KEY_HERE:
        for i in range(start, end):
            keys[taken[0] + i - start] = fold[raw[i]]
        taken[0] += end - start
    if count <= IDS_HERE:
        entry_ids[entry, 6 : 6 + count] = new_ids
    else:
        entries[entry, 3] = np.uint64(taken[1])
        ids[taken[1] : taken[1] + count] = new_ids
        taken[1] += count


@njit(cache=True, nogil=True)
def enter(first, raw, offsets, new_ids, id_offsets, fold, are_pieces, table, taken):
    """Write entries from `first` on: keys lie in `raw` at `offsets`, their ids in `new_ids` at `id_offsets`."""
    for k in range(len(offsets) - 1):
        those = new_ids[id_offsets[k] : id_offsets[k + 1]]
        _write(first + k, raw, offsets[k], offsets[k + 1], fold, those, are_pieces, table, taken)


@njit(cache=True, nogil=True)
def _word_pieces(buffer, first, end, word_piece, fold, table, left, flat, n, lows, highs):
    """Write the pieces of a word of letters and digits to `flat` from `n` on, up to `left` (-1: all), longest first.

    `lows` and `highs` are room for as many numbers as a word may have characters.

    Returns:
        How many there are before the cut.
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
            flat[n + count] = entry_ids[entry, 6]
        count += 1
        start = stop
    if start < end:
        flat[n] = unknown
        return 1
    return count


@njit(cache=True, nogil=True)
def learn(first, words, buffer, fold, word_piece, table, taken):
    """Make entries from `first` on of words that were split, where in `buffer` says `words`, int64 of shape (n, 2).

    Returns:
        The number of entries then.
    """
    lows, highs = np.empty(word_piece[1] + 1, np.uint64), np.empty(word_piece[1] + 1, np.uint64)
    pieces = np.empty(word_piece[1] + 1, np.int32)
    entry = first
    for k in range(len(words)):
        start, end = words[k, 0], words[k, 1]
        low, high = _last16(buffer, start, end, fold)
        if _find(low, high, 0, buffer, start, end, fold, table) < 0:
            n = _word_pieces(buffer, start, end, word_piece, fold, table, -1, pieces, 0, lows, highs)
            _write(entry, buffer, start, end, fold, pieces[:n], 0, table, taken)
            link(entry, entry + 1, table)
            entry += 1
    return entry


@njit(cache=True, nogil=True, inline="always")
def _is_plain(buffer, i, end):
    """Whether a character begins at `i` that neither is white space nor joins what stands before it."""
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
def _may_cut(buffer, i, start, end):
    """Whether the space at `i` stands alone between plain characters."""
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
def _cut(buffer, start, end, cuts, parts, places):
    """Cut a text: `parts` gets the last 16 folded bytes of each part, `places` where it begins and ends."""
    classes, fold, _, _, _, before_spaces, keep_space = cuts
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
                if i == end or (buffer[i] == _SPACE and _may_cut(buffer, i, start, end)):
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
        parts[n, 0], parts[n, 1] = low, high
        places[n, 0], places[n, 1] = first, i
        n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def _all_of(some, buffer, first, end):
    """Whether every byte is one of some."""
    i = first
    while i < end and some[buffer[i]]:
        i += 1
    return i == end


@njit(cache=True, nogil=True, inline="always")
def _copy(entry, size, table, flat, n):
    """Copy the first `size` ids of an entry to `flat` at `n`, and maybe something to the places behind."""
    _, entries, entry_ids, _, ids = table
    if np.int64(entries[entry, 2] >> _HALF) <= IDS_HERE:
        for k in range(IDS_HERE):
            flat[n + k] = entry_ids[entry, 6 + k]
    else:
        offset = np.int64(entries[entry, 3])
        for k in range(size):
            flat[n + k] = ids[offset + k]


@njit(cache=True, nogil=True, inline="always")
def _note(rest, n_rest, text, reason, first, last):
    rest[n_rest, 0], rest[n_rest, 1], rest[n_rest, 2], rest[n_rest, 3] = text, reason, first, last
    return n_rest + 1


@njit(cache=True, nogil=True)
def _touch(parts, places, table):
    """Write the entry + 1 of each part behind it, or 0 where that takes a longer look.

    In loops as short as these the processor fetches many slots, and then many entries, from memory at a time.
    """
    slots, entries, _, _, _ = table
    mask = np.uint64(len(slots) - 1)
    for part in range(len(places)):
        value = _hash(parts[part, 0], parts[part, 1], places[part, 1] - places[part, 0])
        slot = slots[value & mask]
        parts[part, 2] = slot if slot >> _HALF == value >> _HALF else np.uint64(0)
    for part in range(len(places)):
        slot, size = parts[part, 2] & _LOW, np.uint64(places[part, 1] - places[part, 0])
        entry = np.int64(slot) - 1 if slot > 0 else 0
        same = entries[entry, 0] == parts[part, 0] and entries[entry, 1] == parts[part, 1]
        same = same and entries[entry, 2] & _LOW == size and size <= KEY_HERE
        parts[part, 3] = slot if same and slot > 0 else np.uint64(0)


@njit(cache=True, nogil=True)
def _look_up(text, buffer, found, fold, word_piece, table, limits, flat, n, rest, n_rest, lows, highs):
    """The ids of a text that was cut into the parts `found`.

    `limits` are the bytes of the longest part, the ids of a text (-1: any number), and the rows of `rest`.

    Returns:
        Why there are none, or 0; how much of `flat` is taken; how many rows of `rest`.
    """
    parts, places = found
    longest, left, last_note = limits
    _, _, simple = word_piece
    _, entries, _, _, _ = table
    _touch(parts, places, table)
    reason = 0
    for part in range(len(places)):
        first, last = places[part, 0], places[part, 1]
        if last - first > longest:
            return WHOLE, n, n_rest
        entry = np.int64(parts[part, 3]) - 1
        if entry < 0:
            entry = _find(parts[part, 0], parts[part, 1], 0, buffer, first, last, fold, table)
        if n + max(last - first, 0 if entry < 0 else np.int64(entries[entry, 2] >> _HALF)) + IDS_HERE > len(flat):
            return max(reason, NO_ROOM), n, n_rest
        if entry >= 0:
            size = np.int64(entries[entry, 2] >> _HALF)
            size = min(size, left) if left >= 0 else size
            _copy(entry, size, table, flat, n)
        elif _all_of(simple, buffer, first, last):
            size = _word_pieces(buffer, first, last, word_piece, fold, table, left, flat, n, lows, highs)
            size = min(size, left) if left >= 0 else size
            if n_rest < last_note:
                n_rest = _note(rest, n_rest, text, LEARN, first, last)
        elif n_rest < last_note:
            reason = PART
            n_rest = _note(rest, n_rest, text, reason, first, last)
            continue
        else:
            return LATER, n, n_rest
        n += size
        left = left - size if left >= 0 else left
        if left == 0:
            break
    return reason, n, n_rest


@njit(cache=True, nogil=True)
def tokenize(
    buffer, starts, ends, texts, cuts, word_piece, longest, table, max_length, unknown, flat, id_starts, id_ends, rest
):
    """The token ids of texts, as far as their parts are in the table.

    Args:
        buffer: the bytes of all texts, uint8.
        starts: where in `buffer` each text begins, int64.
        ends: and where it ends.
        texts: the numbers of the texts to do, int64.
        cuts: `cuts.Cuts.fields`.
        word_piece: of a WordPiece model that has all its pieces in the table: the unknown id, the characters of the
            longest word, and which bytes make words that are split here (bool); none of them for other models.
        longest: bytes of the longest part that is looked for.
        table: slots, entries, the same as int32, keys, ids.
        max_length: ids of a text beyond it are cut; -1 cuts nothing.
        unknown: the id to drop after the cut, or -1.
        flat: gets the ids, int32.
        id_starts: gets where in `flat` each text begins, int64.
        id_ends: and where it ends.
        rest: gets what is missing, int64 of shape (more than texts, 4): text, `PART` or another reason, and where the
            part begins and ends.

    Returns:
        How much is missing, and how much of `flat` is taken.
    """
    _, fold, begins, added, added_offsets, _, _ = cuts
    lows, highs = np.empty(word_piece[1] + 1, np.uint64), np.empty(word_piece[1] + 1, np.uint64)
    n = n_rest = most = 0
    for text in texts:
        most = max(most, ends[text] - starts[text])
    parts, places = np.empty((most, 4), np.uint64), np.empty((most, 2), np.int64)
    for text in texts:
        start, end, first_id = starts[text], ends[text], n
        reason = WHOLE if _has_added(buffer, start, end, fold, begins, added, added_offsets) else 0
        if reason == 0 and max_length != 0:
            # first all cuts, then all look-ups: these do not wait for each other then
            n_parts = _cut(buffer, start, end, cuts, parts, places)
            limits = (longest, max_length, len(rest) - len(texts))
            found = (parts, places[:n_parts])
            reason, n, n_rest = _look_up(
                text, buffer, found, fold, word_piece, table, limits, flat, n, rest, n_rest, lows, highs
            )
        if reason == 0:
            n = _without(flat, first_id, n, unknown)
            id_starts[text], id_ends[text] = first_id, n
            continue
        n = first_id
        if reason != PART:
            n_rest = _note(rest, n_rest, text, reason, start, end)
    return n_rest, n


@njit(cache=True, nogil=True, inline="always")
def _without(flat, first, end, unknown):
    """Drop the unknown id; where the others end then."""
    n = first
    for k in range(first, end):
        flat[n] = flat[k]
        n += flat[k] != unknown
    return n
