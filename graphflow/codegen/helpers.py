"""What kernels call when numba compiles them: index checks, conversions that saturate, complex exponentials."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy import complex64, finfo, float32, float64, int64

from graphflow.codegen.intrinsics import address, exchange_i64
from graphflow.codegen.vector_math import cos_f32, cos_f64, exp_f32, exp_f64, sin_f32, sin_f64

_helper = njit(error_model="numpy", forceinline=True)


@_helper
def checked_index(index, size, errors, site):
    """`index`, or 0 when it is outside 0 <= index < size, after noting (site, index, size) if it is the first error."""
    if index < 0 or index >= size:
        if exchange_i64(address(errors), 0, site) == 0:
            errors[1] = index
            errors[2] = size
        return int64(0)
    return int64(index)


def _quotient(tiny: float):
    @njit(error_model="numpy")
    def quotient(x, d, reciprocal):
        """x / d, where 1 / d is at hand: that times x, unless it may be infinite."""
        return x / d if abs(d) < tiny else x * reciprocal

    return quotient


quotient_f32, quotient_f64 = _quotient(finfo(float32).tiny), _quotient(finfo(float64).tiny)


def _saturating(target: types.Type, bits: int, signed: bool):
    @intrinsic
    def convert(typing_context, x):
        """A float as an integer, towards zero; out of range the nearest integer, 0 for NaN."""

        def generate(context, builder, sig, args):
            source = context.get_value_type(x)
            name = f"llvm.fpto{'s' if signed else 'u'}i.sat.i{bits}.{'f32' if x == types.float32 else 'f64'}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(bits), [source]), name)
            return builder.call(function, args)

        return target(x), generate

    return convert


float_to_i8, float_to_i16 = _saturating(types.int8, 8, True), _saturating(types.int16, 16, True)
float_to_i32, float_to_i64 = _saturating(types.int32, 32, True), _saturating(types.int64, 64, True)
float_to_u8, float_to_u16 = _saturating(types.uint8, 8, False), _saturating(types.uint16, 16, False)
float_to_u32, float_to_u64 = _saturating(types.uint32, 32, False), _saturating(types.uint64, 64, False)


@_helper
def exp_c64(z):
    """e**z of a complex64; a zero imaginary part stays zero."""
    size, turn = exp_f32(z.real), z.imag
    return complex64(complex(size * cos_f32(turn) if turn != 0 else size, size * sin_f32(turn) if turn != 0 else turn))


@_helper
def exp_c128(z):
    """e**z of a complex128; a zero imaginary part stays zero."""
    size, turn = exp_f64(z.real), z.imag
    return complex(size * cos_f64(turn) if turn != 0 else size, size * sin_f64(turn) if turn != 0 else turn)
