"""Types of tensors: element types, sizes that may be symbols, and `TensorType`.

A size is a Python int where it is known and a `Size` where it depends on dimensions that only a run knows. Sizes are kept
in one normal form (a sum of products), so that equal sizes compare equal: `n*4 // 4` is `n`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError, UnknownSizeError


def _ml_dtypes() -> Any:
    return import_module("ml_dtypes")  # takes 8 ms, and few programs need it


def _finfo(dtype: DType) -> Any:
    return (_ml_dtypes() if dtype.name == "bfloat16" else np).finfo(dtype.numpy)


# --- element types -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DType:
    """An element type, printed by its name: `float32`. Compares equal to the NumPy dtype and to the name."""

    name: str
    kind: str  # "bool", "int", "uint", "float", "complex"
    bits: int

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype of the values."""
        return np.dtype(_ml_dtypes().bfloat16) if self.name == "bfloat16" else np.dtype(self.name)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_floating(self) -> bool:
        return self.kind == "float"

    @property
    def is_complex(self) -> bool:
        return self.kind == "complex"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def is_bool(self) -> bool:
        return self.kind == "bool"

    @property
    def is_differentiable(self) -> bool:
        return self.kind in ("float", "complex")

    @property
    def compute(self) -> DType:
        """The dtype arithmetic is done in: float32 for the 16-bit floats, itself otherwise."""
        return float32 if self.is_floating and self.bits == 16 else self

    @property
    def real(self) -> DType:
        """The dtype of the real part."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    @property
    def min(self) -> Any:
        """The smallest finite value."""
        if self.is_bool:
            return False
        return np.iinfo(self.numpy).min if self.is_integer else _finfo(self).min

    @property
    def max(self) -> Any:
        """The largest finite value."""
        if self.is_bool:
            return True
        return np.iinfo(self.numpy).max if self.is_integer else _finfo(self).max

    @property
    def epsilon(self) -> float:
        """The distance of 1 from the next larger number, of a float."""
        return float(_finfo(self).eps)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self.name == other.name
        if other is None:  # NumPy's default dtype, to NumPy
            return False
        try:
            return self.name == as_dtype(other).name
        except (DTypeError, TypeError):
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"graphflow.{self.name}"


bool_ = DType("bool", "bool", 8)
int8, int16, int32, int64 = (DType(f"int{b}", "int", b) for b in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (DType(f"uint{b}", "uint", b) for b in (8, 16, 32, 64))
float16, float32, float64 = (DType(f"float{b}", "float", b) for b in (16, 32, 64))
bfloat16 = DType("bfloat16", "float", 16)
complex64, complex128 = (DType(f"complex{b}", "complex", b) for b in (64, 128))

DTYPES = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
_BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def as_dtype(value: Any) -> DType:
    """The `DType` that `value` names: a DType, a NumPy dtype or scalar type, a name, or Python's bool, int, float, complex."""
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    if value is int:
        return int32
    if value is float:
        return float32
    if value is complex:
        return complex64
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    found = _BY_NAME.get(dtype.name) if dtype is not None else None
    if found is None:
        raise DTypeError(f"no dtype {value!r}", rule=f"The dtypes are {', '.join(_BY_NAME)}.")
    return found


# --- sizes ---------------------------------------------------------------------------------------------------------------

_identifiers = itertools.count()


@dataclass(frozen=True, eq=False)
class Dim:
    """A symbol for a size that only a run knows, printed by its name."""

    name: str
    number: int = field(default_factory=lambda: next(_identifiers))

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


@dataclass(frozen=True)
class SizeFunction:
    """A function of sizes that no sum of products expresses: `floordiv`, `mod`, `max`, `min`, `broadcast`, `nonunit`."""

    name: str
    args: tuple[int | Size, ...]

    def __str__(self) -> str:
        infix = {"floordiv": "//", "mod": "%"}.get(self.name)
        if infix:
            return f"({self.args[0]}){infix}({self.args[1]})"
        return f"{self.name}({', '.join(map(str, self.args))})"


Atom = Dim | SizeFunction
Monomial = tuple[Atom, ...]


def _atom_key(atom: Atom) -> tuple[Any, ...]:
    return (0, atom.number, "") if isinstance(atom, Dim) else (1, 0, str(atom))


@dataclass(frozen=True)
class Size:
    """A size that depends on symbols: a sum of integer multiples of products of atoms, in normal form."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: int | Size) -> int | Size:
        return _from_terms([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> int | Size:
        return self * -1

    def __sub__(self, other: int | Size) -> int | Size:
        return self + (-other)

    def __rsub__(self, other: int | Size) -> int | Size:
        return -self + other

    def __mul__(self, other: int | Size) -> int | Size:
        return _from_terms([(m + n, a * b) for m, a in self.terms for n, b in _terms(other)])

    __rmul__ = __mul__

    def __floordiv__(self, other: int | Size) -> int | Size:
        return floordiv(self, other)

    def __mod__(self, other: int | Size) -> int | Size:
        return _function("mod", self, other) if floordiv(self, other) * other != self else 0

    def __index__(self) -> int:
        raise UnknownSizeError(
            f"the size {self} is not known before a run",
            self.dims,
            rule="Python's range and int need a number: give the placeholder that size, or use gf.scan or gf.while_loop.",
        )

    @cached_property
    def dims(self) -> frozenset[Dim]:
        """The symbols this size depends on."""
        found: set[Dim] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Dim):
                    found.add(atom)
                else:
                    for arg in atom.args:
                        found |= dims_of(arg)
        return frozenset(found)

    def __str__(self) -> str:
        parts = []
        for monomial, factor in self.terms:
            product = "*".join(map(str, monomial))
            parts.append(str(factor) if not product else product if factor == 1 else f"{factor}*{product}")
        return " + ".join(parts).replace("+ -", "- ")

    __repr__ = __str__


AnySize = int | Size
Shape = tuple[AnySize, ...]


def _terms(size: AnySize) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, Size) else (((), int(size)),)


def _from_terms(terms: list[tuple[Monomial, int]]) -> AnySize:
    collected: dict[Monomial, int] = {}
    for monomial, factor in terms:
        key = tuple(sorted(monomial, key=_atom_key))
        collected[key] = collected.get(key, 0) + factor
    kept = {m: f for m, f in collected.items() if f}
    if all(m == () for m in kept):
        return kept.get((), 0)
    ordered = sorted(kept.items(), key=lambda item: (not item[0], [_atom_key(a) for a in item[0]]))
    return Size(tuple(ordered))


def symbol(name: str) -> Size:
    """A new symbolic size."""
    return Size((((Dim(name),), 1),))


def dims_of(size: AnySize) -> frozenset[Dim]:
    """The symbols in a size; none for an int."""
    return size.dims if isinstance(size, Size) else frozenset()


_EVALUATE: dict[str, Callable[..., int]] = {
    "floordiv": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "max": max,
    "min": min,
    "broadcast": lambda *sizes: next((a for a in sizes if a != 1), 1),
    "nonunit": lambda a: int(a != 1),  # 0 is the stride of an axis that broadcasting stretches
}


def _function(name: str, *args: AnySize) -> AnySize:
    if all(isinstance(a, int) for a in args):
        return _EVALUATE[name](*args)
    return Size((((SizeFunction(name, args),), 1),))


def floordiv(a: AnySize, b: AnySize) -> AnySize:
    """a // b; exact quotients of products are found symbolically."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b else 0
    if a == b:
        return 1
    divisor = _terms(b)
    if len(divisor) == 1 and divisor[0][1]:
        (monomial, factor) = divisor[0]
        quotient = []
        for m, f in _terms(a):
            rest = list(m)
            for atom in monomial:
                if atom not in rest:
                    break
                rest.remove(atom)
            else:
                if f % factor == 0:
                    quotient.append((tuple(rest), f // factor))
                    continue
            break
        else:
            return _from_terms(quotient)
    return _function("floordiv", a, b)


def size_max(a: AnySize, b: AnySize) -> AnySize:
    """The larger of two sizes."""
    return a if a == b else _function("max", a, b)


def size_min(a: AnySize, b: AnySize) -> AnySize:
    """The smaller of two sizes."""
    return a if a == b else _function("min", a, b)


def nonunit(a: AnySize) -> AnySize:
    """0 where the size is 1, else 1: the factor on the stride of an axis that may be broadcast."""
    return _function("nonunit", a)


def broadcast_size(a: AnySize, b: AnySize) -> AnySize | None:
    """The size of an axis under broadcasting; None when two known sizes disagree."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        return None
    if isinstance(a, int):
        return a  # a != 1, so the other is a or 1: a run checks it
    if isinstance(b, int):
        return b
    parts = {part for size in (a, b) for part in _broadcast_parts(size)}
    return _function("broadcast", *sorted(parts, key=_size_key))


def _broadcast_parts(size: AnySize) -> tuple[AnySize, ...]:
    """The sizes that `size` is the broadcast of; so that broadcast(broadcast(a, b), a) is broadcast(a, b)."""
    if isinstance(size, Size) and len(size.terms) == 1:
        monomial, factor = size.terms[0]
        if factor == 1 and len(monomial) == 1 and isinstance(monomial[0], SizeFunction) and monomial[0].name == "broadcast":
            return monomial[0].args
    return (size,)


def _size_key(size: AnySize) -> list[tuple[list[tuple[Any, ...]], int]]:
    return [([_atom_key(atom) for atom in monomial], factor) for monomial, factor in _terms(size)]


def product(sizes: tuple[AnySize, ...] | list[AnySize]) -> AnySize:
    """The product of sizes; 1 for none."""
    result: AnySize = 1
    for size in sizes:
        result = result * size
    return result


def evaluate(size: AnySize, values: Mapping[Dim, int]) -> int:
    """The number a size stands for, given the sizes of its symbols."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, factor in size.terms:
        for atom in monomial:
            if isinstance(atom, Dim):
                factor *= values[atom]
            else:
                factor *= _EVALUATE[atom.name](*(evaluate(arg, values) for arg in atom.args))
        total += factor
    return total


def substitute(size: AnySize, replacement: Mapping[Dim, AnySize]) -> AnySize:
    """The size with symbols replaced by other sizes."""
    if isinstance(size, int) or not (size.dims & replacement.keys()):
        return size
    total: AnySize = 0
    for monomial, factor in size.terms:
        part: AnySize = factor
        for atom in monomial:
            if isinstance(atom, Dim):
                part = part * replacement.get(atom, Size((((atom,), 1),)))
            elif atom.name == "floordiv":
                part = part * floordiv(*(substitute(arg, replacement) for arg in atom.args))
            else:
                part = part * _function(atom.name, *(substitute(arg, replacement) for arg in atom.args))
        total = total + part
    return total


# --- tensor types ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorType:
    """Shape and dtype, printed `float32[batch, 784]`."""

    shape: Shape
    dtype: DType

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> AnySize:
        """Number of elements."""
        return product(self.shape)

    @property
    def is_static(self) -> bool:
        """True when every size is known."""
        return all(isinstance(d, int) for d in self.shape)

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(self.shape, dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    __repr__ = __str__


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of operands under NumPy broadcasting.

    >>> broadcast_shapes((8, 1, 3), (5, 3))
    (8, 5, 3)
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[AnySize] = []
    for axis in range(-rank, 0):
        size: AnySize = 1
        for shape in shapes:
            if len(shape) >= -axis:
                merged = broadcast_size(size, shape[axis])
                if merged is None:
                    raise ShapeError(
                        f"shapes {' and '.join(format_shape(s) for s in shapes)} do not broadcast",
                        rule="Aligned from the right, sizes must be equal or 1.",
                    )
                size = merged
        result.append(size)
    return tuple(result)


def format_shape(shape: Shape) -> str:
    """`[batch, 784]`, as everywhere."""
    return f"[{', '.join(map(str, shape))}]"


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides: list[AnySize] = []
    step: AnySize = 1
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


def static_size(shape: Shape) -> int | None:
    """Number of elements when every size is known."""
    sizes = [d for d in shape if isinstance(d, int)]
    return math.prod(sizes) if len(sizes) == len(shape) else None  # type: ignore[arg-type]
