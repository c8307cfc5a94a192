"""What made a NaN or an infinity: kernels that watch every value say which op did, in which element and step; going through the
program op by op up to there says of what, and where that came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.debug.origin import origin_of, place_text
from graphflow.debug.values import input_values
from graphflow.errors import GraphflowError, NumericsError
from graphflow.ir.evaluate import Observer, evaluate
from graphflow.ir.op import Access
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.numerics import KINDS, watched
from graphflow.options import options
from graphflow.runtime.executable import Executable
from graphflow.runtime.failures import UNCHANGED, MadeError, operands_of, sized_operands
from graphflow.runtime.variables import Store
from graphflow.types import Dim

MOST_NODES = 3_000_000  # evaluated by NumPy, some 10 us each, before the search for the operands is given up


@contextmanager
def nan_check(infinities: bool = True) -> Iterator[None]:
    """A block in which a run fails with NumericsError at the first op that makes a NaN, or an infinity of finite operands.

    The error names the op and its line, the element, the iterations of the loops around, the values of the operands, and the
    elements of feeds and variables these came from, where that can be told. Programs are compiled anew, with a check of each
    value in their kernels; no variable is changed by a run that fails. An infinity that is meant, as the logarithm of 0 that
    `gf.where` does not take, is not an error with `infinities=False`.
    """
    with options(nan_check="all" if infinities else "nan"):
        yield


def watch_run(run: Callable[[list[Any]], Any], executable: Executable, feeds: list[Any], store: Store) -> Any:
    """What a run of a watched program gives; its error with all that can be found out about it."""
    counter = store.counter
    for tensor, value in zip(executable.feeds, feeds, strict=True):
        refuse(tensor, np.asarray(value), "is fed")
    for tensor in executable.built.inputs:
        if tensor.op.name == "variable" and store.has(tensor.attrs["handle"]):
            refuse(tensor, store.value(tensor.attrs["handle"]), "has, before the run,")
    try:
        return run(list(feeds))
    except MadeError as error:
        program = executable.program
        values = input_values(program, executable, feeds, store, counter)
        sizes = executable.solve_dims([np.shape(value) for value in feeds])
        try:
            evaluate(program, values, sizes, Search(error, sizes))
        except Made as made:
            raise made.error from None
        except (GaveUp, GraphflowError):
            pass
        raise


def watched_run(executable: Executable, run: Callable[[list[Any], Store], list[Any]]) -> Callable[[list[Any], Store], list[Any]]:
    """The function that runs a binding of a watched program, and whose errors tell all that can be found out."""
    return lambda arrays, store: watch_run(lambda values: run(values, store), executable, arrays, store)


def refuse(tensor: Tensor, array: np.ndarray, how: str) -> None:
    """NumericsError where a value that is given has a NaN. Infinities may be meant."""
    if array.dtype.kind not in "fc" and array.dtype.name != "bfloat16":
        return
    bad = np.isnan(array)
    if bad.any():
        place = tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape))
        raise NumericsError(
            f"{tensor.name} {how} NaN at {place_text(place)}, and {int(bad.sum()) - 1} times more", operands={"tensor": tensor}
        )


class Made(Exception):
    """The op was found."""

    def __init__(self, error: NumericsError) -> None:
        self.error = error


class GaveUp(Exception):
    """NumPy would take too long."""


class Search(Observer):
    """Goes through a watched program until the op of an error makes what it made."""

    def __init__(self, error: MadeError, sizes: Mapping[Dim, int]) -> None:
        super().__init__()
        self.error = error
        self.sizes = sizes
        self.operands: dict[Node, list[np.ndarray]] = {}
        self.count = 0

    def computed(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        self.count += 1
        if self.count > MOST_NODES:
            raise GaveUp
        if node.op is not watched:
            self.operands[node] = operands
            return
        target = node.inputs[0].node
        if target.number != self.error.node.number or target.op is not self.error.node.op:
            return
        place = first_made(operands, node.attrs["infinities"])
        if place is not None:
            raise Made(self.explained(target, operands[0], place))

    def explained(self, node: Node, result: np.ndarray, place: tuple[int, ...]) -> NumericsError:
        """The error with operands and origins."""
        labels = operands_of(node)
        lines = []
        for (label, tensor), array in zip(labels.items(), self.operands[node], strict=True):
            if node.op.access is Access.ELEMENTWISE:
                at = within(place, array.shape)
                lines.append(f"  {label} = {tensor.name}{place_text(at)} = {array[at]}{self.origin(tensor, at)}")
            else:
                lines.append(f"  {label} = {tensor.name}: {summary(array)}")
        steps = "".join(
            f", in {'branch' if loop.op.name == 'branch' else 'iteration'} {number} of {loop.name}"
            for loop, number in reversed(self.path)
        )
        value = result[place]
        part = "" if node.twin is None else f" in the gradient of {node.twin.name} ({node.twin.location})"
        return NumericsError(
            f"{node.op.name} ({node.name}) makes {value} of what is {'finite' if np.isinf(value) else 'no NaN'}{part}: element "
            f"{place_text(place) or '[]'}{steps}",
            operands=sized_operands(node, self.sizes),
            location=node.location,
            rule="\n".join([*lines, UNCHANGED]),
        )

    def origin(self, tensor: Tensor, place: tuple[int, ...]) -> str:
        """Where an element comes from, as text."""
        found = origin_of(tensor, place, self.path, self.operands, self.sizes)
        if not found:
            return ""
        return ", computed from " + " and ".join(f"{source.name}{place_text(at)}" for source, at in found)


def first_made(operands: Sequence[np.ndarray], infinities: bool) -> tuple[int, ...] | None:
    """The first element of the first operand that is NaN where none of the others is, or infinite where they are finite."""
    out, *others = operands
    bad = np.isnan(out) & ~excused(out, others, np.isnan)
    if infinities:
        bad |= np.isinf(out) & ~excused(out, others, lambda x: ~np.isfinite(x))
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape)) if bad.any() else None


def excused(out: np.ndarray, others: Sequence[np.ndarray], test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    found = np.zeros(out.shape, bool)
    for other in others:
        found |= test(other)
    return found


def within(place: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The element of an operand of `shape` that is read for the element `place` of a broadcast result."""
    return tuple(0 if size == 1 else k for k, size in zip(place[len(place) - len(shape) :], shape, strict=True))


def summary(array: np.ndarray) -> str:
    """The shape, range and special values of an array."""
    text = f"{array.dtype}{list(array.shape)}"
    if array.size == 1:
        return f"{text} {array.reshape(())[()]}"
    if array.dtype.kind == "c" or not array.size:
        return text
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    parts = [f"from {finite.min():.6g} to {finite.max():.6g}"] if finite.size else []
    parts += [f"{int(count)} {kind}" for kind, count in zip(KINDS[1:], special(numbers), strict=True) if count]
    return f"{text}, {', '.join(parts)}"


def special(array: np.ndarray) -> tuple[int, int, int]:
    """How many elements are NaN, infinite, and -infinite."""
    return int(np.isnan(array).sum()), int((array == np.inf).sum()), int((array == -np.inf).sum())
