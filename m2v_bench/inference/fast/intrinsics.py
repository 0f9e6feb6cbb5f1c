"""Instructions of the processor that numba has no functions for, and how to compile functions that use them.

numba does not recompile a function when one that it calls from another file changes: after a change here, delete the
caches beside these files (`__pycache__/*.nb?`).
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# functions for other compiled functions: without wrappers for calls from Python, which take most of the time of
# compiling, and without counting references to arrays, which takes half of the time of short loops
_INNER = {"nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(**_INNER)
# for short functions, and for those with many arrays as arguments, which take longer to pass than a word to split
inlined = njit(**_INNER, forceinline=True)

BLOCK = 64  # bytes that `bits_between` looks at
_BYTE = ir.IntType(8)


@intrinsic
def load8(typing_context, buffer, i):
    """Return the eight bytes from `i` on as a number, the first one on top; the address need not be aligned."""

    def generate(context, builder, signature, arguments):
        address = _bytes_at(context, builder, signature, arguments, ir.IntType(64))
        return builder.bswap(builder.load(address, align=1))

    return types.uint64(buffer, types.int64), generate


@intrinsic
def store8(typing_context, buffer, i, word):
    """Write what `load8` returns."""

    def generate(context, builder, signature, arguments):
        address = _bytes_at(context, builder, signature, arguments, ir.IntType(64))
        builder.store(builder.bswap(arguments[2]), address, align=1)
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


@intrinsic
def bits_between(typing_context, buffer, i, mask, lowest, highest):
    """Return which of the 64 bytes from `i` on are, with the bits of `mask` set, between two others.

    Bit `k` is for the byte at `i + k`.
    """
    lanes = ir.VectorType(_BYTE, BLOCK)

    def generate(context, builder, signature, arguments):
        address = _bytes_at(context, builder, signature, arguments, lanes)
        mask, lowest, highest = (everywhere(builder, builder.trunc(number, _BYTE), BLOCK) for number in arguments[2:])
        above = builder.sub(builder.or_(builder.load(address, align=1), mask), lowest)
        are_between = builder.icmp_unsigned("<=", above, builder.sub(highest, lowest))
        return builder.bitcast(are_between, ir.IntType(64))

    return types.uint64(buffer, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def fetch(typing_context, array, row, column):
    """Ask the processor for the cache line of a number, to be read soon."""

    def generate(context, builder, signature, arguments):
        address = address_of(context, builder, signature.args[0], *arguments)
        flags = [ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1)]  # to read, again and again, data
        kind = ir.FunctionType(ir.VoidType(), [address.type, *(flag.type for flag in flags)])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind), [address, *flags])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


def _bytes_at(context, builder, signature, arguments, as_type):
    """Return the address of a byte of a buffer, as that of a number of some type."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), as_type.as_pointer())


def address_of(context, builder, array_type, value, row, column):
    """Return the address of a number in an array of two axes, the second one contiguous."""
    array = context.make_array(array_type)(context, builder, value)
    row_start = builder.mul(row, builder.extract_value(array.strides, 0))
    in_row = builder.mul(column, ir.Constant(column.type, array_type.dtype.bitwidth // 8))
    return builder.gep(builder.bitcast(array.data, _BYTE.as_pointer()), [builder.add(row_start, in_row)])


def everywhere(builder, number, n):
    """Return a vector that holds a number in each of `n` places."""
    index = ir.IntType(32)
    vector = ir.VectorType(number.type, n)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(index, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index, n), None))
