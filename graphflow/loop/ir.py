"""The loop IR: fusion groups and kernels, as values.

A kernel computes over the axes of one domain, told apart by what happens along them: `rows` are parallel, `reduced` are
summed over (or maximised, ...), `lanes` are parallel axes inside the reduced ones. Its `stages` run one after the other
over the reduced axes of one row: softmax is a stage for the maximum, one for the sum, one for the quotient.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from graphflow.ir.scalar import Accumulator, Argument, Axis, Call, Check, Const, Expr, Load, Select, SizeValue
from graphflow.ir.tensor import Node, Tensor
from graphflow.types import AnySize, DType, Shape, int64


class Refusal(NamedTuple):
    """Why a node is computed in its group and not in another one that was tried."""

    node: Node
    group: int  # the number of the other
    reason: str

    def __str__(self) -> str:
        return f"{self.node.name} is not fused into group {self.group}: {self.reason}"


@dataclass(frozen=True, eq=False)
class FusionGroup:
    """The nodes that share a kernel."""

    number: int
    kind: str  # "loop", "library", "host" or "control"
    shape: Shape  # the domain
    axes: tuple[int, ...] | None  # the domain's axes that its reductions reduce; None without reductions
    members: tuple[Node, ...]  # computed inside, operands first
    reads: tuple[Tensor, ...]  # buffers loaded
    outputs: tuple[Tensor, ...]  # written to memory
    remarks: tuple[str, ...]  # why it ends here: every refusal to fuse
    root: Node | None = None  # the library node, the loop or the branch
    across: frozenset[Tensor] = frozenset()  # members that are sums over all rows, and what is made of them
    refused: tuple[Refusal, ...] = ()  # the refusals among the remarks

    @property
    def name(self) -> str:
        """Named after its ops: `add_exp_3`."""
        every = list(dict.fromkeys(node.op.name for node in self.members))
        ops = [name for name in every if name not in ("reshape", "broadcast_to", "constant")] or every
        shown = ops if len(ops) <= 4 else [*ops[:2], *ops[-2:]]
        return "_".join([*shown, str(self.number)])

    @property
    def remark(self) -> str:
        return "; ".join(self.remarks) or "nothing else reads or feeds it"


class Role(Enum):
    """What a kernel does with a buffer."""

    INPUT = "input"
    OUTPUT = "output"
    INOUT = "in and out"  # an output written over an input that nobody reads later
    SCRATCH = "scratch"


@dataclass(frozen=True, eq=False)
class Buffer:
    """A block of memory: `size` elements of `dtype`. Tensors that are reshapes of one another share it."""

    name: str
    dtype: DType
    size: AnySize
    tensor: Tensor | None = None
    pointer: bool = False  # no memory of its own: steps of the launch program say where it is, as at a row of a stack
    inner: bool = False  # of the body of a loop or a branch


@dataclass(frozen=True, eq=False)
class Offset(Expr):
    """A position in a buffer: a constant plus multiples of axes and other index expressions."""

    constant: AnySize
    terms: tuple[tuple[Expr, AnySize], ...]
    dtype: DType = int64


@dataclass(frozen=True, eq=False)
class Store:
    """Write an element."""

    buffer: Buffer
    offset: Offset
    value: Expr


@dataclass(frozen=True, eq=False)
class Reduction:
    """An accumulator: combined over the reduced axes with the element function of `combine`."""

    accumulator: Accumulator
    combine: str
    identity: Const
    value: Expr
    node: Node


@dataclass(frozen=True, eq=False)
class Stage:
    """One pass over the reduced axes of a row; the part of a pass in one segment of the innermost axis or of the lanes."""

    reductions: tuple[Reduction, ...]
    stores: tuple[Store, ...]
    bounds: tuple[AnySize, AnySize] | None = None  # of the segment; the whole axis where there are none
    scalars: tuple[tuple[Accumulator, Expr], ...] = ()  # values of each row, found for a block of rows before the pass


@dataclass(frozen=True, eq=False)
class Kernel:
    """Loops over a domain; `extent` units of parallel work."""

    name: str
    form: str  # "map", "row", "column", "chunk", "across"; of library groups "matmul", "check", "scatter"
    params: tuple[Buffer, ...]
    roles: tuple[Role, ...]
    rows: tuple[Axis, ...]
    reduced: tuple[Axis, ...]
    lanes: tuple[Axis, ...]
    stages: tuple[Stage, ...]
    finals: tuple[Store, ...]  # stores once a row, after the last stage
    extent: AnySize
    group: FusionGroup
    chunk: AnySize = 0  # elements or rows of one unit, for "chunk" and "across"
    checks: tuple[Node, ...] = ()  # the nodes whose indices it checks; an error's site counts them
    operands: tuple[Buffer, ...] = ()  # of a library call: what it reads, then where it writes
    block: int = 0  # rows that go through each stage together, of "row" and "across"; 0: each row goes through all stages
    partials: tuple[tuple[Buffer, Const], ...] = ()  # of "across": buffers of a row per unit, and what they start with
    statements: tuple[Any, ...] = ()  # of "sequential": see loop.sequential
    locals: tuple[tuple[Buffer, int], ...] = ()  # of "sequential": arrays of so many elements on the machine's stack
    work: float = 0.0  # operations of a unit, where they do not follow from the ops of the group


def passes(stages: Sequence[Stage]) -> list[list[Stage]]:
    """The stages of each pass: one, or one for each segment; the first segment starts at 0."""
    found: list[list[Stage]] = []
    for stage in stages:
        if stage.bounds is not None and stage.bounds[0] != 0:
            found[-1].append(stage)
        else:
            found.append([stage])
    return found


@dataclass(frozen=True, eq=False)
class Label:
    """A place between the rows of a launch program, where jumps go."""

    name: str


@dataclass(frozen=True, eq=False)
class Step:
    """A row of the launch program that launches no kernel: it moves pointers, copies, counts or jumps (`runtime.driver`).

    "call" calls the reference of `node` back, whose operands and results are the buffers (`runtime.host`).
    """

    op: str
    node: Node  # the loop or the branch it belongs to, or what is called
    buffers: tuple[Buffer | None, ...]
    values: tuple[AnySize, ...] = ()
    targets: tuple[Label, ...] = ()  # of "choose", the beginnings of the branches and their common end

    @property
    def params(self) -> tuple[Buffer, ...]:
        """The buffers it touches."""
        return tuple(b for b in self.buffers if b is not None)


Item = Kernel | Step | Label  # of the rows of a launch program


@dataclass(frozen=True, eq=False)
class Cycle:
    """The rows of a loop: from `first` what is done before it, from `head` what is done each step, up to `last`."""

    node: Node
    first: Label
    head: Label
    last: Label
    counter: Buffer  # the number of steps done
    pinned: tuple[Buffer, ...]  # what pointers of its body point into
    trips: AnySize | None  # at most so many steps


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions an expression is made of."""
    match expr:
        case Call():
            return expr.args
        case Select():
            return (expr.condition, expr.then, expr.otherwise)
        case Load():
            return expr.index
        case Check():
            return (expr.index,)
        case Offset():
            return tuple(atom for atom, _ in expr.terms)
        case Axis() | Const() | SizeValue() | Accumulator() | Argument():
            return ()
        case _:
            raise AssertionError(f"no scalar expression: {expr!r}")


def structure_key(expr: Expr, parts: tuple[int, ...]) -> tuple[Any, ...]:
    """Equal for equal expressions, given numbers that are equal for equal parts."""
    match expr:
        case Axis() | Accumulator():
            return ("same", id(expr))
        case Const(value, dtype):
            return ("const", repr(value), dtype.name)
        case Argument(value, dtype):
            return ("argument", value, dtype.name)
        case SizeValue(size):
            return ("size", size)
        case Call(fn, _, dtype):
            return ("call", fn, dtype.name, *parts)
        case Select():
            return ("select", *parts)
        case Load(buffer, _, dtype):
            return ("load", id(buffer), dtype.name, *parts)
        case Check(_, size, site, axis):
            return ("check", size, id(site), axis, *parts)
        case Offset(constant, terms):
            return ("offset", constant, *(x for p, (_, f) in zip(parts, terms, strict=True) for x in (p, f)))
        case _:
            raise AssertionError(f"no key for {expr!r}")


def replace_children(expr: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same expression on other parts."""
    match expr:
        case Call(fn, _, dtype):
            return Call(fn, new, dtype)
        case Select():
            return Select(*new)
        case Load(buffer, _, dtype):
            return Load(buffer, new, dtype)
        case Check(_, size, site, axis):
            return Check(new[0], size, site, axis)
        case Offset(constant, terms):
            return Offset(constant, tuple((atom, factor) for atom, (_, factor) in zip(new, terms, strict=True)))
        case _:
            return expr


def walk(roots: list[Expr], known: Container[int] = ()) -> list[Expr]:
    """All expressions below `roots`, each once, parts before wholes; not those whose identities are `known`."""
    order: list[Expr] = []
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        expr, done = stack.pop()
        if done:
            order.append(expr)
        elif id(expr) not in seen and id(expr) not in known:
            seen.add(id(expr))
            stack.append((expr, True))
            stack.extend((child, False) for child in reversed(children(expr)))
    return order
