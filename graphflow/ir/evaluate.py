"""Running tensors through the NumPy references of their ops: what constant folding does, and what tests compare kernels with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from graphflow.errors import FeedError, ShapeError
from graphflow.ir.op import Access
from graphflow.ir.program import Program, toposort
from graphflow.ir.tensor import Constraint, Node, Tensor
from graphflow.types import Dim, Size, TensorType, dims_of, uint32
from graphflow.types import evaluate as size_number


def evaluate(
    program_or_tensors: Program | Sequence[Tensor],
    feeds: Mapping[Tensor, Any] | None = None,
    dims: Mapping[Dim, int] | None = None,
    observer: Observer | None = None,
) -> list[np.ndarray]:
    """The values of the results of a program, or of tensors, computed op by op.

    `feeds` gives placeholders, variables and any other tensors their values; the sizes of fed arrays bind symbols, `dims` the
    others. Operands of 16-bit floats are computed in float32 and rounded after each op, as in kernels. `observer` sees each
    node when it has been computed, those of the bodies of loops and branches too.
    """
    results = program_or_tensors.results if isinstance(program_or_tensors, Program) else tuple(program_or_tensors)
    values = {tensor: np.asarray(value, tensor.dtype.numpy) for tensor, value in (feeds or {}).items()}
    sizes = bind_dims({tensor: value.shape for tensor, value in values.items()}, dims)
    for node in needed(results, values):
        if node.output in values:
            continue
        check_constraints(node.constraints, sizes)
        operands = [values[t] for t in node.inputs]
        outputs = apply_reference(node, operands, sizes, observer)
        if observer is not None:
            observer.computed(node, operands, outputs)
        values.update(zip(node.outputs, outputs, strict=True))
    return [values[tensor] for tensor in results]


class Observer:
    """Sees the nodes of an evaluation. `path` has the loops and branches around, outer ones first, with the row or the branch."""

    def __init__(self) -> None:
        self.path: list[tuple[Node, int]] = []

    def computed(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """A node has been computed."""

    @contextmanager
    def inside(self, node: Node) -> Iterator[None]:
        """The bodies of a loop or a branch are evaluated."""
        self.path.append((node, 0))
        yield
        self.path.pop()

    def at(self, number: int) -> None:
        """The row, or the branch, that is evaluated next."""
        self.path[-1] = (self.path[-1][0], number)


def needed(results: Sequence[Tensor], known: Mapping[Tensor, Any]) -> list[Node]:
    """The nodes to compute for `results`, operands first, not looking behind tensors that are known."""
    wanted = {t.node for t in results if t not in known}
    order = []
    for node in reversed(toposort(results)):
        if node in wanted:
            order.append(node)
            wanted.update(t.node for t in node.inputs if t not in known)
    return order[::-1]


def bind_dims(shapes: Mapping[Tensor, tuple[int, ...]], dims: Mapping[Dim, int] | None = None) -> dict[Dim, int]:
    """The symbols of the fed tensors' types, with the sizes that the arrays give them."""
    sizes = dict(dims or {})
    for tensor, shape in shapes.items():
        if len(shape) != tensor.rank:
            raise FeedError(f"a value of shape {list(shape)} for {tensor.name}", operands={"tensor": tensor})
        for size, number in zip(tensor.shape, shape, strict=True):
            symbols = dims_of(size)
            if isinstance(size, Size) and len(symbols) == 1 and str(size) == str(next(iter(symbols))):
                sizes.setdefault(next(iter(symbols)), number)
    for tensor, shape in shapes.items():
        for size, number in zip(tensor.shape, shape, strict=True):
            if dims_of(size) <= sizes.keys() and size_number(size, sizes) != number:
                raise FeedError(
                    f"a value of shape {list(shape)} for {tensor.name}, where {size} is {size_number(size, sizes)}",
                    operands={"tensor": tensor},
                )
    return sizes


def check_constraints(constraints: Sequence[Constraint], sizes: Mapping[Dim, int]) -> None:
    """ShapeError where sizes violate what a type rule left to the run: `within` means 0 <= a <= b, `divisible` a % b == 0."""
    for constraint in constraints:
        a, b = size_number(constraint.a, sizes), size_number(constraint.b, sizes)
        if not holds(constraint.kind, a, b):
            raise ShapeError(f"{constraint.text}: {a} and {b}")


def holds(kind: str, a: int, b: int) -> bool:
    """Does a constraint of some kind hold for two sizes?"""
    return {
        "equal": a == b,
        "broadcast": a in (b, 1),
        "divisible": b != 0 and a % b == 0,
        "within": 0 <= a <= b,
    }[kind]


def apply_reference(
    node: Node, operands: Sequence[np.ndarray], sizes: Mapping[Dim, int], observer: Observer | None = None
) -> list[np.ndarray]:
    """The results of one node, in the dtypes of its types."""
    if node.op.name == "run_counter":
        return [np.zeros((), uint32.numpy)]
    reference = node.op.reference
    if reference is None:
        raise FeedError(f"{node.name} has no value", operands={node.op.name: node.output}, rule="Feed it.")
    attributes = {name: numbers(value, sizes) for name, value in node.attributes}
    wide = [x.astype(t.dtype.compute.numpy) for x, t in zip(operands, node.inputs, strict=True)]
    extra: dict[str, Any] = {}
    if node.op.access is Access.CONTROL:
        extra = {"sizes": sizes, "observer": observer}
    with np.errstate(all="ignore"), observer.inside(node) if observer is not None and extra else nullcontext():
        found = reference(*wide, **attributes, **extra)
        outputs = found if len(node.types) > 1 else (found,)
        return [as_type(value, type_, sizes) for value, type_ in zip(outputs, node.types, strict=True)]


def as_type(value: Any, type_: TensorType, sizes: Mapping[Dim, int]) -> np.ndarray:
    """A reference's result in the dtype of the type; its shape must already be the type's."""
    array = np.asarray(value)
    shape = tuple(size_number(size, sizes) for size in type_.shape)
    assert array.shape == shape, f"a reference gave shape {array.shape} for {type_}"
    assert array.dtype == type_.dtype.compute.numpy or array.dtype == type_.dtype.numpy, (
        f"a reference gave {array.dtype} for {type_}"
    )
    return array.astype(type_.dtype.numpy)


def numbers(value: Any, sizes: Mapping[Dim, int]) -> Any:
    """An attribute with its symbolic sizes as numbers."""
    if isinstance(value, Size):
        return size_number(value, sizes)
    if isinstance(value, tuple):
        return tuple(numbers(item, sizes) for item in value)
    return value
