"""16-bit floats and random bits as integer arithmetic: traced into kernels like the functions of `vector_math`.

`random_word` is Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011).
"""

from __future__ import annotations

from graphflow.codegen.tracing import Scalar, bits_of, convert, f32, float_of, helper, select, u16, u32

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA


def of_bfloat16(bits: Scalar) -> Scalar:
    """The float32 of bfloat16 bits."""
    return float_of(convert(bits, u32) << 16)


def bfloat16_of(x: Scalar) -> Scalar:
    """bfloat16 bits of a float32, rounded to nearest even; NaN stays NaN."""
    bits = bits_of(x, signed=False)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return convert(select(x != x, bits | 0x400000, rounded) >> 16, u16)


def of_float16(bits: Scalar) -> Scalar:
    """The float32 of float16 bits."""
    wide = convert(bits, u32)
    sign = (wide & 0x8000) << 16
    shifted = (wide & 0x7FFF) << 13
    # Shifted into place, the exponent is 112 too small; the product sets it right for subnormals, too.
    scaled = float_of(shifted) * 2.0**112
    special = float_of(shifted | 0x7F800000)
    value = select((wide & 0x7FFF) >= 0x7C00, special, scaled)
    return float_of(bits_of(value, signed=False) | sign)


def float16_of(x: Scalar) -> Scalar:
    """float16 bits of a float32, rounded to nearest even; too large becomes infinity, NaN stays NaN."""
    bits = bits_of(x, signed=False)
    sign = (bits >> 16) & 0x8000
    magnitude = bits & 0x7FFFFFFF
    normal = (magnitude + 0xFFF + ((magnitude >> 13) & 1) - 0x38000000) >> 13
    # Adding 0.5 moves a value below 2**-14 so that its last bit is worth one float16 subnormal step; the addition rounds.
    subnormal = bits_of(float_of(magnitude) + 0.5, signed=False) - 0x3F000000
    half = select(magnitude < 0x38800000, subnormal, normal)
    half = select(magnitude >= 0x477FF000, half * 0 + 0x7C00, half)
    half = select(magnitude > 0x7F800000, half * 0 + 0x7E00, half)
    return convert(half | sign, u16)


def random_word(key0: Scalar, key1: Scalar, counter0: Scalar, counter1: Scalar, *, word: int) -> Scalar:
    """Word 0 or 1 of Threefry-2x32-20 of (counter0, counter1) under (key0, key1); all uint32."""
    keys = (key0, key1, key0 ^ key1 ^ PARITY)
    a, b = counter0 + keys[0], counter1 + keys[1]
    for step in range(20):
        a = a + b
        rotation = ROTATIONS[step % 8]
        b = ((b << rotation) | (b >> (32 - rotation))) ^ a
        if step % 4 == 3:
            k = step // 4 + 1
            a, b = a + keys[k % 3], b + keys[(k + 1) % 3] + k
    return a if word == 0 else b


load_bf16 = helper(of_bfloat16, "load_bf16", dtype=u16, result_dtype=f32)
load_f16 = helper(of_float16, "load_f16", dtype=u16, result_dtype=f32)
store_bf16 = helper(bfloat16_of, "store_bf16", dtype=f32, result_dtype=u16)
store_f16 = helper(float16_of, "store_f16", dtype=f32, result_dtype=u16)


def first_word(key0: Scalar, key1: Scalar, counter0: Scalar, counter1: Scalar) -> Scalar:
    """Word 0 of `random_word`."""
    return random_word(key0, key1, counter0, counter1, word=0)


def second_word(key0: Scalar, key1: Scalar, counter0: Scalar, counter1: Scalar) -> Scalar:
    """Word 1 of `random_word`."""
    return random_word(key0, key1, counter0, counter1, word=1)


threefry_0 = helper(first_word, "threefry_0", dtype=u32)
threefry_1 = helper(second_word, "threefry_1", dtype=u32)
