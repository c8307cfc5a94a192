"""Reductions: the six primitives that combine elements along axes, and what is made of them (mean, argmax, logsumexp, norm)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, Op, convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, conj, divide, multiply, real
from graphflow.ops.declare import axis_tuple, check_axis, composition, op, public
from graphflow.ops.elementary import exp, log, sqrt
from graphflow.ops.logic import cast, equal, identity, logical_or, not_equal, stop_gradient, where, zero_of
from graphflow.ops.movement import broadcast_to, iota, reshape
from graphflow.ops.source import size_value
from graphflow.types import AnySize, DType, Shape, TensorType, float64, int64, product

# --- primitives --------------------------------------------------------------------------------------------------------


def reduced_shape(shape: Shape, axis: Sequence[int], keepdims: bool) -> Shape:
    """The shape after a reduction over `axis`."""
    if keepdims:
        return tuple(1 if a in axis else size for a, size in enumerate(shape))
    return tuple(size for a, size in enumerate(shape) if a not in axis)


def _reduced_type(x: TensorType, axis: tuple[int, ...], keepdims: bool, kinds: str) -> TensorType:
    if x.dtype.kind not in kinds.split():
        remedy = (
            "use gf.cast(x, dtype)"
            if x.dtype.is_bool
            else "compare first: gf.not_equal(x, 0)"
            if kinds == "bool"
            else "take gf.abs(x)"
        )
        raise DTypeError(f"no such reduction of {x.dtype}", rule=f"It reduces {' and '.join(kinds.split())}; {remedy}.")
    assert list(axis) == sorted(set(axis)) and all(0 <= a < x.rank for a in axis), f"axis {axis} of {x}"
    return x.with_shape(reduced_shape(x.shape, axis, keepdims))


def restore_axes(x: Tensor, shape: Shape, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """A reduced tensor with its reduced axes back as axes of size 1."""
    return x if keepdims else reshape(x, reduced_shape(shape, axis, True))


def _spread(g: Tensor, x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    return broadcast_to(restore_axes(g, x.shape, axis, keepdims), x.shape)


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
    combine="add",
    linear=True,
)
def reduce_sum_(x, *, axis, keepdims):
    """Sum of the elements along `axis`; 0 of none."""
    return _reduced_type(x, axis, keepdims, "int uint float complex")


reduce_sum_.defvjp(lambda g, out, x, axis, keepdims: _spread(g, x, axis, keepdims))


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
    combine="multiply",
)
def reduce_prod_(x, *, axis, keepdims):
    """Product of the elements along `axis`; 1 of none."""
    return _reduced_type(x, axis, keepdims, "int uint float complex")


def _prod_vjp(g: Tensor, out: Tensor, x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """The product of the others: out / x; with one zero, the product without it at its place; with more, 0."""
    zero = equal(x, 0)
    zeros = reduce_sum(cast(zero, int64), axis, keepdims=True)
    others = reduce_prod(where(zero, 1, x), axis, keepdims=True)  # the product of what is not 0
    alone = where(equal(zeros, 1), others, 0)
    partial = where(zero, alone, where(equal(zeros, 0), others, 0) / where(zero, 1, x))
    return restore_axes(g, x.shape, axis, keepdims) * conj(partial)


reduce_prod_.defvjp(_prod_vjp)


def _bound(dtype: np.dtype, largest: bool) -> Any:
    if dtype.kind == "f":
        return -np.inf if largest else np.inf
    return np.iinfo(dtype).min if largest else np.iinfo(dtype).max


def _extreme_vjp(g: Tensor, out: Tensor, x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """The cotangent, shared evenly by the elements that are the extreme."""
    chosen = equal(x, restore_axes(out, x.shape, axis, keepdims))
    count = reduce_sum(cast(chosen, x.dtype), axis, keepdims=True)
    g = restore_axes(g, x.shape, axis, keepdims)
    return where(chosen, g / where(equal(count, 0), 1, count), zero_of(g))


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims, initial=_bound(x.dtype, True)),
    combine="maximum",
)
def reduce_max_(x, *, axis, keepdims):
    """Largest element along `axis`, NaN if there is one; the smallest number of the dtype (-inf) of none."""
    return _reduced_type(x, axis, keepdims, "int uint float")


reduce_max_.defvjp(_extreme_vjp)


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims, initial=_bound(x.dtype, False)),
    combine="minimum",
)
def reduce_min_(x, *, axis, keepdims):
    """Smallest element along `axis`, NaN if there is one; the largest number of the dtype (inf) of none."""
    return _reduced_type(x, axis, keepdims, "int uint float")


reduce_min_.defvjp(_extreme_vjp)
for _reduction in (reduce_max_, reduce_min_):
    _reduction.linear = True  # its gradient is chosen, never multiplied


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.any(x, axis=axis, keepdims=keepdims),
    combine="logical_or",
    differentiable=False,
)
def reduce_any_(x, *, axis, keepdims):
    """Does the condition hold anywhere along `axis`? False of none."""
    return _reduced_type(x, axis, keepdims, "bool")


@op(
    access=Access.REDUCTION,
    reference=lambda x, *, axis, keepdims: np.all(x, axis=axis, keepdims=keepdims),
    combine="logical_and",
    differentiable=False,
)
def reduce_all_(x, *, axis, keepdims):
    """Does the condition hold everywhere along `axis`? True of none."""
    return _reduced_type(x, axis, keepdims, "bool")


# --- public ------------------------------------------------------------------------------------------------------------


def _public(primitive: Op, text: str) -> Callable[..., Tensor]:
    def reduction(x: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Tensor:
        x = convert_to_tensor(x)
        axes = axis_tuple(axis, x.rank)
        return primitive(x, axis=axes, keepdims=bool(keepdims), name=name) if axes else identity(x, name=name)

    reduction.__name__ = primitive.name
    reduction.__doc__ = f"{text} along `axis` (an int, several, or None for all); `keepdims` keeps them as axes of size 1."
    return public(reduction)


reduce_sum = _public(reduce_sum_, "Sum of the elements")
reduce_prod = _public(reduce_prod_, "Product of the elements")
reduce_max = _public(reduce_max_, "Largest element, NaN if there is one,")
reduce_min = _public(reduce_min_, "Smallest element, NaN if there is one,")
reduce_any = _public(reduce_any_, "Does the condition hold anywhere")
reduce_all = _public(reduce_all_, "Does the condition hold everywhere")


def count_of(x: Tensor, axes: tuple[int, ...], dtype: DType) -> Any:
    """The number of elements along `axes`: a Python float where it is known, else a scalar tensor."""
    size: AnySize = product([x.shape[a] for a in axes])
    return float(size) if isinstance(size, int) else cast(size_value(size=size), dtype)


@composition
def reduce_mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Mean of the elements along `axis`; of integers in float64, of float16 and bfloat16 summed in float32; NaN of none."""
    x = convert_to_tensor(x)
    axes = axis_tuple(axis, x.rank)
    wide = cast(x, float64) if not x.dtype.is_differentiable else cast(x, x.dtype.compute)
    total = reduce_sum(wide, axes, keepdims)
    count = count_of(x, axes, wide.dtype)
    mean = total * (1.0 / count) if isinstance(count, float) and count and math.log2(count).is_integer() else divide(total, count)
    return cast(mean, x.dtype) if x.dtype.is_differentiable else mean


@composition
def reduce_variance(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Mean squared distance of the elements along `axis` from their mean."""
    x = convert_to_tensor(x)
    distance = (
        x - reduce_mean(x, axis, keepdims=True)
        if x.dtype.is_differentiable
        else cast(x, float64) - reduce_mean(x, axis, keepdims=True)
    )
    return reduce_mean(_squares(distance), axis, keepdims)


def _squares(x: Tensor) -> Tensor:
    return real(x * conj(x)) if x.dtype.is_complex else multiply(x, x)


@composition
def reduce_std(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Square root of the variance along `axis`; its gradient is 0 where the variance is 0."""
    variance = reduce_variance(x, axis, keepdims)
    return where(equal(variance, 0), 0, sqrt(variance))


@composition
def moments(x: Any, axes: Any, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """(mean, variance) of the elements along `axes`."""
    return reduce_mean(x, axes, keepdims), reduce_variance(x, axes, keepdims)


@composition
def norm(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Euclidean length of the elements along `axis`; its gradient at length 0 is 0."""
    squares = reduce_sum(_squares(convert_to_tensor(x)), axis, keepdims)
    return where(equal(squares, 0), 0, sqrt(squares))


@composition
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) along `axis`, without overflow; -inf of none."""
    x = convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise DTypeError(f"no logsumexp of {x.dtype}", rule="It takes floats; use gf.cast(x, dtype).")
    axes = axis_tuple(axis, x.rank)
    largest = finite_maximum(x, axes)
    total = log(reduce_sum(exp(x - largest), axes, keepdims=True)) + largest
    return total if keepdims else reshape(total, reduced_shape(x.shape, axes, False))


def finite_maximum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The largest element along `axes`, 0 where it is infinite; a constant for gradients."""
    largest = stop_gradient(reduce_max(x, axes, keepdims=True))
    return where(equal(absolute(largest), math.inf), 0, largest)


def _argument(primitive: Callable[..., Tensor], title: str, text: str) -> Callable[..., Tensor]:
    def position(x: Any, axis: int = 0) -> Tensor:
        x = convert_to_tensor(x)
        if not x.rank:
            raise ShapeError("a scalar has no axis", operands={"x": x})
        axis = check_axis(axis, x.rank)
        size = x.shape[axis]
        if size == 0:
            raise ShapeError(f"axis {axis} is empty", operands={"x": x}, rule="There is no position in an axis of size 0.")
        best = primitive(x, axis, keepdims=True)
        found = equal(x, best)
        if x.dtype.is_floating:
            found = logical_or(found, not_equal(x, x))
        positions = reshape(iota(size=size, dtype=int64), (size, *(1,) * (x.rank - axis - 1)))
        last = size_value(size=size) if not isinstance(size, int) else literal(size, int64)
        return reduce_min(where(found, positions, last), axis)

    position.__name__ = title
    position.__doc__ = text
    return composition(position)


argmax = _argument(
    reduce_max, "argmax", "First position of the largest element along `axis`, as int64; the first NaN counts as largest."
)
argmin = _argument(
    reduce_min, "argmin", "First position of the smallest element along `axis`, as int64; the first NaN counts as smallest."
)
