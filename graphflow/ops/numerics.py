"""Checks for NaN and infinities, in the kernels that compute the values: an element that is checked says so in the error record.

The record has the element's place and its kind in one index: 4 * place + kind, where a finite element has the index 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import DTypeError, NumericsError
from graphflow.ir import scalar as s
from graphflow.ir.op import Access
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_index, op
from graphflow.types import Shape, bool_, int64

KINDS = ("finite", "NaN", "infinite", "-infinite")


def kind_of(x: s.Expr) -> s.Expr:
    """The position in KINDS of a scalar; of a complex one that is not finite, that of NaN."""
    if x.dtype.compute != x.dtype:
        x = s.Call("cast", (x,), x.dtype)  # as it is rounded to 16 bits
    if x.dtype.is_complex:
        rest = s.Call("subtract", (x, x), x.dtype)
        return s.Call("cast", (s.Call("not_equal", (rest, rest), bool_),), int64)
    found: s.Expr = s.Const(0, int64)
    for kind, value in ((3, -np.inf), (2, np.inf)):
        found = choose(s.Call("equal", (x, s.Const(value, x.dtype)), bool_), s.Const(kind, int64), found)
    return choose(is_nan(x), s.Const(1, int64), found)


def choose(condition: s.Expr, then: s.Expr, otherwise: s.Expr) -> s.Expr:
    return s.Call("where", (condition, then, otherwise), then.dtype)


def is_nan(x: s.Expr) -> s.Expr:
    return s.Call("not_equal", (x, x), bool_)


def checked(x: s.Expr, kind: s.Expr, index: tuple[s.Expr, ...], shape: Shape) -> s.Expr:
    """`x`, with an error recorded where `kind` is not 0."""
    fine = s.Call("equal", (kind, s.Const(0, int64)), bool_)
    record = choose(fine, s.Const(0, int64), s.ravel(index, shape) * 4 + kind)
    return choose(s.Call("equal", (s.Check(record, 1, None, 0), s.Const(0, int64)), bool_), x, x)


def _require_float(x) -> None:  # type: ignore[no-untyped-def]
    if not (x.dtype.is_floating or x.dtype.is_complex):
        raise DTypeError(f"no NaN in {x.dtype}", rule="It takes floats and complex numbers.")


def _check_numerics_reference(x, *, message):  # type: ignore[no-untyped-def]
    bad = ~np.isfinite(x)
    if bad.any():
        place = tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape))
        raise NumericsError(f"{message + ': ' if message else ''}element {list(place)} is {x[place]}")
    return x


@op(access=Access.ELEMENTWISE, reference=_check_numerics_reference, fails=True)
def check_numerics_(x, *, message):
    """`x`; a run fails where an element that it computes is NaN or infinite."""
    _require_float(x)
    return x


check_numerics_.defvjp(lambda g, out, x, message: check_numerics(g, f"the gradient of {message}" if message else "a gradient"))


@check_numerics_.element
def _(index, x, *, message):
    value = x(*index)
    return checked(value, kind_of(value), index, x.shape)


def check_numerics(tensor: Any, message: str = "", name: str | None = None) -> Tensor:
    """`tensor`; a run that computes it fails with NumericsError where an element that it computes is NaN or infinite.

    The error has `message`, this line, the element and the steps of the loops around. The gradient is checked as well.
    """
    return check_numerics_(tensor, message=str(message), name=name)


@op(access=Access.ELEMENTWISE, reference=lambda out, *operands, infinities: out, fails=True, differentiable=False)
def watched(*operands, infinities):
    """The first operand, made of the others; a run fails where it is NaN and none of them is, or infinite and they are finite."""
    return operands[0]


@watched.element
def _(index, out, *operands, infinities):
    value = out(*index)
    kind = kind_of(value)
    if not infinities:
        kind = choose(s.Call("equal", (kind, s.Const(1, int64)), bool_), kind, s.Const(0, int64))
    for operand in operands:
        x = operand(*broadcast_index(index, operand.shape, out.shape))
        here = kind_of(x)
        excused = choose(s.Call("equal", (kind, s.Const(1, int64)), bool_), nan_only(here), here)
        kind = choose(s.Call("equal", (excused, s.Const(0, int64)), bool_), kind, s.Const(0, int64))
    return checked(value, kind, index, out.shape)


def nan_only(kind: s.Expr) -> s.Expr:
    """The kind where it is NaN, else 0: only a NaN excuses a NaN, as infinities make new ones."""
    return choose(s.Call("equal", (kind, s.Const(1, int64)), bool_), kind, s.Const(0, int64))
