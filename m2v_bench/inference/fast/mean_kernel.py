"""The mean of rows, compiled by numba; it releases the interpreter's lock."""

import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic

# whether the processor turns float16 into float32, as those of x86 do since 2012 and those of ARM always
_X86 = platform.machine().lower() in ("x86_64", "amd64")
HALVES = platform.machine() in ("arm64", "aarch64") or (_X86 and get_host_cpu_features().get("f16c", False))


@intrinsic
def _float32(typing_context, number):
    """A number of a row as float32; uint16 stands for the bits of a float16, which numba has no type for."""

    def generate(context, builder, signature, values):
        if number == types.uint16:
            return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())
        return context.cast(builder, values[0], number, types.float32)

    return types.float32(number), generate


@njit(cache=True, nogil=True)
def mean(table, flat, starts, ends, mapping, weights, out):
    """The mean of each text's rows, times their weights, in `out`, float32 of shape (texts, dims).

    `table` holds float32, int8, or the bits of float16 as uint16. `mapping` and `weights` are of length 0 where a token
    has its own row, or no weight.
    """
    mapped, weighted = len(mapping) > 0, len(weights) > 0
    dims = table.shape[1]
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        total = out[text]
        total[:] = 0
        for k in range(start, end):
            row = table[mapping[flat[k]] if mapped else flat[k]]
            if weighted:
                factor = weights[flat[k]]
                for d in range(dims):
                    total[d] += _float32(row[d]) * factor
            else:
                for d in range(dims):
                    total[d] += _float32(row[d])
        count = np.float32(max(end - start, 1))
        for d in range(dims):
            total[d] /= count
