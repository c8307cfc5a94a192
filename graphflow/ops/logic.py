"""Elementwise ops that compare, choose and convert: comparison, logic, bits, `where`, `cast`, `stop_gradient`."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import DTypeError
from graphflow.ir import scalar as s
from graphflow.ir.op import Access, convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_type_shapes, elementwise, op, truth
from graphflow.ops.recipe import remembered
from graphflow.types import TensorType, as_dtype

# --- comparison --------------------------------------------------------------------------------------------------------

_ORDERED = "bool int uint float"
_ANY = "bool int uint float complex"


@elementwise(scalar="{0} < {1}", reference=np.less, kinds=_ORDERED, result=truth, differentiable=False)
def less(x, y):
    """Elementwise x < y."""


@elementwise(scalar="{0} <= {1}", reference=np.less_equal, kinds=_ORDERED, result=truth, differentiable=False)
def less_equal(x, y):
    """Elementwise x <= y."""


@elementwise(scalar="{0} > {1}", reference=np.greater, kinds=_ORDERED, result=truth, differentiable=False)
def greater(x, y):
    """Elementwise x > y."""


@elementwise(scalar="{0} >= {1}", reference=np.greater_equal, kinds=_ORDERED, result=truth, differentiable=False)
def greater_equal(x, y):
    """Elementwise x >= y."""


@elementwise(scalar="{0} == {1}", reference=np.equal, kinds=_ANY, result=truth, differentiable=False)
def equal(x, y):
    """Elementwise x == y; NaN equals nothing."""


@elementwise(scalar="{0} != {1}", reference=np.not_equal, kinds=_ANY, result=truth, differentiable=False)
def not_equal(x, y):
    """Elementwise x != y; NaN differs from everything."""


# --- logic and bits ----------------------------------------------------------------------------------------------------


@elementwise(scalar="{0} and {1}", reference=np.logical_and, kinds="bool", differentiable=False)
def logical_and(x, y):
    """Elementwise: both are true."""


@elementwise(scalar="{0} or {1}", reference=np.logical_or, kinds="bool", differentiable=False)
def logical_or(x, y):
    """Elementwise: at least one is true."""


@elementwise(scalar="{0} != {1}", reference=np.logical_xor, kinds="bool", differentiable=False)
def logical_xor(x, y):
    """Elementwise: exactly one is true."""


@elementwise(scalar="not {0}", reference=np.logical_not, kinds="bool", differentiable=False)
def logical_not(x):
    """Elementwise negation."""


def _bits(on_bool: str, on_int: str) -> dict[str, str]:
    return {"bool": on_bool, "int": on_int, "uint": on_int}


@elementwise(
    scalar=_bits("{0} and {1}", "{0} & {1}"),
    reference=np.bitwise_and,
    domain=(0, 100),
    kinds="bool int uint",
    differentiable=False,
)
def bitwise_and(x, y):
    """Elementwise x & y, bit by bit."""


@elementwise(
    scalar=_bits("{0} or {1}", "{0} | {1}"), reference=np.bitwise_or, domain=(0, 100), kinds="bool int uint", differentiable=False
)
def bitwise_or(x, y):
    """Elementwise x | y, bit by bit."""


@elementwise(
    scalar=_bits("{0} != {1}", "{0} ^ {1}"),
    reference=np.bitwise_xor,
    domain=(0, 100),
    kinds="bool int uint",
    differentiable=False,
)
def bitwise_xor(x, y):
    """Elementwise x ^ y, bit by bit."""


@elementwise(scalar=_bits("not {0}", "~{0}"), reference=np.invert, domain=(0, 100), kinds="bool int uint", differentiable=False)
def invert(x):
    """Elementwise ~x: every bit flipped."""


@elementwise(
    scalar={
        "int": "({0} << {1}) if ({1} >= {T}(0) and {1} < {T}(64)) else {T}(0)",
        "uint": "({0} << {1}) if {1} < {T}(64) else {T}(0)",
    },
    reference=np.left_shift,
    domain=(0, 7),
    kinds="int uint",
    differentiable=False,
)
def left_shift(x, y):
    """Elementwise x << y; 0 where y is negative or not below the number of bits."""


@elementwise(
    scalar={
        "int": "({0} >> {1}) if ({1} >= {T}(0) and {1} < {T}(64)) else ({0} >> {T}(63))",
        "uint": "({0} >> {1}) if {1} < {T}(64) else {T}(0)",
    },
    reference=np.right_shift,
    domain=(0, 7),
    kinds="int uint",
    differentiable=False,
)
def right_shift(x, y):
    """Elementwise x >> y, keeping the sign; all bits the sign where y is negative or not below the number of bits."""


# --- choice ------------------------------------------------------------------------------------------------------------


@op(
    access=Access.ELEMENTWISE,
    scalar="{1} if {0} else {2}",
    reference=lambda condition, x, y: np.where(condition, x, y),
    common=("x", "y"),
    linear=True,
)
def where(condition, x, y):
    """Elementwise x where the condition holds, else y; the gradient of the one not taken is 0, whatever its value."""
    if not condition.dtype.is_bool:
        raise DTypeError(f"the condition is {condition.dtype}", rule="A condition is bool: compare, or use gf.cast(x, gf.bool).")
    if x.dtype != y.dtype:
        raise DTypeError(f"dtypes differ, {x.dtype} and {y.dtype}", rule="Both choices share one dtype; use gf.cast(x, dtype).")
    return TensorType(broadcast_type_shapes(condition.shape, x.shape, y.shape), x.dtype)


where.defvjp(None, lambda g, out, c, x, y: where(c, g, zero_of(g)), lambda g, out, c, x, y: where(c, zero_of(g), g))
where.defguard(None, lambda out, c, x, y: c, lambda out, c, x, y: logical_not(c), lasting=True)


def zero_of(x: Tensor) -> Tensor:
    """The scalar 0, or False, of the dtype of `x`."""
    return literal(False if x.dtype.is_bool else 0, x.dtype)


# --- conversion --------------------------------------------------------------------------------------------------------


def _cast_reference(x: np.ndarray, dtype: Any) -> np.ndarray:
    source = x.real if np.iscomplexobj(x) and not dtype.is_complex and not dtype.is_bool else x
    if dtype.is_integer and source.dtype.kind == "f":
        return _truncate(source, dtype)
    return source.astype(dtype.numpy)


def _truncate(x: np.ndarray, dtype: Any) -> np.ndarray:
    """Integers of floats: towards zero, NaN to 0, what is too large to the nearest bound."""
    wide = np.trunc(np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf))
    low, high = int(dtype.min), int(dtype.max)
    inside = (wide >= float(low)) & (wide < float(high) + 1.0 if dtype.bits < 64 else wide < float(high))
    result = np.where(inside, wide, 0).astype(dtype.numpy)
    result = np.where(wide < float(low), np.array(low, dtype.numpy), result)
    return np.asarray(np.where(~inside & (wide > 0), np.array(high, dtype.numpy), result), dtype.numpy)


@op(access=Access.ELEMENTWISE, reference=_cast_reference)
def cast_(x, *, dtype):
    """The values converted to `dtype`: floats to integers towards zero, complex numbers to their real part."""
    return x.with_dtype(dtype)


def _cast_vjp(g: Tensor, out: Tensor, x: Tensor, dtype: Any) -> Tensor | None:
    return cast(g, x.dtype) if x.dtype.is_differentiable and dtype.is_differentiable else None


cast_.defvjp(_cast_vjp)
cast_.linear = True


@cast_.element
def _(index, x, *, dtype):
    value = x(*index)
    return value if value.dtype == dtype else s.Call("cast", (value,), dtype)


@remembered
def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """The values of `x` converted to `dtype`: floats to integers towards zero, complex numbers to their real part."""
    tensor, wanted = convert_to_tensor(x), as_dtype(dtype)
    return tensor if tensor.dtype == wanted else cast_(tensor, dtype=wanted, name=name)


@op(access=Access.ELEMENTWISE, reference=lambda x: x, linear=True, scalar="{0}")
def identity(x):
    """The operand itself, as a node of its own."""
    return x


identity.defvjp(lambda g, out, x: g)


@op(access=Access.ELEMENTWISE, reference=lambda x: x, differentiable=False, scalar="{0}")
def stop_gradient(x):
    """The operand, which counts as a constant for gradients."""
    return x
