"""Elementwise functions: exponentials, logarithms, powers, trigonometric, hyperbolic, error and gamma functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.ops import special
from graphflow.ops.arithmetic import conj
from graphflow.ops.declare import elementwise
from graphflow.ops.logic import equal, greater, less, logical_and, not_equal, where

# --- exponentials and logarithms ---------------------------------------------------------------------------------------


@elementwise(scalar="exp_{t}({0})", reference=np.exp, domain=(-4, 4), kinds="float complex", cost=7)
def exp(x):
    """Elementwise exponential, e**x."""


exp.defvjp(lambda g, out, x: g * conj(out))


@elementwise(scalar="exp2_{t}({0})", reference=np.exp2, domain=(-4, 4), kinds="float complex", host="complex", cost=7)
def exp2(x):
    """Elementwise 2**x."""


exp2.defvjp(lambda g, out, x: g * conj(out) * math.log(2))


@elementwise(scalar="expm1_{t}({0})", reference=np.expm1, domain=(-4, 4), kinds="float complex", host="complex", cost=14)
def expm1(x):
    """Elementwise e**x - 1, exact near 0."""


expm1.defvjp(lambda g, out, x: g * conj(out + 1))


@elementwise(scalar="log_{t}({0})", reference=np.log, domain=(0.1, 10), kinds="float complex", host="complex", cost=18)
def log(x):
    """Elementwise natural logarithm; NaN for negative operands."""


log.defvjp(lambda g, out, x: g / conj(x))


@elementwise(scalar="log2_{t}({0})", reference=np.log2, domain=(0.1, 10), kinds="float complex", host="complex", cost=18)
def log2(x):
    """Elementwise logarithm to base 2."""


log2.defvjp(lambda g, out, x: g / (conj(x) * math.log(2)))


@elementwise(scalar="log10_{t}({0})", reference=np.log10, domain=(0.1, 10), kinds="float complex", host="complex", cost=18)
def log10(x):
    """Elementwise logarithm to base 10."""


log10.defvjp(lambda g, out, x: g / (conj(x) * math.log(10)))


@elementwise(scalar="log1p_{t}({0})", reference=np.log1p, domain=(-0.8, 4), kinds="float complex", host="complex", cost=16)
def log1p(x):
    """Elementwise log(1 + x), exact near 0."""


log1p.defvjp(lambda g, out, x: g / conj(x + 1))


@elementwise(
    scalar="({0} + {T}(0.6931471805599453)) if {0} == {1} else maximum_{t}({0}, {1}) + log1p_{t}(exp_{t}(-abs({0} - {1})))",
    reference=np.logaddexp,
    domain=(-4, 4),
    kinds="float",
    cost=26,
)
def logaddexp(x, y):
    """Elementwise log(exp(x) + exp(y)), without overflow."""


def _share(x: Any, y: Any) -> Any:
    """exp(x) / (exp(x) + exp(y)), and a half where both are the same infinity."""
    infinite = logical_and(equal(x, y), not_equal(x - x, 0))
    return sigmoid(where(infinite, 0, x - y))


logaddexp.defvjp(lambda g, out, x, y: g * _share(x, y), lambda g, out, x, y: g * _share(y, x))


@elementwise(scalar="sigmoid_{t}({0})", reference=special.sigmoid, domain=(-4, 4), kinds="float", cost=11)
def sigmoid(x):
    """Elementwise logistic function, 1 / (1 + exp(-x))."""


sigmoid.defvjp(lambda g, out, x: g * out * (1 - out))


@elementwise(scalar="softplus_{t}({0})", reference=special.softplus, domain=(-4, 4), kinds="float", cost=14)
def softplus(x):
    """Elementwise log(1 + exp(x)), without overflow."""


softplus.defvjp(lambda g, out, x: g * sigmoid(x))

# --- powers and roots --------------------------------------------------------------------------------------------------


@elementwise(scalar="sqrt_{t}({0})", reference=np.sqrt, domain=(0.1, 4), kinds="float complex", host="complex", cost=6)
def sqrt(x):
    """Elementwise square root; NaN for negative operands."""


sqrt.defvjp(lambda g, out, x: g * 0.5 / conj(out))


@elementwise(
    scalar="rsqrt_{t}({0})",
    reference=lambda x: (1 / np.sqrt(x)).astype(x.dtype),
    domain=(0.1, 4),
    kinds="float complex",
    host="complex",
    cost=8,
)
def rsqrt(x):
    """Elementwise 1 / sqrt(x)."""


rsqrt.defvjp(lambda g, out, x: g * -0.5 * conj(out / x) if x.dtype.is_complex else g * -0.5 * out / x)


@elementwise(scalar="cbrt_{t}({0})", reference=np.cbrt, domain=(0.1, 4), kinds="float", cost=20)
def cbrt(x):
    """Elementwise cube root."""


cbrt.defvjp(lambda g, out, x: g / (3 * (out * out)))


_LONGER, _SHORTER = "maximum_{t}(abs({0}), abs({1}))", "minimum_{t}(abs({0}), abs({1}))"
_HYPOT = f"{_LONGER} * sqrt_{{t}}({{T}}(1) + {_SHORTER} / {_LONGER} * ({_SHORTER} / {_LONGER}))"


@elementwise(
    scalar="{T}(inf) if abs({0}) == {T}(inf) else {T}(inf) if abs({1}) == {T}(inf) else "
    f"{_LONGER} if {_LONGER} == {{T}}(0) else {_HYPOT}",
    reference=np.hypot,
    domain=(-4, 4),
    kinds="float",
    cost=20,
)
def hypot(x, y):
    """Elementwise length of (x, y), sqrt(x * x + y * y), without overflow; infinite if either is. Its gradient at 0 is 0."""


def _hypot_vjp(g: Any, out: Any, x: Any) -> Any:
    return g * (x / where(equal(out, 0), 1, out))


hypot.defvjp(lambda g, out, x, y: _hypot_vjp(g, out, x), lambda g, out, x, y: _hypot_vjp(g, out, y))


def _power_reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return special.integer_power(x, y) if x.dtype.kind in "iu" else np.power(x, y)


@elementwise(
    scalar="pow_{t}({0}, {1})",
    reference=_power_reference,
    domain=(0.2, 3),
    kinds="int uint float complex",
    host="complex",
    cost=30,
)
def power(x, y):
    """Elementwise x**y. Of integers, a negative exponent gives the quotient rounded towards zero, and 0 for x = 0."""


def _power_vjp_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    """y x**(y-1), and 0 for y = 0 whatever x is."""
    return g * conj(where(equal(y, 0), 0, y * power(x, y - 1)))


def _power_vjp_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    """x**y log(x), and 0 for real x <= 0, where powers exist at single exponents only."""
    return g * conj(where(not_equal(x, 0) if x.dtype.is_complex else greater(x, 0), out * log(x), 0))


power.defvjp(_power_vjp_base, _power_vjp_exponent)

# --- trigonometric -----------------------------------------------------------------------------------------------------


@elementwise(scalar="sin_{t}({0})", reference=np.sin, domain=(-4, 4), kinds="float complex", host="complex", cost=16)
def sin(x):
    """Elementwise sine of an angle in radians."""


sin.defvjp(lambda g, out, x: g * conj(cos(x)))


@elementwise(scalar="cos_{t}({0})", reference=np.cos, domain=(-4, 4), kinds="float complex", host="complex", cost=16)
def cos(x):
    """Elementwise cosine of an angle in radians."""


cos.defvjp(lambda g, out, x: -g * conj(sin(x)))


@elementwise(scalar="tan_{t}({0})", reference=np.tan, domain=(-1.2, 1.2), kinds="float complex", host="complex", cost=24)
def tan(x):
    """Elementwise tangent of an angle in radians."""


tan.defvjp(lambda g, out, x: g * conj(1 + out * out))


@elementwise(scalar="asin_{t}({0})", reference=np.arcsin, domain=(-0.9, 0.9), kinds="float complex", host="complex", cost=24)
def asin(x):
    """Elementwise arc sine, in radians."""


asin.defvjp(lambda g, out, x: g * conj(rsqrt((1 - x) * (1 + x))))


@elementwise(scalar="acos_{t}({0})", reference=np.arccos, domain=(-0.9, 0.9), kinds="float complex", host="complex", cost=24)
def acos(x):
    """Elementwise arc cosine, in radians."""


acos.defvjp(lambda g, out, x: -g * conj(rsqrt((1 - x) * (1 + x))))


@elementwise(scalar="atan_{t}({0})", reference=np.arctan, domain=(-4, 4), kinds="float complex", host="complex", cost=24)
def atan(x):
    """Elementwise arc tangent, in radians."""


atan.defvjp(lambda g, out, x: g / conj(1 + x * x))


@elementwise(scalar="atan2_{t}({0}, {1})", reference=np.arctan2, domain=(0.2, 2), kinds="float", cost=30)
def atan2(y, x):
    """Elementwise angle of the point (x, y), in radians, in the right quadrant."""


atan2.defvjp(lambda g, out, y, x: g * x / (x * x + y * y), lambda g, out, y, x: -g * y / (x * x + y * y))

# --- hyperbolic --------------------------------------------------------------------------------------------------------


@elementwise(scalar="tanh_{t}({0})", reference=np.tanh, domain=(-3, 3), kinds="float complex", host="complex", cost=10)
def tanh(x):
    """Elementwise hyperbolic tangent."""


tanh.defvjp(lambda g, out, x: g * conj(1 - out * out))


@elementwise(scalar="sinh_{t}({0})", reference=np.sinh, domain=(-3, 3), kinds="float complex", host="complex", cost=20)
def sinh(x):
    """Elementwise hyperbolic sine."""


sinh.defvjp(lambda g, out, x: g * conj(cosh(x)))


@elementwise(scalar="cosh_{t}({0})", reference=np.cosh, domain=(-3, 3), kinds="float complex", host="complex", cost=20)
def cosh(x):
    """Elementwise hyperbolic cosine."""


cosh.defvjp(lambda g, out, x: g * conj(sinh(x)))


@elementwise(scalar="asinh_{t}({0})", reference=np.arcsinh, domain=(-3, 3), kinds="float complex", host="complex", cost=24)
def asinh(x):
    """Elementwise inverse hyperbolic sine."""


asinh.defvjp(lambda g, out, x: g * conj(rsqrt(1 + x * x)))


@elementwise(scalar="acosh_{t}({0})", reference=np.arccosh, domain=(1.2, 4), kinds="float complex", host="complex", cost=24)
def acosh(x):
    """Elementwise inverse hyperbolic cosine; NaN below 1."""


def _acosh_vjp(g: Any, out: Any, x: Any) -> Any:
    """One root of a product where it is that of the roots, as for real numbers."""
    return g * conj(rsqrt(x - 1) * rsqrt(x + 1)) if x.dtype.is_complex else g * rsqrt((x - 1) * (x + 1))


acosh.defvjp(_acosh_vjp)


@elementwise(scalar="atanh_{t}({0})", reference=np.arctanh, domain=(-0.9, 0.9), kinds="float complex", host="complex", cost=24)
def atanh(x):
    """Elementwise inverse hyperbolic tangent; NaN outside -1..1."""


atanh.defvjp(lambda g, out, x: g / conj((1 - x) * (1 + x)))

# --- error and gamma functions -----------------------------------------------------------------------------------------


@elementwise(scalar="erf_{t}({0})", reference=special.erf, domain=(-2, 2), kinds="float", cost=14)
def erf(x):
    """Elementwise error function."""


erf.defvjp(lambda g, out, x: g * (2 / math.sqrt(math.pi)) * exp(-(x * x)))


@elementwise(scalar="erfc_{t}({0})", reference=special.erfc, domain=(-2, 2), kinds="float", cost=30)
def erfc(x):
    """Elementwise complementary error function, 1 - erf(x), exact for large x."""


erfc.defvjp(lambda g, out, x: g * (-2 / math.sqrt(math.pi)) * exp(-(x * x)))


@elementwise(scalar="erfinv_{t}({0})", reference=special.erfinv, domain=(-0.9, 0.9), kinds="float", cost=40)
def erfinv(x):
    """Elementwise inverse of the error function; infinite at -1 and 1, NaN outside."""


erfinv.defvjp(lambda g, out, x: g * (math.sqrt(math.pi) / 2) * exp(out * out))


@elementwise(scalar="lgamma_{t}({0})", reference=special.lgamma, domain=(0.3, 5), kinds="float", cost=60)
def lgamma(x):
    """Elementwise logarithm of |gamma(x)|."""


lgamma.defvjp(lambda g, out, x: g * digamma(x))


@elementwise(scalar="digamma_{t}({0})", reference=special.digamma, domain=(0.3, 5), kinds="float", cost=60)
def digamma(x):
    """Elementwise derivative of lgamma."""


digamma.defvjp(lambda g, out, x: g * trigamma(x))

_TRIGAMMA_SHIFT = 8  # steps of the recurrence: from 8 on the asymptotic series is exact in float64
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def trigamma(x: Any) -> Any:
    """Elementwise derivative of digamma: recurrence, then asymptotic series. Abramowitz, Stegun, 6.4.6, 6.4.7, 6.4.12."""
    negative = less(x, 0.5)
    positive = where(negative, 1 - x, x)
    steps = sum(1 / ((positive + k) * (positive + k)) for k in range(1, _TRIGAMMA_SHIFT)) + 1 / (positive * positive)
    z = positive + _TRIGAMMA_SHIFT
    square = 1 / (z * z)
    series = 0.0
    for coefficient in reversed(_BERNOULLI):
        series = (series + coefficient) * square
    value = steps + 1 / z + 0.5 * square + series / z
    sine = sin(math.pi * x)
    return where(negative, math.pi**2 / (sine * sine) - value, value)
