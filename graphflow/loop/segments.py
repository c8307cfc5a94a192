"""Splitting the innermost loop where conditions on its position change: the border of a padded array, the parts of a concat.

In each segment the conditions are known, so what is left has no branches and vectorises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from graphflow.ir.scalar import Axis, Call, Const, Expr, Select, SizeValue, size_of
from graphflow.loop.ir import Stage, children, replace_children, walk
from graphflow.ops.shapes import never_negative
from graphflow.types import AnySize, bool_, size_max, size_min

MOST_SEGMENTS = 4  # copies of a loop body
MOST_OPS = 400  # in all copies: compile time grows with them


@dataclass(frozen=True)
class Threshold:
    """A condition that holds for positions from `at` on, or for those below it."""

    at: AnySize
    above: bool


def segments(axis: Axis, whole: Stage) -> list[Stage]:
    """The stage, or one for each segment of `axis` where that decides conditions."""
    exprs = walk([r.value for r in whole.reductions] + [s.value for s in whole.stores])
    found = [threshold(c, axis) for e in exprs if isinstance(e, Select) for c in walk([e.condition])]
    cuts = in_order({t.at for t in found if t is not None}, axis.extent)
    if not cuts or len(cuts) >= MOST_SEGMENTS or len(exprs) * (len(cuts) + 1) > MOST_OPS:
        return [whole]
    stages = []
    for k, (start, stop) in enumerate(zip([0, *cuts], [*cuts, axis.extent], strict=True)):
        known = _simplifier(axis, cuts[:k])
        reductions = tuple(replace(r, value=known(r.value)) for r in whole.reductions)
        stores = tuple(replace(s, value=known(s.value)) for s in whole.stores)
        stages.append(Stage(reductions, stores, (clamped(start, axis.extent), clamped(stop, axis.extent))))
    return stages


def threshold(condition: Expr, axis: Axis) -> Threshold | None:
    """The condition as a threshold of `axis`, if it is one."""
    match condition:
        case Call("less" | "greater_equal" as fn, (left, Const() | SizeValue() as right)):
            place = affine(left, axis)
        case _:
            return None
    if place is None:
        return None
    sign, constant = place
    above = fn == "greater_equal"
    if sign > 0:  # axis + c >= s
        return Threshold(size_of(right) - constant, above)
    return Threshold(constant - size_of(right) + 1, not above)  # c - axis >= s, that is, axis < c - s + 1


def affine(index: Expr, axis: Axis) -> tuple[int, AnySize] | None:
    """(1 or -1, c) where the index is axis + c or c - axis."""
    if index is axis:
        return 1, 0
    match index:
        case Call("index_add", (a, Const() | SizeValue() as b)) | Call("index_add", (Const() | SizeValue() as b, a)):
            inner = affine(a, axis)
            return None if inner is None else (inner[0], inner[1] + size_of(b))
        case Call("index_mul", (a, Const(-1))):
            inner = affine(a, axis)
            return None if inner is None else (-inner[0], -1 * inner[1])
        case _:
            return None


def in_order(found: set[AnySize], extent: AnySize) -> list[AnySize]:
    """The thresholds strictly inside the axis, least first; none where sizes that only a run knows leave the order open."""
    cuts: list[AnySize] = []
    for at in found:
        if isinstance(at, int) and (at <= 0 or (isinstance(extent, int) and at >= extent)):
            continue
        place = 0
        while place < len(cuts) and never_negative(at - cuts[place]):
            place += 1
        if not all(never_negative(later - at) for later in cuts[place:]):
            return []
        cuts.insert(place, at)
    return cuts


def clamped(at: AnySize, extent: AnySize) -> AnySize:
    """A position between 0 and `extent`."""
    if at == extent or (isinstance(at, int) and isinstance(extent, int) and 0 <= at <= extent):
        return at
    return size_min(at if isinstance(at, int) and at >= 0 else size_max(at, 0), extent)


def _simplifier(axis: Axis, passed: Sequence[AnySize]) -> Callable[[Expr], Expr]:
    """A function that simplifies values for positions beyond the thresholds `passed`, and before all others."""
    done: dict[int, Expr] = {}

    def simplified(e: Expr) -> Expr:
        limit = threshold(e, axis)
        if limit is not None:
            beyond = limit.at in passed or (isinstance(limit.at, int) and limit.at <= 0)
            return Const(beyond == limit.above, bool_)
        parts = children(e)
        new = tuple(done[id(p)] for p in parts)
        match e, new:
            case Select(), (Const(value), then, otherwise):
                return then if value else otherwise
            case Call("logical_and"), (Const(True), other) | (other, Const(True)):
                return other
            case Call("logical_and"), (Const(False), _) | (_, Const(False)):
                return Const(False, bool_)
        return e if all(a is b for a, b in zip(parts, new, strict=True)) else replace_children(e, new)

    def simplify(root: Expr) -> Expr:
        for e in walk([root]):
            if id(e) not in done:
                done[id(e)] = simplified(e)
        return done[id(root)]

    return simplify
