"""Elementwise arithmetic: sums, products, quotients, extremes, signs, rounding, parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import DTypeError
from graphflow.ir.op import Access, as_tensor_or_none, convert_to_tensor, literal, number_array, widest_literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_type_shapes, elementwise, op, real_result
from graphflow.ops.logic import cast, equal, greater, greater_equal, less_equal, where, zero_of
from graphflow.ops.recipe import remembered
from graphflow.types import TensorType, complex64, complex128, float32, float64

# --- sums, products, quotients -----------------------------------------------------------------------------------------


@elementwise(scalar="{0} + {1}", reference=np.add, linear=True)
def add(x, y):
    """Elementwise sum, x + y."""


add.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: g)


@elementwise(scalar="{0} - {1}", reference=np.subtract, linear=True)
def subtract(x, y):
    """Elementwise difference, x - y."""


subtract.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: -g)


@elementwise(scalar="{0} * {1}", reference=np.multiply)
def multiply(x, y):
    """Elementwise product, x * y."""


multiply.defvjp(lambda g, out, x, y: g * conj(y), lambda g, out, x, y: g * conj(x))


@elementwise(scalar="-{0}", reference=np.negative, linear=True)
def negative(x):
    """Elementwise -x."""


negative.defvjp(lambda g, out, x: -g)


@elementwise(scalar="{0} / {1}", reference=np.divide, domain=(0.5, 3), kinds="float complex", cost=4)
def divide_(x, y):
    """Elementwise quotient, x / y."""


divide_.defvjp(lambda g, out, x, y: g / conj(y), lambda g, out, x, y: -(g / conj(y) * conj(out)))  # one division for both


@remembered
def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Elementwise quotient, x / y; integers are divided as float64."""
    return divide_(*floats(x, y), name=name)


def floats(*operands: Any) -> list[Any]:
    """The operands, integers and bools among them as float64; numbers and lists stay, and adopt the dtype of the others."""
    tensors = [as_tensor_or_none(x) for x in operands]
    if all(tensor is None for tensor in tensors):
        kind = widest_literal(operands)
        if kind is not None and not kind.is_differentiable:
            return [literal(number_array(x).astype(np.float64), float64) for x in operands]
    return [
        x if tensor is None else tensor if tensor.dtype.is_differentiable else cast(tensor, float64)
        for x, tensor in zip(operands, tensors, strict=True)
    ]


_FLOAT_FLOORDIV = "({0} / {1}) if {1} == {T}(0) else round_{t}(({0} - mod_{t}({0}, {1})) / {1})"


@elementwise(
    scalar={"float": _FLOAT_FLOORDIV, "int": "floordiv_{t}({0}, {1})", "uint": "floordiv_{t}({0}, {1})"},
    reference=np.floor_divide,
    domain=(0.5, 3),
    kinds="int uint float",
    differentiable=False,
    cost=8,
)
def floordiv(x, y):
    """Elementwise floor of x / y; an integer divided by 0 is 0."""


@elementwise(scalar="mod_{t}({0}, {1})", reference=np.mod, domain=(0.5, 3), kinds="int uint float", cost=8)
def mod(x, y):
    """Elementwise x - y * floor(x / y), with the sign of y; an integer modulo 0 is 0."""


mod.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: -g * floordiv(x, y))


# --- extremes ----------------------------------------------------------------------------------------------------------


def _extreme(name: str) -> dict[str, str]:
    return {"float": name + "imum_{t}({0}, {1})", "int": name + "({0}, {1})", "uint": name + "({0}, {1})"}


def _winner(g: Tensor, wins: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The share of the cotangent of an operand that is taken where it `wins`, and half where both are equal."""
    return where(wins, g, where(equal(x, y), g * 0.5, zero_of(g)))


@elementwise(scalar=_extreme("max"), reference=np.maximum, kinds="int uint float")
def maximum(x, y):
    """Elementwise larger of x and y; NaN where either is NaN. The gradient is shared where they are equal."""


maximum.defvjp(
    lambda g, out, x, y: _winner(g, greater(x, y), x, y),
    lambda g, out, x, y: _winner(g, greater(y, x), x, y),
)
maximum.defguard(lambda out, x, y: greater_equal(x, y), lambda out, x, y: greater_equal(y, x))
maximum.linear = True


@elementwise(scalar=_extreme("min"), reference=np.minimum, kinds="int uint float")
def minimum(x, y):
    """Elementwise smaller of x and y; NaN where either is NaN. The gradient is shared where they are equal."""


minimum.defvjp(
    lambda g, out, x, y: _winner(g, greater(y, x), x, y),
    lambda g, out, x, y: _winner(g, greater(x, y), x, y),
)
minimum.defguard(lambda out, x, y: less_equal(x, y), lambda out, x, y: less_equal(y, x))
minimum.linear = True


@elementwise(
    scalar={"float": "maximum_{t}({0}, {T}(0))", "int": "max({0}, {T}(0))", "uint": "{0}"},
    reference=lambda x: np.maximum(x, np.zeros((), x.dtype)),
    kinds="int uint float",
    linear=True,
)
def relu(x):
    """Elementwise rectifier, max(x, 0); its gradient at 0 is 0."""


relu.defvjp(lambda g, out, x: where(greater(out, zero_of(out)), g, zero_of(g)))
relu.defguard(lambda out, x: greater(out, zero_of(out)))


# --- signs -------------------------------------------------------------------------------------------------------------


@elementwise(
    scalar={"float": "abs({0})", "int": "abs({0})", "uint": "{0}", "complex": "abs({0})"},
    reference=np.absolute,
    result=real_result,
)
def absolute(x):
    """Elementwise |x|; real for complex x. The gradient at 0 is 0."""


def _absolute_vjp(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    if not x.dtype.is_complex:
        return g * sign(x)
    length = where(equal(out, 0), 1, out)
    return cast(g / length, x.dtype) * x


absolute.defvjp(_absolute_vjp)


@elementwise(
    scalar={"float": "sign_{t}({0})", "int": "({0} > {T}(0)) - ({0} < {T}(0))", "uint": "{T}(1) if {0} > {T}(0) else {T}(0)"},
    reference=np.sign,
    kinds="int uint float complex",
    host="complex",
    linear=True,
)
def sign(x):
    """Elementwise -1, 0 or 1 after the sign of x; NaN stays NaN. Of complex x it is x / |x|. The gradient is 0 for real x."""


def _sign_vjp(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    """Of complex x what turns it, and nothing at 0."""
    if not x.dtype.is_complex:
        return zero_of(x)
    length = absolute(x)
    turning = cast(imag_(conj_(out) * g) / where(equal(length, 0), 1, length), x.dtype)
    return where(equal(length, 0), zero_of(x), turning * 1j * out)


sign.defvjp(_sign_vjp)


@elementwise(scalar="copysign_{t}({0}, {1})", reference=np.copysign, kinds="float", differentiable=False)
def copysign(x, y):
    """Elementwise |x| with the sign of y."""


def _single_or_double(x: TensorType, y: TensorType) -> TensorType:
    if x.dtype != y.dtype or x.dtype not in (float32, float64):
        raise DTypeError(f"no neighbours of {x.dtype} and {y.dtype}", rule="Both are float32, or both float64.")
    return x.with_shape(broadcast_type_shapes(x.shape, y.shape))


@op(access=Access.OPAQUE, reference=np.nextafter, common=("x", "y"), differentiable=False, host=True)
def nextafter(x, y):
    """Elementwise the number next to x in the direction of y."""
    return _single_or_double(x, y)


# --- rounding ----------------------------------------------------------------------------------------------------------


def _rounding(name: str) -> dict[str, str]:
    return {"float": name + "_{t}({0})", "int": "{0}", "uint": "{0}"}


@elementwise(scalar=_rounding("floor"), reference=np.floor, kinds="int uint float", differentiable=False)
def floor(x):
    """Elementwise largest whole number not above x."""


@elementwise(scalar=_rounding("ceil"), reference=np.ceil, kinds="int uint float", differentiable=False)
def ceil(x):
    """Elementwise smallest whole number not below x."""


@elementwise(scalar=_rounding("round"), reference=np.rint, kinds="int uint float complex", host="complex", differentiable=False)
def round_(x):
    """Elementwise nearest whole number; halves go to the even one."""


@elementwise(scalar=_rounding("trunc"), reference=np.trunc, kinds="int uint float", differentiable=False)
def trunc(x):
    """Elementwise whole part of x."""


for _rounded in (floor, ceil, round_, trunc):
    _rounded.reference = lambda x, _exact=_rounded.reference: x if x.dtype.kind in "iu" else _exact(x)


# --- complex numbers ---------------------------------------------------------------------------------------------------


@elementwise(scalar="{0}.conjugate()", reference=np.conjugate, kinds="complex", linear=True)
def conj_(x):
    """Elementwise complex conjugate."""


conj_.defvjp(lambda g, out, x: conj(g))


@elementwise(scalar="{0}.real", reference=np.real, kinds="complex", result=real_result, linear=True)
def real_(x):
    """Elementwise real part."""


real_.defvjp(lambda g, out, x: cast(g, x.dtype))


@elementwise(scalar="{0}.imag", reference=np.imag, kinds="complex", result=real_result, linear=True)
def imag_(x):
    """Elementwise imaginary part."""


imag_.defvjp(lambda g, out, x: complex_(zero_of(g), g))


@elementwise(
    scalar="complex({0}, {1})",
    reference=lambda x, y: _complex(x, y),
    kinds="float",
    result=lambda dtype: complex128 if dtype.bits == 64 else complex64,
    linear=True,
)
def complex_(real, imag):
    """Elementwise complex number of two real ones."""


complex_.defvjp(lambda g, out, x, y: real(g), lambda g, out, x, y: imag(g))


def _complex(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.broadcast_arrays(x, y)
    result = np.empty(x.shape, np.complex128 if x.dtype == np.float64 else np.complex64)
    result.real, result.imag = x, y
    return result


@remembered
def conj(x: Any, name: str | None = None) -> Tensor:
    """The complex conjugate; the operand itself where it is real."""
    x = convert_to_tensor(x)
    return conj_(x, name=name) if x.dtype.is_complex else x


@remembered
def real(x: Any, name: str | None = None) -> Tensor:
    """The real part; the operand itself where it is real."""
    x = convert_to_tensor(x)
    return real_(x, name=name) if x.dtype.is_complex else x


@remembered
def imag(x: Any, name: str | None = None) -> Tensor:
    """The imaginary part of a complex tensor."""
    x = convert_to_tensor(x)
    if not x.dtype.is_complex:
        raise DTypeError(f"imag: {x.dtype} has no imaginary part", operands={"x": x}, rule="It takes complex numbers.")
    return imag_(x, name=name)
