"""Vector maths: accuracy in ULP against longer references, special values, integers, and that loops over the helpers vectorise.

Every helper is tried as it will be used, in a loop over raw pointers compiled with the flags of our kernels, and once more as
plain Python on NumPy arrays. References: float64 NumPy for float32 (a stride over all bit patterns), mpmath for the rest.
"""

from __future__ import annotations

import ctypes
import functools
import math
import re
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from numba import cfunc, types

from graphflow.codegen import integer_math, numba_helpers, special_math, vector_math
from graphflow.codegen.accuracy import ULP_BOUNDS
from graphflow.codegen.emit import helper_modules
from graphflow.codegen.tracing import DTYPES, SIGNED_BITS, f32, f64

STRIDE = 4001  # of the float32 bit patterns; a prime, so that all exponents and signs occur
FLAGS = {"reassoc", "contract"}  # of our kernels
inf, nan = math.inf, math.nan

BINARY = ("pow", "atan2", "mod", "maximum", "minimum", "copysign", "floordiv")
NUMPY_REFERENCES = {  # float64 functions, long enough as references for float32
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "cbrt": np.cbrt,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.logaddexp(0, x),
}  # fmt: skip
MPMATH_REFERENCES = {
    "exp": mpmath.exp, "exp2": lambda x: mpmath.mpf(2) ** x, "expm1": mpmath.expm1, "log": mpmath.log,
    "log2": lambda x: mpmath.log(x, 2), "log10": mpmath.log10, "log1p": mpmath.log1p, "tanh": mpmath.tanh, "sinh": mpmath.sinh,
    "cosh": mpmath.cosh, "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh, "sin": mpmath.sin,
    "cos": mpmath.cos, "tan": mpmath.tan, "asin": mpmath.asin, "acos": mpmath.acos, "atan": mpmath.atan,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), "sqrt": mpmath.sqrt, "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "erf": mpmath.erf, "erfc": mpmath.erfc, "erfinv": mpmath.erfinv, "digamma": mpmath.digamma,
    "lgamma": lambda x: mpmath.re(mpmath.loggamma(x)),
}  # fmt: skip
INTERVALS = {  # where a function is tried most densely, and all that float64 is tried on beside the edges
    "exp": (-750, 715), "exp2": (-1080, 1030), "expm1": (-45, 715), "sinh": (-712, 712), "cosh": (-712, 712), "tanh": (-25, 25),
    "sigmoid": (-750, 50), "softplus": (-750, 50), "log": (0, 4), "log2": (0, 4), "log10": (0, 4), "log1p": (-1, 3),
    "asinh": (-5, 5), "acosh": (1, 5), "atanh": (-1, 1), "asin": (-1, 1), "acos": (-1, 1), "atan": (-8, 8), "sin": (-50, 50),
    "cos": (-50, 50), "tan": (-50, 50), "cbrt": (-9, 9), "sqrt": (0, 9), "rsqrt": (0, 9), "erf": (-6.5, 6.5), "erfc": (-6.5, 27),
    "erfinv": (-1, 1), "lgamma": (-9, 20), "digamma": (-9, 20),
}  # fmt: skip
SPECIAL = (0.0, -0.0, inf, -inf, nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)


# --- kernels ----------------------------------------------------------------------------------------------------------------


assert numba_helpers.HELPERS  # importing it tells numba of the helpers
MODULES = {"vector_math": vector_math, "special_math": special_math, "integer_math": integer_math}


def helper_named(name: str) -> Callable[..., np.ndarray]:
    """The helper, from the module that emitted source would import it from."""
    (function,) = (getattr(module, name) for key, module in MODULES.items() if name in helper_modules()[key])
    return function


class Kernel:
    """A compiled loop over one helper."""

    def __init__(self, name: str) -> None:
        base, _, suffix = name.rpartition("_")
        self.helper: Callable[..., np.ndarray] = helper_named(name)
        self.dtype = DTYPES[suffix]
        function, pointer = self.helper, types.CPointer(types.__dict__[self.dtype.name])
        if base in BINARY:

            @cfunc(types.void(pointer, pointer, pointer, types.int64), fastmath=FLAGS, error_model="numpy")
            def loop(x, y, out, n):
                for i in range(n):
                    out[i] = function(x[i], y[i])

        else:

            @cfunc(types.void(pointer, pointer, types.int64), fastmath=FLAGS, error_model="numpy")
            def loop(x, out, n):
                for i in range(n):
                    out[i] = function(x[i])

        self.compiled = loop

    def __call__(self, *operands: np.ndarray) -> np.ndarray:
        operands = tuple(np.ascontiguousarray(operand, self.dtype) for operand in operands)
        out = np.empty_like(operands[0])
        arguments = [operand.ctypes.data for operand in (*operands, out)]
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arguments), ctypes.c_int64)
        signature(self.compiled.address)(*arguments, out.size)
        return out


kernel = functools.cache(Kernel)


def both_ways(name: str, *operands: np.ndarray) -> list[np.ndarray]:
    """What the compiled loop gives, and what the helper gives as plain Python."""
    return [kernel(name)(*operands), np.asarray(kernel(name).helper(*operands))]


# --- errors in ULP ----------------------------------------------------------------------------------------------------------


def ulp_of(reference: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The distance of neighbours of `dtype` at the reference, which is of a longer type."""
    information = np.finfo(dtype)
    magnitude = np.clip(np.abs(reference), float(information.smallest_normal), float(information.max))
    _, exponent = np.frexp(magnitude)
    return np.ldexp(np.ones_like(magnitude), exponent - 1 - information.nmant)


def float32_errors(result: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Errors of float32 results in ULP; infinite where NaN, infinity or the sign of zero is wrong."""
    with np.errstate(all="ignore"):
        rounded = reference.astype(np.float32)
        errors = np.abs(result.astype(np.float64) - reference) / ulp_of(reference, result.dtype)
    exact = (result == rounded) & ~np.isfinite(rounded) | np.isnan(result) & np.isnan(rounded)
    errors = np.where(exact, 0, np.where(np.isnan(errors), inf, errors))
    return np.where((rounded == 0) & (result == 0) & (np.signbit(rounded) != np.signbit(result)), inf, errors)


def mpmath_errors(result: np.ndarray, references: list[mpmath.mpf], least: float = 0.0) -> np.ndarray:
    """Errors in ULP of finite results against mpmath numbers; ULP of `least` where the reference is smaller."""
    information = np.finfo(result.dtype)
    errors = []
    for value, reference in zip(result.tolist(), references, strict=True):
        if not math.isfinite(value):
            overflows = abs(reference) >= mpmath.mpf(float(information.max)) * (1 + mpmath.mpf(2) ** (-information.nmant - 2))
            errors.append(0.0 if overflows and value == math.copysign(inf, reference) else inf)
            continue
        magnitude = max(abs(reference), mpmath.mpf(float(information.smallest_normal)), mpmath.mpf(least))
        exponent = int(mpmath.floor(mpmath.log(magnitude, 2)))
        errors.append(float(abs(mpmath.mpf(value) - reference) / mpmath.mpf(2) ** (exponent - information.nmant)))
    return np.array(errors)


def assert_within(name: str, errors: np.ndarray, result: np.ndarray, *operands: np.ndarray) -> None:
    worst = int(np.argmax(errors))
    at = ", ".join(repr(operand[worst]) for operand in operands)
    bound = ULP_BOUNDS[name]
    assert errors[worst] <= bound, f"{name}({at}) = {result[worst]!r}: {errors[worst]:.3f} ULP, bound {bound}"


# --- samples ----------------------------------------------------------------------------------------------------------------


def all_over_float32() -> np.ndarray:
    return np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)


def neighbours(values: list[float], dtype: np.dtype) -> np.ndarray:
    """The values and three numbers on either side of each."""
    centre = np.array(values, dtype)
    integers = centre.view(SIGNED_BITS[dtype])[:, None] + np.arange(-3, 4, dtype=SIGNED_BITS[dtype])
    return integers.astype(SIGNED_BITS[dtype]).ravel().view(dtype)


def float32_samples(base: str) -> np.ndarray:
    low, high = INTERVALS[base]
    low, high = max(low, -152), min(high, 130)
    edges = [1.0, 0.5, 88.722839, 89.415986, 103.97208, 128.0, 126.0, 149.0, 0.55, 0.34657359, 0.70710678, 1.4142136, 9.011]
    edges += [1.1754944e-38, 1e-44, 3.4028235e38, 2.0**23, 2.0**24, 2.0**-24, 2.0**-12, 2.0**50, 2.0**77, 2.0**104, 17.33]
    edges += [0.41421356, 2.4142136]
    edges += [1.5707964, 3.1415927, 16367173 * 2.0**72]  # the last: the float32 closest to a multiple of pi/2
    both_signs = neighbours(edges + [-edge for edge in edges], f32)
    dense = np.linspace(low, high, 20_001).astype(np.float32)
    return np.concatenate([all_over_float32(), dense, both_signs, np.array(SPECIAL, np.float32)])


def few_samples(base: str, dtype: np.dtype) -> np.ndarray:
    """Some hundred finite numbers in the function's domain."""
    rng = np.random.default_rng(7)
    low, high = INTERVALS[base]
    largest = 1000 if dtype == f64 else 120
    numbers = [rng.uniform(low, high, 300), rng.uniform(-2, 2, 100), 2.0 ** rng.uniform(-largest, largest, 60)]
    numbers += [-(2.0 ** rng.uniform(-largest, largest, 60)), 1 + 2.0 ** rng.uniform(-50, -1, 40), 2.0 ** rng.uniform(-30, 1, 60)]
    numbers += [1 - 2.0 ** rng.uniform(-50, -1, 40), -(2.0 ** rng.uniform(-30, 1, 60)), [0.5, 0.25, 0.55, math.sqrt(0.5), 0.75]]
    if dtype == f64:
        numbers += [[5e-324, 2.2250738585072014e-308, 1e-310, -1e-310, 1.7976931348623157e308, 6381956970095103 * 2.0**797]]
    x = np.concatenate(numbers).astype(dtype)
    x = x[np.isfinite(x)]
    if base in ("sqrt", "rsqrt", "log", "log2", "log10"):
        return x[x > 0]
    if base in ("asin", "acos"):
        return x[np.abs(x) <= 1]
    if base in ("atanh", "erfinv"):
        return x[np.abs(x) < 1]
    if base == "log1p":
        return x[x > -1]
    if base == "acosh":
        return x[x >= 1]
    if base in ("lgamma", "digamma"):
        return x[((x > 0) | ((x > -20) & (x != np.floor(x)))) & (np.abs(x) > 1e-290)]
    if base in ("exp", "exp2", "expm1", "sinh", "cosh", "softplus", "sigmoid", "erfc"):
        return x[np.abs(x) < 2000]  # beyond: infinite or zero, and mpmath would take long
    return x


# --- accuracy ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", NUMPY_REFERENCES)
def test_float32_all_over(base: str) -> None:
    name = f"{base}_f32"
    x = float32_samples(base)
    with np.errstate(all="ignore"):
        reference = NUMPY_REFERENCES[base](x.astype(np.float64))
    for result, every in zip(both_ways(name, x), (1, 7), strict=True):
        assert_within(name, float32_errors(result, reference)[::every], result[::every], x[::every])


TRIED_ON_SAMPLES = [f"{base}_f64" for base in MPMATH_REFERENCES]
TRIED_ON_SAMPLES += [f"{base}_f32" for base in MPMATH_REFERENCES if base not in NUMPY_REFERENCES]


@pytest.mark.parametrize("name", TRIED_ON_SAMPLES)
def test_against_mpmath(name: str) -> None:
    base, _, suffix = name.rpartition("_")
    x = few_samples(base, DTYPES[suffix])
    with mpmath.workdps(40 if base != "erfinv" else 60):
        references = [exact(base, value) for value in x.tolist()]
        for result in both_ways(name, x):
            errors = mpmath_errors(result, references)
            if base in ("lgamma", "digamma"):
                errors = np.where(x > 0, errors, mpmath_errors(result, references, least=1.0))
            assert_within(name, errors, result, x)


def exact(base: str, value: float) -> mpmath.mpf:
    x = mpmath.mpf(value)
    if base in ("sin", "cos", "tan"):  # 40 digits after the reduction of 1e308
        with mpmath.workdps(380):
            return +MPMATH_REFERENCES[base](x)
    if base in ("expm1", "log1p", "sigmoid", "softplus", "tanh", "sinh", "atanh", "asinh", "acosh", "erfinv"):
        with mpmath.workdps(400 if abs(x) < 1e-20 else 60):
            return +MPMATH_REFERENCES[base](x)
    return mpmath.mpf(MPMATH_REFERENCES[base](x))


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("base", ["pow", "atan2"])
def test_binary_against_mpmath(base: str, suffix: str) -> None:
    dtype = DTYPES[suffix]
    name, rng, n = f"{base}_{suffix}", np.random.default_rng(11), 1500
    if base == "pow":
        x = np.concatenate([np.exp(rng.uniform(-6, 6, n)), rng.uniform(0.99, 1.01, n)]).astype(dtype)
        largest = 740 if suffix == "f64" else 102
        y = (rng.uniform(-1, 1, 2 * n) * largest / np.abs(np.log(x.astype(np.float64)))).astype(dtype)
        reference = mpmath.power
    else:
        x, y = ((rng.standard_normal(2 * n) * np.exp(rng.uniform(-9, 9, 2 * n))).astype(dtype) for _ in range(2))
        reference = mpmath.atan2
    with mpmath.workdps(40):
        references = [reference(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        for result in both_ways(name, x, y):
            assert_within(name, mpmath_errors(result, references), result, x, y)


# --- special values ---------------------------------------------------------------------------------------------------------

EXACT = [  # function, operand, result: the same bits, NaN apart
    ("exp", -inf, 0.0), ("exp", inf, inf), ("exp", nan, nan), ("exp", 0.0, 1.0), ("exp", 1e4, inf), ("exp", -1e4, 0.0),
    ("exp2", -inf, 0.0), ("exp2", 10.0, 1024.0), ("exp2", -126.0, 2.0**-126), ("exp2", -140.0, 2.0**-140), ("exp2", nan, nan),
    ("expm1", -0.0, -0.0), ("expm1", 0.0, 0.0), ("expm1", -inf, -1.0), ("expm1", inf, inf), ("expm1", nan, nan),
    ("log", 0.0, -inf), ("log", -0.0, -inf), ("log", -1.0, nan), ("log", inf, inf), ("log", -inf, nan), ("log", 1.0, 0.0),
    ("log2", 8.0, 3.0), ("log2", 2.0**-140, -140.0), ("log2", 0.0, -inf), ("log2", -1.0, nan), ("log10", 1000.0, 3.0),
    ("log1p", -0.0, -0.0), ("log1p", 0.0, 0.0), ("log1p", -1.0, -inf), ("log1p", -2.0, nan), ("log1p", inf, inf),
    ("tanh", -0.0, -0.0), ("tanh", 0.0, 0.0), ("tanh", inf, 1.0), ("tanh", -inf, -1.0), ("tanh", nan, nan),
    ("sigmoid", inf, 1.0), ("sigmoid", -inf, 0.0), ("sigmoid", 0.0, 0.5), ("sigmoid", nan, nan),
    ("softplus", inf, inf), ("softplus", -inf, 0.0), ("softplus", nan, nan), ("softplus", 100.0, 100.0),
    ("sinh", -0.0, -0.0), ("sinh", inf, inf), ("sinh", -inf, -inf), ("cosh", -inf, inf), ("cosh", 0.0, 1.0), ("cosh", nan, nan),
    ("asinh", -0.0, -0.0), ("asinh", -inf, -inf), ("acosh", 1.0, 0.0), ("acosh", 0.5, nan), ("acosh", inf, inf),
    ("atanh", -0.0, -0.0), ("atanh", 1.0, inf), ("atanh", -1.0, -inf), ("atanh", 2.0, nan), ("atanh", nan, nan),
    ("sin", -0.0, -0.0), ("sin", inf, nan), ("sin", nan, nan), ("cos", -inf, nan), ("cos", 0.0, 1.0), ("tan", -0.0, -0.0),
    ("asin", -0.0, -0.0), ("asin", 1.5, nan), ("acos", 1.0, 0.0), ("acos", -1.5, nan), ("atan", -0.0, -0.0),
    ("cbrt", -0.0, -0.0), ("cbrt", 0.0, 0.0), ("cbrt", -27.0, -3.0), ("cbrt", -inf, -inf), ("cbrt", nan, nan),
    ("sqrt", -0.0, -0.0), ("sqrt", -1.0, nan), ("rsqrt", 0.0, inf), ("rsqrt", -0.0, -inf), ("rsqrt", inf, 0.0),
    ("rsqrt", -1.0, nan),
    ("erf", -0.0, -0.0), ("erf", inf, 1.0), ("erf", -inf, -1.0), ("erf", nan, nan),
    ("erfc", inf, 0.0), ("erfc", -inf, 2.0), ("erfc", 0.0, 1.0), ("erfc", nan, nan),
    ("erfinv", -0.0, -0.0), ("erfinv", 1.0, inf), ("erfinv", -1.0, -inf), ("erfinv", 1.5, nan), ("erfinv", nan, nan),
    ("lgamma", 1.0, 0.0), ("lgamma", 2.0, 0.0), ("lgamma", 0.0, inf), ("lgamma", -0.0, inf), ("lgamma", -3.0, inf),
    ("lgamma", inf, inf), ("lgamma", -inf, inf), ("lgamma", nan, nan),
    ("digamma", 0.0, -inf), ("digamma", -0.0, inf), ("digamma", -2.0, nan), ("digamma", inf, inf), ("digamma", nan, nan),
    ("floor", -0.5, -1.0), ("ceil", -0.5, -0.0), ("round", -0.4, -0.0), ("round", 2.5, 2.0), ("round", -3.5, -4.0),
    ("round", inf, inf), ("trunc", -1.9, -1.0), ("trunc", -0.9, -0.0), ("floor", nan, nan), ("abs", -0.0, 0.0),
    ("sign", nan, nan), ("sign", -3.0, -1.0), ("sign", 0.0, 0.0), ("sign", inf, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["f32", "f64"])
def test_special_values(suffix: str) -> None:
    for base, operand, expected in EXACT:
        x = np.array([operand], DTYPES[suffix])
        for result in both_ways(f"{base}_{suffix}", x):
            np.testing.assert_array_equal(result, x.dtype.type(expected), err_msg=f"{base}_{suffix}({operand})")
            assert math.isnan(expected) or np.signbit(result[0]) == np.signbit(expected), f"{base}_{suffix}({operand})"


PAIRS = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 7.5, -7.5, 1e9, -1e9, 1e9 + 64, 1e-9, 1e-40, inf, -inf, nan)
PAIRS += (2.0**24 + 2,)


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("reference", [np.power, np.arctan2, np.mod, np.maximum, np.minimum, np.copysign])
def test_special_pairs(reference: np.ufunc, suffix: str) -> None:
    base = {"power": "pow", "arctan2": "atan2", "remainder": "mod"}.get(reference.__name__, reference.__name__)
    dtype, name = DTYPES[suffix], f"{base}_{suffix}"
    x, y = (grid.ravel() for grid in np.meshgrid(np.array(PAIRS, dtype), np.array(PAIRS, dtype)))
    with np.errstate(all="ignore"):
        quotient = np.abs(x.astype(np.float64) / y)
        if base == "mod":  # see its docstring
            x, y = (operand[(quotient < 2.0**100) | ~np.isfinite(quotient)] for operand in (x, y))
        expected = reference(x, y)
    for result in both_ways(name, x, y):
        tolerance = 3 * np.finfo(dtype).eps if base in ("pow", "atan2") else 0
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=0, err_msg=name)
        zero = (expected == 0) & (base not in ("maximum", "minimum"))
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]), err_msg=name)


def test_remainders_of_random_pairs_are_exact() -> None:
    rng = np.random.default_rng(2)
    for suffix in ("f32", "f64"):
        dtype = DTYPES[suffix]
        x, y = ((rng.standard_normal(20_000) * np.exp(rng.uniform(-12, 12, 20_000))).astype(dtype) for _ in "xy")
        for result in both_ways(f"mod_{suffix}", x, y):
            np.testing.assert_array_equal(result, np.mod(x, y))


def test_bits() -> None:
    x = np.array([1.0, -0.0, inf])
    assert vector_math.bits_of_f32(np.float32(1)) == 0x3F800000
    assert vector_math.float_of_i32(np.int32(0x3F800000)) == np.float32(1)
    np.testing.assert_array_equal(vector_math.float_of_i64(vector_math.bits_of_f64(x)), x)


# --- integers ---------------------------------------------------------------------------------------------------------------

INTEGERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]


def integer_pairs(suffix: str) -> tuple[np.ndarray, np.ndarray]:
    dtype, rng = DTYPES[suffix], np.random.default_rng(3)
    limits = np.iinfo(dtype)
    edges = [limits.min, limits.min + 1, limits.max, limits.max - 1, 0, 1, 2, 3, 7] + ([-1, -2, -3] if dtype.kind == "i" else [])
    x, y = (grid.ravel() for grid in np.meshgrid(np.array(edges, dtype), np.array(edges, dtype)))
    large = [rng.integers(limits.min, limits.max, 2000, dtype) for _ in range(3)]
    return np.concatenate([x, *large[:2]]), np.concatenate([y, large[2], rng.integers(1, 100, 2000).astype(dtype)])


@pytest.mark.parametrize("suffix", INTEGERS)
def test_integer_division(suffix: str) -> None:
    x, y = integer_pairs(suffix)
    with np.errstate(all="ignore"):
        quotients, remainders = np.floor_divide(x, y), np.remainder(x, y)
    for result in both_ways(f"floordiv_{suffix}", x, y):
        np.testing.assert_array_equal(result, quotients)
    for result in both_ways(f"mod_{suffix}", x, y):
        np.testing.assert_array_equal(result, remainders)


@pytest.mark.parametrize("suffix", INTEGERS)
def test_integer_power_wraps(suffix: str) -> None:
    x, y = integer_pairs(suffix)
    x, y = x[:1000], y[:1000]
    modulus = 2 ** (8 * x.dtype.itemsize)

    def power(base: int, exponent: int) -> int:
        if exponent < 0:
            return {1: 1, -1: -1 if exponent % 2 else 1}.get(base, 0) % modulus
        return pow(base, exponent, modulus)

    wrapped = [power(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    expected = np.array(wrapped, np.uint64).astype(x.dtype)
    for result in both_ways(f"pow_{suffix}", x, y):
        np.testing.assert_array_equal(result, expected)


# --- vectorisation ----------------------------------------------------------------------------------------------------------

SCALAR = {f"{base}_{suffix}" for base in ("floordiv", "mod") for suffix in ("i64", "u64")}  # no vector division of integers
SCALAR |= {f"pow_{suffix}" for suffix in INTEGERS}  # a loop inside
HELPERS = [
    f"{base}_{suffix}"
    for base in [*MPMATH_REFERENCES, "pow", "atan2", "mod", "maximum", "minimum", "copysign", "floor", "round", "sign"]
    for suffix in ("f32", "f64")
] + [f"{base}_{suffix}" for base in ("floordiv", "mod") for suffix in INTEGERS]


@pytest.mark.parametrize("name", [name for name in HELPERS if name not in SCALAR])
def test_loop_vectorises(name: str) -> None:
    code = kernel(name).compiled.inspect_llvm()
    element = {"f32": "float", "f64": "double"}.get(name.rpartition("_")[2], r"i\d+")
    widths = [int(width) for width in re.findall(rf"<(\d+) x {element}>", code)]
    assert widths, f"no vector code for a loop of {name}"
    assert max(widths) >= (2 if name.endswith("f64") else 4)
    assert not re.search(r"call [^@]*(float|double) @(?!llvm\.)", code), f"a function is called from a loop of {name}"


def test_maximum_vectorises_as_a_reduction() -> None:
    maximum, pointer = vector_math.maximum_f32, types.CPointer(types.float32)

    @cfunc(types.void(pointer, pointer, types.int64), fastmath=FLAGS, error_model="numpy")
    def loop(x, out, n):
        largest = np.float32(-np.inf)
        for i in range(n):
            largest = maximum(largest, x[i])
        out[0] = largest

    assert re.search(r"<\d+ x float>", loop.inspect_llvm())


def test_helpers_state_their_bounds() -> None:
    for name, bound in ULP_BOUNDS.items():
        assert helper_named(name).__doc__.endswith(f"Within {bound} ULP.")


def test_modules_are_read_for_their_helpers_alone() -> None:
    """What emitted source finds by reading the modules' text: every helper, nothing imported or internal, each in one module."""
    for key, module in MODULES.items():
        assert helper_modules()[key] == {name for name, value in vars(module).items() if hasattr(value, "py_func")}
    names = [name for known in helper_modules().values() for name in known]
    assert len(names) == len(set(names))
