"""Read UTF-8 in compiled loops; shared by `split_kernels` and `kernels`.

After a change here, delete the caches as `intrinsics` says.
"""

import numpy as np
from numba import njit

from m2v_bench.inference.fast.intrinsics import BLOCK, bits_between, inlined, load8, lowest_bit

PADDING = 16  # bytes that must be before the first text, as `key` reads them

_TOP, _ONES = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def _are_in(word, lowest, highest):
    """Set the top bit of each of eight bytes, all below 0x80, that is between two others."""
    return (word + np.uint64(0x80 - lowest) * _ONES) ^ (word + np.uint64(0x7F - highest) * _ONES)


@inlined
def lower(word):
    """Return eight bytes with ASCII letters in lower case."""
    return word | (_are_in(word & ~_TOP, 0x41, 0x5A) & ~word & _TOP) >> np.uint64(2)


@inlined
def others_than_letters(buffer, start, end, digits):
    """Return which of the 64 bytes from `start` on, and before `end`, are no ASCII letters or, with `digits`, digits.

    Bit `k` is for the byte at `start + k`.
    """
    bits = ~bits_between(buffer, start, 0x20, 0x61, 0x7A)
    if digits:
        bits &= ~bits_between(buffer, start, 0, 0x30, 0x39)
    return bits_before(bits, start, end)


@inlined
def bits_before(bits, start, end):
    """Return the bits of the bytes before `end`; bit `k` is for the byte at `start + k`."""
    if end - start < BLOCK:
        bits &= (np.uint64(1) << np.uint64(end - start)) - np.uint64(1)
    return bits


@inlined
def after_letters(buffer, i, end, digits, block, others):
    """Return where letters from `i` on end, and a block to pass to the next call: its beginning, and what is in it.

    It reads a block at a time, so that the processor can look for the next word before it knows where this one ends.
    """
    while True:
        if i - block >= BLOCK or (others >> np.uint64(i - block)) == 0:
            if i >= end:
                return end, block, others
            block, others = i, others_than_letters(buffer, i, end, digits)
            if others == 0:
                i = min(i + BLOCK, end)
                continue
        return i + lowest_bit(others >> np.uint64(i - block)), block, others


@inlined
def key(buffer, first, last, prefix):
    """Return the last 16 bytes of a byte (or none, if 0) and `buffer[first:last]`, as two numbers."""
    # without conditions, which processors guess wrong too often; a shift by 64 bits is two of 32
    size = last - first
    here, before = np.uint64(4 * min(size, 8)), np.uint64(4 * min(max(size - 8, 0), 8))
    low = load8(buffer, last - 8) & ~(_ALL << here << here) | np.uint64(prefix) << here << here
    high = load8(buffer, last - 16) & ~(_ALL << before << before)
    if size >= 8:
        high |= np.uint64(prefix) << before << before
    return low, high


@inlined
def size_of(byte):
    """Return the bytes of a character from its first one."""
    return 1 if byte < 0x80 else (2 if byte < 0xE0 else (3 if byte < 0xF0 else 4))


@inlined
def character(buffer, i):
    """Return the code point of the character at `i`."""
    byte = np.int64(buffer[i])
    if byte < 0x80:
        return byte
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | np.int64(buffer[i + 1]) & 0x3F
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | (np.int64(buffer[i + 1]) & 0x3F) << 6 | np.int64(buffer[i + 2]) & 0x3F
    high = (byte & 0x07) << 18 | (np.int64(buffer[i + 1]) & 0x3F) << 12
    return high | (np.int64(buffer[i + 2]) & 0x3F) << 6 | np.int64(buffer[i + 3]) & 0x3F


@njit(cache=True, nogil=True)
def neighbours(units, have_after, have_before):
    """Mark the characters that have others after them, and before them, in a key of a double-array trie.

    Args:
        units: the trie as Darts-clone stores it, uint32: a unit holds the byte that leads to it in its lowest bits, and
            the offset of its children, from bit 10 on, times 256 if bit 9 is set.
        have_after: receives True for the characters with others after them, bool of shape (0x110000,).
        have_before: receives True for those with others before them.
    """
    places, depths = [np.uint32(0)], [0]
    path = np.zeros(256, np.uint8)
    while len(places) > 0:
        place, depth = places.pop(), depths.pop()
        if depth > 0:
            path[depth - 1] = units[place] & np.uint32(0xFF)
            start = depth - 1
            while start > 0 and path[start] & 0xC0 == 0x80:
                start -= 1
            if start > 0 and depth - start == size_of(path[start]):
                have_before[character(path, start)] = True
                start -= 1
                while start > 0 and path[start] & 0xC0 == 0x80:
                    start -= 1
                have_after[character(path, start)] = True
        unit = units[place]
        children = place ^ (unit >> np.uint32(10) << ((unit & np.uint32(1 << 9)) >> np.uint32(6)))
        for byte in range(1, 256):
            child = np.uint32(children ^ np.uint32(byte))
            if child < len(units) and units[child] & np.uint32(0x800000FF) == byte and depth < len(path):
                places.append(child)
                depths.append(depth + 1)
