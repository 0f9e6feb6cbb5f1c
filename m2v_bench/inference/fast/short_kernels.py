"""Ids of short pre-tokens in a hash table, one cache line away; shared by `split_kernels` and `kernels`.

A slot holds a pre-token of at most 15 bytes in two words, as `utf8_kernels.key` makes them, with its size in the top
byte, and its ids packed into a third: three of 20 bits, and how many there are above. Two slots make a bucket, which is
a cache line. A pre-token whose bucket is full is left out, so the table never grows.

After a change here, delete the caches as `intrinsics` says.
"""

import numpy as np

from m2v_bench.inference.fast.intrinsics import inlined

SLOTS, WORDS = 1 << 17, 4  # 4 MB
LONGEST, MOST_IDS = 15, 3  # bytes and ids of a pre-token

_ID_BITS, _COUNT_AT = np.int64(20), np.int64(60)
_ID = np.int64((1 << 20) - 1)
_SIZE_AT = np.uint64(56)
# odd numbers of random bits, as multiplicative hashing needs
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@inlined
def first_slot(low, high, size, table):
    """Return the first slot of the bucket of a pre-token of `size` bytes."""
    value = (low * _FIRST) ^ ((high | np.uint64(size) << _SIZE_AT) * _SECOND)
    return np.int64((value >> np.uint64(40)) & np.uint64(len(table) // 2 - 1)) << 1


@inlined
def find_short(low, high, size, slot, table):
    """Return the packed ids of a pre-token of `size` bytes, or 0; `slot` is what `first_slot` returns."""
    high |= np.uint64(size) << _SIZE_AT
    other = slot | 1
    is_one = (table[slot, 0] ^ low) | (table[slot, 1] ^ high) == 0
    is_other = (table[other, 0] ^ low) | (table[other, 1] ^ high) == 0
    packed = np.int64(table[slot if is_one else other, 2])
    return packed if (is_one | is_other) & (size <= LONGEST) else np.int64(0)


@inlined
def unpack(packed, out, n):
    """Write packed ids to `out[n:]`, and return how many there are; up to two places beyond are overwritten."""
    out[n] = packed & _ID
    out[n + 1] = (packed >> _ID_BITS) & _ID
    out[n + 2] = (packed >> (_ID_BITS + _ID_BITS)) & _ID
    return packed >> _COUNT_AT


@inlined
def enter_short(low, high, size, ids, entry, begin, count, table):
    """Add a pre-token with the ids `ids[entry, begin : begin + count]`, if it is short enough and there is room."""
    packed = np.int64(count) << _COUNT_AT
    fits = 0 < size <= LONGEST and 0 < count <= MOST_IDS
    for k in range(count if fits else 0):
        fits = fits and np.int64(ids[entry, begin + k]) <= _ID
        packed |= (np.int64(ids[entry, begin + k]) & _ID) << (_ID_BITS * np.int64(k))
    if fits:
        slot = first_slot(low, high, size, table)
        high |= np.uint64(size) << _SIZE_AT
        is_there = table[slot, 0] == low and table[slot, 1] == high
        slot |= table[slot, 2] != 0
        if table[slot, 2] == 0 and not is_there:
            table[slot, 0], table[slot, 1], table[slot, 2] = low, high, np.uint64(packed)
