"""Assertions about the values of tensors: effects that let the run fail, with the user's message, the line and the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, InvalidArgumentError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.op import Access, convert_operands, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_type_shapes, op
from graphflow.ops.effects import happens
from graphflow.ops.printing import collect, formatted
from graphflow.ops.state import Operation
from graphflow.types import TensorType, bool_


def _assert(condition, *operands, parts, summarize):  # type: ignore[no-untyped-def]
    if not np.all(condition):
        raise InvalidArgumentError("".join(p if isinstance(p, str) else formatted(operands[p], summarize) for p in parts))
    return np.True_


@op(access=Access.OPAQUE, reference=_assert, host=True, effect=True, differentiable=False)
def assert_true(*operands, parts, summarize):
    """True, unless an element of the first operand is false: then the run fails with the others between the texts of `parts`."""
    return TensorType((), bool_)


RELATIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "equal": ("is not equal to", lambda x, y, r, a: np.equal(x, y)),
    "none_equal": ("is equal to", lambda x, y, r, a: np.not_equal(x, y)),
    "less": ("is not less than", lambda x, y, r, a: np.less(x, y)),
    "less_equal": ("is greater than", lambda x, y, r, a: np.less_equal(x, y)),
    "greater": ("is not greater than", lambda x, y, r, a: np.greater(x, y)),
    "greater_equal": ("is less than", lambda x, y, r, a: np.greater_equal(x, y)),
    "near": ("is not near", lambda x, y, r, a: np.isclose(x, y, r, a)),
}


def _assert_relation(x, y, *, relation, message, rtol, atol):  # type: ignore[no-untyped-def]
    words, holds = RELATIONS[relation]
    found = np.broadcast_to(holds(x, y, rtol, atol), np.broadcast_shapes(x.shape, y.shape))
    if not found.all():
        place = np.unravel_index(int(np.argmin(found)), found.shape)
        left, right = (np.broadcast_to(v, found.shape)[place] for v in (x, y))
        at = f"[{', '.join(str(int(k)) for k in place)}]" if place else ""
        count = int(found.size - found.sum())
        more = f", and {count - 1} more elements of {found.size}" if count > 1 else ""
        raise InvalidArgumentError(f"{message + ': ' if message else ''}x{at} = {left} {words} y{at} = {right}{more}")
    return np.True_


@op(access=Access.OPAQUE, reference=_assert_relation, host=True, effect=True, differentiable=False, common=("x", "y"))
def assert_relation(x, y, *, relation, message, rtol, atol):
    """True, unless the relation does not hold for a pair of elements: then the run fails."""
    broadcast_type_shapes(x.shape, y.shape)
    return TensorType((), bool_)


def Assert(condition: Any, data: Sequence[Any], summarize: int | None = None, name: str | None = None) -> Operation | None:
    """The operation that lets the run fail with InvalidArgumentError, showing `data`, where an element of `condition` is false.

    It belongs to a run as `gf.print` does. A condition that is known to be false raises at once.
    """
    checked = convert_to_tensor(condition)
    if checked.dtype != bool_:
        raise DTypeError("Assert: the condition is no bool", operands={"condition": checked})
    operands: list[Tensor] = []
    parts: list[str | int] = ["assertion failed: "]
    for k, item in enumerate(data):
        parts += [" "] if k else []
        collect(item, operands, parts)
    attributes = {"parts": tuple(parts), "summarize": 3 if summarize is None else summarize}
    at_once([checked, *operands], lambda *values: _assert(*values, **attributes))
    return happens(assert_true(checked, *operands, **attributes, name=name or "Assert"))


def related(
    x: Any, y: Any, relation: str, message: str | None, name: str, rtol: float = 0.0, atol: float = 0.0
) -> Operation | None:
    """The operation of an assertion that a relation holds for each pair of elements; checked at once where all are known."""
    operands = convert_operands(assert_relation, (x, y))
    attributes = {"relation": relation, "message": message or "", "rtol": float(rtol), "atol": float(atol)}
    at_once(operands, lambda *values: _assert_relation(*values, **attributes))
    return happens(assert_relation(*operands, **attributes, name=name))


def at_once(operands: Sequence[Tensor], check: Callable[..., Any]) -> None:
    """Check constants while the graph is built: the traceback is then that of the assertion itself."""
    if all(isinstance(t, EagerTensor) for t in operands):
        check(*(t.numpy() for t in operands))
