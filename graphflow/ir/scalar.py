"""Scalar expressions: what one element of a result is, given an index.

Element rules of ops build these; lowering inlines them into each other; `codegen` writes them as source. They are shared
by identity: an expression that occurs twice is one local variable in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphflow.types import AnySize, DType, TensorType, bool_, int64


class Expr:
    """A scalar; `+ - * // %` build index arithmetic (int64)."""

    dtype: DType

    def __add__(self, other: Index) -> Expr:
        return index_add(self, other)

    def __radd__(self, other: Index) -> Expr:
        return index_add(as_index(other), self)

    def __sub__(self, other: Index) -> Expr:
        return index_add(self, index_mul(as_index(other), -1))

    def __rsub__(self, other: Index) -> Expr:
        return index_add(as_index(other), index_mul(self, -1))

    def __mul__(self, other: Index) -> Expr:
        return index_mul(self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: AnySize) -> Expr:
        return index_div("index_div", self, other)

    def __mod__(self, other: AnySize) -> Expr:
        return index_div("index_mod", self, other)

    def __lt__(self, other: Index) -> Expr:
        return Call("less", (self, as_index(other)), bool_)

    def __ge__(self, other: Index) -> Expr:
        return Call("greater_equal", (self, as_index(other)), bool_)


Index = Expr | AnySize


@dataclass(frozen=True, eq=False)
class Axis(Expr):
    """The position along one axis of the iteration space; 0 <= axis < extent."""

    name: str
    extent: AnySize
    dtype: DType = int64


@dataclass(frozen=True, eq=False)
class Const(Expr):
    """A number known at compile time."""

    value: Any
    dtype: DType


@dataclass(frozen=True, eq=False)
class Argument(Expr):
    """A number that the kernel is given when it runs, so that another one compiles nothing: a random seed."""

    value: int
    dtype: DType


@dataclass(frozen=True, eq=False)
class SizeValue(Expr):
    """A size as a number: a literal, or a run-time argument of the kernel."""

    size: AnySize
    dtype: DType = int64


@dataclass(frozen=True, eq=False)
class Load(Expr):
    """An element of a buffer."""

    buffer: Any
    index: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, eq=False)
class Call(Expr):
    """A scalar function; `fn` names a row of `codegen.scalar.SPELLINGS` or of the op that declared it."""

    fn: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, eq=False)
class Select(Expr):
    """`then` where `condition` holds, else `otherwise`; only the branch taken is evaluated, so it may guard a load."""

    condition: Expr
    then: Expr
    otherwise: Expr

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.then.dtype


@dataclass(frozen=True, eq=False)
class Check(Expr):
    """`index`, after recording an error at `site` if it is outside 0 <= index < size; then 0 takes its place."""

    index: Expr
    size: AnySize
    site: Any  # the node whose index it is
    axis: int
    dtype: DType = int64


@dataclass(frozen=True, eq=False)
class Accumulator(Expr):
    """The finished value of a reduction of this kernel; `number` tells which."""

    number: int
    dtype: DType


class Reader:
    """An operand as an element rule sees it: call it with an index to get its element there."""

    __slots__ = ("_read", "type")

    def __init__(self, type: TensorType, read: Callable[[tuple[Expr, ...]], Expr]) -> None:
        self.type = type
        self._read = read

    @property
    def shape(self) -> tuple[AnySize, ...]:
        return self.type.shape

    def __call__(self, *index: Index) -> Expr:
        assert len(index) == len(self.type.shape), f"{len(index)} indices for {self.type}"
        return self._read(tuple(as_index(i) for i in index))


def as_index(value: Index) -> Expr:
    """The expression for an index or a size."""
    if isinstance(value, Expr):
        return value
    return Const(value, int64) if isinstance(value, int) else SizeValue(value)


def constant_index(value: Index) -> int | None:
    """The number an index is known to be."""
    if isinstance(value, int):
        return value
    return value.value if isinstance(value, Const) else None


def index_add(a: Expr, b: Index) -> Expr:
    if constant_index(b) == 0:
        return a
    b = as_index(b)
    if constant_index(a) == 0:
        return b
    if isinstance(a, Const) and isinstance(b, Const):
        return Const(a.value + b.value, int64)
    if isinstance(a, SizeValue | Const) and isinstance(b, SizeValue | Const):
        return as_index(size_of(a) + size_of(b))
    return Call("index_add", (a, b), int64)


def index_mul(a: Expr, b: Index) -> Expr:
    if constant_index(b) == 1:
        return a
    if constant_index(b) == 0:
        return Const(0, int64)
    b = as_index(b)
    if isinstance(a, SizeValue | Const) and isinstance(b, SizeValue | Const):
        return as_index(size_of(a) * size_of(b))
    if constant_index(a) == 1:
        return b
    return Call("index_mul", (a, b), int64)


def index_div(fn: str, a: Expr, size: AnySize) -> Expr:
    """a // size or a % size for a non-negative a; what is known of a's range is used."""
    whole = fn == "index_div"
    if size == 1:
        return a if whole else Const(0, int64)
    if isinstance(a, Const) and isinstance(size, int):
        return Const(a.value // size if whole else a.value % size, int64)
    if isinstance(a, Axis) and a.extent == size:
        return Const(0, int64) if whole else a
    split = _split(a, size)
    if split is not None:
        multiple, rest = split
        return multiple if whole else rest
    return Call(fn, (a, as_index(size)), int64)


def _split(a: Expr, size: AnySize) -> tuple[Expr, Expr] | None:
    """(q, r) with a == q*size + r and 0 <= r < size, where the form of `a` shows them."""
    if not (isinstance(a, Call) and a.fn == "index_add"):
        if (
            isinstance(a, Call)
            and a.fn == "index_mul"
            and isinstance(a.args[1], Const | SizeValue)
            and size_of(a.args[1]) == size
        ):
            return a.args[0], Const(0, int64)
        return None
    high, low = a.args
    inner = _split(high, size)
    if inner is not None and constant_index(inner[1]) == 0 and upper_bound(low) == size:
        return inner[0], low
    return None


def upper_bound(index: Expr) -> AnySize | None:
    """A size that the index stays below, where the form shows it."""
    if isinstance(index, Axis):
        return index.extent
    if isinstance(index, Const):
        return index.value + 1
    if isinstance(index, Call) and index.fn == "index_mod":
        return size_of(index.args[1])  # type: ignore[arg-type]
    if isinstance(index, Call) and index.fn == "index_add":
        high, low = index.args
        bound = upper_bound(low)
        if (
            bound is not None
            and isinstance(high, Call)
            and high.fn == "index_mul"
            and isinstance(high.args[1], Const | SizeValue)
        ):
            outer = upper_bound(high.args[0])
            if outer is not None and size_of(high.args[1]) == bound:
                return outer * bound
    return None


def size_of(value: Const | SizeValue) -> AnySize:
    """The size a constant expression stands for."""
    return value.value if isinstance(value, Const) else value.size


def ravel(index: tuple[Index, ...], shape: tuple[AnySize, ...]) -> Expr:
    """The row-major position of `index` in `shape`."""
    flat: Expr = Const(0, int64)
    for i, size in zip(index, shape, strict=True):
        flat = index_add(index_mul(flat, size), i)
    return flat


def unravel(flat: Expr, shape: tuple[AnySize, ...]) -> tuple[Expr, ...]:
    """The index in `shape` at a row-major position."""
    index: list[Expr] = []
    for axis in range(len(shape) - 1, 0, -1):
        index.append(flat % shape[axis])
        flat = flat // shape[axis]
    if shape:
        index.append(flat)
    return tuple(reversed(index))
