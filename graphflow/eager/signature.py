"""Signatures: what of the arguments of a call decides which trace of a function runs it.

Arguments are taken apart into an outline, which a trace is made for, and tensors, which it is given. Structure, Python values,
dtypes and ranks are the outline. Sizes are terms: a number, or the number of a symbol; equal symbols are equal sizes.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.tensor import Tensor
from graphflow.ops.state import Variable
from graphflow.types import DType, Size, TensorType, as_dtype, format_shape

SMALL = 64  # elements of a vector that may be the state of a loop: its size is a number until it changes


class TensorSpec:
    """The type of an argument of a function: `gf.TensorSpec([None, 784], gf.float32)`.

    A size is a number, None for one that may change, or a name: equal names are equal sizes, which makes faster code.
    """

    def __init__(self, shape: Sequence[int | str | None], dtype: Any = "float32", name: str | None = None) -> None:
        if isinstance(shape, int | str) or not hasattr(shape, "__iter__"):
            raise ShapeError(f"TensorSpec: shape {shape!r} is no list of sizes", rule="Write [None, 64], or [] for a scalar.")
        self.shape = tuple(
            [size if isinstance(size, str | None) else None if isinstance(size, Size) else int(size) for size in shape]
        )
        self.dtype = as_dtype(dtype)
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name))

    def __repr__(self) -> str:
        return f"TensorSpec({list(self.shape)}, {self.dtype}{f', {self.name!r}' if self.name else ''})"


# --- outlines ---------------------------------------------------------------------------------------------------------------


class Identity:
    """Which object it is. The object is not kept alive, where Python can tell that it is gone."""

    __slots__ = ("number", "object", "shown")

    def __init__(self, thing: Any) -> None:
        self.number = id(thing)
        self.shown = shown(thing)
        try:
            self.object: Callable[[], Any] = weakref.ref(thing)
        except TypeError:
            self.object = lambda: thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.number == other.number and self.object() is other.object() is not None

    def __hash__(self) -> int:
        return self.number


def shown(thing: Any) -> str:
    """An object in a sentence."""
    if isinstance(thing, Variable):
        return f"the variable {thing.name}"
    name = getattr(thing, "__qualname__", None)
    return f"{type(thing).__name__} {name}" if isinstance(name, str) else f"an object of {type(thing).__name__}"


Part = tuple[str, str, Any]  # (where in the arguments, what it is, what it must equal)
_VALUES = (bool, int, str, bytes, type(None), type(Ellipsis), DType, range, Size, TensorType)


def take_apart(value: Any, path: str, parts: list[Part], leaves: list[tuple[str, Any]]) -> None:
    """Add the outline of a value to `parts` and its tensors to `leaves`."""
    kind = type(value)
    if is_tensor_like(value):
        leaves.append((path, value))
        dtype = as_dtype(value.dtype)
        parts.append((path, "tensor", (dtype.name, len(value.shape))))
    elif isinstance(value, Variable):
        parts.append((path, "object", Identity(value)))
    elif kind in _VALUES:
        parts.append((path, "value", (kind, value)))
    elif kind is float or kind is complex:
        parts.append((path, "value", (kind, repr(value))))
    elif isinstance(value, Mapping):
        parts.append((path, "structure", (kind, tuple(value))))
        for key, item in value.items():
            take_apart(item, f"{path}[{key!r}]", parts, leaves)
    elif isinstance(value, list | tuple):
        names = getattr(kind, "_fields", None)
        parts.append((path, "structure", (kind, len(value))))
        for k, item in enumerate(value):
            take_apart(item, f"{path}.{names[k]}" if names else f"{path}[{k}]", parts, leaves)
    elif is_record(value):
        parts.append((path, "structure", (kind, ())))
        for field in fields(value):
            take_apart(getattr(value, field.name), f"{path}.{field.name}", parts, leaves)
    else:
        parts.append((path, "object", Identity(value)))


def is_record(value: Any) -> bool:
    """Is it a dataclass of the user's, whose fields are values of their own?"""
    return is_dataclass(value) and not isinstance(value, type | Size | DType | TensorType)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """A nest like `value` with what `change` makes of its leaves, in the order of `take_apart`."""
    if isinstance(value, Mapping):
        found = {key: map_leaves(item, change) for key, item in value.items()}
        return found if type(value) is dict else type(value)(found)  # type: ignore[call-arg]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[map_leaves(item, change) for item in value])
    if isinstance(value, list | tuple):
        return type(value)([map_leaves(item, change) for item in value])
    if is_record(value):
        fresh: Any = copy.copy(value)  # type: ignore[arg-type]
        for field in fields(value):
            object.__setattr__(fresh, field.name, map_leaves(getattr(value, field.name), change))
        return fresh
    return change(value)


def is_tensor_like(value: Any) -> bool:
    """Is it given to a trace as a tensor?"""
    return isinstance(value, Tensor | np.ndarray | np.generic | TensorSpec)


def is_gone(parts: Sequence[Part]) -> bool:
    """Does an outline mention an object that is no more?"""
    return any(kind == "object" and what.object() is None for _, kind, what in parts)


# --- sizes ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Symbol:
    """A size that a run decides; equal symbols are equal sizes."""

    number: int


Term = int | Symbol
Terms = tuple[tuple[Term, ...], ...]
Shapes = Sequence[tuple[int, ...]]
Place = tuple[int, int]  # (which tensor, which axis)


def first_terms(shapes: Shapes, pinned: frozenset[Place]) -> Terms:
    """The terms of a first trace. The first size of each tensor is a batch and a symbol from the start, except small ones.

    A size that stands at another axis, too, is that of a matrix, and that of a small vector may be the state of a loop: both
    stay numbers until they change. So does what Python has used as a number.
    """
    inner = {size for shape in shapes for size in shape[1:]}
    batches = {shape[0] for shape in shapes if (len(shape) > 1 or (shape and shape[0] > SMALL)) and shape[0] not in inner}
    batches -= {shapes[t][axis] for t, axis in pinned}
    symbols = {size: Symbol(k) for k, size in enumerate(sorted(batches))}
    return tuple(tuple(symbols.get(size, size) if a == 0 else size for a, size in enumerate(shape)) for shape in shapes)


def stated_terms(shapes: Sequence[Sequence[int | str | None]]) -> Terms:
    """The terms of sizes that were stated: numbers, None, or names."""
    symbols: dict[Any, Symbol] = {}

    def term(size: int | str | None, place: Place) -> Term:
        return size if isinstance(size, int) else symbols.setdefault(size or place, Symbol(len(symbols)))

    return tuple(tuple(term(size, (t, a)) for a, size in enumerate(shape)) for t, shape in enumerate(shapes))


def fit(terms: Terms, shapes: Shapes) -> bool:
    """Do the sizes of a call agree with the terms?"""
    known: dict[Term, int] = {}
    for row, shape in zip(terms, shapes, strict=True):
        for term, size in zip(row, shape, strict=True):
            if term is not size and known.setdefault(term, size if isinstance(term, Symbol) else term) != size:
                return False
    return True


def generalised(terms: Terms, shapes: Shapes) -> Terms:
    """The closest terms that both `terms` and the sizes of a call agree with.

    What was equal and still is has one symbol. Plotkin, "A note on inductive generalization", 1970.
    """
    symbols: dict[tuple[Term, int], Symbol] = {}

    def meet(term: Term, size: int) -> Term:
        return term if term == size else symbols.setdefault((term, size), Symbol(len(symbols)))

    return tuple(tuple(map(meet, row, shape)) for row, shape in zip(terms, shapes, strict=True))


def sizes_text(row: Sequence[Term]) -> str:
    """`[s0, 784]`."""
    return format_shape(tuple(f"s{t.number}" if isinstance(t, Symbol) else t for t in row))  # type: ignore[arg-type, misc]


# --- reasons ----------------------------------------------------------------------------------------------------------------


def difference(before: Sequence[Part], now: Sequence[Part]) -> list[str]:
    """What is another in an outline, as phrases."""
    known = {path: (kind, what) for path, kind, what in before}
    found = []
    for path, kind, what in now:
        old = known.get(path)
        if old is None or old == (kind, what):
            continue
        found.append(f"argument `{path}` was {part_text(*old)}, then {part_text(kind, what)}")
    if not found:
        found.append("the structure of the arguments changed")
    return found


def part_text(kind: str, what: Any) -> str:
    """A part of an outline, in a sentence."""
    match kind:
        case "tensor":
            return f"a tensor of {what[0]} and rank {what[1]}"
        case "value":
            type_, value = what
            return "None" if value is None else f"the Python {type_.__name__} {value if type_ is float else repr(value)}"
        case "structure":
            type_, size = what
            return (
                f"a {type_.__name__} of {size}"
                if isinstance(size, int)
                else f"a {type_.__name__} of {', '.join(map(repr, size))}"
            )
        case _:
            return what.shown


def changes(before: Terms, now: Terms, paths: Sequence[str]) -> list[str]:
    """Which sizes are symbols that were numbers, or equal, before."""
    return [
        f"argument `{path}` had the sizes {sizes_text(a)}, now {sizes_text(b)}"
        for path, a, b in zip(paths, before, now, strict=True)
        if [isinstance(t, int) for t in a] != [isinstance(t, int) for t in b]
        or [t for t in a if isinstance(t, int)] != [t for t in b if isinstance(t, int)]
    ] or ["sizes that were equal no longer are"]


def as_spec(value: Any, spec: TensorSpec, path: str) -> Any:
    """An argument in the dtype that the input signature says; an error where it does not fit."""
    if isinstance(value, Variable):
        value = value.read_value()
    if isinstance(value, Tensor | TensorSpec):
        dtype = value.dtype
    else:
        array = np.asarray(value)
        if array.dtype.kind not in "biufc" and array.dtype.name != "bfloat16":
            raise DTypeError(f"argument `{path}` is no array of numbers: {value!r:.60}", rule=f"It is {spec}.")
        if not isinstance(value, np.ndarray | np.generic):
            array = array.astype(spec.dtype.numpy)
        value, dtype = array, as_dtype(array.dtype)
    if dtype != spec.dtype:
        raise DTypeError(f"argument `{path}` is {TensorType(tuple(value.shape), dtype)}", rule=f"It is {spec}.")
    shape = tuple(value.shape)
    if len(shape) != len(spec.shape) or any(
        isinstance(b, int) and isinstance(a, int) and a != b for a, b in zip(shape, spec.shape, strict=False)
    ):
        raise ShapeError(f"argument `{path}` has the shape {format_shape(shape)}", rule=f"It is {spec}.")
    return value
