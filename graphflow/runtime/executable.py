"""`Executable`: a compiled program, its launch program ready to be bound to sizes and run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any
from weakref import WeakSet

from graphflow.autodiff.tapes import Demand
from graphflow.errors import FeedError, ShapeError
from graphflow.ir.evaluate import evaluate as reference_values
from graphflow.ir.evaluate import holds
from graphflow.ir.graph import Graph
from graphflow.ir.op import Access
from graphflow.ir.program import Program, bodies_of, toposort
from graphflow.ir.tensor import Constraint, Node, Tensor
from graphflow.runtime import timing
from graphflow.runtime.binding import Binding, Context
from graphflow.runtime.failures import failure, operands_of
from graphflow.runtime.launch import NOWHERE, LaunchProgram, Slot
from graphflow.types import AnySize, Dim, Size, dims_of, evaluate

REMEMBERED_BINDINGS = 64  # sets of sizes whose launch program and arena are kept; the oldest goes first


class Executable:
    """A compiled program. What the stages of compiling made of it is computed when it is asked for.

    `built` is the captured program: its nodes are what messages name. `addresses` are those of the launches' kernels.
    """

    def __init__(
        self,
        built: Program,
        launches: LaunchProgram,
        addresses: Sequence[int],
        graph: Graph | None,
        stages: Callable[[], Any],
        demands: Sequence[Demand] = (),
        instead: Callable[[Mapping[Place, tuple[Node, str]] | None], Executable] | None = None,
        watched: bool = False,
    ) -> None:
        self.demands, self.instead = demands, instead
        self.built = built
        self.launch_program = launches
        self.addresses = tuple(addresses)
        self.graph = graph
        self._stages = stages
        self.watched = watched  # does it look for what makes a NaN?
        self.raised: dict[int, BaseException] = {}  # by what was called back, by the address of the context
        self.feeds = tuple(t for t in built.inputs if t.op.name == "placeholder")
        # Each variable that is updated, with its shape, whose sizes are all known.
        self.updated = tuple((v.attrs["handle"], tuple(evaluate(d, {}) for d in v.shape)) for v, _ in built.updates)
        self.constraints = constraints_of(built, frozenset().union(*(dims_of(d) for t in built.inputs for d in t.shape)))
        self.bindings: dict[tuple[tuple[int, ...], ...], Binding] = {}
        self.lock = threading.Lock()
        self.followers: WeakSet[Any] = WeakSet()  # what keeps bindings of its own: `renew()` tells it to ask for them again
        timing.register(self)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return import_module("graphflow.viz.notebook").html(self)

    @property
    def stages(self) -> Any:
        """What each stage of compiling made of the program: `records`, `program`, `groups`, `kernels`, `sources`."""
        return self._stages()

    @property
    def records(self) -> tuple[Any, ...]:
        """What each pass did."""
        return self.stages.records

    @property
    def program(self) -> Program:
        """The program after the passes."""
        return self.stages.program

    @property
    def groups(self) -> tuple[Any, ...]:
        """The fusion groups in launch order."""
        return self.stages.groups

    @property
    def kernels(self) -> tuple[Any, ...]:
        """The kernels in loop IR, in launch order."""
        return self.stages.kernels

    @property
    def sources(self) -> tuple[Any, ...]:
        """The kernels' source."""
        return self.stages.sources

    # --- names -----------------------------------------------------------------------------------------------------------

    def handle(self, number: int) -> Any:
        """The variable that is input `number`."""
        return self.built.inputs[number].attrs["handle"]

    def node(self, position: int) -> Node | None:
        """The node at a position of the captured program."""
        return None if position == NOWHERE else self.built.all_nodes[position]

    def slot_name(self, slot: Slot) -> str:
        """The name of the tensor in a buffer."""
        node = self.node(slot.node)
        if node is None:
            return slot.kind
        return f"{node.name} (partial)" if slot.scratch else node.name

    def operand(self, label: str, slot: Slot) -> dict[str, Tensor]:
        """The tensor in a buffer, as errors show operands."""
        node = self.node(slot.node)
        return {} if node is None else {label: node.output}

    # --- sizes -----------------------------------------------------------------------------------------------------------

    def bind(self, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        """The launch program for feeds of these shapes; remembered."""
        found = self.bindings.get(shapes)
        if found is None:
            with self.lock:
                found = self.bindings.get(shapes)
                if found is None:
                    found = self.fitting(shapes)
                    while len(self.bindings) >= REMEMBERED_BINDINGS:
                        self.bindings.pop(next(iter(self.bindings)))
                    self.bindings[shapes] = found
        return found

    def fitting(self, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        """The binding of this program, or of the one that takes its place: for branches that cannot run, for tapes too long."""
        if self.instead is not None and (self.demands or any(places for *_, places in self.constraints)):
            values = self.solve_dims(shapes)
            refused = {places[-1]: (node, text) for node, text, places in self.violated(values) if places}
            if refused:
                return self.instead(refused).bind(shapes)
            if any(self.size(demand.bytes, values) > demand.budget for demand in self.demands):
                return self.instead(None).bind(shapes)
        return timing.bind(self, shapes)

    def solve_dims(self, shapes: Sequence[Sequence[int]]) -> dict[Dim, int]:
        """The numbers that symbols stand for; FeedError where shapes contradict the placeholders or one another."""
        values: dict[Dim, int] = {}
        origin: dict[Dim, Tensor] = {}
        later: list[tuple[Tensor, AnySize, int]] = []
        for tensor, shape in zip(self.feeds, shapes, strict=True):
            if len(shape) != tensor.rank:
                raise FeedError(
                    f"placeholder {tensor.name} is fed an array of shape {list(shape)}",
                    operands={"placeholder": tensor},
                    rule=f"It takes rank {tensor.rank}.",
                )
            for wanted, size in zip(tensor.shape, shape, strict=True):
                if isinstance(wanted, int):
                    if wanted != size:
                        raise FeedError(
                            f"placeholder {tensor.name} is fed an array of shape {list(shape)}",
                            operands={"placeholder": tensor},
                            rule=f"It takes {tensor.type}.",
                        )
                    continue
                dim = single_symbol(wanted)
                if dim is None:
                    later.append((tensor, wanted, size))
                elif values.setdefault(dim, size) != size:
                    raise FeedError(
                        f"size {dim} is {values[dim]} in {origin[dim].name} and {size} in {tensor.name}",
                        operands={"one": origin[dim], "other": tensor},
                        rule="One symbol is one size in a run.",
                    )
                else:
                    origin.setdefault(dim, tensor)
        for tensor, wanted, size in later:
            assert isinstance(wanted, Size)
            if wanted.dims <= values.keys() and evaluate(wanted, values) != size:
                raise FeedError(
                    f"{tensor.name} is fed a size of {size} where it has {wanted} = {evaluate(wanted, values)}",
                    operands={"tensor": tensor},
                    rule="A fed tensor has the shape it would have been computed with.",
                )
        return values

    def check_constraints(self, values: Mapping[Dim, int]) -> None:
        """ShapeError where sizes known only now do not fit together."""
        for node, text, places in self.violated(values):
            if not places:
                raise ShapeError(text, operands=operands_of(node), location=node.location)

    def violated(self, values: Mapping[Dim, int]) -> Iterator[tuple[Node, str, Places]]:
        """Where sizes do not fit: the node, the text of the error, and the branches it is in that a run may take or not."""
        for constraint, node, places in self.constraints:
            a, b = (self.size(s, values) for s in (constraint.a, constraint.b))
            if holds(constraint.kind, a, b):
                continue
            taken = [(branch, k, branch_taken(branch, values)) for branch, k in places]
            if all(which in (None, k) for _, k, which in taken):
                open_ = tuple([(branch, k) for branch, k, which in taken if which is None])
                yield node, f"{node.op.name} ({node.name}): {constraint.text}: {a} and {b}", open_

    def size(self, size: AnySize, values: Mapping[Dim, int]) -> int:
        """A size as a number; FeedError where a symbol has none."""
        try:
            return evaluate(size, values)
        except KeyError as error:
            dim = error.args[0]
            source = self.graph.dim_origin(dim) if self.graph is not None else None
            name = source.name if source is not None else "the placeholder it belongs to"
            raise FeedError(
                f"size {dim} is not known",
                operands={"placeholder": source} if source is not None else {},
                rule=f"Feed {name} as well: its shape gives the size.",
            ) from None

    def run_error(self, context: Context, sizes: Mapping[Dim, int]) -> BaseException:
        """The exception for a run of these sizes that failed; clears its error record."""
        return failure(self, context, sizes)


Place = tuple[Node, int]  # a branch: of which node, and the how many'th
Places = tuple[Place, ...]  # the branches that something is in, outer ones first


def constraints_of(program: Program, known: frozenset[Dim], places: Places = ()) -> tuple[tuple[Constraint, Node, Places], ...]:
    """What a run must check of the sizes: every relation that the type rules of the captured program noted, and where.

    A gradient asks what the node asks whose gradient it is, as far as symbols are `known`: that node may not be computed.
    """
    found: dict[object, tuple[Constraint, Node, Places]] = {}
    for node in program.nodes:
        for k, body in enumerate(bodies_of(node)):
            for inner in constraints_of(body, known, (*places, (node, k)) if node.op.name == "branch" else places):
                found.setdefault((inner[0].kind, inner[0].a, inner[0].b, inner[2]), inner)
        for asking in (node,) if node.twin is None else (node, node.twin):
            for constraint in asking.constraints:
                if asking is node or dims_of(constraint.a) | dims_of(constraint.b) <= known:
                    found.setdefault((constraint.kind, constraint.a, constraint.b, places), (constraint, asking, places))
    return tuple(found.values())


def branch_taken(node: Node, values: Mapping[Dim, int]) -> int | None:
    """The number of the branch that runs, where the sizes decide it; else None."""
    index = node.inputs[0]
    if any(n.op.access is Access.SOURCE and n.op.name != "constant" for n in toposort([index])):
        return None
    number = int(reference_values([index], {}, values)[0])
    last = len(node.attrs["branches"]) - 1
    return number if 0 <= number <= last else last


def single_symbol(size: AnySize) -> Dim | None:
    """The symbol a size consists of, if it is one symbol."""
    if isinstance(size, Size) and len(size.terms) == 1:
        monomial, factor = size.terms[0]
        if factor == 1 and len(monomial) == 1 and isinstance(monomial[0], Dim):
            return monomial[0]
    return None
