"""A program in float64 beside its own precision: how many digits of each op's result are right, and where they are lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.debug.origin import place_text
from graphflow.debug.values import input_values
from graphflow.errors import SessionError
from graphflow.feeds import feed_array
from graphflow.ir.evaluate import Observer, evaluate
from graphflow.ir.op import Access
from graphflow.ir.program import Program
from graphflow.ir.tensor import Attrs, Literal, Node, Tensor
from graphflow.profiler.text import columns
from graphflow.session import Session, get_default_session
from graphflow.types import DType, TensorType, complex128, float64

_WIDE = {"float16": float64, "bfloat16": float64, "float32": float64, "complex64": complex128}
_ALL = 16.0  # digits of a result that is the same


@dataclass(frozen=True)
class OpPrecision:
    """The worst element of an op's results, over all iterations of the loops around it."""

    name: str
    op: str
    line: str
    digits: float  # decimal digits of it that are right
    lost: float  # fewer than of its operands, or than its dtype holds
    element: tuple[int, ...]
    value: Any
    exact: Any  # in float64
    iterations: tuple[int, ...]  # of the loops around, outer ones first
    differs: int  # elements of an integer or bool result that are others in float64


@dataclass(frozen=True)
class PrecisionAudit:
    """What `precision_audit` found: a row for each op, where the most digits are lost first. Print it."""

    rows: tuple[OpPrecision, ...]
    diverged: bool = field(default=False)  # a branch or a loop went another way in float64: nothing after it is compared

    def __str__(self) -> str:
        table = [("op", "digits right", "lost here", "element", "value", "in float64", "line")]
        for row in self.rows:
            at = place_text(row.element) + (f" in iteration {place_text(row.iterations)}" if row.iterations else "")
            digits = f"{row.differs} differ" if row.differs else "all" if row.digits >= _ALL else f"{row.digits:.1f}"
            table.append(
                (f"{row.name}: {row.op}", digits, f"{row.lost:.1f}", at, f"{row.value:.9g}", f"{row.exact:.17g}", row.line)
            )
        note = "\nin float64 a branch or a loop goes another way: what comes after it was not compared" if self.diverged else ""
        return columns(table, left=(0, 3, 6)) + note


def precision_audit(fetches: Any, feed_dict: Mapping[Any, Any] | None = None, session: Session | None = None) -> PrecisionAudit:
    """How many digits of each op's result are right: the program as it was built, beside the same in float64.

    Both are computed op by op, by the NumPy references of the ops, from the values of `feed_dict` and of the variables in
    `session` (by default the default one). What a fused kernel rounds otherwise, and what the passes make more accurate, is not
    seen. No variable is changed.
    """
    chosen = session or get_default_session()
    if chosen is None:
        raise SessionError("there is no default session", rule="Use `with gf.Session():`, or pass session=.")
    given = {chosen._feed_key(key): value for key, value in (feed_dict or {}).items()}
    plan = chosen._plan(fetches, tuple(given))
    executable = plan.executable
    feeds = [feed_array(tensor, given[tensor]) for tensor in plan.order]
    values = input_values(executable.built, executable, feeds, plan.store, plan.store.counter)
    sizes = executable.solve_dims([np.shape(value) for value in feeds])
    low = _Recorded()
    evaluate(executable.built, values, sizes, low)
    wide = _Widener()
    program = wide.program(executable.built)
    high = _Compared(low.found, wide.narrow)
    exact = {new: values[old] for old, new in zip(executable.built.inputs, program.inputs, strict=True) if old in values}
    try:
        evaluate(program, exact, sizes, high)
    except _Diverged:
        high.diverged = True
    rows = sorted(high.worst.values(), key=lambda row: (-row.lost, -row.differs, row.digits))
    return PrecisionAudit(tuple(rows), high.diverged)


class _Recorded(Observer):
    """What each node gave, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Node, list[np.ndarray], list[np.ndarray]]] = []

    def computed(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        self.found.append((node, operands, outputs))


class _Diverged(Exception):
    """The two evaluations go different ways."""


class _Compared(Observer):
    """Compares a wide evaluation with what a narrow one gave."""

    def __init__(self, narrow: Sequence[tuple[Node, list[np.ndarray], list[np.ndarray]]], original: Mapping[Node, Node]) -> None:
        super().__init__()
        self.narrow = iter(narrow)
        self.original = original
        self.worst: dict[Node, OpPrecision] = {}
        self.diverged = False

    def computed(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        old, old_operands, old_outputs = next(self.narrow, (None, [], []))
        if old is not self.original[node] or any(a.shape != b.shape for a, b in zip(outputs, old_outputs, strict=True)):
            raise _Diverged
        if old is None or node.op.access in (Access.SOURCE, Access.CONTROL) or node.op.effect:
            return
        before = min((digits_of(a, b)[0] for a, b in zip(old_operands, operands, strict=True)), default=_ALL)
        for a, b in zip(old_outputs, outputs, strict=True):
            digits, place, differs = digits_of(a, b)
            row = self.worst.get(old)
            if a.size and (row is None or digits < row.digits or differs > row.differs):
                held = precision_of(a)
                lost = max(0.0, min(before, held) - digits)
                numbers = tuple(number for _, number in self.path)
                self.worst[old] = OpPrecision(
                    old.name, old.op.name, str(old.location), digits, lost, place, a[place], b[place], numbers, differs
                )


def precision_of(array: np.ndarray) -> float:
    """The decimal digits that numbers of a dtype have."""
    return {"float16": 3.3, "bfloat16": 2.4, "float32": 7.2, "complex64": 7.2}.get(array.dtype.name, 15.9)


def digits_of(narrow: np.ndarray, wide: np.ndarray) -> tuple[float, tuple[int, ...], int]:
    """(digits of the worst element that are right, which element it is, how many elements of no float differ)."""
    if not narrow.size:
        return _ALL, (), 0
    if narrow.dtype.kind in "biu":
        differ = narrow != wide
        return _ALL, first(differ), int(differ.sum())
    with np.errstate(all="ignore"):
        a, b = narrow.astype(wide.dtype), wide
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b) / np.abs(b))
    error = np.where(np.isnan(error), np.inf, error)
    place = first(error)
    worst = float(error[place])
    return (_ALL if worst == 0 else max(0.0, -math.log10(worst)) if worst < 1 else 0.0), place, 0


def first(array: np.ndarray) -> tuple[int, ...]:
    """The first of the largest elements."""
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(array)), array.shape))


class _Widener:
    """Rewrites programs to float64; `narrow` has the node that each new node stands for."""

    def __init__(self) -> None:
        self.narrow: dict[Node, Node] = {}

    def program(self, program: Program) -> Program:
        mapped: dict[Tensor, Tensor] = {}
        for tensor in program.inputs:
            mapped[tensor] = self.node(tensor.node, ()).output
        for node in program.nodes:
            if node.output not in mapped:
                made = self.node(node, tuple(mapped[t] for t in node.inputs))
                mapped.update(zip(node.outputs, made.outputs, strict=True))
        updates = tuple((mapped[variable], mapped[value]) for variable, value in program.updates if variable in mapped)
        rest = tuple(mapped[value] for variable, value in program.updates if variable not in mapped)
        return Program(
            tuple(mapped[t] for t in program.inputs), (*(mapped[t] for t in program.outputs), *rest), updates, program.name
        )

    def node(self, node: Node, inputs: tuple[Tensor, ...]) -> Node:
        attributes: Attrs = tuple((name, self.attribute(value)) for name, value in node.attributes)
        types = tuple(TensorType(t.shape, _WIDE.get(t.dtype.name, t.dtype)) for t in node.types)
        made = Node(node.op, inputs, attributes, types, node.name, node.location, node.number, node.graph, (), node.constraints)
        self.narrow[made] = node
        return made

    def attribute(self, value: Any) -> Any:
        match value:
            case DType():
                return _WIDE.get(value.name, value)
            case Literal():
                wide = _WIDE.get(value.array.dtype.name)
                return value if wide is None else Literal(value.array.astype(wide.numpy))
            case Program():
                return self.program(value)
            case tuple():
                return tuple(self.attribute(v) for v in value)
        return value
