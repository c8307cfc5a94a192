"""NumPy references of special functions that NumPy lacks; SciPy is no dependency.

Python's `math` has erf, erfc and lgamma. erfinv starts from the normal quantile and takes two Newton steps; digamma follows
J. M. Bernardo, "Algorithm AS 103: Psi (digamma) function", Applied Statistics 25 (1976), with more terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module

import numpy as np

_DIGAMMA_SHIFT = 10.0  # the asymptotic series below has 1e-16 relative error from here on
_DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def elementwise_of(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """The function applied to every element in float64, the result in the dtype of the operand."""

    def apply(x: np.ndarray) -> np.ndarray:
        values = np.fromiter((function(float(v)) for v in np.ravel(x)), np.float64, np.size(x))
        return values.reshape(np.shape(x)).astype(np.asarray(x).dtype)

    return apply


def _lgamma(x: float) -> float:
    if math.isinf(x):
        return math.inf
    if x <= 0 and x == math.floor(x):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


def _erfinv(y: float) -> float:
    if not -1 < y < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    if abs(y) < 1e-9:
        return y * math.sqrt(math.pi) / 2
    tail = (1 - abs(y)) / 2
    x = -_inverse_normal(tail) / math.sqrt(2) if tail > 0 else 0.0
    for _ in range(2):
        error = math.erf(x) - abs(y) if abs(y) < 0.5 else (1 - abs(y)) - math.erfc(x)
        x -= error * math.sqrt(math.pi) / 2 * math.exp(x * x)
    return math.copysign(x, y)


def _inverse_normal(p: float) -> float:
    return import_module("statistics").NormalDist().inv_cdf(p)  # takes 5 ms to import, for an op that few use


def _digamma(x: float) -> float:
    if math.isnan(x) or x == -math.inf or (x < 0 and x == math.floor(x)):
        return math.nan
    if x == 0:
        return math.copysign(math.inf, -x)
    if x == math.inf:
        return x
    if x < 0:
        return _digamma(1 - x) - math.pi / math.tan(math.pi * (x - math.floor(x)))
    result = 0.0
    while x < _DIGAMMA_SHIFT:
        result -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = 0.0
    for coefficient in reversed(_DIGAMMA_SERIES):
        series = (series + coefficient) * square
    return result + math.log(x) - 0.5 / x - series


erf = elementwise_of(math.erf)
erfc = elementwise_of(math.erfc)
lgamma = elementwise_of(_lgamma)
digamma = elementwise_of(_digamma)
erfinv = elementwise_of(_erfinv)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), np.where(np.isnan(x), x, small / (1 + small))).astype(x.dtype)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(x)))


def integer_power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x**y of integers; a negative exponent gives the quotient rounded towards zero, 0 for x = 0."""
    x, y = np.broadcast_arrays(x, y)
    result = np.power(x, np.maximum(y, y.dtype.type(0)))
    if y.dtype.kind == "u":
        return result
    odd = (y & 1) == 1
    inverse = np.where(x == 1, 1, np.where(x == -1, np.where(odd, -1, 1), 0)).astype(x.dtype)
    return np.where(y < 0, inverse, result)
