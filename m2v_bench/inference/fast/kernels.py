"""Look up the token ids of pre-tokens, and split new ones; loops compiled by numba, all of which release the GIL.

Pre-tokens are found in a hash table with open addressing. `slots` holds 0, or the upper half of a pre-token's hash and
the number of its entry + 1. An entry is a cache line, uint64 of shape (8,): the last 16 bytes of its key in two words,
its number of bytes and of ids, up to four ids or where in `ids` they begin, and where in `keys` a longer key begins.
Short pre-tokens that occur again are copied to the table of `short_kernels`, where `split_kernels` finds them.

All loops of this file are in one file, as numba does not recompile a function when one that it calls from another file
changes.
"""

import numpy as np
from numba import njit

from m2v_bench.inference.fast.boundaries import AS_A_WHOLE, LATER, MISSING, NO_ROOM, PREFIX, WHOLE
from m2v_bench.inference.fast.intrinsics import highest_bit, inlined, inner, lowest_bit
from m2v_bench.inference.fast.short_kernels import enter_short, unpack
from m2v_bench.inference.fast.split_kernels import BEGIN, END, FOUND, HIGH, INFO, LOW, SIZE, SLOT
from m2v_bench.inference.fast.utf8_kernels import character, key, size_of

ENTRY, KEY_HERE, IDS_HERE = 8, 16, 4
# models that split new pre-tokens here
NO_PIECES, WORD_PIECE, BPE, UNIGRAM = range(4)
MOST_SYMBOLS = 1 << 14  # of a pre-token that BPE merges here


PARENT, BASE, ID, NO_ID = 0, 1, 2, -1  # columns of a trie, see `link_trie`
INSIDE = np.int64(0x100)  # node to which the byte 0xFF leads, which is before pieces that continue a word

_SPACE = 0x20
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
# odd numbers of random bits, as multiplicative hashing needs
_FIRST, _SECOND, _THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xD6E8FEB86659FD93)
_ZERO, _ONE = np.int64(0), np.int64(1)  # numba compiles a function once more for a number in the code
_MOST_TOUCHED = 256  # pre-tokens of short texts to look up together
_FEW_SYMBOLS = 64  # up to so many are scanned for the next merge; beyond, a tournament tree finds it
_PLACE_BITS, _PLACE = np.uint64(6), np.uint64(63)
_FIRST_BASE = np.int64(1)  # of a trie
_MOST_PROBES = 256  # slots to look at before a trie grows
_NO_PIECE = np.int32(-2)  # of a character that no piece has
_LAST_RANK = np.uint64(0xFFFFFFFFFFFFFFFF)  # of a pair that is not merged


@inlined
def _hash(low, high, size):
    value = (low * _FIRST) ^ (high * _SECOND) ^ np.uint64(size)
    value = (value ^ (value >> _HALF)) * _THIRD
    return value ^ (value >> _HALF)


@inlined
def _find(low, high, prefix, buffer, first, end, table):
    """Return the entry of a byte (or none, if 0) and `buffer[first:end]`, or -1.

    `high` and `low` hold the last 16 bytes.
    """
    slots, entries, _, keys, _, _ = table
    inside = 1 if prefix else 0
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
                while k > inside and keys[offset + k - 1] == buffer[first + k - 1 - inside]:
                    k -= 1
                if k <= inside and (k <= 0 or keys[offset] == prefix):
                    match = entry
                    break
        slot = (slot + np.uint64(1)) & mask
    return match


@inlined
def _link(entry, table):
    slots, entries, _, _, _, _ = table
    mask = np.uint64(len(slots) - 1)
    value = _hash(entries[entry, 0], entries[entry, 1], np.int64(entries[entry, 2] & _LOW))
    slot = value & mask
    while slots[slot] != 0:
        slot = (slot + np.uint64(1)) & mask
    slots[slot] = (value >> _HALF) << _HALF | np.uint64(entry + 1)


@njit(cache=True, nogil=True, _nrt=False)
def link(last, table):
    """Put the first `last` entries, which are written, into the slots."""
    for entry in range(last):
        _link(entry, table)


@inlined
def _write(entry, raw, start, end, prefix, low, high, new_ids, begin, count, table, used):
    """Write and link an entry; `used` says how much of the table's `keys`, `ids` and `entries` is in use."""
    _, entries, entry_ids, keys, ids, _ = table
    size = end - start + (1 if prefix else 0)
    entries[entry, 0], entries[entry, 1] = low, high
    entries[entry, 2] = np.uint64(size) | np.uint64(count) << _HALF
    entries[entry, 5] = np.uint64(used[0])
    if size > KEY_HERE:
        keys[used[0]] = prefix
        for i in range(start, end):
            keys[used[0] + size - (end - i)] = raw[i]
        used[0] += size
    if count <= IDS_HERE:
        for k in range(count):
            entry_ids[entry, 6 + k] = new_ids[begin + k]
    else:
        entries[entry, 3] = np.uint64(used[1])
        for k in range(count):
            ids[used[1] + k] = new_ids[begin + k]
        used[1] += count
    _link(entry, table)


@inlined
def _shorten(entry, table):
    """Copy an entry to the short table, if it fits."""
    _, entries, entry_ids, _, _, short = table
    size, count = np.int64(entries[entry, 2] & _LOW), np.int64(entries[entry, 2] >> _HALF)
    if count <= IDS_HERE:
        enter_short(entries[entry, 0], entries[entry, 1], size, entry_ids, entry, np.int64(6), count, short)


@njit(cache=True, nogil=True, _nrt=False)
def enter(raw, offsets, new_ids, id_offsets, table, used):
    """Add entries: their keys are in `raw` at `offsets`, 16 bytes or more, their ids in `new_ids` at `id_offsets`."""
    for k in range(len(offsets) - 1):
        begin, count = id_offsets[k], id_offsets[k + 1] - id_offsets[k]
        low, high = key(raw, offsets[k], offsets[k + 1], _ZERO)
        _write(used[2], raw, offsets[k], offsets[k + 1], _ZERO, low, high, new_ids, begin, count, table, used)
        _shorten(used[2], table)
        used[2] += 1


@njit(cache=True, nogil=True, _nrt=False)
def link_pairs(pairs, merged, merges):
    """Fill the tables of merges.

    Args:
        pairs: ids of left and right in one number, the most frequent pair first, uint64.
        merged: ids of the results, uint64.
        merges: a hash table of pair + 1 and, in one number, rank and id of the result: uint64 of shape (slots, 2); and
            bits by hash that are set where there may be a pair, uint64. Most pairs in texts are none.
    """
    table, bits = merges
    for rank in range(len(pairs)):
        value = _pair_hash(pairs[rank])
        slot = _slot(pairs[rank], value, table)
        table[slot, 0] = pairs[rank] + np.uint64(1)
        table[slot, 1] = np.uint64(rank) << _HALF | merged[rank]
        word, bit = _bit(value, bits)
        bits[word] |= np.uint64(1) << bit


@inlined
def _pair_hash(pair):
    value = pair * _FIRST
    return value ^ (value >> _HALF)


@inlined
def _slot(pair, value, table):
    """Return where a pair is, or the free slot that is its place."""
    mask = np.uint64(len(table) - 1)
    slot = value & mask
    while table[slot, 0] != 0 and table[slot, 0] != pair + np.uint64(1):
        slot = (slot + np.uint64(1)) & mask
    return slot


@inlined
def _bit(value, bits):
    place = (value >> _HALF) & np.uint64(64 * len(bits) - 1)
    return place >> np.uint64(6), place & np.uint64(63)


@inlined
def _rank(left, right, merges):
    """Return rank and id of the result of a merge, or `_LAST_RANK`."""
    table, bits = merges
    pair = np.uint64(left) << _HALF | np.uint64(right)
    value = _pair_hash(pair)
    word, bit = _bit(value, bits)
    if (bits[word] >> bit) & np.uint64(1) == 0:
        return _LAST_RANK
    slot = _slot(pair, value, table)
    return table[slot, 1] if table[slot, 0] != 0 else _LAST_RANK


@njit(cache=True, nogil=True, _nrt=False)
def rank_bytes(byte_ids, merges, of_bytes):
    """Write what `_rank` says of each pair of bytes to `of_bytes`, uint64 of shape (65536,)."""
    for left in range(256):
        for right in range(256):
            one, other = byte_ids[left], byte_ids[right]
            of_bytes[left << 8 | right] = _rank(one, other, merges) if one >= 0 and other >= 0 else _LAST_RANK


@inlined
def _symbols(buffer, first, last, prefix, bpe, symbols):
    """Write the ids of the bytes or characters of a pre-token, and return how many there are, or -1 for too many."""
    byte_ids, characters, _, _ = bpe
    n = 0
    if prefix:
        symbols[n] = byte_ids[prefix] if len(characters) == 0 else characters[prefix]
        n += 1
    if len(characters) == 0:
        if last - first + n > MOST_SYMBOLS:
            return -1
        for i in range(first, last):
            symbols[n] = byte_ids[buffer[i]]
            n += 1
    i = first
    while i < last and len(characters) > 0:
        size = size_of(buffer[i])
        if n + size > MOST_SYMBOLS:
            return -1
        id_ = characters[character(buffer, i)]
        if id_ >= 0:
            symbols[n] = id_
            n += 1
        else:
            for k in range(size):
                symbols[n] = byte_ids[buffer[i + k]]
                n += 1
        i += size
    for k in range(n):
        if symbols[k] < 0:
            return -1
    return n


@inlined
def _merge(buffer, first, last, prefix, bpe, scratch, out, n):
    """Merge the symbols of a pre-token, always the first pair of the lowest rank, and write the ids to `out[n:]`.

    Returns:
        The number of ids, or -1 for a pre-token that is not merged here.
    """
    _, _, merges, of_bytes = bpe
    symbols, ranks, _ = scratch
    count = _symbols(buffer, first, last, prefix, bpe, symbols)
    if len(of_bytes) > 0:
        before = np.int64(prefix) if prefix else np.int64(buffer[first])
        start = first if prefix else first + 1
        for k in range(count - 1):
            byte = np.int64(buffer[start + k])
            ranks[k] = of_bytes[before << 8 | byte]
            before = byte
    else:
        for k in range(count - 1):
            ranks[k] = _rank(symbols[k], symbols[k + 1], merges)
    if count > _FEW_SYMBOLS:
        return _merge_many(count, merges, scratch, out, n)
    return _merge_few(count, merges, symbols, ranks, out, n) if count > 0 else count


@inlined
def _merge_few(count, merges, symbols, ranks, out, n):
    """Merge symbols as `_merge` does; at most 64, as a bit says which of them are still there.

    Ranks have their places in the lowest bits, so that the lowest rank says where it is; it is found without conditions
    among all places, those of merged symbols included.
    """
    for k in range(count - 1):
        ranks[k] = _placed(ranks[k], k)
    size = (count + 7) // 8 * 8  # processors compare eight at once
    for k in range(count - 1, size):
        ranks[k] = _LAST_RANK
    alive = ~np.uint64(0) >> np.uint64(64 - count)
    while True:
        lowest = _LAST_RANK
        for k in range(size):
            lowest = min(lowest, ranks[k])
        if lowest == _LAST_RANK:
            break
        best = np.int64(lowest & _PLACE)
        symbols[best] = np.int32((lowest >> _PLACE_BITS) & _LOW)
        after = alive >> np.uint64(best + 1) << np.uint64(best + 1)
        gone = lowest_bit(after)
        after &= after - np.uint64(1)
        alive ^= np.uint64(1) << np.uint64(gone)
        ranks[gone] = ranks[best] = _LAST_RANK
        if after != 0:
            ranks[best] = _placed(_rank(symbols[best], symbols[lowest_bit(after)], merges), best)
        before = alive & ((np.uint64(1) << np.uint64(best)) - np.uint64(1))
        if before != 0:
            place = highest_bit(before)
            ranks[place] = _placed(_rank(symbols[place], symbols[best], merges), place)
    last = n
    while alive != 0:
        out[last] = symbols[lowest_bit(alive)]
        last += 1
        alive &= alive - np.uint64(1)
    return last - n


@inlined
def _placed(rank, place):
    """Return a rank and the id of its result with its place, or `_LAST_RANK`."""
    return _LAST_RANK if rank == _LAST_RANK else rank << _PLACE_BITS | np.uint64(place)


@inner
def _merge_many(count, merges, scratch, out, n):
    """Merge many symbols as `_merge` does.

    Merged symbols stay where the first of them was, in a linked list. A tournament tree has the place of the lower of
    two ranks in every node, and so that of the lowest one on top.
    """
    symbols, ranks, (nexts, befores, tree) = scratch
    size = _ONE
    while size < count:
        size *= 2
    for k in range(size):
        nexts[k], befores[k], tree[size + k] = k + 1, k - 1, k
        if k >= count - 1:
            ranks[k] = _LAST_RANK
    for node in range(size - 1, 0, -1):
        _compare(node, ranks, tree)
    while ranks[tree[1]] != _LAST_RANK:
        best = np.int64(tree[1])
        symbols[best] = np.int32(ranks[best] & _LOW)
        gone = np.int64(nexts[best])
        after, before = np.int64(nexts[gone]), np.int64(befores[best])
        nexts[best] = after
        ranks[gone] = ranks[best] = _LAST_RANK
        _compare_all(size + gone, ranks, tree)
        if after < count:
            befores[after] = best
            ranks[best] = _rank(symbols[best], symbols[after], merges)
        _compare_all(size + best, ranks, tree)
        if before >= 0:
            ranks[before] = _rank(symbols[before], symbols[best], merges)
            _compare_all(size + before, ranks, tree)
    last, k = n, _ZERO
    while k < count:
        out[last] = symbols[k]
        last += 1
        k = np.int64(nexts[k])
    return last - n


@inlined
def _compare(node, ranks, tree):
    left, right = tree[2 * node], tree[2 * node + 1]
    tree[node] = left if ranks[left] <= ranks[right] else right


@inlined
def _compare_all(leaf, ranks, tree):
    node = leaf >> 1
    while node > 0:
        _compare(node, ranks, tree)
        node >>= 1


@njit(cache=True, nogil=True, _nrt=False)
def link_trie(raw, offsets, ids, nodes, begins, stops, children, trie):
    """Fill the trie of pieces, a double array (Aoe, 1989).

    Byte `b` leads from node `n` to node `trie[n, BASE] + b`, if `PARENT` of that is `n`; `ID` is the id of the piece
    that ends there, or `NO_ID`. The root is node 0, its base is 1.

    Args:
        raw: the bytes of the pieces, in lexicographic order, uint8.
        offsets: where each begins, and where the last ends, int64.
        ids: their ids, int32.
        nodes: scratch memory for one more number than bytes, int64, and so are `begins` and `stops`.
        begins: the first piece that leads through each node.
        stops: the piece after the last one.
        children: scratch memory for 256 bytes, uint8.
        trie: receives the trie, int32 of shape (slots, 3), filled with -1.

    Returns:
        How many slots are in use, or -1 if there are too few.
    """
    begins[0], stops[0] = 0, len(offsets) - 1
    n_nodes, level, depth, first_free, top = 1, 1, 0, 1, 1
    k = 0
    while k < n_nodes:
        if k == level:
            depth, level = depth + 1, n_nodes
        node, piece = nodes[k], begins[k]
        while piece < stops[k] and offsets[piece] + depth == offsets[piece + 1]:
            trie[node, ID] = ids[piece]
            piece += 1
        count, first_child = 0, n_nodes
        for number in range(piece, stops[k]):
            byte = raw[offsets[number] + depth]
            if count == 0 or children[count - 1] != byte:
                children[count], begins[n_nodes] = byte, number
                count += 1
                n_nodes += 1
            stops[n_nodes - 1] = number + 1
        while trie[first_free, PARENT] >= 0:
            first_free += 1
        base = _base(children, count, first_free, top, trie) if k > 0 else _FIRST_BASE
        if base + 2 * 256 > len(trie):
            return -1
        trie[node, BASE] = base
        for number in range(count):
            child = base + np.int64(children[number])
            trie[child, PARENT] = node
            nodes[first_child + number] = child
            top = max(top, child + 1)
        k += 1
    return top


@inner
def _base(children, count, first_free, top, trie):
    """Return the first base that puts all children on free slots, near the first free one or else after the last."""
    for place in range(first_free, min(first_free + _MOST_PROBES, top)):
        base = place - np.int64(children[0])
        fits = base > 0
        for number in range(count):
            fits = fits and trie[base + np.int64(children[number]), PARENT] < 0
        if fits:
            return base
    return max(_FIRST_BASE, top - np.int64(children[0]))


@inlined
def _word_pieces(buffer, first, last, word_piece, out, n):
    """Split a word into the longest pieces from left to right, and write their ids to `out[n:]`.

    Returns:
        The number of pieces.
    """
    unknown, longest, trie = word_piece
    n_characters = last - first
    if n_characters > longest:
        for i in range(first, last):
            n_characters -= buffer[i] & 0xC0 == 0x80
    count, start = 0, first
    while start < last and n_characters <= longest:
        node, id_, i, stop = INSIDE if start > first else _ZERO, NO_ID, start, start
        while i < last:
            child = trie[node, BASE] + np.int64(buffer[i])
            if trie[child, PARENT] != node:
                break
            i += 1
            node = child
            if trie[node, ID] != NO_ID:
                id_, stop = trie[node, ID], i
        if stop == start:
            break
        out[n + count] = id_
        count += 1
        start = stop
    if start < last:
        out[n] = unknown
        return 1
    return count


@inlined
def _byte(buffer, first, prefix, inside, i):
    """Return byte `i` of a pre-token, of which byte 0 may be the prefix."""
    return buffer[first + i - inside] if i >= inside else np.uint8(prefix)


@inlined
def _best_path(buffer, first, last, prefix, unigram, best, froms, ids, out, n):
    """Write the ids of the most probable pieces of a pre-token to `out[n:]`, found by Viterbi's algorithm.

    `best`, `froms` and `ids` are scratch memory for one more number than bytes. Additions and comparisons are those of
    the tokenizers package, so that equal scores are decided alike.

    Returns:
        The number of ids.
    """
    unknown, unknown_score, byte_ids, scores, trie = unigram
    inside = 1 if prefix else 0
    size = last - first + inside
    for i in range(size + 1):
        froms[i] = -1
    best[0] = 0.0
    start = 0
    while start < size:
        here = best[start]
        width = min(size_of(_byte(buffer, first, prefix, inside, start)), size - start)
        single = False
        node, i = _ZERO, start
        while i < size:
            child = trie[node, BASE] + np.int64(_byte(buffer, first, prefix, inside, i))
            if trie[child, PARENT] != node:
                break
            i += 1
            node, piece = child, trie[child, ID]
            if piece != NO_ID:
                score = scores[piece] + here
                if froms[i] < 0 or score > best[i]:
                    best[i], froms[i], ids[i] = score, start, piece
                single = single or i - start == width
        if not single:
            i = start + width
            score = unknown_score + here
            if froms[i] < 0 or score > best[i]:
                best[i], froms[i], ids[i] = score, start, _NO_PIECE
        start += width
    # reverse the path: `froms[start]` is then where the piece at `start` ends
    end, after = size, np.int64(-1)
    while end > 0:
        start = froms[end]
        froms[end] = after
        after, end = end, start
    froms[0] = after
    count, start = 0, np.int64(0)
    while start < size:
        end = froms[start]
        if ids[end] != unknown and ids[end] != _NO_PIECE:
            out[n + count] = ids[end]
            count += 1
            start = end
            continue
        # unknown characters in a row are one; the unknown token itself, if it is written in the text, stays one
        is_written = ids[end] == unknown
        while end < size and (ids[froms[end]] == unknown or ids[froms[end]] == _NO_PIECE):
            end = froms[end]
            is_written = False
        if byte_ids[0] < 0 or is_written:
            out[n + count] = unknown
            count += 1
        else:
            count += _fall_back(buffer, first, prefix, inside, start, end, byte_ids, out, n + count)
        start = end
    return count


@inlined
def _fall_back(buffer, first, prefix, inside, start, end, byte_ids, out, n):
    """Write the ids of bytes `start` to `end` of a pre-token to `out[n:]`, and return how many there are."""
    count = 0
    for i in range(start, end):
        byte = _byte(buffer, first, prefix, inside, i)
        if byte == _SPACE:  # is three bytes in tokens
            out[n + count], out[n + count + 1] = byte_ids[0xE2], byte_ids[0x96]
            count += 2
            byte = np.uint8(0x81)
        out[n + count] = byte_ids[byte]
        count += 1
    return count


@inlined
def _pieces(buffer, first, last, info, pieces, out, n, scratch):
    """Split a pre-token by the model and write its ids to `out[n:]`.

    Returns:
        The number of ids, or -1 if only the package can split it.
    """
    kind, word_piece, bpe, unigram = pieces
    (symbols, ranks, links), (best, froms, ids) = scratch
    if info & AS_A_WHOLE:
        return -1
    if kind == WORD_PIECE:
        return _word_pieces(buffer, first, last, word_piece, out, n)
    if kind == BPE:
        return _merge(buffer, first, last, info & PREFIX, bpe, (symbols, ranks, links), out, n)
    if kind == UNIGRAM:
        return _best_path(buffer, first, last, info & PREFIX, unigram, best, froms, ids, out, n)
    return -1


@inlined
def _insert(buffer, first, last, prefix, low, high, ids, begin, count, table, used):
    """Write an entry for a pre-token whose ids are `ids[begin : begin + count]`, if there is room."""
    slots, entries, _, keys, all_ids, _ = table
    entry = used[2]
    if 2 * (entry + 1) > len(slots) or entry == len(entries):
        return
    if used[0] + last - first + 1 > len(keys) or used[1] + count > len(all_ids):
        return
    _write(entry, buffer, first, last, prefix, low, high, ids, begin, count, table, used)
    used[2] = entry + 1


@njit(cache=True, nogil=True, _nrt=False)
def merge(others, others_used, table, used):
    """Copy the entries of another table that this one, which has room for them, does not have."""
    _, other_entries, _, other_keys, other_ids, _ = others
    _, entries, _, _, _, _ = table
    for number in range(others_used[2]):
        low, high = other_entries[number, 0], other_entries[number, 1]
        size, count = np.int64(other_entries[number, 2] & _LOW), np.int64(other_entries[number, 2] >> _HALF)
        first = np.int64(other_entries[number, 5])
        if _find(low, high, _ZERO, other_keys, first, first + size, table) >= 0:
            continue
        entry = used[2]
        for k in range(ENTRY):
            entries[entry, k] = other_entries[number, k]
        if size > KEY_HERE:
            entries[entry, 5] = np.uint64(used[0])
            for k in range(size):
                table[3][used[0] + k] = other_keys[first + k]
            used[0] += size
        if count > IDS_HERE:
            begin = np.int64(other_entries[number, 3])
            entries[entry, 3] = np.uint64(used[1])
            for k in range(count):
                table[4][used[1] + k] = other_ids[begin + k]
            used[1] += count
        _link(entry, table)
        _shorten(entry, table)
        used[2] = entry + 1


@inlined
def _copy(entry, size, table, out, n):
    """Copy the first `size` ids of an entry to `out[n:]`; up to four places beyond may be overwritten."""
    _, entries, entry_ids, _, ids, _ = table
    if np.int64(entries[entry, 2] >> _HALF) <= IDS_HERE:
        for k in range(IDS_HERE):
            out[n + k] = entry_ids[entry, 6 + k]
    else:
        offset = np.int64(entries[entry, 3])
        for k in range(size):
            out[n + k] = ids[offset + k]


@inlined
def _note(pending, n_pending, text, reason, first, last):
    pending[n_pending, 0], pending[n_pending, 1] = text, reason
    pending[n_pending, 2], pending[n_pending, 3] = first, last
    return n_pending + 1


@inlined
def _touch(rows, begin, stop, table):
    """Write the entry + 1 of rows of pre-tokens to their column `FOUND`, or 0 where only `_find` can tell.

    In loops this short the processor fetches many slots, and then many entries, from memory at a time.
    """
    slots, entries, _, _, _, _ = table
    mask = np.uint64(len(slots) - 1)
    for row in range(begin, stop):
        value = _hash(rows[row, LOW], rows[row, HIGH], rows[row, SIZE])
        slot, next_ = slots[value & mask], slots[(value + np.uint64(1)) & mask]
        slot = slot if slot >> _HALF == value >> _HALF else next_
        rows[row, SLOT] = slot & _LOW if slot >> _HALF == value >> _HALF else np.uint64(0)
    for row in range(begin, stop):
        size, slot = rows[row, SIZE], rows[row, SLOT]
        entry = np.int64(max(slot, np.uint64(1))) - 1
        odd = (entries[entry, 0] ^ rows[row, LOW]) | (entries[entry, 1] ^ rows[row, HIGH])
        odd |= (entries[entry, 2] & _LOW) ^ size
        rows[row, FOUND] = slot if odd == 0 and size <= np.uint64(KEY_HERE) else np.uint64(0)


@inlined
def _ids_of(text, buffer, pretokens, begin, stop, pieces, tables, limits, out, n, pending, n_pending, scratch):
    """Write the ids of a text's pre-tokens, `begin` to `stop` (excluded), to `out[n:]`.

    `limits` are the bytes of the longest pre-token in the table, the ids of a text, and the rows of `pending`.

    Returns:
        Why the text has no ids, or 0; how much of `out` is in use; how many rows of `pending` are.
    """
    codes, counts, rows = pretokens
    longest, left, last_note = limits
    table = tables[0]
    entries, entry_ids = table[1], table[2]
    reason, last_id = _ZERO, n + left
    for pretoken in range(begin, stop):
        code = codes[pretoken]
        if code > 0 and n + IDS_HERE <= len(out):
            n += unpack(code, out, n)
            if n >= last_id:
                n = last_id
                break
            continue
        if code > 0:
            return max(reason, NO_ROOM), n, n_pending
        row = -1 - code
        if row >= counts[1]:
            last = min(row + _MOST_TOUCHED, counts[0])
            _touch(rows, row, last, table)
            counts[1] = last
        entry = np.int64(rows[row, FOUND]) - 1
        if entry >= 0 and n + 2 * IDS_HERE <= len(out) and entries[entry, 2] >> _HALF <= np.uint64(IDS_HERE):
            for k in range(IDS_HERE):
                out[n + k] = entry_ids[entry, 6 + k]
            n += np.int64(entries[entry, 2] >> _HALF)
            if not tables[3]:
                _shorten(entry, table)
        else:
            first, last, info = np.int64(rows[row, BEGIN]), np.int64(rows[row, END]), np.int64(rows[row, INFO])
            size = _ids_of_one(
                *(buffer, first, last, info, rows[row, LOW], rows[row, HIGH]),
                *(pieces, tables, longest, out, n, scratch),
            )
            if size == -MISSING and n_pending < last_note:
                reason = MISSING
                n_pending = _note(pending, n_pending, text, reason, first, last)
            elif size == -MISSING:
                return LATER, n, n_pending
            elif size == -NO_ROOM:
                return max(reason, NO_ROOM), n, n_pending
            elif size < 0:
                return -size, n, n_pending
            else:
                n += size
        if n >= last_id:
            n = last_id
            break
    return reason, n, n_pending


@inlined
def _ids_of_one(buffer, first, last, info, low, high, pieces, tables, longest, out, n, scratch):
    """Write the ids of a pre-token to `out[n:]`, splitting it if it is in no table.

    Returns:
        The number of ids, or the reason why there are none, times -1.
    """
    table, new, new_used, apart = tables
    prefix, is_long = info & PREFIX, last - first > longest
    if not is_long:
        for is_new in range(2 if apart else 1):
            entries = new[1] if is_new else table[1]
            entry = _find(low, high, prefix, buffer, first, last, new if is_new else table)
            if entry >= 0:
                size = np.int64(entries[entry, 2] >> _HALF)
                if n + size + IDS_HERE > len(out):
                    return -NO_ROOM
                _copy(entry, size, new if is_new else table, out, n)
                return size
    elif pieces[0] == NO_PIECES:
        return -WHOLE
    if n + last - first + 3 + IDS_HERE > len(out):
        return -NO_ROOM
    size = _pieces(buffer, first, last, info, pieces, out, n, scratch)
    if size < 0:
        return -WHOLE if is_long or prefix else -MISSING  # the package would not see the prefix
    if not is_long:
        _insert(buffer, first, last, prefix, low, high, out, n, size, new, new_used)
    return size


@njit(cache=True, nogil=True, _nrt=False)
def look_up(
    buffer,
    texts,
    pretokens,
    pieces,
    longest,
    tables,
    max_length,
    unknown,
    out,
    id_starts,
    id_ends,
    pending,
    scratch,
):
    """Write the token ids of texts, as far as their pre-tokens are in the table or can be split here.

    Args:
        buffer: the bytes of all texts, uint8.
        texts: numbers of the texts to do, int64.
        pretokens: codes, counts, rows, firsts and reasons of `split_kernels.split`; `counts[1]` counts the rows that
            have been looked up.
        pieces: `pieces.Pieces.fields`.
        longest: bytes of the longest pre-token to look up.
        tables: a table (slots, entries, entries as int32, keys, ids, short table); another one that receives what is
            split here, how much is used (see `_write`), and whether the two are apart.
        max_length: ids of a text beyond it are cut.
        unknown: id to drop after the cut, or -1.
        out: receives the ids, int32.
        id_starts: receives where in `out` each text begins, int64.
        id_ends: receives where it ends.
        pending: receives what is left to do, int64 of shape (more than texts, 4): the text, `MISSING` or another
            reason, and where the pre-token begins and ends.
        scratch: `pieces.Scratch.fields`.

    Returns:
        How many rows of `pending` and how much of `out` are in use.
    """
    codes, counts, rows, firsts, reasons = pretokens
    limits = (longest, max_length, len(pending) - len(texts))
    n = n_pending = _ZERO
    for number in range(len(texts)):
        text, first_id, reason = texts[number], n, np.int64(reasons[number])
        if reason == 0 and max_length != 0:
            reason, n, n_pending = _ids_of(
                *(text, buffer, (codes, counts, rows), firsts[number], firsts[number + 1], pieces),
                *(tables, limits, out, n, pending, n_pending, scratch),
            )
        if reason == 0:
            n = _without(out, first_id, n, unknown)
            id_starts[text], id_ends[text] = first_id, n
            continue
        n = first_id
        if reason != MISSING:
            n_pending = _note(pending, n_pending, text, reason, _ZERO, _ZERO)
    return n_pending, n


@inlined
def _without(out, first, end, unknown):
    """Drop the unknown id; return where the other ids end."""
    has_unknown = False
    for k in range(first, end):  # takes no time beside copying, as eight are compared at once
        has_unknown |= out[k] == unknown
    if not has_unknown:
        return end
    n = first
    for k in range(first, end):
        out[n] = out[k]
        n += out[k] != unknown
    return n
