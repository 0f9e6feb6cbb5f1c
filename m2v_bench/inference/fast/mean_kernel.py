"""Average rows; a loop compiled by numba, which releases the GIL.

The sums of 64 columns at a time stay in the processor's vector registers while some rows are added to them.
"""

import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic, models, register_model

from m2v_bench.inference.fast.intrinsics import address_of, everywhere, fetch, inlined

# whether the processor converts float16 to float32: x86 since 2012, ARM always
_X86 = platform.machine().lower() in ("x86_64", "amd64")
HALVES = platform.machine() in ("arm64", "aarch64") or (_X86 and get_host_cpu_features().get("f16c", False))

_ROWS = 16  # that are added at a time, while as many are fetched; together they fit in the fastest cache
_LINE = 64  # bytes that come from memory at once

_NUMBERS = {
    types.float32: ir.FloatType(),
    types.uint16: ir.HalfType(),  # the bits of a float16, which numba has no type for
    types.int16: ir.IntType(16),
    types.int8: ir.IntType(8),
}


class Lanes(types.Type):
    """Sums of `n` columns side by side, in vector registers."""

    def __init__(self, number: types.Number, n: int) -> None:
        self.number, self.n = number, n
        super().__init__(name=f"Lanes({number}, {n})")

    def of(self, number: types.Number) -> ir.VectorType:
        """Return what LLVM calls as many numbers of another type."""
        return ir.VectorType(_NUMBERS[number], self.n)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, lanes.of(lanes.number))


def _zeros(n):
    """Return a function that returns `n` zeros of type float32."""
    lanes = Lanes(types.float32, n)

    @intrinsic
    def zeros(typing_context):
        return lanes(), lambda context, builder, signature, arguments: ir.Constant(lanes.of(lanes.number), None)

    return zeros


_zeros_64, _zeros_8, _zeros_1 = _zeros(64), _zeros(8), _zeros(1)


@intrinsic
def _n_columns(typing_context, sums):
    """Return the number of sums, which the compiler knows."""
    number = ir.Constant(ir.IntType(64), sums.n)
    return types.int64(sums), lambda context, builder, signature, arguments: number


@intrinsic
def _part_of(typing_context, sums, table):
    """Return what to add rows without weights to: int16 zeros for int8 rows, which is faster, else the sums."""
    if table.dtype != types.int8:
        return sums(sums, table), lambda context, builder, signature, arguments: arguments[0]
    part = Lanes(types.int16, sums.n)
    return part(sums, table), lambda context, builder, signature, arguments: ir.Constant(part.of(part.number), None)


@intrinsic
def _joined(typing_context, sums, part):
    """Return the sums with what was added to their part; exact, as those of int8 rows are integers below 2^24."""

    def generate(context, builder, signature, arguments):
        if part.number == sums.number:
            return arguments[1]
        return builder.fadd(arguments[0], builder.sitofp(arguments[1], sums.of(sums.number)))

    return sums(sums, part), generate


@intrinsic
def _plus(typing_context, sums, table, row, column):
    """Add numbers of a row, from a column on."""

    def generate(context, builder, signature, arguments):
        numbers = _load(context, builder, signature, arguments)
        return (builder.add if sums.number == types.int16 else builder.fadd)(arguments[0], numbers)

    return sums(sums, table, types.int64, types.int64), generate


@intrinsic
def _plus_weighted(typing_context, sums, table, row, column, weight):
    """Add numbers of a row, from a column on, times a weight."""

    def generate(context, builder, signature, arguments):
        numbers = _load(context, builder, signature, arguments)
        return builder.fadd(arguments[0], builder.fmul(numbers, everywhere(builder, arguments[4], sums.n)))

    return sums(sums, table, types.int64, types.int64, types.float32), generate


@intrinsic
def _plus_squares(typing_context, sums, table, row, column):
    """Add the squares of numbers of a row, from a column on."""

    def generate(context, builder, signature, arguments):
        numbers = _load(context, builder, signature, arguments)
        return builder.fadd(arguments[0], builder.fmul(numbers, numbers))

    return sums(sums, table, types.int64, types.int64), generate


@intrinsic
def _total(typing_context, sums):
    """Add the second half of the sums to the first, and so on until one is left."""

    def generate(context, builder, signature, arguments):
        (total,) = arguments
        for half in (1 << k for k in reversed(range(sums.n.bit_length() - 1))):
            places = [ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(k, k + half))) for k in (0, half)]
            total = builder.fadd(*(builder.shuffle_vector(total, total, chosen) for chosen in places))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(sums), generate


@intrinsic
def _write(typing_context, sums, out, row, column):
    """Write sums into a row, from a column on."""

    def generate(context, builder, signature, arguments):
        address = address_of(context, builder, signature.args[1], *arguments[1:])
        builder.store(arguments[0], builder.bitcast(address, arguments[0].type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(sums, out, types.int64, types.int64), generate


def _load(context, builder, signature, arguments):
    """Read numbers of a row as numbers of the sums' type."""
    sums, table = signature.args[:2]
    address = builder.bitcast(address_of(context, builder, table, *arguments[1:4]), sums.of(table.dtype).as_pointer())
    numbers, wanted = builder.load(address, align=table.dtype.bitwidth // 8), sums.of(sums.number)
    if sums.number == types.int16:
        return builder.sext(numbers, wanted)
    if table.dtype == types.int8:
        return builder.sitofp(numbers, wanted)
    return builder.fpext(numbers, wanted) if table.dtype == types.uint16 else numbers


@inlined
def _row(ids, k, mapping):
    return mapping[ids[k]] if len(mapping) > 0 else np.int64(ids[k])


@inlined
def _fetch_later(sums, table, ids, k, mapping, column):
    """Ask for the same columns of a later token's row, even if it is the next text's."""
    row = _row(ids, min(k + _ROWS, len(ids) - 1), mapping)
    for first in range(column, column + _n_columns(sums), _LINE // table.itemsize):
        fetch(table, row, first)


@inlined
def _add_rows(sums, table, ids, start, end, mapping, weights, column):
    """Add the rows of the tokens from `start` to `end`, in this order, from a column on."""
    if len(weights) > 0:
        for k in range(start, end):
            _fetch_later(sums, table, ids, k, mapping, column)
            sums = _plus_weighted(sums, table, _row(ids, k, mapping), column, weights[ids[k]])
        return sums
    part = _part_of(sums, table)
    for k in range(start, end):
        _fetch_later(sums, table, ids, k, mapping, column)
        part = _plus(part, table, _row(ids, k, mapping), column)
    return _joined(sums, part)


@inlined
def _add(zeros, table, ids, start, end, mapping, weights, out, text, column):
    """Add as many columns as there are zeros to a text's sums."""
    sums = _plus(zeros, out, text, column)
    _write(_add_rows(sums, table, ids, start, end, mapping, weights, column), out, text, column)


@inlined
def _divide_by_norm(out, text, rest):
    """Divide a text's mean by its L2 norm, as `embeddings.divide_by_norm` does."""
    squares, dims = _zeros_64(), out.shape[1]
    for column in range(0, dims, 64):
        if column + 64 <= dims:
            squares = _plus_squares(squares, out, text, column)
        else:
            for k in range(64):
                rest[0, k] = out[text, column + k] if column + k < dims else 0
            squares = _plus_squares(squares, rest, 0, 0)
    norm = np.sqrt(_total(squares)) + np.float32(1e-32)
    for column in range(dims):
        out[text, column] /= norm


@njit(cache=True, nogil=True, _nrt=False)
def mean(table, ids, starts, ends, mapping, weights, out, normalize, rest):
    """Average each text's weighted rows.

    Args:
        table: shape (rows, dims), float32, int8, or the bits of float16 as uint16.
        ids: token ids of all texts, int32.
        starts: where in `ids` each text begins, int64 of shape (texts,).
        ends: where it ends.
        mapping: the row of each token, int64; empty where token i has row i.
        weights: one factor per token, float32; empty without weights.
        out: receives the means, float32 of shape (texts, dims).
        normalize: whether to divide each mean by its L2 norm.
        rest: scratch memory, float32 of shape (1, 64).
    """
    dims = table.shape[1]
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        total = out[text]
        for column in range(dims):
            total[column] = 0
        for first in range(start, end, _ROWS):
            after = min(first + _ROWS, end)
            column = 0
            while column + 64 <= dims:
                _add(_zeros_64(), table, ids, first, after, mapping, weights, out, text, column)
                column += 64
            while column + 8 <= dims:
                _add(_zeros_8(), table, ids, first, after, mapping, weights, out, text, column)
                column += 8
            while column < dims:
                _add(_zeros_1(), table, ids, first, after, mapping, weights, out, text, column)
                column += 1
        count = np.float32(max(end - start, 1))
        for column in range(dims):
            total[column] /= count
        if normalize:
            _divide_by_norm(out, text, rest)
