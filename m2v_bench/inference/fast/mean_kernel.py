"""Average rows; a loop compiled by numba, which releases the GIL."""

import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic

from m2v_bench.inference.fast.utf8_kernels import inner

# whether the processor converts float16 to float32: x86 since 2012, ARM always
_X86 = platform.machine().lower() in ("x86_64", "amd64")
HALVES = platform.machine() in ("arm64", "aarch64") or (_X86 and get_host_cpu_features().get("f16c", False))

_AT_ONCE = 4  # tokens that are added at once, in the same order, so that the sums are read and written once
_LINE = 64  # bytes that come from memory at once


@intrinsic
def _float32(typing_context, number):
    """Convert a number of a row to float32; uint16 holds the bits of a float16, which numba has no type for."""

    def generate(context, builder, signature, values):
        if number == types.uint16:
            return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())
        return context.cast(builder, values[0], number, types.float32)

    return types.float32(number), generate


@intrinsic
def _fetch(typing_context, table, row, offset):
    """Ask the processor for a cache line of a row, to be read soon."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.mul(arguments[1], builder.extract_value(array.strides, 0))
        pointer = ir.IntType(8).as_pointer()
        address = builder.gep(builder.bitcast(array.data, pointer), [builder.add(start, arguments[2])])
        flags = [ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1)]  # to read, again and again, data
        kind = ir.FunctionType(ir.VoidType(), [pointer, *(flag.type for flag in flags)])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind), [address, *flags])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), generate


@inner
def _row(ids, k, mapping):
    return mapping[ids[k]] if len(mapping) > 0 else np.int64(ids[k])


@inner
def _add_one(table, ids, k, mapping, weights, total):
    row = _row(ids, k, mapping)
    if len(weights) > 0:
        for d in range(len(total)):
            total[d] += _float32(table[row, d]) * weights[ids[k]]
    else:
        for d in range(len(total)):
            total[d] += _float32(table[row, d])


@inner
def _add_four(table, ids, k, mapping, weights, total):
    one, two = _row(ids, k, mapping), _row(ids, k + 1, mapping)
    three, four = _row(ids, k + 2, mapping), _row(ids, k + 3, mapping)
    if len(weights) > 0:
        by_one, by_two, by_three, by_four = (
            weights[ids[k]],
            weights[ids[k + 1]],
            weights[ids[k + 2]],
            weights[ids[k + 3]],
        )
        for d in range(len(total)):
            value = total[d] + _float32(table[one, d]) * by_one
            value += _float32(table[two, d]) * by_two
            value += _float32(table[three, d]) * by_three
            total[d] = value + _float32(table[four, d]) * by_four
    else:
        for d in range(len(total)):
            value = total[d] + _float32(table[one, d])
            value += _float32(table[two, d])
            value += _float32(table[three, d])
            total[d] = value + _float32(table[four, d])


@njit(cache=True, nogil=True, _nrt=False)
def mean(table, ids, starts, ends, mapping, weights, out):
    """Average each text's weighted rows.

    Args:
        table: shape (rows, dims), float32, int8, or the bits of float16 as uint16.
        ids: token ids of all texts, int32.
        starts: where in `ids` each text begins, int64 of shape (texts,).
        ends: where it ends.
        mapping: the row of each token, int64; empty where token i has row i.
        weights: one factor per token, float32; empty without weights.
        out: receives the means, float32 of shape (texts, dims).
    """
    dims = table.shape[1]
    size = dims * table.itemsize
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        total = out[text]
        for d in range(dims):
            total[d] = 0
        k = start
        while k < end:
            for ahead in range(k + _AT_ONCE, min(k + 2 * _AT_ONCE, len(ids))):  # also of the next text
                row = _row(ids, ahead, mapping)
                for offset in range(0, size, _LINE):
                    _fetch(table, row, offset)
            if k + _AT_ONCE <= end:
                _add_four(table, ids, k, mapping, weights, total)
                k += _AT_ONCE
            else:
                _add_one(table, ids, k, mapping, weights, total)
                k += 1
        count = np.float32(max(end - start, 1))
        for d in range(dims):
            total[d] /= count
