"""Average rows; a loop compiled by numba, which releases the GIL."""

import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic

# whether the processor converts float16 to float32: x86 since 2012, ARM always
_X86 = platform.machine().lower() in ("x86_64", "amd64")
HALVES = platform.machine() in ("arm64", "aarch64") or (_X86 and get_host_cpu_features().get("f16c", False))


@intrinsic
def _float32(typing_context, number):
    """Convert a number of a row to float32; uint16 holds the bits of a float16, which numba has no type for."""

    def generate(context, builder, signature, values):
        if number == types.uint16:
            return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())
        return context.cast(builder, values[0], number, types.float32)

    return types.float32(number), generate


@njit(cache=True, nogil=True)
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
    mapped, weighted = len(mapping) > 0, len(weights) > 0
    dims = table.shape[1]
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        total = out[text]
        total[:] = 0
        for k in range(start, end):
            row = table[mapping[ids[k]] if mapped else ids[k]]
            if weighted:
                factor = weights[ids[k]]
                for d in range(dims):
                    total[d] += _float32(row[d]) * factor
            else:
                for d in range(dims):
                    total[d] += _float32(row[d])
        count = np.float32(max(end - start, 1))
        for d in range(dims):
            total[d] /= count
