"""`Session`: runs graphs. Holds the values of variables and the executables it has compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.capture import capture
from graphflow.compiler import compile_program, explain
from graphflow.errors import FeedError, FetchError, GraphError, GraphflowError, SessionError
from graphflow.ir.graph import Graph, get_default_graph
from graphflow.ir.tensor import Node, Tensor, set_operators
from graphflow.ops.state import Operation, Variable
from graphflow.options import current as current_options
from graphflow.runtime.executable import Executable, VariableStore

_local = threading.local()


class Session:
    """Runs parts of a graph. Variables belong to the session; sessions are isolated and may run in threads side by side."""

    def __init__(self, graph: Graph | None = None) -> None:
        self.graph = graph if graph is not None else get_default_graph()
        if not isinstance(self.graph, Graph):
            raise SessionError(f"Session takes a Graph, not {graph!r}")
        self._store = VariableStore()
        self._plans: dict[Any, _Plan] = {}
        self._quick: dict[Any, tuple[_Plan | None, Any]] = {}  # by fetches and feeds as they were given: spares looking into them
        self._closed = False
        self._lock = threading.RLock()

    # --- life --------------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Session:
        self._check_open()
        _stack().append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        stack = _stack()
        if self in stack:
            stack.remove(self)
        self.close()

    def as_default(self) -> Any:
        """A context in which `tensor.eval()` uses this session; leaves it open."""
        return _DefaultSession(self)

    def close(self) -> None:
        """Free the variables; the session cannot run any more."""
        self._closed = True
        self._plans.clear()
        self._quick.clear()
        self._store.values.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the session is closed", rule="Make a new gf.Session().")

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """The values of `fetches`: a tensor, a variable, an operation (None), or any nesting of them in lists, tuples, dicts.

        `feed_dict` maps placeholders, or any other tensors, to values. Updates of variables are committed at the end, all or
        none. Numbers come back as NumPy scalars, the rest as arrays of their own.
        """
        self._check_open()
        key = _quick_key(fetches, feed_dict)
        plan, _ = self._quick.get(key, _NOTHING)
        if plan is None or feed_dict is None:
            feeds = {} if feed_dict is None else self._feeds(feed_dict)
            plan = self._plan(fetches, tuple(feeds))
            if key is not None:
                self._quick[key] = plan, current_options()  # kept, so that no other options get its identity
        else:
            feeds = feed_dict  # type: ignore[assignment]  # the keys were checked when the plan was made
        values = [feed_array(tensor, feeds[tensor], tensor) for tensor in plan.order]
        return plan.structure.pack(plan.executable.run(values, self._store))

    def make_callable(self, fetches: Any, feed_list: Sequence[Any] = ()) -> Callable[..., Any]:
        """A function of the values of `feed_list` that does what `run` does, in the least time: for calls in a loop."""
        self._check_open()
        if isinstance(feed_list, Mapping | str) or not hasattr(feed_list, "__iter__"):
            raise FeedError("feed_list is a list of tensors to feed", rule="make_callable([train, loss], feed_list=[x, y])")
        tensors = [self._feed_key(key) for key in feed_list]
        if len(set(tensors)) != len(tensors):
            raise FeedError("feed_list names a tensor twice")
        plan = self._plan(fetches, tuple(tensors))
        return _make_function(self, plan, tensors)

    def explain(self, fetches: Any, feed_dict: Mapping[Any, Any] | Sequence[Any] | None = None) -> str:
        """Every stage of compiling `fetches`, as text: program, passes, fusion groups with reasons, kernels, memory plan."""
        return explain(self.executable(fetches, feed_dict))

    def executable(self, fetches: Any, feed_list: Mapping[Any, Any] | Sequence[Any] | None = None) -> Executable:
        """The compiled program for `fetches` and the tensors fed (by default the placeholders it needs)."""
        self._check_open()
        return self._plan(fetches, tuple(self._feed_key(k) for k in feed_list or ()), default_feeds=True).executable

    # --- state -------------------------------------------------------------------------------------------------------------

    @property
    def run_counter(self) -> int:
        """Runs so far that drew random numbers; set it to repeat or to continue a stream."""
        return self._store.counter

    @run_counter.setter
    def run_counter(self, value: int) -> None:
        self._store.counter = int(value)

    # --- plans -------------------------------------------------------------------------------------------------------------

    def _plan(self, fetches: Any, feeds: tuple[Tensor, ...], default_feeds: bool = False) -> _Plan:
        structure = _Structure(fetches, self.graph)
        key = (structure.key, frozenset(feeds), default_feeds, current_options())
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plans.get(key)
                if plan is None:
                    plan = self._plans[key] = self._compile(structure, feeds, default_feeds)
        if plan.structure.key == structure.key and plan.structure is not structure:
            plan = _Plan(structure, plan.executable, plan.order)
        return plan

    def _compile(self, structure: _Structure, feeds: tuple[Tensor, ...], default_feeds: bool) -> _Plan:
        program = capture(structure.tensors, structure.operations, feeds, self.graph)
        wanted = [t for t in program.inputs if t.op.name == "placeholder"]
        # A fed intermediate tensor is an input under a placeholder of its name and line.
        by_input = dict(zip(program.inputs, [*feeds, *program.inputs[len(feeds) :]], strict=True))
        order = tuple(by_input[t] for t in wanted)
        if not default_feeds:
            missing = [t for t in order if t not in feeds]
            if missing:
                raise FeedError(
                    f"no value for placeholder {missing[0].name}",
                    operands={"placeholder": missing[0]},
                    rule=f"Give it in feed_dict: {{{missing[0].name}: value}}.",
                )
        return _Plan(structure, compile_program(program, current_options(), self.graph), order)

    def _feeds(self, feed_dict: Mapping[Any, Any]) -> dict[Tensor, Any]:
        if not isinstance(feed_dict, Mapping):
            raise FeedError(f"feed_dict is a dict from tensors to values, not {type(feed_dict).__name__}")
        return {self._feed_key(key): value for key, value in feed_dict.items()}

    def _feed_key(self, key: Any) -> Tensor:
        if isinstance(key, Variable):
            raise FeedError(
                f"cannot feed variable {key.name}",
                operands={"variable": key},
                rule="Feed a placeholder, or assign to the variable.",
            )
        if not isinstance(key, Tensor):
            raise FeedError(
                f"cannot feed {key!r}: it is no tensor", rule="The keys of feed_dict are placeholders or other tensors."
            )
        if key.op.name == "constant":
            raise FeedError(f"cannot feed constant {key.name}", operands={"constant": key})
        if key.op.access.name == "STATE":
            raise FeedError(f"cannot feed the update {key.name}", operands={"update": key})
        if key.graph is not self.graph:
            raise FeedError(
                f"{key.name} belongs to another graph", operands={"tensor": key}, rule="Feed tensors of the session's graph."
            )
        return key

    def __repr__(self) -> str:
        return f"<Session {'closed' if self._closed else f'on {self.graph!r}'}>"


class InteractiveSession(Session):
    """A session that is the default one from the start, for shells and notebooks."""

    def __init__(self, graph: Graph | None = None) -> None:
        super().__init__(graph)
        _stack().append(self)


class _DefaultSession:
    def __init__(self, session: Session) -> None:
        self.session = session

    def __enter__(self) -> Session:
        _stack().append(self.session)
        return self.session

    def __exit__(self, *exc: object) -> None:
        _stack().remove(self.session)


def _stack() -> list[Session]:
    if not hasattr(_local, "sessions"):
        _local.sessions = []
    return _local.sessions


def get_default_session() -> Session | None:
    """The session of the innermost `with` block in this thread; None outside."""
    stack = _stack()
    return stack[-1] if stack else None


def _eval(fetch: Any, feed_dict: Any, session: Any) -> Any:
    chosen = session or get_default_session()
    if chosen is None:
        raise SessionError("there is no default session", rule="Use `with gf.Session():`, or pass session=.")
    return chosen.run(fetch, feed_dict)


set_operators({"eval": _eval})


def _quick_key(fetches: Any, feed_dict: Any) -> Any:
    """A key that is equal for a run given the same objects again; None where that cannot be told at a glance."""
    kind = type(fetches)
    if kind is list or kind is tuple:
        if not all(type(f) in _SIMPLE for f in fetches):
            return None
        parts = tuple(fetches)
    elif kind in _SIMPLE:
        parts = fetches
    else:
        return None
    if feed_dict is not None and type(feed_dict) is not dict:
        return None
    try:
        return kind, parts, None if feed_dict is None else tuple(feed_dict), id(current_options())
    except TypeError:
        return None


_NOTHING: tuple[_Plan | None, Any] = (None, None)
_SIMPLE = (Tensor, Variable, Operation)


class _Plan:
    """Fetches compiled for certain feeds; `order` are the fed tensors in the executable's order."""

    def __init__(self, structure: _Structure, executable: Executable, order: tuple[Tensor, ...]) -> None:
        self.structure = structure
        self.executable = executable
        self.order = order


class _Structure:
    """A nest of fetches: the tensors in it, and how to put values in their places."""

    def __init__(self, fetches: Any, graph: Graph | None) -> None:
        self.tensors: list[Tensor] = []
        self.operations: list[Node] = []
        self._positions: dict[Tensor, int] = {}
        self.graph = graph
        parts: list[Any] = []
        self._build = self._visit(fetches, parts)
        self._flat = (
            type(fetches) is list
            and all(a is b for a, b in zip(fetches, self.tensors, strict=False))
            and len(fetches) == len(self.tensors)
        )
        self.key = tuple(parts)

    def _visit(self, item: Any, key: list[Any]) -> Callable[[list[Any]], Any]:
        if isinstance(item, Variable):
            item = item.value
        if isinstance(item, Tensor):
            self._check_graph(item.graph, item)
            key.append(item)
            position = self._positions.setdefault(item, len(self._positions))
            if position == len(self.tensors):
                self.tensors.append(item)
            return lambda values: values[position]
        if isinstance(item, Operation):
            self._check_graph(item.node.graph, item)
            key.append(item.node)
            self.operations.append(item.node)
            return lambda values: None
        if isinstance(item, Mapping):
            key.append(("dict", *item.keys()))
            parts = {k: self._visit(v, key) for k, v in item.items()}
            kind = type(item)
            if kind is dict:
                return lambda values: {k: build(values) for k, build in parts.items()}
            return lambda values: kind({k: build(values) for k, build in parts.items()})  # type: ignore[call-arg]
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            key.append((type(item), len(item)))
            named = [self._visit(v, key) for v in item]
            return lambda values: type(item)(*(build(values) for build in named))
        if isinstance(item, list | tuple):
            key.append((type(item), len(item)))
            inner = [self._visit(v, key) for v in item]
            make = list if isinstance(item, list) else tuple
            return lambda values: make(build(values) for build in inner)
        if isinstance(item, str) and self.graph is not None:
            return self._visit(self._by_name(item), key)
        raise FetchError(
            f"cannot fetch {item!r}", rule="Fetch tensors, variables and operations, or lists, tuples and dicts of them."
        )

    def _by_name(self, name: str) -> Tensor:
        assert self.graph is not None
        try:
            return self.graph.get_tensor_by_name(name)
        except GraphError as error:
            raise FetchError(f"cannot fetch {name!r}: {error.headline}", rule=error.rule) from None

    def _check_graph(self, graph: Graph | None, item: Any) -> None:
        if graph is not None and graph is not self.graph:
            raise FetchError(
                f"{item.name} belongs to another graph",
                operands={"fetch": item},
                rule="Make a session for its graph: gf.Session(graph).",
            )

    @property
    def pack(self) -> Callable[[list[Any]], Any]:
        """The function that puts values in the places of the fetches."""
        return _same if self._flat else self._build


def _same(values: list[Any]) -> Any:
    return values


# --- feeds ------------------------------------------------------------------------------------------------------------------

_ALLOWED = {  # kinds of arrays that a dtype takes
    "bool": "b",
    "int": "biu",
    "uint": "biu",
    "float": "biufV",
    "complex": "biufcV",
}


def feed_array(tensor: Tensor, value: Any, shown: Tensor) -> np.ndarray:
    """A fed value as a contiguous array of the tensor's dtype; FeedError where it does not fit."""
    dtype = tensor.dtype
    if type(value) is np.ndarray and value.dtype == dtype.numpy and value.flags.c_contiguous and value.flags.aligned:
        return value
    if isinstance(value, Tensor | Variable):
        if isinstance(value, Tensor) and value.op.name == "constant":
            value = value.numpy()
        else:
            raise FeedError(
                f"placeholder {shown.name} is fed a symbolic tensor",
                operands={"placeholder": shown, "value": value},
                rule="Feed numbers or arrays; run the tensor first to get its value.",
            )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, GraphflowError) as error:
        raise _feed_error(shown, value, f"is no array of numbers: {error}") from None
    kind = array.dtype.kind
    if kind not in "biufcV" or (kind == "V" and array.dtype.name != "bfloat16"):
        raise _feed_error(
            shown, value, {"U": "is a text", "S": "is bytes", "O": "is an object array"}.get(kind, f"has dtype {array.dtype}")
        )
    if kind not in _ALLOWED[dtype.kind] and array.size:
        raise _feed_error(shown, value, f"has dtype {array.dtype}, which {dtype} cannot hold without loss")
    if dtype.is_integer and kind in "iu" and array.dtype != dtype.numpy and array.size:
        low, high = int(array.min()), int(array.max())
        if low < int(dtype.min) or high > int(dtype.max):
            raise _feed_error(shown, value, f"has values from {low} to {high}, outside the range of {dtype}")
    return np.require(array, dtype=dtype.numpy, requirements=["C", "A"])


def _feed_error(tensor: Tensor, value: Any, problem: str) -> FeedError:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return FeedError(
        f"the value fed to {tensor.name} {problem}: {text}",
        operands={"placeholder": tensor},
        rule=f"It takes numbers of {tensor.dtype}; convert with numpy.asarray(value, {str(tensor.dtype)!r}).",
    )


def _make_function(session: Session, plan: _Plan, tensors: list[Tensor]) -> Callable[..., Any]:
    """The function `make_callable` returns."""
    executable, store, pack = plan.executable, session._store, plan.structure.pack
    positions = [tensors.index(t) for t in plan.order]
    targets = [
        (p, t, t.dtype.numpy, t.dtype.numpy.type if t.rank == 0 and t.dtype.is_floating else None)
        for p, t in zip(positions, plan.order, strict=True)
    ]
    count, run = len(tensors), executable.run

    def call(*values: Any) -> Any:
        if session._closed:
            session._check_open()
        if len(values) != count:
            raise FeedError(
                f"the callable takes {count} values, for {', '.join(t.name for t in tensors) or 'nothing'}; got {len(values)}"
            )
        arrays = []
        for position, tensor, dtype, scalar in targets:
            value = values[position]
            if scalar is not None and (type(value) is float or type(value) is scalar):
                value = scalar(value)
            elif not (type(value) is np.ndarray and value.dtype is dtype and value.flags.c_contiguous and value.flags.aligned):
                value = feed_array(tensor, value, tensor)
            arrays.append(value)
        return pack(run(arrays, store))

    return call
