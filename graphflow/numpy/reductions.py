"""NumPy's reductions. Results keep the dtype of the tensor, as graphflow's do; `dtype` says in which one is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.numpy.elementwise import isclose
from graphflow.ops import reductions as ops
from graphflow.ops.declare import axis_tuple
from graphflow.ops.logic import cast, equal, not_equal
from graphflow.ops.logic import where as choose
from graphflow.ops.math import maximum, minimum, multiply, sqrt
from graphflow.ops.movement import reshape

__all__ = [
    "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "array_equal", "average", "max", "mean", "min", "prod",
    "ptp", "std", "sum", "var",
]  # fmt: skip


def _given(a: Any, dtype: Any, mask: Any, neutral: Any) -> Tensor:
    """The operand in `dtype`, with what changes nothing where the mask does not hold."""
    x = convert_to_tensor(a)
    x = x if dtype is None else cast(x, dtype)
    return x if mask is True else choose(mask, x, neutral)


def sum(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
    """The sum of the elements along `axis`, of those where the mask `where` holds; `initial` is added to it."""
    x = _given(a, dtype, where, 0)
    found = ops.reduce_sum(_numbers(x), axis, keepdims)
    return found if initial is None else found + initial


def prod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
    """The product of the elements along `axis`, of those where the mask `where` holds; `initial` is a factor."""
    x = _given(a, dtype, where, 1)
    found = ops.reduce_prod(_numbers(x), axis, keepdims)
    return found if initial is None else found * initial


def _numbers(x: Tensor) -> Tensor:
    """Truths are counted."""
    return cast(x, "int64") if x.dtype.is_bool else x


def max(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
    """The largest element along `axis`, NaN if there is one; `initial` is at least what comes out, and needed with `where`."""
    found = ops.reduce_max(_given(a, None, where, initial), axis, keepdims)
    return found if initial is None else maximum(found, initial)


def min(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
    """The smallest element along `axis`, NaN if there is one; `initial` is at most what comes out, and needed with `where`."""
    found = ops.reduce_min(_given(a, None, where, initial), axis, keepdims)
    return found if initial is None else minimum(found, initial)


amax, amin = max, min


def ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element along `axis` less the smallest."""
    return max(a, axis, keepdims) - min(a, axis, keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements along `axis`; of integers in float64."""
    return ops.reduce_mean(_given(a, dtype, True, None), axis, keepdims)


def average(a: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements along `axis`, weighed by `weights` of the same shape."""
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    return sum(multiply(a, weights), axis, keepdims=keepdims) / sum(weights, axis, keepdims=keepdims)


def var(a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None) -> Tensor:
    """The sum of squared distances from the mean along `axis`, divided by the count less `ddof`."""
    x = _given(a, dtype, True, None)
    found = ops.reduce_variance(x, axis, keepdims)
    less = ddof if correction is None else correction
    if not less:
        return found
    count = ops.count_of(x, axis_tuple(axis, x.rank), found.dtype)
    return found * (count / (count - less)) if not isinstance(count, float) or count > less else found * float("nan")


def std(a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None) -> Tensor:
    """The square root of the variance along `axis`; its gradient is 0 where the variance is 0."""
    found = var(a, axis, dtype, ddof, keepdims, correction)
    return choose(equal(found, 0), 0, sqrt(found))


def _truths(a: Any) -> Tensor:
    x = convert_to_tensor(a)
    return x if x.dtype.is_bool else not_equal(x, 0)


def any(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Is an element along `axis` not 0?"""
    return ops.reduce_any(_truths(a), axis, keepdims)


def all(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Is no element along `axis` 0?"""
    return ops.reduce_all(_truths(a), axis, keepdims)


def _position(of_axis: Callable[..., Tensor], a: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = convert_to_tensor(a)
    found = of_axis(reshape(x, (-1,)), 0) if axis is None else of_axis(x, axis)
    if not keepdims:
        return found
    return reshape(found, [1 if axis is None or k == axis % x.rank else d for k, d in enumerate(x.shape)])


def argmax(a: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """First position of the largest element along `axis`, or in the flattened tensor, as int64."""
    return _position(ops.argmax, a, axis, keepdims)


def argmin(a: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """First position of the smallest element along `axis`, or in the flattened tensor, as int64."""
    return _position(ops.argmin, a, axis, keepdims)


def array_equal(a1: Any, a2: Any) -> Any:
    """Are shapes and all elements equal? A scalar tensor; False at once where the shapes differ."""
    a, b = convert_to_tensor(a1), convert_to_tensor(a2)
    return ops.reduce_all(equal(a, b)) if a.shape == b.shape else False


def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Are all elements close (see `isclose`)?"""
    return ops.reduce_all(isclose(a, b, rtol, atol, equal_nan))
