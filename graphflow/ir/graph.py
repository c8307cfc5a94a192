"""`Graph`: where nodes get their names, and the per-thread stack of default graphs, name scopes and control dependencies."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from graphflow.errors import GraphError
from graphflow.ir.location import SourceLocation, user_location
from graphflow.ir.tensor import Attrs, Constraint, Node, Tensor
from graphflow.types import AnySize, Dim, TensorType

if TYPE_CHECKING:
    from graphflow.ir.op import Op

_node_numbers = itertools.count()
_NAME = re.compile(r"^[^\x00-\x1f]{1,10000}$")


class UniqueName(str):
    """A name that `Graph.unique_name` has already given out."""


class Graph:
    """A set of nodes with unique names. Threads may build in one graph, and run it, at the same time.

    A graph is finalized by `finalize()`: adding a node afterwards is a GraphError that names both lines.
    """

    takes_values = False  # may its nodes read eager tensors that are no constants?
    temporary = False  # may its nodes be used in another graph?

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._nodes: dict[str, Node] = {}
        self._used: dict[str, int] = {}
        self._variables: list[Any] = []
        self._dim_origins: dict[Dim, Tensor] = {}
        self._named_dims: dict[str, Any] = {}
        self._finalized: SourceLocation | None = None
        self.seed = 0  # of the random numbers: part of the key of every random op

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in the order they were built."""
        with self._lock:
            return tuple(self._nodes.values())

    @property
    def variables(self) -> tuple[Any, ...]:
        """All variables in the order they were made."""
        with self._lock:
            return tuple(self._variables)

    def as_default(self) -> Any:
        """A context in which this is the graph that new nodes go to."""
        return _default_graph(self)

    def finalize(self) -> None:
        """No more nodes: whatever adds one raises a GraphError."""
        self._finalized = self._finalized or user_location()

    def get_tensor_by_name(self, name: str) -> Tensor:
        """The tensor of that name; GraphError if there is none."""
        base, _, index = name.partition(":")
        node = self._nodes.get(base)
        if node is None or (index and not (index.isdigit() and int(index) < len(node.outputs))):
            close = [n for n in self._nodes if base.split("/")[-1] in n][:5]
            raise GraphError(f"no tensor {name!r} in this graph", rule=f"Similar names: {', '.join(close)}." if close else None)
        return node.outputs[int(index or 0)]

    def unique_name(self, name: str) -> UniqueName:
        """`name` within the current scope, with `_1`, `_2`, ... where it is taken."""
        if not _NAME.match(name):
            raise GraphError(f"not a name: {name[:50]!r}", rule="A name has 1 to 10,000 printable characters.")
        full = "/".join([*state().scopes, name])
        with self._lock:
            count = self._used.get(full)
            if count is None:
                self._used[full] = 0
                return UniqueName(full)
            while True:
                count += 1
                candidate = f"{full}_{count}"
                if candidate not in self._used:
                    self._used[full] = count
                    self._used[candidate] = 0
                    return UniqueName(candidate)

    def add(
        self,
        op: Op,
        inputs: tuple[Tensor, ...],
        attributes: Attrs,
        types: tuple[TensorType, ...],
        constraints: tuple[Constraint, ...] = (),
        name: str | None = None,
    ) -> Node:
        """The new node for an application of `op`."""
        now = state()
        location = now.location or user_location()
        if self._finalized is not None:
            raise GraphError(
                f"cannot add {op.name} at {location}: the graph was finalized at {self._finalized}",
                operands={f"operand {i}": t for i, t in enumerate(inputs)},
                rule="Build everything before finalize(); a node built in a loop makes the graph grow at every step.",
            )
        node = Node(
            op,
            inputs,
            attributes,
            types,
            name if isinstance(name, UniqueName) else self.unique_name(name or op.name),
            location,
            next(_node_numbers),
            self,
            now.control,
            constraints,
            now.twin,
        )
        with self._lock:
            self._nodes[node.name] = node
        return node

    def add_variable(self, variable: Any) -> None:
        with self._lock:
            self._variables.append(variable)

    def add_dim_origin(self, dim: Dim, tensor: Tensor) -> None:
        with self._lock:
            self._dim_origins.setdefault(dim, tensor)

    def dim_origin(self, dim: Dim) -> Tensor | None:
        """The placeholder whose shape gives a symbol its size."""
        return self._dim_origins.get(dim)

    def named_dim(self, name: str, make: Any) -> Any:
        """The symbol of that name: one name, one size, within a graph."""
        with self._lock:
            if name not in self._named_dims:
                self._named_dims[name] = make(name)
            return self._named_dims[name]

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return import_module("graphflow.viz.notebook").html(self)

    def __repr__(self) -> str:
        return f"<Graph of {len(self._nodes)} nodes, {len(self._variables)} variables>"


class ScratchGraph(Graph):
    """Where passes put the nodes they make: nothing is kept but what a program refers to, and names need not be unique."""

    def unique_name(self, name: str) -> UniqueName:
        return UniqueName(name)

    def add(
        self,
        op: Op,
        inputs: tuple[Tensor, ...],
        attributes: Attrs,
        types: tuple[TensorType, ...],
        constraints: tuple[Constraint, ...] = (),
        name: str | None = None,
    ) -> Node:
        now = state()
        location = now.location or user_location()
        return Node(
            op, inputs, attributes, types, name or op.name, location, next(_node_numbers), self, (), constraints, now.twin
        )


class BodyGraph(Graph):
    """Where eager mode builds the bodies of loops and branches, and their derivatives."""

    takes_values = temporary = True


class TracedGraph(Graph):
    """The graph of a function that is being traced: it reads eager tensors, and variables as they will be when it runs."""

    takes_values = True
    function = "the function"  # its name

    def read(self, variable: Any) -> Tensor:
        """The value that an eager variable will have at this point of a run."""
        raise NotImplementedError

    def write(self, variable: Any, value: Tensor) -> Tensor:
        """The value, which the variable has from this point of a run on."""
        raise NotImplementedError

    def lifted(self, value: Tensor) -> Any:
        """The value of a tensor that depends on nothing a run decides, as an eager tensor: what a variable starts with."""
        raise NotImplementedError

    def made(self, variable: Any) -> None:
        """Note that a variable was made while tracing."""
        raise NotImplementedError


class _State(NamedTuple):
    """What a thread builds with."""

    graph: Graph | None = None  # None: the process-wide default
    scratch: ScratchGraph | None = None  # set while a pass builds
    scopes: tuple[str, ...] = ()
    control: tuple[Node, ...] = ()
    location: SourceLocation | None = None  # set while nodes are derived from another node
    twin: Node | None = None
    counter: Callable[[], Tensor] | None = None  # what random ops count by, in the body of a loop
    body: str | None = None  # what kind of body is being built, if one is
    lanes: AnySize = 1  # how often what is built is there at once: in the bodies of loops whose steps stand side by side
    effects: list[Tensor] | None = None  # those built so far in the body of a loop or a branch; None outside
    eager: bool = False  # does an op on constants, or on nothing, run at once?
    detached: bool = False  # does no gradient flow through what is built?
    recorders: tuple[Any, ...] = ()  # the tapes and accumulators that are shown what runs (see `ir.eager`)


_global_graph = Graph()


class _Local(threading.local):
    state = _State()  # what a thread starts with


local = _Local()  # `local.state` is the short way to `state()`


def state() -> _State:
    return local.state


def change_state(**changes: Any) -> None:
    """Let this thread build with something else from now on."""
    local.state = state()._replace(**changes)


@contextmanager
def changed_state(**changes: Any) -> Iterator[None]:
    before = state()
    local.state = before._replace(**changes)
    try:
        yield
    finally:
        local.state = before


def get_default_graph() -> Graph:
    """The graph that new nodes go to in this thread."""
    now = state()
    return now.scratch or now.graph or _global_graph


def reset_default_graph() -> None:
    """A new, empty process-wide default graph."""
    global _global_graph
    _global_graph = Graph()


@contextmanager
def _default_graph(graph: Graph) -> Iterator[Graph]:
    with changed_state(graph=graph, scopes=(), control=(), eager=False):
        yield graph


class name_scope:  # a context manager, called like a function
    """Names built inside begin with `name/`; the scope's own name is made unique. Nothing is named in eager mode."""

    __slots__ = ("_before", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> str:
        before = self._before = state()
        if before.eager and before.body is None:
            return self._name + "/"
        full = get_default_graph().unique_name(self._name)
        local.state = before._replace(scopes=tuple(full.split("/")))
        return full + "/"

    def __exit__(self, *exc: object) -> None:
        local.state = self._before


@contextmanager
def control_dependencies(dependencies: Sequence[Any]) -> Iterator[None]:
    """Nodes built inside run after `dependencies`: their updates are part of the run, and variables are read after them."""
    nodes = []
    for item in dependencies:
        node = getattr(item, "node", item)
        if not isinstance(node, Node):
            raise GraphError(f"control_dependencies takes tensors and operations, not {item!r}")
        nodes.append(node)
    with changed_state(control=(*state().control, *nodes)):
        yield


@contextmanager
def derived_from(node: Node, *, gradient: bool = False) -> Iterator[None]:
    """Nodes built inside carry the line of `node`; gradient nodes also remember it as their forward twin."""
    with changed_state(location=node.location, twin=node if gradient else state().twin):
        yield


@contextmanager
def scratch() -> Iterator[ScratchGraph]:
    """Nodes built inside belong to a pass: they are kept only by the program that refers to them."""
    graph = ScratchGraph()
    with changed_state(scratch=graph, control=(), scopes=(), eager=False, recorders=()):
        yield graph


def is_eager() -> bool:
    """Does this thread run ops at once, where no operand is symbolic, rather than build a graph?"""
    return state().eager


def traced_graph() -> TracedGraph | None:
    """The graph of the function that this thread is tracing, if it does."""
    now = state()
    return now.graph if isinstance(now.graph, TracedGraph) and not now.eager else None


def tracing(graph: Graph) -> AbstractContextManager[None]:
    """A context in which what is built goes to a function's graph, whatever was in force outside."""
    return changed_state(
        graph=graph, scratch=None, scopes=(), control=(), location=None, twin=None, counter=None, body=None, lanes=1, eager=False,
        detached=False, recorders=(),
    )  # fmt: skip


def for_bodies() -> AbstractContextManager[Any]:
    """A context in which the bodies of loops and branches are built: in eager mode in a graph of their own, else where we are."""
    now = state()
    if not now.eager or isinstance(now.graph, BodyGraph):
        return nullcontext()
    return changed_state(graph=BodyGraph())


def current_control() -> tuple[Node, ...]:
    """The control dependencies in force in this thread."""
    return state().control


def current_counter() -> Callable[[], Tensor] | None:
    """What random ops count by where a body of a loop is built; None outside."""
    return state().counter


def current_body() -> str | None:
    """What kind of body is being built: that of a loop, a branch; None outside."""
    return state().body


def current_effects() -> list[Tensor] | None:
    """The effects that were built so far in the body that is being built; None outside of bodies."""
    return state().effects


def current_lanes() -> AnySize:
    """How often what is built is there at once."""
    return state().lanes


@contextmanager
def in_each_lane(lanes: AnySize) -> Iterator[None]:
    """What is built inside is in the body of a loop of so many steps that stand side by side."""
    with changed_state(lanes=current_lanes() * (max(1, lanes) if isinstance(lanes, int) else lanes)):
        yield


def building_scratch() -> ScratchGraph | None:
    """The pass's graph, while a pass builds."""
    return state().scratch


def next_node_number() -> int:
    return next(_node_numbers)
