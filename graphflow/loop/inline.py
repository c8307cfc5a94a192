"""From tensors to scalar expressions: reading a tensor at an index, through the element rules of the ops in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from graphflow.ir.op import Access, Op
from graphflow.ir.scalar import Call, Check, Const, Expr, Reader
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.ir import children, replace_children, structure_key
from graphflow.ops.declare import broadcast_index

# Ops whose result is their operand's memory under another type.
VIEWS = frozenset({"reshape", "identity", "stop_gradient", "read_after"})


def storage(tensor: Tensor) -> Tensor:
    """The tensor whose buffer holds the values of `tensor`, in the same order."""
    while tensor.op.name in VIEWS:
        tensor = tensor.inputs[0]
    return tensor


def scalar_constant(tensor: Tensor) -> Const | None:
    """A constant of one element, which kernels spell out."""
    if tensor.op.name != "constant":
        return None
    array = tensor.attrs["value"].array
    if array.size != 1:
        return None
    value = array.reshape(()).item() if array.dtype.kind != "V" and array.dtype.name != "bfloat16" else float(array.reshape(()))
    return Const(value, tensor.dtype)


@cache
def _wants_type(op: Op) -> bool:
    return op.element_rule is not None and "out_type" in inspect.signature(op.element_rule).parameters


class Inliner:
    """Reads tensors at indices. `leaf(tensor, index)` gives the expression where reading stops, or None to go on inside."""

    def __init__(self, leaf: Callable[[Tensor, tuple[Expr, ...]], Expr | None]) -> None:
        self.leaf = leaf
        self._interned: dict[tuple[Any, ...], Expr] = {}
        self._canonical: dict[int, Expr] = {}
        self._memo: dict[tuple[Any, ...], Expr] = {}

    def value(self, tensor: Tensor, index: tuple[Expr, ...]) -> Expr:
        """The element of `tensor` at `index`."""
        index = tuple(self.intern(i) for i in index)
        key = (tensor, *(id(i) for i in index))
        found = self._memo.get(key)
        if found is None:
            found = scalar_constant(tensor) or self.leaf(tensor, index)
            if found is None:
                found = self.element(tensor.node, index)
            found = self._memo[key] = self.intern(found)
        return found

    def element(self, node: Node, index: tuple[Expr, ...]) -> Expr:
        """One element of the result of `node`, by its element rule."""
        op = node.op
        if op.access is Access.ELEMENTWISE and op.element_rule is None:
            shape = node.type.shape
            args = tuple(self.value(t, broadcast_index(index, t.shape, shape)) for t in node.inputs)
            return Call(op.name, args, node.type.dtype)
        assert op.element_rule is not None, f"{op.name} has no element rule"
        sited: dict[int, tuple[Expr, Expr]] = {}  # what has its sites, by identity: first of all, elements of the operands
        readers = [Reader(t.type, self._reader(t, node, sited)) for t in node.inputs]
        extra = {"out_type": node.type} if _wants_type(op) else {}
        found = op.element_rule(index, *readers, **node.attrs, **extra)
        return _at_site(found, node, sited) if op.fails else found

    def _reader(self, tensor: Tensor, node: Node, sited: dict[int, tuple[Expr, Expr]]) -> Callable[[tuple[Expr, ...]], Expr]:
        def read(index: tuple[Expr, ...]) -> Expr:
            value = self.value(tensor, tuple(_at_site(i, node, sited) for i in index))
            sited[id(value)] = value, value
            return value

        return read if node.op.fails else lambda index: self.value(tensor, index)

    def intern(self, expr: Expr) -> Expr:
        """The one object that stands for all equal expressions."""
        found = self._canonical.get(id(expr))
        if found is not None:
            return found
        parts = children(expr)
        new = tuple(self.intern(p) for p in parts)
        key = structure_key(expr, tuple(id(p) for p in new))
        found = self._interned.get(key)
        if found is None:
            found = expr if all(a is b for a, b in zip(parts, new, strict=True)) else replace_children(expr, new)
            self._interned[key] = found
        self._canonical[id(found)] = found
        self._memo[("keep", id(expr))] = expr  # identities stay valid only while their owners live
        self._canonical[id(expr)] = found
        return found


def _at_site(expr: Expr, node: Node, sited: dict[int, tuple[Expr, Expr]]) -> Expr:
    """The expression, in which the checks that an element rule of `node` made belong to it; `sited` has what has been seen."""
    if id(expr) in sited:
        return sited[id(expr)][1]
    parts = children(expr)
    new = tuple(_at_site(p, node, sited) for p in parts)
    if isinstance(expr, Check) and expr.site is None:
        found: Expr = Check(new[0], expr.size, node, expr.axis)
    else:
        found = expr if all(a is b for a, b in zip(parts, new, strict=True)) else replace_children(expr, new)
    sited[id(expr)] = expr, found
    return found
