"""Reverse accumulation over nodes: from a cotangent of each target to the cotangents of the sources.

Broadcasting is undone here and nowhere else. So is the other duty that rules of single ops cannot see: a value that `where`
(or `maximum`, `relu`, ...) does not take must not turn the gradient into NaN. Its cotangent is 0 there, but 0 times an infinite
local derivative is NaN. Each cotangent therefore carries a guard, the condition under which it may be other than 0; a rule that
multiplies by a local derivative is evaluated as `where(guard, rule, 0)`. Guards are built only where such a rule is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from graphflow.ir.graph import derived_from
from graphflow.ir.op import Access
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.arithmetic import add, multiply
from graphflow.ops.logic import cast, logical_and, logical_or, not_equal, where, zero_of
from graphflow.ops.movement import broadcast_to, reshape, unbroadcast
from graphflow.ops.reductions import reduce_any, reduce_sum
from graphflow.types import Shape, float32

DEEPEST_GUARD = 50  # guards waiting for one another; a longer chain is built at once, as building recurses


class Guard:
    """A condition, broadcastable to the tensor it guards, that is built of those of `parts` when it is first asked for.

    `lasting` is what is left of it past a reduction or where broadcasting is undone: all of a `where`, nothing of a `maximum`,
    for which another reduction would cost more than the guard is worth.
    """

    def __init__(self, build: Callable[..., Tensor], *parts: Guard, lasting: Guard | bool | None = None) -> None:
        self._build = build
        self._parts = parts
        self._mask: Tensor | None = None
        self.lasting: Guard | None = self if lasting is True else lasting or None
        self.depth: int = 1 + max((part.depth for part in parts), default=0)
        if self.depth > DEEPEST_GUARD:
            self._settle()

    @property
    def mask(self) -> Tensor:
        return self._mask if self._mask is not None else self._settle()

    def _settle(self) -> Tensor:
        self._mask = self._build(*(part.mask for part in self._parts))
        self.depth = 0
        return self._mask


Guarded = tuple[Tensor, Guard | None]  # a contribution to a cotangent; no guard: it may be other than 0 anywhere


def backward(nodes: Iterable[Node], seeds: Mapping[Tensor, Tensor], sources: Sequence[Tensor]) -> list[Tensor | None]:
    """The cotangents of `sources`, given those of the targets in `seeds`; None where nothing flows.

    `nodes` are those between sources and targets, operands first. Every new node carries the line of the node whose rule made it.
    """
    order = tuple(nodes)
    wanted = {tensor for node in order for tensor in node.outputs} | set(sources)
    found: dict[Tensor, list[Guarded]] = {tensor: [(seed, None)] for tensor, seed in seeds.items()}
    for node in reversed(order):
        with derived_from(node, gradient=True) if isinstance(node, Node) else nullcontext():
            totals = [accumulate(found.get(output, ())) for output in node.outputs]
            for output, total in zip(node.outputs, totals, strict=True):
                if total is not None:
                    found[output] = [total]
            if all(total is None for total in totals) or not node.op.differentiable:
                continue
            g, guard = totals[0] or (None, None) if len(totals) == 1 else (tuple(t and t[0] for t in totals), None)
            for operand, contribution in zip(node.inputs, contributions(node, g, guard, wanted), strict=True):
                if contribution is not None:
                    found.setdefault(operand, []).append(contribution)
    totals = [accumulate(found.get(source, ())) for source in sources]
    return [None if total is None else total[0] for total in totals]


def accumulate(parts: Sequence[Guarded]) -> Guarded | None:
    """The sum of contributions, guarded by any of their guards; None for none."""
    if not parts:
        return None
    total, guard = parts[0]
    for part, other in parts[1:]:
        total = add(total, part)
        guard = either(guard, other)
    return total, guard


def either(a: Guard | None, b: Guard | None) -> Guard | None:
    """The guard under which one of two holds."""
    if a is None or b is None:
        return None
    return a if a is b else Guard(logical_or, a, b, lasting=lasting_of(a, b, either))


def both(a: Guard | None, b: Guard | None) -> Guard | None:
    """The guard under which both of two hold."""
    if a is None or b is None:
        return a or b
    return a if a is b else Guard(logical_and, a, b, lasting=lasting_of(a, b, both))


def lasting_of(a: Guard, b: Guard, combined: Callable[..., Guard | None]) -> Guard | bool | None:
    """What lasts of the combination of two guards: all of it (True) where all of both lasts."""
    return True if a.lasting is a and b.lasting is b else combined(a.lasting, b.lasting)


# --- one node ----------------------------------------------------------------------------------------------------------


def contributions(node: Node, g: Any, guard: Guard | None, wanted: set[Tensor]) -> list[Guarded | None]:
    """What flows back to each operand of `node`, summed to the operand's shape."""
    result: list[Guarded | None] = []
    for k, value in enumerate(cotangents(node, g, wanted)):
        if value is None:
            result.append(None)
            continue
        operand = node.inputs[k]
        own = selection(node, k)
        passed = both(guard_of_operand(node, k, guard), own)
        local = spread_guard(node, guard)
        if local is not None and not is_linear(node, k):
            value = where(local.mask, value, zero_of(value))
        if passed is not None:
            passed = summed_guard(passed, node, operand)
        result.append((sum_like(value, operand), passed))
    return result


def cotangents(node: Node, g: Any, wanted: set[Tensor]) -> Sequence[Tensor | None]:
    """The VJPs of the operands in `wanted` that have a gradient at all."""
    live = [t in wanted and t.dtype.is_differentiable for t in node.inputs]
    if node.op.vjp_all is not None:
        return [value if alive else None for value, alive in zip(node.op.cotangents(g, node), live, strict=True)]
    assert node.op.vjps is not None, f"{node.op.name} has no VJP"
    return [
        vjp(g, node.output, *node.inputs, **node.attrs) if vjp is not None and alive else None
        for vjp, alive in zip(node.op.vjps, live, strict=True)
    ]


def is_linear(node: Node, k: int) -> bool:
    """Is the local derivative by operand `k` a finite constant, so that a cotangent of 0 stays 0?"""
    if node.op.linear:
        return True
    others = [t for j, t in enumerate(node.inputs) if j != k]
    return node.op is multiply and all(t.op.name == "constant" and np.isfinite(t.numpy()).all() for t in others)


# --- guards ------------------------------------------------------------------------------------------------------------


def selection(node: Node, k: int) -> Guard | None:
    """Where an op that selects takes operand `k`; broadcastable to the result."""
    rule = node.op.guards[k] if node.op.guards is not None else None
    if rule is None:
        return None
    return Guard(lambda: rule(node.output, *node.inputs), lasting=node.op.guards_last)


def spread_guard(node: Node, guard: Guard | None) -> Guard | None:
    """The guard of the result as a condition on the contributions of a rule that multiplies; None for library ops."""
    match node.op.access:
        case Access.ELEMENTWISE:
            return guard
        case Access.REDUCTION:
            return guard_of_operand(node, 0, guard)
        case _:
            return None


def guard_of_operand(node: Node, k: int, guard: Guard | None) -> Guard | None:
    """The guard of the result as a condition on operand `k`, before broadcasting is undone."""
    if guard is None or node.op.access is Access.ELEMENTWISE:
        return guard
    kept = guard.lasting
    if kept is None or node.op.access not in (Access.REDUCTION, Access.MOVEMENT):
        return None
    return Guard(lambda mask: moved_mask(node, k, mask), kept, lasting=True)


def moved_mask(node: Node, k: int, mask: Tensor) -> Tensor:
    """The elements of operand `k` that reach a masked element of the result: the VJP of the movement, applied to the mask."""
    if not mask.rank:
        return mask  # one condition for all elements
    if node.op.access is Access.REDUCTION:
        axis, keepdims = node.attrs["axis"], node.attrs["keepdims"]
        mask = broadcast_to(mask, node.type.shape)
        kept = tuple(1 if a in axis else size for a, size in enumerate(node.inputs[0].shape))
        return mask if keepdims else reshape(mask, kept)
    ones = cast(broadcast_to(mask, node.type.shape), node.inputs[k].dtype if node.inputs[k].dtype.is_differentiable else float32)
    flowing = node.op.cotangents(ones, node)[k]
    assert flowing is not None
    return not_equal(sum_like(flowing, node.inputs[k]), 0)


def summed_guard(guard: Guard, node: Node, operand: Tensor) -> Guard | None:
    """A guard on the shape of the result, brought to the shape of an operand that was broadcast."""
    if node.op.access is not Access.ELEMENTWISE or operand.shape == node.type.shape:
        return guard
    kept = guard.lasting
    if kept is None:
        return None
    return Guard(lambda mask: reduce_like(mask, operand.shape, reduce_any), kept, lasting=True)


# --- broadcasting, undone ----------------------------------------------------------------------------------------------


def sum_like(value: Tensor, operand: Tensor) -> Tensor:
    """The contribution in the shape of the operand: summed over what was broadcast, repeated where the rule left it smaller."""
    if value.shape == operand.shape:
        return value
    if broadcasts(value.shape, operand.shape):
        return broadcast_to(value, operand.shape)
    return reduce_like(value, operand.shape, reduce_sum)


def broadcasts(shape: Shape, target: Shape) -> bool:
    """Does `shape` broadcast to `target` for certain?"""
    return len(shape) <= len(target) and all(a in (b, 1) for a, b in zip(reversed(shape), reversed(target), strict=False))


def reduce_like(value: Tensor, target: Shape, reduce: Callable[..., Tensor]) -> Tensor:
    """`value` reduced to what broadcasts to `target`, where `target` was broadcast to the shape of `value`."""
    if value.rank > len(target):
        value = reduce(value, tuple(range(value.rank - len(target))))
    own = target[len(target) - value.rank :]
    stretched = tuple(a for a in range(value.rank) if own[a] == 1 and value.shape[a] != 1)
    if stretched:
        value = reduce(value, stretched, keepdims=True)
    for axis in range(value.rank):
        # A size that is neither equal nor known to be 1 may be 1 in a run; a known one has been checked to agree.
        if value.shape[axis] not in (own[axis], 1) and not isinstance(own[axis], int):
            value = unbroadcast(value, reduce(value, (axis,), keepdims=True), axis=axis, size=own[axis])
    return value
