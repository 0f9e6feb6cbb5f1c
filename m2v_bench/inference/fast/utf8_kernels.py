"""Read UTF-8 in compiled loops; shared by `split_kernels` and `kernels`.

numba does not recompile a function when one that it calls from another file changes: after a change here, delete the
caches beside these files (`__pycache__/*.nb?`).
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# functions for other compiled functions: without wrappers for calls from Python, which take most of the time of
# compiling, and without counting references to arrays, which takes half of the time of short loops
_INNER = {"nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(**_INNER)
# for short functions, and for those with many arrays as arguments, which take longer to pass than a word to split
inlined = njit(**_INNER, forceinline=True)
PADDING = 16  # bytes that must be before the first text, as `key` reads them
BLOCK = 64  # bytes that `others_than_letters` looks at; so many must be after the last text

_TOP, _ONES = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def load8(typing_context, buffer, i):
    """Return the eight bytes from `i` on as a number, the first one on top; the address need not be aligned."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()), align=1)
        return builder.bswap(word)

    return types.uint64(buffer, types.int64), generate


@intrinsic
def store8(typing_context, buffer, i, word):
    """Write what `load8` returns."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        builder.store(builder.bswap(arguments[2]), builder.bitcast(address, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(buffer, types.int64, types.uint64), generate


@intrinsic
def lowest_bit(typing_context, word):
    """Return the place of the lowest bit that is set."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def highest_bit(typing_context, word):
    """Return the place of the highest bit that is set."""

    def generate(context, builder, signature, arguments):
        above = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(64), 63), above)

    return types.int64(types.uint64), generate


@inlined
def _are_in(word, lowest, highest):
    """Set the top bit of each of eight bytes, all below 0x80, that is between two others."""
    return (word + np.uint64(0x80 - lowest) * _ONES) ^ (word + np.uint64(0x7F - highest) * _ONES)


@inlined
def _are_letters(word):
    """Set the top bit of each of eight bytes that is an ASCII letter, and no other bit."""
    return _are_in((word | np.uint64(0x20) * _ONES) & ~_TOP, 0x61, 0x7A) & ~word & _TOP


@inlined
def lower(word):
    """Return eight bytes with ASCII letters in lower case."""
    return word | (_are_in(word & ~_TOP, 0x41, 0x5A) & ~word & _TOP) >> np.uint64(2)


@inlined
def others_than_letters(buffer, start, end, digits):
    """Return which of the 64 bytes from `start` on, and before `end`, are no ASCII letters or, with `digits`, digits.

    Bit `k` is for the byte at `start + k`.
    """
    bits = np.uint64(0)
    for k in range(8):
        word = load8(buffer, start + 8 * k)
        are = _are_letters(word)
        if digits:
            are |= _are_in(word & ~_TOP, 0x30, 0x39) & ~word & _TOP
        # one bit for each byte, the first one lowest
        gathered = ((~are & _TOP) >> np.uint64(7)) * np.uint64(0x8040201008040201) >> np.uint64(56)
        bits |= gathered << np.uint64(8 * k)
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
def are_printable(word):
    """Return whether eight bytes are printable ASCII."""
    low = (word - np.uint64(0x20) * _ONES) & ~word & _TOP  # below 0x20
    delete = word ^ np.uint64(0x7F) * _ONES
    delete = (delete - _ONES) & ~delete & _TOP
    return (word & _TOP) | low | delete == 0


@inlined
def has_byte(word, byte):
    """Return whether one of eight bytes is `byte`."""
    word = word ^ np.uint64(byte) * _ONES
    return (word - _ONES) & ~word & _TOP != 0


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
