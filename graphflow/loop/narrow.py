"""Whole numbers that are known to fit into 32 bits are computed in 32 bits: positions, as argmax and one_hot compare them.

Positions are int64, of which a vector holds half as many as of the float32 beside them. Here what is compared, reduced or
converted to a float is computed in int32 where the sizes, being numbers, show that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphflow.ir.scalar import Accumulator, Axis, Call, Const, Expr
from graphflow.loop.ir import Reduction, Store, children, replace_children, walk
from graphflow.types import bool_, int32, int64, static_size

LOW, HIGH = -(1 << 31), (1 << 31) - 1
COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
_ARITHMETIC = {"index_add": "add", "index_mul": "multiply", "add": "add", "multiply": "multiply", "subtract": "subtract"}

Bounds = tuple[int, int]


def narrowed(reductions: Sequence[Reduction], stores: Sequence[Store]) -> tuple[list[Reduction], list[Store]]:
    """The same reductions and stores, with 32 bits where those are enough."""
    narrower = _Narrower()
    return [narrower.reduction(r) for r in reductions], [replace(s, value=narrower.rewritten(s.value)) for s in stores]


class _Narrower:
    def __init__(self) -> None:
        self.done: dict[int, Expr] = {}
        self.known: dict[int, Bounds | None] = {}
        self.narrow: dict[int, Expr] = {}
        self.accumulators: dict[int, tuple[Accumulator, Bounds]] = {}  # those that became int32, by the old one
        self.keep: list[Expr] = []

    def reduction(self, r: Reduction) -> Reduction:
        """The reduction; a least or largest position becomes one of int32."""
        value = self.rewritten(r.value)
        size = static_size(tuple(r.node.inputs[0].shape[axis] for axis in r.node.attrs["axis"]))
        bounds = self.bounds(value) if r.combine in ("minimum", "maximum") and value.dtype == int64 and size else None
        if bounds is None:  # of none, the result is the largest int64
            return replace(r, value=value)
        accumulator = Accumulator(r.accumulator.number, int32)
        self.accumulators[id(r.accumulator)] = accumulator, bounds
        self.keep.append(r.accumulator)
        identity = Const(HIGH if r.combine == "minimum" else LOW, int32)
        return replace(r, accumulator=accumulator, identity=identity, value=self.narrowed(value))

    def rewritten(self, root: Expr) -> Expr:
        """The same value; comparisons and conversions in it are of int32 where that is enough."""
        for e in walk([root]):
            if id(e) not in self.done:
                parts = children(e)
                new = tuple(self.done[id(p)] for p in parts)
                same = all(a is b for a, b in zip(parts, new, strict=True))
                self.done[id(e)] = self.smaller(e if same else replace_children(e, new))
                self.keep.append(e)
        return self.done[id(root)]

    def smaller(self, e: Expr) -> Expr:
        """An expression on rewritten parts, itself of smaller numbers where it can be."""
        match e:
            case Accumulator() if id(e) in self.accumulators:
                return Call("cast", (self.accumulators[id(e)][0],), int64)
            case Call(fn, (a, b), _) if fn in COMPARISONS and a.dtype == b.dtype == int64 and self.fit(a, b):
                return Call(fn, (self.narrowed(a), self.narrowed(b)), bool_)
            case Call("cast", (x,), dtype) if dtype.is_floating and x.dtype == int64 and self.fit(x):
                return Call("cast", (self.narrowed(x),), dtype)
            case _:
                return e

    def fit(self, *values: Expr) -> bool:
        """Do the values fit, and is one of them data, as all others are bounds of index expressions?"""
        data = any(isinstance(v, Call) and not v.fn.startswith("index_") for v in values)
        return data and all(self.bounds(v) is not None for v in values)

    def bounds(self, e: Expr) -> Bounds | None:
        """The least and largest value, where both are known and fit; and so for all it is computed from."""
        if id(e) not in self.known:
            found = self._bounds(e)
            self.known[id(e)] = found if found is not None and found[0] >= LOW and found[1] <= HIGH else None
            self.keep.append(e)
        return self.known[id(e)]

    def _bounds(self, e: Expr) -> Bounds | None:
        match e:
            case Const(value, dtype) if dtype.is_integer:
                return int(value), int(value)
            case Axis(_, extent) if isinstance(extent, int):
                return 0, max(extent - 1, 0)
            case Accumulator(_, dtype) if dtype == int32:
                return next((b for a, b in self.accumulators.values() if a is e), (LOW, HIGH))
            case Call("cast", (x,), dtype) if dtype in (int32, int64) and (x.dtype.is_integer or isinstance(x, Axis)):
                return self.bounds(x)
            case Call("where", (_, a, b)):
                first, second = self.bounds(a), self.bounds(b)
                return (min(first[0], second[0]), max(first[1], second[1])) if first and second else None
            case Call(fn, (a, b), dtype) if fn in _ARITHMETIC and dtype in (int32, int64):  # narrower ones wrap
                first, second = self.bounds(a), self.bounds(b)
                return combined(_ARITHMETIC[fn], first, second) if first and second else None
            case _:
                return None

    def narrowed(self, e: Expr) -> Expr:
        """The value of an expression with bounds, in int32."""
        if id(e) not in self.narrow:
            self.narrow[id(e)] = self._narrowed(e)
        return self.narrow[id(e)]

    def _narrowed(self, e: Expr) -> Expr:
        match e:
            case _ if e.dtype == int32 and not isinstance(e, Axis):
                return e
            case Const(value, _):
                return Const(value, int32)
            case Call("cast", (x,), _):
                return self.narrowed(x)
            case Call("where", (condition, a, b)):
                return Call("where", (condition, self.narrowed(a), self.narrowed(b)), int32)
            case Call(fn, (a, b)):
                return Call(_ARITHMETIC[fn], (self.narrowed(a), self.narrowed(b)), int32)
            case _:
                return Call("cast", (e,), int32)


def combined(fn: str, a: Bounds, b: Bounds) -> Bounds:
    """The bounds of a sum, difference or product.

    >>> combined("multiply", (-2, 3), (0, 5))
    (-10, 15)
    """
    if fn == "add":
        return a[0] + b[0], a[1] + b[1]
    if fn == "subtract":
        return a[0] - b[1], a[1] - b[0]
    products = [x * y for x in a for y in b]
    return min(products), max(products)
