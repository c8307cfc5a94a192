"""Small compiled functions that emitted kernels call: index checks, 16-bit floats, random bits.

Like those of `vector_math`, they are inlined into the kernels. `threefry` is Threefry-2x32 with 20 rounds (Salmon, Moraes,
Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011).
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy import complex64, float32, int64, uint16, uint32

from graphflow.codegen.vector_math import cos_f32, cos_f64, exp_f32, exp_f64, sin_f32, sin_f64

_helper = njit(error_model="numpy", forceinline=True)


@_helper
def checked_index(index, size, errors, site):
    """`index`, or 0 after noting (site, index, size) in `errors` when it is outside 0 <= index < size."""
    if index < 0 or index >= size:
        errors[0] = site
        errors[1] = index
        errors[2] = size
        return int64(0)
    return int64(index)


def _bits(source: types.Type, target: types.Type, llvm: ir.Type):
    @intrinsic
    def cast(typing_context, x):
        """The bits of `x` as another type of the same size."""
        return target(source), lambda context, builder, sig, args: builder.bitcast(args[0], llvm)

    return cast


_float_bits = _bits(types.float32, types.uint32, ir.IntType(32))
_bits_float = _bits(types.uint32, types.float32, ir.FloatType())


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
def load_bf16(bits):
    """The float32 of bfloat16 bits."""
    return _bits_float(uint32(uint32(bits) << uint32(16)))


@_helper
def store_bf16(x):
    """bfloat16 bits of a float32, rounded to nearest even; NaN stays NaN."""
    bits = _float_bits(x)
    rounded = uint32(bits + uint32(0x7FFF) + uint32(uint32(bits >> uint32(16)) & uint32(1)))
    quiet = uint32(bits | uint32(0x400000))
    return uint16(uint32(quiet if x != x else rounded) >> uint32(16))


@_helper
def load_f16(bits):
    """The float32 of float16 bits."""
    wide = uint32(bits)
    sign = uint32(uint32(wide & uint32(0x8000)) << uint32(16))
    magnitude = uint32(wide & uint32(0x7FFF))
    # Shifted into place, the exponent is 112 too small; the product sets it right for subnormals, too.
    scaled = _bits_float(uint32(magnitude << uint32(13))) * _bits_float(uint32(0x77800000))
    special = _bits_float(uint32(uint32(magnitude << uint32(13)) | uint32(0x7F800000)))
    value = special if magnitude >= uint32(0x7C00) else scaled
    return _bits_float(uint32(_float_bits(value) | sign))


@_helper
def store_f16(x):
    """float16 bits of a float32, rounded to nearest even; too large becomes infinity, NaN stays NaN."""
    bits = _float_bits(x)
    sign = uint32(uint32(bits >> uint32(16)) & uint32(0x8000))
    magnitude = uint32(bits & uint32(0x7FFFFFFF))
    odd = uint32(uint32(magnitude >> uint32(13)) & uint32(1))
    normal = uint32(uint32(magnitude + uint32(0xFFF) + odd - uint32(0x38000000)) >> uint32(13))
    # Adding 0.5 moves a value below 2**-14 so that its last bit is worth one float16 subnormal step; the addition rounds.
    subnormal = uint32(_float_bits(_bits_float(magnitude) + float32(0.5)) - uint32(0x3F000000))
    half = subnormal if magnitude < uint32(0x38800000) else normal
    half = uint32(0x7C00) if magnitude >= uint32(0x477FF000) else half
    half = uint32(0x7E00) if magnitude > uint32(0x7F800000) else half
    return uint16(half | sign)


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


@_helper
def _rotate(x, count):
    return uint32(uint32(x << uint32(count)) | uint32(x >> uint32(32 - count)))


@_helper
def threefry(key0, key1, counter0, counter1, word):
    """Word 0 or 1 of Threefry-2x32-20 of (counter0, counter1) under (key0, key1); all uint32."""
    key2 = uint32(uint32(0x1BD11BDA) ^ uint32(key0 ^ key1))
    a = uint32(counter0 + key0)
    b = uint32(counter1 + key1)
    a = uint32(a + b)
    b = uint32(_rotate(b, 13) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 15) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 26) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 6) ^ a)
    a = uint32(a + key1)
    b = uint32(b + key2 + uint32(1))
    a = uint32(a + b)
    b = uint32(_rotate(b, 17) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 29) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 16) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 24) ^ a)
    a = uint32(a + key2)
    b = uint32(b + key0 + uint32(2))
    a = uint32(a + b)
    b = uint32(_rotate(b, 13) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 15) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 26) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 6) ^ a)
    a = uint32(a + key0)
    b = uint32(b + key1 + uint32(3))
    a = uint32(a + b)
    b = uint32(_rotate(b, 17) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 29) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 16) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 24) ^ a)
    a = uint32(a + key1)
    b = uint32(b + key2 + uint32(4))
    a = uint32(a + b)
    b = uint32(_rotate(b, 13) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 15) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 26) ^ a)
    a = uint32(a + b)
    b = uint32(_rotate(b, 6) ^ a)
    a = uint32(a + key2)
    b = uint32(b + key0 + uint32(5))
    return a if word == 0 else b
