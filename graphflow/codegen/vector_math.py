"""Vector maths: scalar functions that a numba kernel calls in a loop and that LLVM inlines and vectorises.

Exponentials, logarithms, trigonometry, powers, roots, rounding; `special_math` has the error and gamma functions, `integer_math`
the integers.

libm is scalar, and a call of it stops vectorisation; these functions are straight-line arithmetic instead: range reduction by
rounding, a polynomial, an exponent put together from bits, `select` for special values; no branch and no call (integer powers
alone have a loop inside). Each public function is named after its operation and the type it takes and returns: `exp_f32`,
`exp_f64`, `mod_i64`. `tracing` tells how they run, `accuracy.ULP_BOUNDS` how accurate they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from graphflow.codegen.assembly import DOUBLE, I64, constant
from graphflow.codegen.tracing import (
    SIGNED_BITS,
    UNSIGNED_BITS,
    Scalar,
    Traced,
    absolute,
    as_type,
    bits_of,
    convert,
    f32,
    f64,
    float_of,
    fma,
    greater,
    helper,
    i32,
    i64,
    is_traced,
    lesser,
    multiply_add,
    polynomial,
    round_down,
    round_to_even,
    round_to_zero,
    round_up,
    select,
    square_root,
    u32,
    u64,
    with_sign_of,
)

# --- constants that differ between float32 and float64 ----------------------------------------------------------------------

inf, nan = math.inf, math.nan
LN2 = math.log(2)

FORMAT = {  # the type's own numbers
    f32: SimpleNamespace(
        fraction_bits=23, bias=127, magic=1.5 * 2.0**23, smallest_normal=2.0**-126, fraction_mask=0x007FFFFF,
        exponent_mask=-0x00800000, one=0x3F800000, root_half=0x3F3504F3,
        half_range=64, least_exponential=-104.0, greatest_exponential=89.0, epsilon=2.0**-23,
    ),
    f64: SimpleNamespace(
        fraction_bits=52, bias=1023, magic=1.5 * 2.0**52, smallest_normal=2.0**-1022, fraction_mask=0x000FFFFFFFFFFFFF,
        exponent_mask=-0x0010000000000000, one=0x3FF0000000000000, root_half=0x3FE6A09E667F3BCD,
        half_range=512, least_exponential=-746.0, greatest_exponential=710.0, epsilon=2.0**-52,
    ),
}  # fmt: skip

LN2_PARTS = {f32: (0.693359375, -2.12194440e-4), f64: (0.6931471803691238, 1.9082149292705877e-10)}  # k * high is exact
EXP_TAIL = {  # (e**r - 1 - r) / r**2 on [-ln2/2, ln2/2]: own minimax fits, errors 2**-28 and 2**-57 of e**r
    f32: (0.5, 0.1666652, 0.041666422, 0.008368815, 0.0013938848),
    f64: (
        0.5000000000000013, 0.1666666666666669, 0.04166666666651436, 0.008333333333311448, 0.0013888888947245132,
        0.00019841269908787537, 2.480148973766169e-05, 2.755722359506277e-06, 2.7631344988465723e-07, 2.5115644775554117e-08,
    ),
}  # fmt: skip
LOG_TAIL_F32 = (  # (log(1+f) - f + f**2/2) / f**3 on [sqrt(1/2)-1, sqrt(2)-1]: own minimax fit, error 2**-27 of log(1+f)
    0.33333316, -0.2500081, 0.20002297, -0.16624549, 0.14181106, -0.13128819, 0.12881711, -0.07859008,
)  # fmt: skip
ATANH_TAIL = (  # (2 atanh(s) - 2s) / s**3 as a polynomial in s**2 up to 0.0295: own minimax fit, error 2**-58
    0.6666666666666735, 0.39999999999410396, 0.2857142874339236, 0.22222198464416448, 0.18183570276517094, 0.15313890763009866,
    0.14797622810951302,
)  # fmt: skip


# --- exponentials -----------------------------------------------------------------------------------------------------------


def at_most(x: Scalar, bound: float) -> Scalar:
    """min(x, bound); NaN stays NaN."""
    return select(x > bound, as_type(bound, x.dtype), x)


def at_least(x: Scalar, bound: float) -> Scalar:
    """max(x, bound); NaN stays NaN."""
    return select(x < bound, as_type(bound, x.dtype), x)


def reduce_by_ln2(x: Scalar, magic: Scalar | float | None = None) -> tuple[Scalar, Scalar]:
    """(t, r): x = k ln2 + r with |r| <= ln2/2; the low bits of t's fraction are k, plus what `magic` has above its own value."""
    if magic is None:
        magic = FORMAT[x.dtype].magic  # adding it rounds to an integer and leaves that integer in the low bits
    high, low = LN2_PARTS[x.dtype]
    t = fma(x, as_type(1 / LN2, x.dtype), magic)
    k = t - magic
    return t, fma(k, -low, fma(k, -high, x))


def exponential_less_one(r: Scalar) -> Scalar:
    """e**r - 1 for |r| <= ln2/2, relatively accurate."""
    return fma(r * r, polynomial(r, EXP_TAIL[r.dtype]), r)


def power_of_two(t: Scalar, offset: int) -> Scalar:
    """2**(k + offset) for the k in the low bits of t (see `reduce_by_ln2`); no check of the range."""
    number = FORMAT[t.dtype]
    return float_of((bits_of(t) << number.fraction_bits) + ((number.bias + offset) << number.fraction_bits))


def exponent_from(t: Scalar) -> Scalar:
    """The number whose biased exponent is in the low bits of t: a power of two, by one shift."""
    return float_of(bits_of(t) << FORMAT[t.dtype].fraction_bits)


def two_scales(x: Scalar) -> tuple[Scalar, Scalar]:
    """(magic, factor) by the sign of x: 2**k is `exponent_from(t)` * factor, and p times both rounds once, to a subnormal too."""
    number = FORMAT[x.dtype]
    negative = bits_of(x) < 0
    above, below = (number.magic + (number.bias + offset) for offset in (number.half_range, -number.half_range))
    magic = select(negative, as_type(above, x.dtype), as_type(below, x.dtype))
    return magic, select(negative, as_type(2.0**-number.half_range, x.dtype), as_type(2.0**number.half_range, x.dtype))


def exponential(x: Scalar) -> Scalar:
    """e**x. x = k ln2 + r (Cody & Waite), a polynomial in r, 2**k from exponent bits in two factors."""
    number = FORMAT[x.dtype]
    x = at_most(at_least(x, number.least_exponential), number.greatest_exponential)
    magic, factor = two_scales(x)
    t, r = reduce_by_ln2(x, magic)
    return polynomial(r, (1.0, 1.0, *EXP_TAIL[x.dtype])) * exponent_from(t) * factor


def decaying_exponential(x: Scalar) -> Scalar:
    """e**-|x|: one of the two factors of 2**k is in the polynomial's coefficients. Sigmoid and softplus share it."""
    number = FORMAT[x.dtype]
    x = at_least(-absolute(x), number.least_exponential)
    t, r = reduce_by_ln2(x, number.magic + (number.bias + number.half_range))
    small = tuple(c * 2.0**-number.half_range for c in (1.0, 1.0, *EXP_TAIL[x.dtype]))
    return polynomial(r, small) * exponent_from(t)


exp_f32, exp_f64 = helper(exponential, "exp_f32"), helper(exponential, "exp_f64")


def exponential_minus_one(x: Scalar) -> Scalar:
    """e**x - 1. 2**k (e**r - 1) + (2**k - 1) with one rounding; tiny x is returned as it is."""
    number = FORMAT[x.dtype]
    t, r = reduce_by_ln2(at_most(at_least(x, -40.0), number.greatest_exponential))
    half = power_of_two(t, -1)
    result = fma(half, exponential_less_one(r), half - 0.5) * 2.0
    return select(absolute(x) < number.epsilon / 4, x, result)


expm1_f32, expm1_f64 = helper(exponential_minus_one, "expm1_f32"), helper(exponential_minus_one, "expm1_f64")


def hyperbolic_tangent(x: Scalar) -> Scalar:
    """Hyperbolic tangent: m / (2 - m) with m = 1 - e**(-2|x|), accurate near 0 as m is; its sign is that of x."""
    t, r = reduce_by_ln2(-2.0 * at_most(absolute(x), 22.0), FORMAT[x.dtype].magic + FORMAT[x.dtype].bias)
    power = exponent_from(t)
    m = fma(-power, exponential_less_one(r), 1.0 - power)
    return with_sign_of(m / (2.0 - m), x)


tanh_f32, tanh_f64 = helper(hyperbolic_tangent, "tanh_f32"), helper(hyperbolic_tangent, "tanh_f64")


def logistic(x: Scalar) -> Scalar:
    """1 / (1 + e**-x); from e**-|x|, so that small results keep their accuracy, and sigmoid(-x) has the same quotient."""
    e = decaying_exponential(x)
    quotient = 1.0 / (1.0 + e)
    return select(bits_of(x) < 0, e * quotient, quotient)


sigmoid_f32, sigmoid_f64 = helper(logistic, "sigmoid_f32"), helper(logistic, "sigmoid_f64")


# --- logarithms -------------------------------------------------------------------------------------------------------------


def log_tail(f: Scalar) -> Scalar:
    """log(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2)]."""
    if f.dtype == f32:
        return (f * f) * multiply_add(f, polynomial(f, LOG_TAIL_F32), -0.5)
    s = f / (2.0 + f)  # log(1 + f) = 2 atanh(s); Cephes and fdlibm write it as f less a correction
    z = s * s
    half_square = 0.5 * f * f
    return s * (half_square + z * polynomial(z, ATANH_TAIL)) - half_square


def split_exponent(x: Scalar) -> tuple[Scalar, Scalar]:
    """(biased, m): x = m 2**(biased - bias) with m in [sqrt(1/2), sqrt(2)), for positive normal x; biased is a float."""
    number = FORMAT[x.dtype]
    shifted = bits_of(x, signed=False) + (number.one - number.root_half)
    m = float_of((shifted & number.fraction_mask) + number.root_half)
    return exponent_as_float(shifted), m


def exponent_as_float(shifted: Scalar) -> Scalar:
    """The exponent field of unsigned bits, as a float."""
    if shifted.dtype == u32:
        return convert(convert(shifted >> 23, i32), f32)
    return float_of((shifted >> 52) | 0x4330000000000000) - 2.0**52  # AVX2 converts no 64-bit integers


def natural_logarithm(x: Scalar) -> Scalar:
    """Natural logarithm. x = 2**e (1 + f), polynomial in f or (float64, as fdlibm) in f / (2 + f), e ln2 in two parts."""
    number = FORMAT[x.dtype]
    high, low = LN2_PARTS[x.dtype]
    subnormal = x < number.smallest_normal
    biased, m = split_exponent(select(subnormal, x * 2.0**number.fraction_bits, x))
    e = biased - select(subnormal, as_type(number.bias + number.fraction_bits, x.dtype), as_type(number.bias, x.dtype))
    f = m - 1.0
    result = fma(e, as_type(high, x.dtype), f + fma(e, as_type(low, x.dtype), log_tail(f)))
    return logarithm_domain(x, x, result)


def logarithm_domain(x: Scalar, argument: Scalar, result: Scalar) -> Scalar:
    """The result where argument > 0, -inf at 0, NaN below, and x itself where x is infinite."""
    outside = select(argument == 0.0, as_type(-inf, x.dtype), as_type(nan, x.dtype))
    return select(argument > 0.0, select(x < inf, result, x), outside)


log_f32, log_f64 = helper(natural_logarithm, "log_f32"), helper(natural_logarithm, "log_f64")


def logarithm_of_one_plus(x: Scalar) -> Scalar:
    """log(1 + x): f = x 2**-e + (2**-e - 1) for the e of the rounded 1 + x, one rounding, so that no correction is needed."""
    number = FORMAT[x.dtype]
    high, low = LN2_PARTS[x.dtype]
    shifted = bits_of(1.0 + x) + (number.one - number.root_half)
    e = exponent_as_float(convert(shifted, UNSIGNED_BITS[x.dtype])) - float(number.bias)
    smallest_integer = SIGNED_BITS[x.dtype].type(-(2 ** (8 * x.dtype.itemsize - 1)))
    quadruple = float_of(smallest_integer - (shifted & number.exponent_mask))  # 4 * 2**-e, normal for every e
    f = fma(0.25 * x, quadruple, multiply_add(quadruple, as_type(0.25, x.dtype), -1.0))
    result = fma(e, as_type(high, x.dtype), f + fma(e, as_type(low, x.dtype), log_tail(f)))
    result = select(absolute(x) < number.epsilon / 4, x, result)
    return logarithm_domain(x, 1.0 + x, result)


log1p_f32, log1p_f64 = helper(logarithm_of_one_plus, "log1p_f32"), helper(logarithm_of_one_plus, "log1p_f64")


# --- exponentials and logarithms of other bases, and what is built from both ------------------------------------------------


def exponential_base_two(x: Scalar) -> Scalar:
    """2**x. The integer part goes to the exponent exactly, the rest as in e**x."""
    number = FORMAT[x.dtype]
    x = at_most(at_least(x, number.least_exponential / LN2), number.greatest_exponential / LN2)
    magic, factor = two_scales(x)
    t = x + magic
    r = (x - (t - magic)) * as_type(LN2, x.dtype)
    return polynomial(r, (1.0, 1.0, *EXP_TAIL[x.dtype])) * exponent_from(t) * factor


exp2_f32, exp2_f64 = helper(exponential_base_two, "exp2_f32"), helper(exponential_base_two, "exp2_f64")


LOG_FACTORS = {  # 1/log(base) in two parts, log(2)/log(base) in two parts, the first of each short enough for an exact product
    (f32, 2): (1.4426950216293335, 1.9259629911266175e-08, 1.0, 0.0),
    (f32, 10): (0.4342944920063019, -1.0103050052231683e-08, 0.301025390625, 4.605039066518657e-06),
    (f64, 2): (1.4426950408889634, 2.0355273740931033e-17, 1.0, 0.0),
    (f64, 10): (0.4342944819032518, 1.098319650216765e-17, 0.30102999566361177, 3.694239077158931e-13),
}


def logarithm(x: Scalar, base: int) -> Scalar:
    """log(x) / log(base): the product of f and 1/log(base) is taken with its rounding error."""
    number = FORMAT[x.dtype]
    factor, factor_low, exponent_factor, exponent_factor_low = LOG_FACTORS[x.dtype, base]
    subnormal = x < number.smallest_normal
    biased, m = split_exponent(select(subnormal, x * 2.0**number.fraction_bits, x))
    e = biased - select(subnormal, as_type(number.bias + number.fraction_bits, x.dtype), as_type(number.bias, x.dtype))
    f = m - 1.0
    product = f * as_type(factor, x.dtype)
    error = fma(f, as_type(factor, x.dtype), -product) + f * as_type(factor_low, x.dtype)
    low = fma(log_tail(f), as_type(factor, x.dtype), error)
    if exponent_factor_low:
        low = fma(e, as_type(exponent_factor_low, x.dtype), low)
    return logarithm_domain(x, x, fma(e, as_type(exponent_factor, x.dtype), product + low))


multiply_add_f32, multiply_add_f64 = helper(multiply_add, "multiply_add_f32"), helper(multiply_add, "multiply_add_f64")


@helper
def log2_f32(x: Scalar) -> Scalar:
    """Logarithm to base 2. Exact for powers of two."""
    return logarithm(x, 2)


@helper
def log2_f64(x: Scalar) -> Scalar:
    """Logarithm to base 2. Exact for powers of two."""
    return logarithm(x, 2)


@helper
def log10_f32(x: Scalar) -> Scalar:
    """Logarithm to base 10."""
    return logarithm(x, 10)


@helper
def log10_f64(x: Scalar) -> Scalar:
    """Logarithm to base 10."""
    return logarithm(x, 10)


LOG1P_TAIL_F32 = (  # (log(1+y) - y) / y**2 on [0, 1]: own minimax fit, error 2**-25 of log(1+y)
    -0.49999648, 0.3332133, -0.24857217, 0.19153848, -0.13754188, 0.07920883, -0.0300683, 0.0053654225,
)  # fmt: skip


def log_one_plus_fraction(y: Scalar) -> Scalar:
    """log(1 + y) for 0 <= y <= 1."""
    if y.dtype == f32:
        return fma(y * y, polynomial(y, LOG1P_TAIL_F32), y)
    small = y < 0.41421354
    f = select(small, y, fma(y, as_type(0.5, y.dtype), -0.5))
    return (f + log_tail(f)) + select(small, as_type(0.0, y.dtype), as_type(LN2, y.dtype))


def soft_plus(x: Scalar) -> Scalar:
    """log(1 + e**x) = max(x, 0) + log(1 + e**-|x|)."""
    return at_least(x, 0.0) + log_one_plus_fraction(decaying_exponential(x))


softplus_f32, softplus_f64 = helper(soft_plus, "softplus_f32"), helper(soft_plus, "softplus_f64")


def half_exponential_minus_one(x: Scalar) -> Scalar:
    """(e**x - 1) / 2 for x >= 0; infinite only where that is too large."""
    t, r = reduce_by_ln2(at_most(x, FORMAT[x.dtype].greatest_exponential + 0.55))
    eighth = power_of_two(t, -3)
    return fma(eighth, exponential_less_one(r), eighth - 0.125) * 4.0


def hyperbolic_sine(x: Scalar) -> Scalar:
    """Hyperbolic sine: (m + m / (m + 1)) / 2 with m = e**|x| - 1."""
    half = half_exponential_minus_one(absolute(x))
    result = half + at_most(half, 2.0 ** FORMAT[x.dtype].half_range) / (2.0 * half + 1.0)  # at_most: no inf / inf
    return select(absolute(x) < math.sqrt(FORMAT[x.dtype].epsilon), x, with_sign_of(result, x))


sinh_f32, sinh_f64 = helper(hyperbolic_sine, "sinh_f32"), helper(hyperbolic_sine, "sinh_f64")


def hyperbolic_cosine(x: Scalar) -> Scalar:
    """Hyperbolic cosine: e/2 + 1/(2e) with e = e**|x|."""
    half = half_exponential_minus_one(absolute(x)) + 0.5
    return half + 0.25 / half


cosh_f32, cosh_f64 = helper(hyperbolic_cosine, "cosh_f32"), helper(hyperbolic_cosine, "cosh_f64")


def inverse_hyperbolic_sine(x: Scalar) -> Scalar:
    """Inverse hyperbolic sine: log(1 + (a + a**2 / (1 + sqrt(a**2 + 1)))) with a = |x|; log(2a) for large a."""
    a = absolute(x)
    large = a > 1 / FORMAT[x.dtype].epsilon
    square = a * a
    argument = select(large, a, a + square / (1.0 + square_root(square + 1.0)))
    result = logarithm_of_one_plus(argument) + select(large, as_type(LN2, x.dtype), as_type(0.0, x.dtype))
    return with_sign_of(result, x)


asinh_f32, asinh_f64 = helper(inverse_hyperbolic_sine, "asinh_f32"), helper(inverse_hyperbolic_sine, "asinh_f64")


def inverse_hyperbolic_cosine(x: Scalar) -> Scalar:
    """Inverse hyperbolic cosine: log(1 + (d + sqrt(2d + d**2))) with d = x - 1; log(2x) for large x."""
    large = x > 1 / FORMAT[x.dtype].epsilon
    d = x - 1.0
    argument = select(large, x, d + square_root(fma(d, d, 2.0 * d)))
    result = logarithm_of_one_plus(argument) + select(large, as_type(LN2, x.dtype), as_type(0.0, x.dtype))
    return select(x >= 1.0, result, as_type(nan, x.dtype))


acosh_f32, acosh_f64 = helper(inverse_hyperbolic_cosine, "acosh_f32"), helper(inverse_hyperbolic_cosine, "acosh_f64")


def inverse_hyperbolic_tangent(x: Scalar) -> Scalar:
    """Inverse hyperbolic tangent: log(1 + 2a / (1 - a)) / 2 with a = |x|."""
    a = absolute(x)
    result = 0.5 * logarithm_of_one_plus((a + a) / (1.0 - a))
    return select(a < FORMAT[x.dtype].epsilon, x, with_sign_of(result, x))


atanh_f32, atanh_f64 = helper(inverse_hyperbolic_tangent, "atanh_f32"), helper(inverse_hyperbolic_tangent, "atanh_f64")


# --- sine, cosine, tangent --------------------------------------------------------------------------------------------------

TWO_OVER_PI_BITS = 1280
TWO_OVER_PI = int(  # floor(2/pi * 2**1280)
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f5"
    "2ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d"
    "7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6babf0cfbc209af4361d",
    16,
)


def quarter_turns(shift: int, widths: Sequence[int]) -> list[float]:
    """2**shift * 2/pi less its multiples of 4, cut into floats of so many bits each."""
    below = TWO_OVER_PI_BITS - shift  # bits after the binary point
    remaining = TWO_OVER_PI if shift == 0 else TWO_OVER_PI % (1 << (below + 2))
    position = below if shift == 0 else below + 2  # value < 2**(position - below)
    parts = []
    for width in widths:
        position -= width
        part = remaining >> position
        remaining -= part << position
        parts.append(math.ldexp(part, position - below))
    return parts


SIN_TAIL = {  # (sin(r) - r) / r**3 as a polynomial in r**2 on [0, pi/4]: own minimax fits, errors 2**-28 and 2**-57 of sin(r)
    f32: (-0.16666655, 0.00833219, -0.0001951838),
    f64: (
        -0.16666666666666632, 0.008333333333322255, -0.00019841269829675568, 2.755731364437293e-06, -2.50507504220957e-08,
        1.5896335998032462e-10,
    ),
}  # fmt: skip
COS_TAIL = {  # (cos(r) - 1 + r**2 / 2) / r**4 as a polynomial in r**2 on [0, pi/4]: own minimax fits, errors 2**-33 and 2**-59
    f32: (0.041666646, -0.0013887308, 2.4432125e-05),
    f64: (
        0.041666666666666595, -0.0013888888888873904, 2.480158728933939e-05, -2.755731430959519e-07, 2.0875717271060823e-09,
        -1.1359327492830321e-11,
    ),
}  # fmt: skip

FLOAT32_WINDOWS = (0, 27, 54, 81)  # |x| = y * 2**shift with y < 2**50; from the second on, y is an integer
FLOAT32_WINDOW_PARTS = [quarter_turns(shift, (29, 29, 53)) for shift in FLOAT32_WINDOWS]
FLOAT64_WINDOW_STEP = 16  # bits; y < 2**69
FLOAT64_WINDOW_PARTS = [quarter_turns(shift, (53, 53, 53, 53)) for shift in range(0, 1024 - 53, FLOAT64_WINDOW_STEP)]
PI_HALF, PI_HALF_LOW = 1.5707963267948966, 6.123233995736766e-17


def less_multiples_of_four(x: Scalar) -> Scalar:
    """x - 4n in [-2, 2], exactly."""
    return x - 4.0 * round_to_even(0.25 * x)


def quadrant_f32(x: Scalar) -> tuple[Scalar, Scalar]:
    """(n, r): x = (n + 4m) pi/2 + r with |r| <= pi/4 for some integer m; n is an int32 of which two bits count, r a float64.

    |x| = y 2**shift with y of 24 bits, so y times 29 bits of 2/pi is exact in float64, and multiples of four are dropped before
    they could cost accuracy (the idea of Payne & Hanek); four windows of 2/pi cover all of float32.
    """
    wide = convert(x, f64)
    magnitude = absolute(wide)
    factor, high, middle, low = (as_type(value, f64) for value in (1.0, *FLOAT32_WINDOW_PARTS[0]))
    for shift, parts in zip(FLOAT32_WINDOWS[1:], FLOAT32_WINDOW_PARTS[1:], strict=True):
        beyond = magnitude >= 2.0 ** (shift + 23)
        factor, high, middle, low = (
            select(beyond, as_type(later, f64), earlier)
            for later, earlier in zip((2.0**-shift, *parts), (factor, high, middle, low), strict=True)
        )
    y = wide * factor
    first = less_multiples_of_four(y * high)
    second = less_multiples_of_four(y * middle)
    n = round_to_even(first + second)
    turns = (first - n) + second + y * low
    bits = bits_of(n + FORMAT[f64].magic)
    return convert(bits, i32), turns * PI_HALF


def two_sum(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, e): s is the rounded a + b and e its error (Knuth)."""
    s = a + b
    virtual = s - a
    return s, (a - (s - virtual)) + (b - virtual)


def fast_two_sum(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, e): s is the rounded a + b and e its error, for |a| >= |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(p, e): p is the rounded a * b and e its error."""
    p = a * b
    return p, fma(a, b, -p)


def table_entry(name: str, values: Sequence[float], index: Scalar) -> Scalar:
    """values[index] for a table of float64 constants; a loop over it becomes a gather."""
    if not is_traced(index):
        return np.asarray(values)[index]
    builder = index.builder
    kind, table = builder.module.table(name, DOUBLE, values)
    value = builder.gather(DOUBLE, index.value, lambda k: builder.place(kind, table, constant(I64, 0), k))
    return Traced(builder, value, f64)


def quadrant_f64(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, r, tail): x = (n + 4m) pi/2 + r + tail, with |r| <= pi/4, for all of float64.

    As `quadrant_f32`, with 212 bits of 2/pi from a table of windows 16 bits apart, and with products and sums that keep their
    errors: the closest that a float64 comes to a multiple of pi/2 is 2**-61, to which 117 bits after the point are needed.
    """
    shifted = (bits_of(x, signed=False) >> 52) & 0x7FF
    beyond = select(shifted > 1023 + 52, shifted - (1023 + 52), as_type(0, u64))
    index = beyond >> 4
    index = select(shifted == 2047, as_type(0, u64), index)
    y = x * float_of((as_type(1023, u64) - (index << 4)) << 52)
    parts = [
        table_entry(f"graphflow_quarter_turns_{place}", [row[place] for row in FLOAT64_WINDOW_PARTS], index) for place in range(4)
    ]
    a, b = two_product(y, parts[0])
    c, d = two_product(y, parts[1])
    e, g = two_product(y, parts[2])
    a, b, c = less_multiples_of_four(a), less_multiples_of_four(b), less_multiples_of_four(c)
    a, b = two_sum(a, b)
    n = round_to_even(a)
    a, b = two_sum(a - n, b)
    a, c = two_sum(a, c)
    k = round_to_even(a)
    n = n + k
    c, d = two_sum(b + c, d)
    e, f = two_sum(d, e)
    a, c = two_sum(a - k, c)
    c, e = two_sum(c, e)
    high, low = fast_two_sum(a, c)
    high, low = fast_two_sum(high, low + (e + (f + (g + y * parts[3]))))
    r, error = two_product(high, as_type(PI_HALF, f64))
    tail = fma(high, as_type(PI_HALF_LOW, f64), fma(low, as_type(PI_HALF, f64), error))
    return bits_of(n + FORMAT[f64].magic), r, tail


def sine_on_quadrant(r: Scalar, tail: Scalar | None = None) -> Scalar:
    """sin(r + tail) for |r| <= pi/4."""
    z = r * r
    cube = z * r
    value = polynomial(z, SIN_TAIL[r.dtype])
    if tail is None:
        return fma(cube, value, r)
    return r + fma(cube, value, fma(-0.5 * z, tail, tail))


def cosine_on_quadrant(r: Scalar, tail: Scalar | None = None) -> Scalar:
    """cos(r + tail) for |r| <= pi/4."""
    z = r * r
    half = 0.5 * z
    leading = 1.0 - half
    rest = fma(z * z, polynomial(z, COS_TAIL[r.dtype]), (1.0 - leading) - half)
    return leading + (rest if tail is None else rest - r * tail)


def flip_sign(x: Scalar, quadrants: Scalar) -> Scalar:
    """-x where bit 1 of `quadrants` is set."""
    bits = bits_of(x)
    sign = (quadrants & 2) << (8 * x.dtype.itemsize - 2)
    return float_of(bits ^ sign)


def reduced(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, sin(r), cos(r)) for x = n pi/2 + r."""
    if x.dtype == f32:
        n, r = quadrant_f32(x)
        r = convert(r, f32)
        return n, sine_on_quadrant(r), cosine_on_quadrant(r)
    n, r, tail = quadrant_f64(x)
    return n, sine_on_quadrant(r, tail), cosine_on_quadrant(r, tail)


def sine(x: Scalar) -> Scalar:
    """Sine, for every x. Reduction modulo pi/2 in exact pieces (Payne & Hanek's idea: `quadrant_f32`, `quadrant_f64`)."""
    n, s, c = reduced(x)
    return select(absolute(x) < FORMAT[x.dtype].epsilon, x, flip_sign(select((n & 1) == 0, s, c), n))


sin_f32, sin_f64 = helper(sine, "sin_f32"), helper(sine, "sin_f64")


def cosine(x: Scalar) -> Scalar:
    """Cosine, for every x; as the sine."""
    n, s, c = reduced(x)
    return flip_sign(select((n & 1) == 0, c, s), n + 1)


cos_f32, cos_f64 = helper(cosine, "cos_f32"), helper(cosine, "cos_f64")


def odd_over_even(n: Scalar, s: Scalar, c: Scalar) -> Scalar:
    """tan(n pi/2 + r) from sin(r) and cos(r)."""
    even = (n & 1) == 0
    return select(even, s, -c) / select(even, c, s)


@helper
def tan_f32(x: Scalar) -> Scalar:
    """Tangent, for every x: sine over cosine after the reduction of the sine, in float64 with polynomials for float32."""
    n, r = quadrant_f32(x)
    z = r * r
    s = fma(r * z, polynomial(z, SIN_TAIL[f32]), r)
    c = fma(z * z, polynomial(z, COS_TAIL[f32]), 1.0 - 0.5 * z)
    return select(absolute(x) < FORMAT[f32].epsilon, x, convert(odd_over_even(n, s, c), f32))


@helper
def tan_f64(x: Scalar) -> Scalar:
    """Tangent, for every x: sine over cosine after the reduction of the sine."""
    return select(absolute(x) < FORMAT[f64].epsilon, x, odd_over_even(*reduced(x)))


# --- inverse sine, cosine, tangent ------------------------------------------------------------------------------------------

PI_HALF_PARTS = {f32: (1.5707963705062866, -4.3711390001862426e-08), f64: (PI_HALF, PI_HALF_LOW)}
ASIN_TAIL = {  # (asin(s) - s) / s**3 as a polynomial in s**2 up to 1/4: own minimax fits, errors 2**-28 and 2**-56 of asin(s)
    f32: (0.16666754, 0.074952506, 0.045476392, 0.024149645, 0.04221706),
    f64: (
        0.16666666666665375, 0.07500000000344752, 0.04464285682204775, 0.030381959391708995, 0.022371752040665105,
        0.01735979397110173, 0.013884367656619651, 0.012174827045294727, 0.00650402255887824, 0.01959296624405487,
        -0.01632454447551851, 0.03198022756139862,
    ),
}  # fmt: skip
ATAN_TAIL = {  # (atan(t) - t) / t**3 as a polynomial in t**2, t up to tan(pi/8): own minimax fits, errors 2**-31 and 2**-55
    f32: (-0.33333316, 0.19998531, -0.14244463, 0.10599703, -0.06091314),
    f64: (
        -0.33333333333330184, 0.1999999999909637, -0.14285714195813232, 0.11111106673498601, -0.09090782814095745,
        0.07690073128000709, -0.06641156354250971, 0.05692690098173619, -0.04359444031213188, 0.021263124951395516,
    ),
}  # fmt: skip


def inverse_sine(x: Scalar) -> Scalar:
    """Inverse sine. s + s**3 P(s**2) for |x| <= 1/2; pi/2 - 2 asin(sqrt((1 - |x|) / 2)) beyond."""
    a = absolute(x)
    outer = a > 0.5
    z = select(outer, 0.5 * (1.0 - a), a * a)
    s = select(outer, square_root(z), a)
    tail = s * z * polynomial(z, ASIN_TAIL[x.dtype])
    high, low = (as_type(part, x.dtype) for part in PI_HALF_PARTS[x.dtype])
    result = select(outer, (high - 2.0 * s) + (low - 2.0 * tail), s + tail)
    if x.dtype == f64:  # the square root's own error is worth a digit here
        correction = fma(-s, s, z) / (s + s + FORMAT[f64].smallest_normal)
        result = select(outer, high - (2.0 * s + (2.0 * (tail + correction) - low)), result)
    return with_sign_of(result, x)


asin_f32, asin_f64 = helper(inverse_sine, "asin_f32"), helper(inverse_sine, "asin_f64")


def inverse_cosine(x: Scalar) -> Scalar:
    """Inverse cosine. pi/2 - asin(x) for |x| <= 1/2; from asin(sqrt((1 - |x|) / 2)) beyond."""
    a = absolute(x)
    outer = a > 0.5
    z = select(outer, 0.5 * (1.0 - a), a * a)
    s = select(outer, square_root(z), x)
    tail = s * z * polynomial(z, ASIN_TAIL[x.dtype])
    high, low = (as_type(part, x.dtype) for part in PI_HALF_PARTS[x.dtype])
    inner = high - (s - (low - tail))
    near_one = 2.0 * (s + tail)
    near_minus_one = 2.0 * (high - (s - (low - tail)))
    return select(outer, select(x < 0.0, near_minus_one, near_one), inner)


acos_f32, acos_f64 = helper(inverse_cosine, "acos_f32"), helper(inverse_cosine, "acos_f64")


def angle(numerator: Scalar, denominator: Scalar, start: Scalar, start_low: Scalar) -> Scalar:
    """start + atan(numerator / denominator), for quotients up to tan(pi/8)."""
    t = numerator / denominator
    z = t * t
    return start + (t + fma(t * z, polynomial(z, ATAN_TAIL[t.dtype]), start_low))


def inverse_tangent(x: Scalar) -> Scalar:
    """Inverse tangent. From pi/2, pi/4 or 0 and one quotient of at most tan(pi/8) (Cephes's ranges)."""
    a = absolute(x)
    constant = functools.partial(as_type, dtype=x.dtype)
    steep, middle = a > 2.414213562373095, a > 0.4142135623730950
    high, low = PI_HALF_PARTS[x.dtype]
    numerator = select(steep, constant(-1.0), select(middle, a - 1.0, a))
    denominator = select(steep, a, select(middle, a + 1.0, constant(1.0)))
    start = select(steep, constant(high), select(middle, constant(high / 2), constant(0.0)))
    start_low = select(steep, constant(low), select(middle, constant(low / 2), constant(0.0)))
    return with_sign_of(angle(numerator, denominator, start, start_low), x)


atan_f32, atan_f64 = helper(inverse_tangent, "atan_f32"), helper(inverse_tangent, "atan_f64")


def inverse_tangent_of_quotient(y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y), from -pi to pi, with C's special values."""
    constant = functools.partial(as_type, dtype=x.dtype)
    number = FORMAT[x.dtype]
    high, low = PI_HALF_PARTS[x.dtype]
    a, b = absolute(y), absolute(x)
    both_infinite = (a == inf) & (b == inf)
    a, b = select(both_infinite, constant(1.0), a), select(both_infinite, constant(1.0), b)
    swap = a > b
    small, large = select(swap, b, a), select(swap, a, b)
    lift = select(large < 2.0**-number.half_range, constant(2.0**number.half_range), constant(1.0))
    factor = select(large > 2.0 ** (number.bias - 1), constant(0.25), lift)  # neither the sum nor a product leaves the range
    small, large = small * factor, large * factor
    middle = small > large * 0.4142135623730950
    numerator = select(middle, small - large, small)
    denominator = select(middle, small + large, select(large == 0.0, constant(1.0), large))
    start, start_low = select(middle, constant(high / 2), constant(0.0)), select(middle, constant(low / 2), constant(0.0))
    first = angle(numerator, denominator, start, start_low)
    first = select(swap, constant(high) - (first - low), first)
    left = bits_of(x) < 0
    result = select(left, constant(2 * high) - (first - 2 * low), first)
    return with_sign_of(result, y)


atan2_f32, atan2_f64 = helper(inverse_tangent_of_quotient, "atan2_f32"), helper(inverse_tangent_of_quotient, "atan2_f64")


# --- powers and roots -------------------------------------------------------------------------------------------------------


def power_domain(x: Scalar, y: Scalar, magnitude: Scalar) -> Scalar:
    """x**y from |x|**y: signs and the special values of C's pow."""
    constant = functools.partial(as_type, dtype=x.dtype)
    half = 0.5 * y
    whole = round_to_zero(y) == y
    odd = whole & (round_to_zero(half) != half) & (absolute(y) < inf)
    negative = bits_of(x) < 0
    result = select(negative & odd, -magnitude, magnitude)
    result = select((x < 0.0) & ~whole & (x > -inf), constant(nan), result)
    result = select((absolute(x) == 1.0) & (absolute(y) == inf), constant(1.0), result)
    return select((y == 0.0) | (x == 1.0), constant(1.0), result)


LOG2_TAIL = (0.9617966939259756, 0.5770780163555853, 0.4121985831111324, 0.3205988979753252, 0.2623081892525388)
# 2/ln2 * (1/3, 1/5, ...): atanh's series, cut after s**11 and so within 2**-36 on the interval, for float32 alone


@helper
def pow_f32(x: Scalar, y: Scalar) -> Scalar:
    """x**y, with C's special values. 2**(y log2|x|) in float64 with polynomials that suffice for float32."""
    a = absolute(x)
    wide = convert(a, f64)
    shifted = bits_of(wide, signed=False) + (FORMAT[f64].one - FORMAT[f64].root_half)
    e = exponent_as_float(shifted) - 1023.0
    m = float_of((shifted & FORMAT[f64].fraction_mask) + FORMAT[f64].root_half)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    log2 = e + s * (2 / LN2 + z * polynomial(z, LOG2_TAIL))
    log2 = select(a > 0.0, select(a < inf, log2, wide), as_type(-inf, f64))
    log2 = select(a == a, log2, as_type(nan, f64))
    product = at_most(at_least(convert(y, f64) * log2, -200.0), 200.0)
    t = product + FORMAT[f64].magic
    r = (product - (t - FORMAT[f64].magic)) * LN2
    power = polynomial(r, (1.0, 1.0, 0.5, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320)) * power_of_two(t, 0)
    return power_domain(x, y, convert(power, f32))


@helper
def pow_f64(x: Scalar, y: Scalar) -> Scalar:
    """x**y, with C's special values. log2|x| and its product with y as unevaluated sums of two numbers."""
    a = absolute(x)
    subnormal = a < FORMAT[f64].smallest_normal
    biased, m = split_exponent(select(subnormal, a * 2.0**52, a))
    e = biased - select(subnormal, as_type(1075.0, f64), as_type(1023.0, f64))
    log2, log2_low = logarithm_in_two_parts(m)
    log2, carry = fast_two_sum_or_first(e, log2)
    log2_low = log2_low + carry
    log2, log2_low = fast_two_sum(log2, log2_low)
    log2 = select(a > 0.0, select(a < inf, log2, a), as_type(-inf, f64))
    log2 = select(a == a, log2, as_type(nan, f64))
    product, error = two_product(y, log2)
    error = fma(y, log2_low, error)
    product = at_most(at_least(product, -1100.0), 1100.0)
    magic, factor = two_scales(product)
    t = product + magic
    fraction = product - (t - magic)
    error = select(absolute(error) < 1.0, error, as_type(0.0, f64))  # where it is not, the result is 0, infinite or NaN
    r = fraction * LN2
    r_low = fma(fraction, as_type(LN2, f64), -r) + fma(fraction, as_type(2.3190468138462996e-17, f64), error * LN2)
    grown = exponential_less_one(r)
    power = 1.0 + fma(r_low, 1.0 + grown, grown)
    return power_domain(x, y, power * exponent_from(t) * factor)


def fast_two_sum_or_first(e: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, error) of e + b for an integer e and |b| < 1; the order of magnitudes holds unless e is 0, where the error is 0."""
    s = e + b
    return s, b - (s - e)


def logarithm_in_two_parts(m: Scalar) -> tuple[Scalar, Scalar]:
    """(high, low): log2(m) for m in [sqrt(1/2), sqrt(2)), to about 2**-66 of its value.

    With s = (m - 1) / (m + 1), log(m) = 2s + 2/3 s**3 + s**5 P(s**2); the first two terms in two parts each.
    """
    numerator, (denominator, denominator_low) = m - 1.0, two_sum(m, as_type(1.0, f64))
    s = numerator / denominator
    s_low = (fma(-s, denominator, numerator) - s * denominator_low) / denominator
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    # the factor of s: 2 + z (2/3 + z P(z))
    third, third_low = 0.6666666666666666, 3.700743415417188e-17
    rest = z * polynomial(z, ATANH_REST)
    inner, inner_low = fast_two_sum(as_type(third, f64), rest)
    inner_low = inner_low + third_low
    term, term_low = two_product(z, inner)
    term_low = fma(z, inner_low, fma(z_low, inner, term_low))
    factor, factor_low = fast_two_sum(as_type(2.0, f64), term)
    factor_low = factor_low + term_low
    log, log_low = two_product(s, factor)
    log_low = fma(s, factor_low, fma(s_low, factor, log_low))
    log, log_low = fast_two_sum(log, log_low)
    inverse, inverse_low = 1 / LN2, 2.0355273740931033e-17
    high, low = two_product(log, as_type(inverse, f64))
    return fast_two_sum(high, fma(log, as_type(inverse_low, f64), fma(log_low, as_type(inverse, f64), low)))


ATANH_REST = (  # (2 atanh(s) - 2s - 2/3 s**3) / s**5 as a polynomial in s**2: own minimax fit, error 2**-66 of the logarithm
    0.3999999999999998, 0.28571428571445234, 0.2222222221750729, 0.18181818873842118, 0.15384556632955748, 0.13336326501642012,
    0.116746353116249, 0.11990531248683192,
)  # fmt: skip


def cube_root(x: Scalar) -> Scalar:
    """cbrt(x): |x| = m 8**q with m in [1, 8), a cubic in m, Halley's steps, a last correction by the residual."""
    number = FORMAT[x.dtype]
    a = absolute(x)
    tiny = a < number.smallest_normal
    lift = 3 * (number.fraction_bits // 3 + 1)
    lifted = bits_of(select(tiny, a * 2.0**lift, a), signed=False)
    exponent = exponent_as_float(lifted) - number.bias
    q = round_down(exponent * as_type(1 / 3, x.dtype) + as_type(1 / 6, x.dtype))
    left_over = exponent - 3.0 * q
    m = float_of((lifted & number.fraction_mask) | number.one)
    m = m * select(left_over > 1.5, as_type(4.0, x.dtype), select(left_over > 0.5, as_type(2.0, x.dtype), as_type(1.0, x.dtype)))
    root = polynomial(m, (0.681873468979402, 0.3643027418140179, -0.04324357102850201, 0.0023078689811443535))
    for _ in range(1 if x.dtype == f32 else 2):  # Halley: each step trebles the 7.6 bits
        cube = root * root * root
        root = root - root * (cube - m) / (2.0 * cube + m)
    square = root * root
    residual = fma(square, root, -m) + fma(root, root, -square) * root
    root = root - residual / (3.0 * square)
    shift = q - select(tiny, as_type(lift // 3, x.dtype), as_type(0.0, x.dtype))
    result = root * power_of_two(shift + as_type(number.magic, x.dtype), 0)
    return select((a > 0.0) & (a < inf), with_sign_of(result, x), x + x)


cbrt_f32, cbrt_f64 = helper(cube_root, "cbrt_f32"), helper(cube_root, "cbrt_f64")


sqrt_f32, sqrt_f64 = helper(square_root, "sqrt_f32"), helper(square_root, "sqrt_f64")


def reciprocal_square_root(x: Scalar) -> Scalar:
    """1 / sqrt(x): two correctly rounded instructions."""
    return 1.0 / square_root(x)


rsqrt_f32, rsqrt_f64 = helper(reciprocal_square_root, "rsqrt_f32"), helper(reciprocal_square_root, "rsqrt_f64")


# --- rounding, comparing, remainders ----------------------------------------------------------------------------------------


floor_f32, floor_f64 = helper(round_down, "floor_f32"), helper(round_down, "floor_f64")


ceil_f32, ceil_f64 = helper(round_up, "ceil_f32"), helper(round_up, "ceil_f64")


trunc_f32, trunc_f64 = helper(round_to_zero, "trunc_f32"), helper(round_to_zero, "trunc_f64")


round_f32, round_f64 = helper(round_to_even, "round_f32"), helper(round_to_even, "round_f64")


maximum_f32, maximum_f64 = helper(greater, "maximum_f32", operands=2), helper(greater, "maximum_f64", operands=2)


minimum_f32, minimum_f64 = helper(lesser, "minimum_f32", operands=2), helper(lesser, "minimum_f64", operands=2)


abs_f32, abs_f64 = helper(absolute, "abs_f32"), helper(absolute, "abs_f64")


copysign_f32, copysign_f64 = helper(with_sign_of, "copysign_f32", operands=2), helper(with_sign_of, "copysign_f64", operands=2)


def sign_of(x: Scalar) -> Scalar:
    """1, -1 or 0; NaN for NaN."""
    one = with_sign_of(as_type(1.0, x.dtype), x)
    return select(absolute(x) > 0.0, one, absolute(x))


sign_f32, sign_f64 = helper(sign_of, "sign_f32"), helper(sign_of, "sign_f64")


def floored_remainder(x: Scalar, y: Scalar) -> Scalar:
    """np.mod: x - floor(x / y) y with the sign of y, exact for |x / y| < 2**100 (beyond, 0): two steps of 50 bits each."""
    remainder = x
    for _ in range(2):
        quotient = round_to_zero(remainder / y)
        remainder = select(absolute(quotient) < inf, fma(-quotient, y, remainder), remainder)
    remainder = select((absolute(y) == inf) & (absolute(x) < inf), x, remainder)
    remainder = select((absolute(x) < inf) & (absolute(y) > 0.0), remainder, as_type(nan, x.dtype))
    remainder = select(absolute(remainder) > absolute(y), as_type(0.0, x.dtype), remainder)  # a quotient beyond 2**100
    wrong = (remainder != 0.0) & ((remainder < 0.0) != (y < 0.0))
    return select(remainder == 0.0, with_sign_of(remainder, y), select(wrong, remainder + y, remainder))


@helper
def mod_f32(x: Scalar, y: Scalar) -> Scalar:
    """np.mod(x, y): the remainder with the sign of y, by way of float64."""
    return convert(floored_remainder(convert(x, f64), convert(y, f64)), f32)


@helper
def mod_f64(x: Scalar, y: Scalar) -> Scalar:
    """np.mod(x, y): the remainder with the sign of y."""
    return floored_remainder(x, y)


# --- bits -------------------------------------------------------------------------------------------------------------------


bits_of_f32 = helper(bits_of, "bits_of_f32", operands=1, result_dtype=i32)
bits_of_f64 = helper(bits_of, "bits_of_f64", operands=1, result_dtype=i64)
float_of_i32 = helper(float_of, "float_of_i32", result_dtype=f32)
float_of_i64 = helper(float_of, "float_of_i64", result_dtype=f64)
