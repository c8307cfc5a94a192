"""Tracing: from a Python function and the outline of its arguments to a graph, and the programs made of it."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from graphflow.capture import capture, control_order
from graphflow.compiler import compile_program
from graphflow.eager.call import Callee, call, watched_among
from graphflow.eager.signature import Part, Symbol, Terms, is_tensor_like, map_leaves, sizes_text
from graphflow.eager.store import STORE, Snapshot, own
from graphflow.errors import ModeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.evaluate import evaluate
from graphflow.ir.graph import TracedGraph, current_body, get_default_graph, tracing
from graphflow.ir.location import PACKAGE, SourceLocation, user_location
from graphflow.ir.op import VALUE, Access, bind_attributes, convert_to_tensor
from graphflow.ir.program import Program
from graphflow.ir.tensor import _OPERATORS, Attrs, Constraint, Node, Tensor
from graphflow.ops import source
from graphflow.ops.effects import has_effect
from graphflow.ops.source import make_placeholder, next_draw
from graphflow.ops.state import EagerVariable, Operation, Variable, control_free
from graphflow.options import current as current_options
from graphflow.runtime.binding import Binding
from graphflow.runtime.executable import Executable
from graphflow.types import Size, TensorType, symbol


class FunctionGraph(TracedGraph):
    """The graph of one trace: its arguments, the variables it reads and writes, and what it does besides."""

    def __init__(self, function: str, seed: int) -> None:
        super().__init__()
        self.function = function
        self.seed = seed
        self.first: dict[EagerVariable, Tensor] = {}  # the value of each variable before a run
        self.last: dict[EagerVariable, Tensor] = {}  # and after it, of those that are assigned
        self.values: dict[EagerTensor, EagerTensor] = {}  # what stands for a constant made outside, as tapes may watch it
        self.constants: dict[EagerTensor, EagerTensor] = {}  # and the other way round
        self.effects: list[Node] = []  # what a run does more than compute its results
        self.new: list[tuple[EagerVariable, SourceLocation, bool]] = []  # variables made while tracing: where, and was it by us?

    def read(self, variable: EagerVariable) -> Tensor:
        """The value that an eager variable will have at this point of a run."""
        return self.last[variable] if variable in self.last else self.before(variable)

    def before(self, variable: EagerVariable) -> Tensor:
        """The value that an eager variable has when a run begins."""
        if variable not in self.first:
            attributes = bind_attributes(
                source.variable, {"dtype": variable.dtype, "handle": variable, "shape": variable.type.shape}
            )
            with control_free():
                node = self.add(source.variable, (), attributes, (variable.type,), (), variable.name)
            self.first[variable] = node.output
        return self.first[variable]

    def write(self, variable: EagerVariable, value: Tensor) -> Tensor:
        """The value, which the variable has from this point of a run on; no gradient flows back to how it was computed."""
        self.before(variable)
        self.last[variable] = _OPERATORS["detached"](value) if value.dtype.is_differentiable else value
        return self.last[variable]

    def lifted(self, value: Tensor) -> EagerTensor:
        """The value of a tensor that depends on no argument, as an eager tensor: what a variable starts with."""
        feeds: dict[Tensor, Any] = {}
        for node in control_order([value.node], set()):
            if node.op is VALUE:
                feeds[node.output] = node.output.array  # type: ignore[attr-defined]
            elif node.op is source.variable:
                feeds[node.output] = node.attrs["handle"].array
            elif node.op is source.run_counter:
                feeds[node.output] = next_draw()
            elif node.op.access is Access.SOURCE and node.op is not source.constant:
                raise ModeError(
                    "the initial value of a variable depends on an argument of the function",
                    operands={"initial_value": value, "argument": node.output},
                    rule="A variable is made once, before the first run: start it with zeros, and assign.",
                )
        return EagerTensor(evaluate([value], feeds)[0], value.dtype)

    def made(self, variable: EagerVariable) -> None:
        """Note that a variable was made while tracing."""
        self.new.append((variable, user_location(), is_inside()))

    def value_of(self, constant: EagerTensor) -> EagerTensor:
        """What stands for a constant: itself where it was made while tracing, else a value that the function captures."""
        if constant.location is not None:
            return constant
        found = self.values.get(constant)
        if found is None:
            found = self.values[constant] = EagerTensor(constant.array, constant.dtype)
            self.constants[found] = constant
        return found

    def add(
        self,
        op: Any,
        inputs: tuple[Tensor, ...],
        attributes: Attrs,
        types: tuple[TensorType, ...],
        constraints: tuple[Constraint, ...] = (),
        name: str | None = None,
    ) -> Node:
        inputs = tuple([self.value_of(t) if isinstance(t, EagerTensor) and t.constant else t for t in inputs])
        node = super().add(op, inputs, attributes, types, constraints, name)
        if current_body() is None and types and has_effect(node):
            self.effects.append(node)
        return node


def is_inside() -> bool:
    """Is it a line of graphflow that makes a variable, as that of an optimizer that makes a slot?"""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((str(PACKAGE) + "ops", str(PACKAGE) + "eager")):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(PACKAGE)


class Trace:
    """A function traced for one outline of its arguments: a graph, compiled. `trace(*args)` runs it, as the function does.

    `reason` says why it was made.
    """

    def __init__(self, name: str, parts: Sequence[Part], paths: Sequence[str], terms: Terms, reason: str) -> None:
        self.name = name
        self.parts = parts
        self.paths = tuple(paths)
        self.terms = terms
        self.reason = reason
        self.options = current_options()
        self.graph = FunctionGraph(name, get_default_graph().seed)
        self.symbols: dict[Symbol, Any] = {}

    # --- tracing --------------------------------------------------------------------------------------------------------------

    def run_python(self, function: Callable[[Any], Any], arguments: Any) -> None:
        """Trace `function` of a nest of arguments, with placeholders in the places of its tensors."""
        with tracing(self.graph):
            self.arguments = tuple(self._placeholder(k) for k in range(len(self.paths)))
            given = iter(self.arguments)
            found = function(map_leaves(arguments, lambda leaf: next(given) if is_tensor_like(leaf) else leaf))
            self._returned(found)
        self._close()

    def _placeholder(self, k: int) -> Tensor:
        dtype, _ = next(what for path, kind, what in self.parts if path == self.paths[k] and kind == "tensor")
        name = self.paths[k]
        for axis, term in enumerate(self.terms[k]):
            if isinstance(term, Symbol) and term not in self.symbols:
                self.symbols[term] = symbol(f"{name}.{axis}")
        shape = [self.symbols[term] if isinstance(term, Symbol) else term for term in self.terms[k]]
        return make_placeholder(dtype, shape, name)

    def _returned(self, found: Any) -> None:
        """Take what the function returned apart: tensors that a run computes, and what is the same in each run."""
        given: list[Any] = []
        map_leaves(found, given.append)
        leaves = [_result(leaf) for leaf in given]
        self.outputs = tuple(t for t in leaves if isinstance(t, Tensor) and not isinstance(t, EagerTensor))
        self.fixed = tuple(leaves)
        self.whole = bool(leaves) and len(self.outputs) == len(leaves)  # does a run compute all that is returned?
        if len(leaves) == 1 and isinstance(found, Tensor | Variable):
            self.pack: Callable[[Sequence[Any]], Any] = lambda results: results[0]
        elif type(found) is tuple and len(found) == len(given) and all(map(operator.is_, found, given)):
            self.pack = tuple
        else:
            self.pack = lambda results: with_leaves(found, results)

    def _close(self) -> None:
        graph = self.graph
        self.updated = tuple(graph.last)
        values = [graph.last[v] for v in self.updated]
        done = [node.output for node in graph.effects]
        self.results = (*self.outputs, *done, *values)
        order = control_order([t.node for t in self.results], set(self.arguments))
        self.captured: tuple[EagerTensor, ...] = tuple(n.output for n in order if n.op is VALUE)  # type: ignore[misc]
        self.draws = any(n.op is source.run_counter for n in order)
        self.variables = tuple(v for v, t in graph.first.items() if t.node in set(order))
        self._bindings: dict[Any, Run] = {}

    # --- running ----------------------------------------------------------------------------------------------------------------

    @cached_property
    def program(self) -> Program:
        """The program that reads and updates variables in place."""
        with tracing(self.graph):
            found = capture(self.results, (), (*self.arguments, *self.captured), self.graph, self.name)
        count = len(self.results) - len(self.updated)
        pairs = tuple((self.graph.first[v], value) for v, value in zip(self.updated, found.outputs[count:], strict=True))
        return Program(found.inputs, found.outputs[:count], pairs, self.name)

    @cached_property
    def executable(self) -> Executable:
        """The compiled program."""
        return compile_program(self.program, self.options, self.graph)

    @cached_property
    def callee(self) -> Callee:
        """The program as tapes see it: variables are inputs, their next values results."""
        inputs = (*self.arguments, *self.captured, *(self.graph.first[v] for v in self.variables))
        return Callee(self.name, inputs, self.results, self.graph)

    def bound(self, shapes: tuple[tuple[int, ...], ...]) -> Run:
        """What runs the trace on arguments of these shapes."""
        found = self._bindings.get(shapes)
        if found is None:
            whole = (*shapes, *(t.shape for t in self.captured))
            if len(self._bindings) >= 64:
                self._bindings.clear()
            found = self._bindings[shapes] = Run(self, whole)
            self.executable.followers.add(found)
        return found

    def run(self, tensors: Sequence[EagerTensor]) -> Any:
        """What the function returns for these arguments."""
        return self.bound(tuple([t.array.shape for t in tensors]))([t.array for t in tensors])

    def run_recorded(self, tensors: Sequence[EagerTensor]) -> Any:
        """The same, shown to the tapes that watch arguments, variables or what the function captured."""
        with STORE.lock:
            captured = [self.graph.constants.get(t, t) for t in self.captured]
            operands = (*tensors, *captured, *(v.read() for v in self.variables))
            if not watched_among(operands):
                return self.run(tensors)
            results = call(self.callee, operands)
            for variable, value in zip(self.updated, results[len(results) - len(self.updated) :], strict=True):
                variable.tensor = value
        return self.returned(results[: len(self.outputs)])

    def returned(self, results: Sequence[Any]) -> Any:
        """What the function returned, with the results of a run in it."""
        if self.whole:
            return self.pack(results)
        remaining = iter(results)
        return self.pack([next(remaining) if isinstance(x, Tensor) and not isinstance(x, EagerTensor) else x for x in self.fixed])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arguments of this trace's signature."""
        return self.run_with(self, args, kwargs)

    run_with: Callable[[Trace, Any, Any], Any]  # set by `function`, which knows the parameters

    # --- looking --------------------------------------------------------------------------------------------------------------

    @property
    def pretty_printed_signature(self) -> str:
        """The arguments and results, a line each."""
        lines = [f"{self.name}({', '.join(self.paths)})", "  arguments"]
        tensors = dict(zip(self.paths, self.terms, strict=True))
        for path, kind, what in self.parts:
            if kind == "tensor":
                lines.append(f"    {path}: {what[0]}{sizes_text(tensors[path])}")
            elif kind == "value":
                lines.append(f"    {path}: {what[1]!r}")
            elif kind == "object":
                lines.append(f"    {path}: {what.shown}")
        lines.append("  returns")
        lines += [f"    {t.name}: {t.type}" for t in self.outputs] or ["    nothing that a run computes"]
        for title, variables in (("reads", self.variables), ("updates", self.updated)):
            if variables:
                lines.append(f"  {title} {', '.join(v.name for v in variables)}")
        return "\n".join(lines)

    def explain(self) -> str:
        """Every stage of compiling the trace, as text."""
        return import_module("graphflow.stages").explain(self.executable)

    def __repr__(self) -> str:
        types = dict(zip(self.paths, self.terms, strict=True))
        dtypes = {path: what[0] for path, kind, what in self.parts if kind == "tensor"}
        return f"<trace of {self.name}({', '.join(f'{p}: {dtypes[p]}{sizes_text(t)}' for p, t in types.items())})>"


class Run:
    """What runs a trace on arrays of certain shapes: the short way, without tapes."""

    __slots__ = ("__weakref__", "binding", "captured", "count", "dtypes", "locked", "owned", "reads", "run", "shapes", "trace")

    def __init__(self, trace: Trace, shapes: tuple[tuple[int, ...], ...]) -> None:
        self.trace = trace
        self.shapes = shapes
        self.renew()
        binding = self.binding
        self.captured = [t.array for t in trace.captured]
        self.dtypes = [t.dtype for t in trace.outputs]
        self.count = len(self.dtypes)
        program = binding.program
        places = zip(trace.executable.updated, program.updates, strict=True)
        self.owned = [handle for (handle, _), place in places if place.kind == "in place"]
        self.locked = bool(trace.draws or trace.updated)
        self.reads = trace.variables

    def renew(self) -> None:
        """Take the binding that the executable has now."""
        executable = self.trace.executable
        self.binding: Binding = executable.bind(self.shapes)
        self.run = self.binding.run
        if executable.watched:
            self.run = import_module("graphflow.debug.blackbox").watched_run(executable, self.run)

    def __call__(self, arrays: list[Any]) -> Any:
        arrays += self.captured
        if self.locked:
            with STORE.lock:
                for variable in self.owned:
                    if not variable.own or variable.lent is not None:
                        own(variable)
                if self.trace.draws:
                    STORE.counter = next_draw()
                found = self.run(arrays, STORE)
        else:
            found = self.run(arrays, Snapshot(self.reads) if self.reads else STORE)
        results = [EagerTensor.of(x, d) for x, d in zip(found, self.dtypes, strict=False)]
        trace = self.trace
        return trace.pack(results) if trace.whole else trace.returned(results)


def with_leaves(nest: Any, leaves: Sequence[Any]) -> Any:
    """A nest with other leaves."""
    given = iter(leaves)
    return map_leaves(nest, lambda leaf: next(given))


def _result(leaf: Any) -> Any:
    """What a function returns for a leaf of what it returned while it was traced."""
    if isinstance(leaf, Variable):
        return leaf.read_value()
    if isinstance(leaf, Size):
        return convert_to_tensor(leaf)
    return None if isinstance(leaf, Operation) else leaf
