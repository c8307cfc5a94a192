"""`function`: a Python function traced once for each signature of its arguments, compiled, and run as one program.

In eager mode a call runs a trace. While a graph is built, be it the default graph or that of another function that is traced, the
Python function is called, and what it builds becomes part of that graph.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from graphflow.eager.signature import (
    Part,
    Place,
    Symbol,
    TensorSpec,
    Terms,
    as_spec,
    changes,
    difference,
    first_terms,
    fit,
    generalised,
    is_gone,
    map_leaves,
    stated_terms,
    take_apart,
)
from graphflow.eager.trace import Run, Trace
from graphflow.errors import GraphError, ModeError, UnknownSizeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.graph import Graph, get_default_graph, state
from graphflow.ir.op import CONSTANT, constant
from graphflow.ir.tensor import Tensor
from graphflow.options import Options
from graphflow.options import current as current_options
from graphflow.types import as_dtype

REMEMBERED_CALLS = 256  # kinds of calls that find their program at once; beyond, all are forgotten
MANY_TRACES = (20, 100, 1000)  # after so many traces of one function there is a warning
DEEPEST = 100  # calls of a function in its own trace

Key = tuple[Part, ...]


class Remembered(NamedTuple):
    """What runs calls of one kind: a program, and where it finds its arrays among those of the call, if in another order."""

    run: Run
    order: list[int] | None
    options: Options  # kept, so that no other options get their identity


def note(values: Iterable[Any], key: list[Any], arrays: list[np.ndarray]) -> bool:
    """Add what kind of values they are to `key`, and their arrays to `arrays`; False where that takes a closer look."""
    for value in values:
        kind = type(value)
        if kind is EagerTensor:
            value = value.array
        elif kind is int or kind is bool or kind is str or value is None:
            key.append((kind, value))
            continue
        elif kind is dict:
            key.append((dict, *value))
            if not note(value.values(), key, arrays):
                return False
            continue
        elif kind is tuple or kind is list:
            key.append((kind, len(value)))
            if not note(value, key, arrays):
                return False
            continue
        elif kind is not np.ndarray:
            return False
        arrays.append(value)
        key.append(value.dtype)
        key.append(value.shape)
    return True


class Function:
    """A function that runs as a compiled program; made by `gf.function`."""

    def __init__(
        self,
        python_function: Callable[..., Any],
        input_signature: Sequence[Any] | None = None,
        reduce_retracing: bool = True,
        name: str | None = None,
        instance: Callable[[], Any] | None = None,
    ) -> None:
        self.python_function = python_function
        self.input_signature = None if input_signature is None else tuple(input_signature)
        self.reduce_retracing = reduce_retracing
        self.name = name or str(getattr(python_function, "__name__", type(python_function).__name__))
        self._instance = instance  # a weak reference to the object of which this is a method
        self._parameters = inspect.signature(python_function)
        if instance is not None:
            self._parameters = inspect.signature(functools.partial(python_function, None))
        self._lock = threading.RLock()
        self._traces: dict[Key, list[Trace]] = {}
        self._history: list[Trace] = []
        self._pinned: dict[Key, frozenset[Place]] = {}  # sizes that Python used as numbers
        self._lines: dict[Any, str] = {}  # where variables were made
        self._calls: dict[Any, Remembered] = {}  # by what kinds of values are given
        self._bound: dict[int, Function] = {}  # by the identity of the object
        self._depth = threading.local()
        functools.update_wrapper(self, python_function, updated=())

    # --- calling ----------------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        now = state()
        if not now.eager or now.recorders or now.body is not None:
            return self._call(args, kwargs)
        key: list[Any] = [id(current_options()), *kwargs]
        arrays: list[np.ndarray] = []
        if not (note(args, key, arrays) and (not kwargs or note((*kwargs.values(),), key, arrays))):
            return self._call(args, kwargs)
        whole = tuple(key)
        found = self._calls.get(whole)
        if found is None or (found.run.trace.draws and found.run.trace.graph.seed != get_default_graph().seed):
            return self._call(args, kwargs, whole)
        if found.order is not None:
            arrays = [arrays[k] for k in found.order]
        return found.run(arrays)

    def _call(self, args: Any, kwargs: Any, key: Any = None) -> Any:
        arguments = self._arguments(args, kwargs)
        parts, leaves = outline(arguments)
        if self._inlines([value for _, value in leaves]):
            return self._inlined(arguments)
        tensors = [as_tensor(value) for _, value in leaves]
        trace = self._trace(arguments, parts, leaves)
        if state().recorders:
            return trace.run_recorded(tensors)
        if key is not None and self.input_signature is None:
            self._remember(key, trace, args, kwargs, arguments, tensors)
        return trace.run(tensors)

    def _remember(self, key: Any, trace: Trace, args: Any, kwargs: Any, arguments: Any, tensors: Sequence[EagerTensor]) -> None:
        """Let a call like this one find its program at once, if its arguments are all that the trace is given."""
        names = [*list(arguments)[: len(args)], *kwargs]
        kinds = {p.kind for p in self._parameters.parameters.values()}
        if kwargs and not kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
            return
        places: dict[str, list[int]] = {}
        count = 0
        for name, value in arguments.items():
            inner = outline({name: value})[1]
            places[name] = list(range(count, count + len(inner)))
            count += len(inner)
        given = [k for name in dict.fromkeys(names) for k in places[name]]
        if sorted(given) != list(range(count)):
            return  # a default value is a tensor
        order = None if given == sorted(given) else [given.index(k) for k in range(count)]
        if len(self._calls) >= REMEMBERED_CALLS:
            self._calls.clear()
        self._calls[key] = Remembered(trace.bound(tuple([t.array.shape for t in tensors])), order, current_options())

    def _arguments(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """The arguments by parameter, defaults filled in, in the dtypes of the input signature."""
        try:
            bound = self._parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self._parameters}: {error}") from None
        bound.apply_defaults()
        arguments = bound.arguments
        if self.input_signature is None:
            return arguments
        names = list(arguments)
        if len(self.input_signature) > len(names):
            raise TypeError(f"{self.name}: an input_signature of {len(self.input_signature)} for {len(names)} parameters")
        for name, spec in zip(names, self.input_signature, strict=False):
            arguments[name] = _as_specs(arguments[name], spec, name)
        return arguments

    def _inlines(self, values: Sequence[Any]) -> bool:
        """Is a call part of the graph that is being built, rather than run?"""
        now = state()
        symbolic = any(isinstance(t, Tensor) and not isinstance(t, EagerTensor) and t.op is not CONSTANT for t in values)
        if symbolic or now.body is not None or now.scratch is not None:
            return True
        if now.eager:
            return False
        return get_default_graph().takes_values or not any(isinstance(t, EagerTensor) and not t.constant for t in values)

    def _inlined(self, arguments: dict[str, Any]) -> Any:
        depth = getattr(self._depth, "calls", 0)
        if depth >= DEEPEST:
            raise GraphError(
                f"{self.name} calls itself without end while it is traced",
                rule="What ends a recursion must be known while tracing: a Python number. Steps that values decide are a "
                "gf.while_loop.",
            )
        self._depth.calls = depth + 1
        try:
            return self._python(map_leaves(arguments, lambda x: constant(x) if isinstance(x, np.ndarray | np.generic) else x))
        finally:
            self._depth.calls = depth

    def _python(self, arguments: dict[str, Any]) -> Any:
        """What the Python function returns."""
        bound = inspect.BoundArguments(self._parameters, arguments)  # type: ignore[arg-type]
        return self._owner()(*bound.args, **bound.kwargs)

    def _owner(self) -> Callable[..., Any]:
        if self._instance is None:
            return self.python_function
        instance = self._instance()
        if instance is None:
            raise ModeError(f"{self.name}: the object of the method is gone")
        return functools.partial(self.python_function, instance)

    # --- tracing ----------------------------------------------------------------------------------------------------------------

    def _trace(self, arguments: dict[str, Any], parts: Key, leaves: Sequence[tuple[str, Any]]) -> Trace:
        """The trace for a call, made if there is none."""
        shapes = [tuple(value.shape) for _, value in leaves]
        found = self._matching(parts, shapes)
        if found is None:
            with self._lock:
                found = self._matching(parts, shapes) or self._new_trace(arguments, parts, leaves, shapes)
        return found

    def _matching(self, parts: Key, shapes: Any) -> Trace | None:
        options = current_options()
        seed = get_default_graph().seed
        for trace in self._traces.get(parts, ()):
            if trace.options == options and (not trace.draws or trace.graph.seed == seed) and agrees(trace.terms, shapes):
                return trace
        return None

    def _new_trace(self, arguments: dict[str, Any], parts: Key, leaves: Sequence[tuple[str, Any]], shapes: Any) -> Trace:
        self._forget_gone()
        while True:
            terms, reason = self._terms(parts, leaves, shapes)
            trace = Trace(self.name, parts, [path for path, _ in leaves], terms, reason)
            trace.run_with = self._run_trace
            try:
                trace.run_python(self._python, arguments)
            except UnknownSizeError as error:
                if not self._pin(parts, trace, error):
                    raise
                continue
            self._note_variables(trace)
            self._traces.setdefault(parts, []).append(trace)
            self._history.append(trace)
            if len(self._history) in MANY_TRACES:
                warnings.warn(
                    f"{self.name} has been traced {len(self._history)} times; this time because {reason}. Give numbers that "
                    "change as tensors; explain_traces() lists the reasons.",
                    RuntimeWarning,
                    stacklevel=5,
                )
            return trace

    def _terms(self, parts: Key, leaves: Sequence[tuple[str, Any]], shapes: Any) -> tuple[Terms, str]:
        """The terms of a new trace, and why it is made."""
        pinned = self._pinned.get(parts, frozenset())
        paths = [path for path, _ in leaves]
        siblings = self._traces.get(parts, [])
        if self.input_signature is not None or any(not isinstance(size, int) for shape in shapes for size in shape):
            terms = stated_terms(self._stated(leaves, shapes))
        elif not self.reduce_retracing:
            terms = tuple(shapes)
        else:
            near = [t for t in siblings if all(t.terms[k][axis] == shapes[k][axis] for k, axis in pinned)]
            terms = generalised(near[-1].terms, shapes) if near else first_terms(shapes, pinned)
        if not self._history:
            return terms, "first call"
        if not siblings:
            nearest = min(reversed(self._history), key=lambda t: len(difference(t.parts, parts)))
            return terms, "; ".join(difference(nearest.parts, parts))
        last = siblings[-1]
        if last.options != current_options():
            return terms, "the options changed"
        if agrees(last.terms, shapes):
            return terms, f"the seed of random numbers was {last.graph.seed}, then {get_default_graph().seed}"
        text = "; ".join(changes(last.terms, terms, paths))
        used = [f"Python uses size {axis} of `{paths[k]}` as a number" for k, axis in sorted(pinned)]
        return terms, "; ".join([text, *used])

    def _stated(self, leaves: Sequence[tuple[str, Any]], shapes: Any) -> list[Any]:
        if self.input_signature is None:
            return list(shapes)
        stated = []
        for spec in self.input_signature:
            map_leaves(spec, lambda leaf: stated.append(leaf.shape) if isinstance(leaf, TensorSpec) else None)
        return [*stated, *shapes[len(stated) :]]

    def _pin(self, parts: Key, trace: Trace, error: UnknownSizeError) -> bool:
        """Make numbers of the sizes that Python asked for, if they are sizes of arguments."""
        if self.input_signature is not None:
            return False
        asked = {s for s, size in trace.symbols.items() if size.dims <= error.dims}
        places = {(k, a) for k, row in enumerate(trace.terms) for a, term in enumerate(row) if term in asked}
        before = self._pinned.get(parts, frozenset())
        self._pinned[parts] = before | places
        return bool(places - before)

    def _note_variables(self, trace: Trace) -> None:
        """GraphError where a line that has made a variable in an earlier trace makes another one."""
        lines = {}
        for variable, location, inside in trace.graph.new:
            if not inside and str(location) in self._lines.values():
                raise GraphError(
                    f"{self.name} makes a variable each time it is traced, at {location}",
                    operands={"variable": variable},
                    rule="A function keeps its variables from call to call, so they are made once: outside, or under "
                    "`if self.v is None:`.",
                )
            if not inside:
                lines[variable] = str(location)
        self._lines.update(lines)

    def _forget_gone(self) -> None:
        for parts in [parts for parts in self._traces if is_gone(parts)]:
            del self._traces[parts]
            self._pinned.pop(parts, None)
        self._history = [t for t in self._history if not is_gone(t.parts)]

    def _run_trace(self, trace: Trace, args: Any, kwargs: Any) -> Any:
        """What a trace returns for arguments that are of its signature."""
        arguments = self._arguments(args, kwargs)
        parts, leaves = outline(arguments)
        if parts != trace.parts or not agrees(trace.terms, [tuple(value.shape) for _, value in leaves]):
            what = difference(trace.parts, parts)
            raise TypeError(f"{trace!r} is called with other arguments: {'; '.join(what)}")
        if self._inlines([value for _, value in leaves]):
            return self._inlined(arguments)
        tensors = [as_tensor(value) for _, value in leaves]
        return trace.run_recorded(tensors) if state().recorders else trace.run(tensors)

    # --- methods ----------------------------------------------------------------------------------------------------------------

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The method of an object; each object has traces of its own, and is not kept alive by them."""
        if instance is None:
            return self
        key = id(instance)
        found = self._bound.get(key)
        if found is not None:
            return found
        with self._lock:
            if key not in self._bound:
                try:
                    reference: Any = weakref.ref(instance, lambda _: self._bound.pop(key, None))
                except TypeError:  # an object that cannot be referred to weakly is an argument like another
                    return functools.partial(self, instance)
                self._bound[key] = Function(
                    self.python_function, self.input_signature, self.reduce_retracing, self.name, reference
                )
            return self._bound[key]

    # --- looking ----------------------------------------------------------------------------------------------------------------

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The traces in the order they were made."""
        return tuple(self._history)

    def explain_traces(self) -> str:
        """Why the function was traced each time, a line each."""
        lines = [f"{self.name}: {len(self._history)} trace{'s' if len(self._history) != 1 else ''}"]
        for k, trace in enumerate(self._history):
            lines.append(f"  {k}: {trace!r}: {'traced' if k == 0 else 'traced again because'} {'' if k == 0 else trace.reason}")
        return "\n".join(line.rstrip(": ") if line.endswith("traced ") else line for line in lines)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> Trace:
        """The trace for these arguments, in which a `TensorSpec` may stand for a tensor; with an input signature, for that."""
        if self.input_signature is not None and not args and not kwargs:
            args = self.input_signature
        arguments = self._arguments(args, kwargs)
        parts, leaves = outline(arguments)
        return self._trace(arguments, parts, leaves)

    def _chosen(self, args: Any, kwargs: Any) -> Trace:
        if args or kwargs or self.input_signature is not None:
            return self.get_concrete_function(*args, **kwargs)
        if not self._history:
            raise ModeError(f"{self.name} has not been traced", rule="Call it, or say for which arguments.")
        return self._history[-1]

    @property
    def graph(self) -> Graph:
        """The graph of the latest trace."""
        return self._chosen((), {}).graph

    def executable(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled program for these arguments; without any, that of the latest trace."""
        return self._chosen(args, kwargs).executable

    def drawn_as(self) -> Any:
        """What `gf.viz` draws of it: the program of the latest trace."""
        return self.executable()

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Every stage of compiling the function for these arguments, as text; without any, of the latest trace."""
        return import_module("graphflow.stages").explain(self.executable(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<gf.function {self.name}: {len(self._history)} traces>"


def agrees(terms: Terms, shapes: Any) -> bool:
    """Do the shapes of a call, or the stated ones, agree with the terms of a trace?"""
    if any(not isinstance(size, int) for shape in shapes for size in shape):
        return all(
            isinstance(term, Symbol) if not isinstance(size, int) else term == size
            for row, shape in zip(terms, shapes, strict=True)
            for term, size in zip(row, shape, strict=True)
        )
    return fit(terms, shapes)


def outline(arguments: dict[str, Any]) -> tuple[Key, list[tuple[str, Any]]]:
    """The outline of arguments, and their tensors."""
    parts: list[Part] = []
    leaves: list[tuple[str, Any]] = []
    for name, value in arguments.items():
        take_apart(value, name, parts, leaves)
    return tuple(parts), leaves


def as_tensor(value: Any) -> EagerTensor:
    """An argument as an eager tensor; tapes, which keep it, get a copy of an array."""
    if isinstance(value, EagerTensor):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return EagerTensor(np.array(value) if state().recorders else np.asarray(value), as_dtype(value.dtype))
    return EagerTensor(value.numpy(), value.dtype)


def _as_specs(value: Any, spec: Any, path: str) -> Any:
    """An argument, or a nest of them, in the dtypes of specs."""
    if isinstance(spec, TensorSpec):
        return as_spec(value, spec, path)
    if isinstance(spec, dict):
        return {key: _as_specs(value[key], inner, f"{path}[{key!r}]") for key, inner in spec.items()}
    if isinstance(spec, list | tuple):
        items = [_as_specs(item, inner, f"{path}[{k}]") for k, (item, inner) in enumerate(zip(value, spec, strict=True))]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def function(
    func: Callable[..., Any] | None = None,
    input_signature: Sequence[Any] | None = None,
    reduce_retracing: bool = True,
    name: str | None = None,
) -> Any:
    """A function that is traced once for each signature of its arguments, compiled, and runs as one program.

        @gf.function
        def train_step(images, labels): ...

    The signature is the structure of the arguments, their Python values, the dtypes and ranks of tensors, and sizes as far as
    they do not change: a new batch size is not traced again. With `reduce_retracing=False` all sizes are part of it;
    `input_signature`, a list of `TensorSpec`s, states it. What Python does besides is done when the function is traced. Variables
    have their values at the time of the call, and all their updates are made at its end, or none if it fails.
    """
    if func is None:
        return lambda f: function(f, input_signature, reduce_retracing, name)
    if not callable(func):
        raise TypeError(f"function: {func!r} is no function")
    if inspect.ismethod(func):
        return Function(func.__func__, input_signature, reduce_retracing, name).__get__(func.__self__)
    return Function(func, input_signature, reduce_retracing, name)
