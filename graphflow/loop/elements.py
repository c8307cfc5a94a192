"""Elements of small tensors as scalar expressions, sums and products written out; what is in registers, and what is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.ir.op import Access
from graphflow.ir.scalar import Axis, Call, Check, Const, Expr, Select, as_index
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import Inliner
from graphflow.loop.ir import walk
from graphflow.loop.lower import identity_of
from graphflow.loop.statements import InRegisters, TooLarge
from graphflow.ops.declare import broadcast_index
from graphflow.types import AnySize, DType, Shape, bool_, int64, static_size

SUMMED = "i"  # how the names of axes begin that a sum runs over
REGISTERS = 64  # elements of a carried value, or of a row, that are scalars of their own
UNROLLED = 64  # terms of a sum that are written out; longer ones are loops

Read = Callable[[tuple[Expr, ...]], Expr]


class ElementValues(Inliner):
    """Reads elements; what an element rule leaves to constants is settled at once."""

    def __init__(self, leaf: Callable[[Tensor, tuple[Expr, ...]], Expr | None], spend: Callable[[], None]) -> None:
        super().__init__(leaf)
        self.spend = spend
        self._folded: dict[int, Expr] = {}
        self._checks: dict[tuple[int, AnySize], Check] = {}
        self._kept: list[Expr] = []

    def intern(self, expr: Expr) -> Expr:
        """The one object that stands for all equal expressions; an index that has been checked is not checked again."""
        found = super().intern(expr)
        if isinstance(found, Check):
            return self._checks.setdefault((id(found.index), found.size), found)
        return found

    def element(self, node: Node, index: tuple[Expr, ...]) -> Expr:
        self.spend()
        if node.op.name == "matmul":
            return product_element(self, node, index)
        if node.op.name in ("scatter_add", "scatter_add_to", "scatter_set"):
            return scatter_element(self, node, index)
        if node.op.access is Access.REDUCTION:
            return reduced_element(self, node, index)
        if node.op.access not in (Access.ELEMENTWISE, Access.MOVEMENT) or node.op.called_back(node.inputs):
            raise TooLarge(f"{node.op.name} is computed by a kernel of its own")
        return self.fold(super().element(node, index))

    def fold(self, expr: Expr) -> Expr:
        """The expression without choices and index arithmetic that constants decide."""
        found = self._folded.get(id(expr))
        if found is None:
            found = self._fold(expr)
            self._folded[id(expr)] = found
            self._kept += [expr, found]
        return found

    def _fold(self, expr: Expr) -> Expr:
        match expr:
            case Select(condition, then, otherwise):
                decided = self.fold(condition)
                if isinstance(decided, Const):
                    return self.fold(then if decided.value else otherwise)
                return Select(decided, self.fold(then), self.fold(otherwise))
            case Call(fn, args, dtype) if dtype in (bool_, int64) and fn in _FOLDED:
                parts = tuple(self.fold(a) for a in args)
                if all(isinstance(p, Const) for p in parts):
                    return Const(_FOLDED[fn](*(p.value for p in parts)), dtype)  # type: ignore[attr-defined]
                if all(a is b for a, b in zip(parts, args, strict=True)):
                    return expr
                return Call(fn, parts, dtype)
            case Check(Const(value), int(size)) if 0 <= value < size:
                return expr.index
        return expr


_FOLDED: Mapping[str, Callable[..., Any]] = {
    "less": lambda a, b: a < b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "logical_and": lambda a, b: bool(a and b),
    "index_add": lambda a, b: a + b,
    "index_mul": lambda a, b: a * b,
    "index_div": lambda a, b: a // b if b else 0,
    "index_mod": lambda a, b: a % b if b else 0,
}


def sum_of(combine: str, terms: Sequence[Expr], dtype: DType) -> Expr:
    """Terms combined in pairs, pairs of pairs, and so on."""
    found = list(terms)
    while len(found) > 1:
        found = [
            Call(combine, tuple(found[k : k + 2]), dtype) if k + 1 < len(found) else found[k] for k in range(0, len(found), 2)
        ]
    return found[0] if found else identity_of(combine, dtype)


def product_element(values: ElementValues, node: Node, index: tuple[Expr, ...]) -> Expr:
    """One element of a product of matrices, written out."""
    depth = depth_of(node)
    if not isinstance(depth, int) or depth > UNROLLED:
        raise TooLarge("a product of large matrices")
    return sum_of("add", [product_term(values, node, index, Const(k, int64)) for k in range(depth)], node.type.dtype)


def depth_of(node: Node) -> AnySize:
    """The size of the axis that a product of matrices sums over."""
    a = node.inputs[0]
    return a.shape[-2] if node.attrs["transpose_a"] else a.shape[-1]


def product_term(values: ElementValues, node: Node, index: tuple[Expr, ...], k: Expr) -> Expr:
    """The term at `k` of the sum that one element of a product of matrices is."""
    a, b = node.inputs
    batch, (i, j) = index[:-2], index[-2:]
    of_a = broadcast_index(batch, a.shape[:-2], node.type.shape[:-2])
    of_b = broadcast_index(batch, b.shape[:-2], node.type.shape[:-2])
    left = values.value(a, (*of_a, k, i) if node.attrs["transpose_a"] else (*of_a, i, k))
    right = values.value(b, (*of_b, j, k) if node.attrs["transpose_b"] else (*of_b, k, j))
    return Call("multiply", (left, right), node.type.dtype)


def reduced_element(values: ElementValues, node: Node, index: tuple[Expr, ...]) -> Expr:
    """One element of a reduction, written out."""
    x = node.inputs[0]
    axes = node.attrs["axis"]
    sizes = [x.shape[a] for a in axes]
    count = static_size(tuple(sizes))
    if count is None or count > UNROLLED:
        raise TooLarge("a long sum")
    kept = list(index) if not node.attrs["keepdims"] else [i for a, i in enumerate(index) if a not in axes]
    assert node.op.combine is not None
    terms = []
    for place in itertools.product(*(range(size) for size in sizes)):  # type: ignore[arg-type]
        inner, outer = iter(place), iter(kept)
        terms.append(values.value(x, tuple(as_index(next(inner)) if a in axes else next(outer) for a in range(x.rank))))
    return sum_of(node.op.combine, terms, node.type.dtype)


def scatter_element(values: ElementValues, node: Node, index: tuple[Expr, ...]) -> Expr:
    """One element of a scatter of few rows: what is added where the index is that of the row."""
    *base, indices, updates = node.inputs
    count = static_size(indices.shape)
    if count is None or count > 8:
        raise TooLarge("a scatter of many rows")
    dtype = node.type.dtype
    total = values.value(base[0], index) if base else Const(0, dtype)
    for place in itertools.product(*(range(size) for size in indices.shape)):  # type: ignore[arg-type]
        at = tuple(as_index(k) for k in place)
        row = row_index(values, node, indices, at)
        here = Call("equal", (row, index[0]), bool_)
        update = values.value(updates, (*at, *index[1:]))
        if node.op.name == "scatter_set":
            total = Call("where", (here, update, total), dtype)
        else:
            total = Call("add", (total, Call("where", (here, update, Const(0, dtype)), dtype)), dtype)
    return total


def row_index(values: ElementValues, node: Node, indices: Tensor, at: tuple[Expr, ...]) -> Expr:
    """The row that a scatter adds to, checked unless rows outside are dropped."""
    row = Call("cast", (values.value(indices, at),), int64)
    return row if node.attrs["drop"] else Check(row, node.type.shape[0], node, 0)


def places_of(shape: Shape) -> list[tuple[int, ...]]:
    """All index tuples of a small shape."""
    size = static_size(shape)
    if size is None or size > REGISTERS:
        raise TooLarge(f"a value of shape {list(shape)}")
    return list(itertools.product(*(range(d) for d in shape)))  # type: ignore[arg-type]


def register_reader(registers: Mapping[tuple[int, ...], Expr], shape: Shape) -> Read:
    """Reads registers; at an index that only a run knows, by comparing it with all of them."""

    def read(index: tuple[Expr, ...]) -> Expr:
        if all(isinstance(i, Const) for i in index):
            found = registers.get(tuple(i.value for i in index))  # type: ignore[attr-defined]
            return found if found is not None else Const(0, next(iter(registers.values())).dtype)
        if any(isinstance(e, Axis) and e.name.startswith(SUMMED) for e in walk(list(index))):
            raise InRegisters
        result: Expr | None = None
        for place, register in registers.items():
            here: Expr | None = None
            for i, k in zip(index, place, strict=True):
                if isinstance(i, Const):
                    if i.value != k:
                        break
                    continue
                same = Call("equal", (i, Const(k, int64)), bool_)
                here = same if here is None else Call("logical_and", (here, same), bool_)
            else:
                assert here is not None
                result = register if result is None else Call("where", (here, register, result), register.dtype)
        assert result is not None, f"no element of {list(shape)}"
        return result

    return read
