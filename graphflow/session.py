"""`Session`: runs graphs. Holds the values of variables and the executables it has compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from graphflow.capture import capture
from graphflow.compiler import compile_program
from graphflow.errors import FeedError, SessionError
from graphflow.feeds import feed_array
from graphflow.fetches import Structure, quick_key
from graphflow.ir.graph import Graph, get_default_graph
from graphflow.ir.tensor import Tensor, set_operators
from graphflow.ops.state import Variable
from graphflow.ops.stop import stop
from graphflow.options import current as current_options
from graphflow.runtime.executable import Executable
from graphflow.runtime.memory import MemoryReport
from graphflow.runtime.variables import VariableStore

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
        self._store.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the session is closed", rule="Make a new gf.Session().")

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None, *, profile: bool = False) -> Any:
        """The values of `fetches`: a tensor, a variable, an operation (None), or any nesting of them in lists, tuples, dicts.

        `feed_dict` maps placeholders, or any other tensors, to values. Updates of variables are committed at the end, all or
        none. Numbers come back as NumPy scalars, the rest as arrays of their own.

        With `profile`, the pair of that and the `Profile` of the run; `gf.profile()` measures many runs.
        """
        if profile:
            with import_module("graphflow.profiler").profile() as found:
                values = self.run(fetches, feed_dict)
            return values, found
        self._check_open()
        key = quick_key(fetches, feed_dict)
        plan, _ = self._quick.get(key, _NOTHING)
        if plan is None or feed_dict is None:
            feeds = {} if feed_dict is None else self._feeds(feed_dict)
            plan = self._plan(fetches, tuple(feeds))
            if key is not None:
                self._quick[key] = plan, current_options()  # kept, so that no other options get its identity
        else:
            feeds = feed_dict  # type: ignore[assignment]  # the keys were checked when the plan was made
        return plan.run([feeds[tensor] for tensor in plan.order])

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
        return import_module("graphflow.stages").explain(self.executable(fetches, feed_dict))

    def memory_plan(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> MemoryReport:
        """The memory that a run of `fetches` will need, before it runs: print it, or read its bytes.

        It lists the buffers that share the arena with the launches they live through, and what is written in place. The
        values of `feed_dict` are what will be fed, or tuples of their sizes: `memory_plan(train, {x: (512, 784), y: (512,)})`.
        """
        given = {self._feed_key(key): value for key, value in (feed_dict or {}).items()}
        plan = self._plan(fetches, tuple(given), default_feeds=True)
        shapes = []
        for tensor in plan.order:
            value = given.get(tensor, tensor.shape)
            if not isinstance(value, tuple) or not all(isinstance(size, int) for size in value):
                if tensor not in given:
                    raise FeedError(
                        f"the shape of {tensor.name} is not known",
                        operands={"placeholder": tensor},
                        rule="Give its sizes in feed_dict, as a tuple.",
                    )
                value = np.shape(value)
            shapes.append(value)
        return plan.executable.bind(tuple(shapes)).report()

    def ledger(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None, profile: Any = None) -> Any:
        """All that compiling `fetches` did, to look at: `session.ledger(train, feeds).save("step.html")` is one page, offline.

        The values of `feed_dict` are what is fed, or tuples of its sizes: they make bytes, operations and memory known. A
        `profile`, which `gf.profile()` made of runs in this session, adds measured times.
        """
        given = {self._feed_key(key): value for key, value in (feed_dict or {}).items()}
        try:
            plan = self._plan(fetches, tuple(given))  # the one that runs: what a profile has measured
        except FeedError:
            plan = self._plan(fetches, tuple(given), default_feeds=True)
        inputs = dict(zip(plan.order, plan.executable.feeds, strict=True))
        feeds = {inputs[tensor]: value for tensor, value in given.items() if tensor in inputs}
        return import_module("graphflow.viz.ledger").ledger(plan.executable, feeds, profile)

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
        structure = Structure(fetches, self.graph)
        key = (structure.key, frozenset(feeds), default_feeds, current_options())
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plans.get(key)
                if plan is None:
                    plan = self._plans[key] = self._compile(structure, feeds, default_feeds)
        if plan.structure.key == structure.key and plan.structure is not structure:
            plan = type(plan)(structure, plan.executable, plan.order, self._store)
        return plan

    def _compile(self, structure: Structure, feeds: tuple[Tensor, ...], default_feeds: bool) -> _Plan:
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
        stops = any(node.op is stop for node in program.all_nodes)
        kind = _SteppedPlan if stops else _WatchedPlan if current_options().nan_check else _Plan
        return kind(structure, compile_program(program, current_options(), self.graph), order, self._store)

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


_NOTHING: tuple[_Plan | None, Any] = (None, None)


class _Plan:
    """Fetches compiled for certain feeds; `order` are the fed tensors in the executable's order."""

    def __init__(self, structure: Structure, executable: Executable, order: tuple[Tensor, ...], store: VariableStore) -> None:
        self.structure = structure
        self.executable = executable
        self.order = order
        self.store = store
        # For each feed: its dtype, and the classes of numbers that need no conversion.
        self.targets = [(t, t.dtype.numpy, _numbers(t)) for t in order]
        self.bindings = executable.bindings

    def run(self, values: list[Any]) -> Any:
        """The fetched values, in their places, for fed values in the executable's order."""
        shapes = []
        for k, (tensor, dtype, numbers) in enumerate(self.targets):
            value = values[k]
            if type(value) is np.ndarray and value.dtype is dtype:
                shapes.append(value.shape)
            elif type(value) in numbers:
                shapes.append(())
            else:
                values[k] = value = feed_array(tensor, value)
                shapes.append(value.shape)
        key = tuple(shapes)
        binding = self.bindings.get(key) or self.executable.bind(key)
        results = binding.run(values, self.store)
        return results if self.structure.flat else self.structure.build(results)


class _WatchedPlan(_Plan):
    """A plan whose errors tell where a NaN came from."""

    def run(self, values: list[Any]) -> Any:
        given = [feed_array(tensor, value) for tensor, value in zip(self.order, values, strict=True)]
        return import_module("graphflow.debug.blackbox").watch_run(super().run, self.executable, given, self.store)


class _SteppedPlan(_Plan):
    """A plan with a breakpoint: it is run op by op."""

    def run(self, values: list[Any]) -> Any:
        given = [feed_array(tensor, value) for tensor, value in zip(self.order, values, strict=True)]
        return self.structure.build(import_module("graphflow.debug.stepping").step_run(self.executable, given, self.store))


def _numbers(tensor: Tensor) -> tuple[type, ...]:
    return (float, tensor.dtype.numpy.type) if tensor.rank == 0 and tensor.dtype.is_floating else ()


def _make_function(session: Session, plan: _Plan, tensors: list[Tensor]) -> Callable[..., Any]:
    """The function `make_callable` returns."""
    positions = [tensors.index(t) for t in plan.order]
    in_order = positions == list(range(len(tensors)))
    count, run = len(tensors), plan.run

    def call(*values: Any) -> Any:
        if session._closed:
            session._check_open()
        if len(values) != count:
            raise FeedError(
                f"the callable takes {count} values, for {', '.join(t.name for t in tensors) or 'nothing'}; got {len(values)}"
            )
        return run([*values] if in_order else [values[p] for p in positions])

    return call
