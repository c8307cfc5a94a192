"""A computation that runs as one program, as tapes see it: one application, whose gradient is such a computation again.

What runs on something that a tape watches returns besides its results the values that its gradient reads: those that are not
cheap to compute again from the arguments and from one another, by a minimum cut. The gradient is a computation of arguments,
results and cotangents, compiled as well; as it is recorded in its turn, derivatives of any order follow.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from graphflow.autodiff.control import below, cost_again, cost_of_keeping, depending_on, flowing
from graphflow.autodiff.cut import minimum_cut
from graphflow.autodiff.gradients import nodes_between
from graphflow.capture import capture
from graphflow.compiler import compile_program
from graphflow.eager.store import STORE
from graphflow.ir.eager import EagerTensor, show
from graphflow.ir.graph import Graph, state, tracing
from graphflow.ir.op import Access, Op
from graphflow.ir.program import substituted, toposort
from graphflow.ir.tensor import Tensor
from graphflow.ops import source
from graphflow.ops.source import make_placeholder, next_draw
from graphflow.options import current as current_options
from graphflow.runtime.executable import Executable


class Callee:
    """`outputs` as a function of `inputs`, which are sources of `graph`; `plain` outputs are results, the others are kept."""

    def __init__(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], graph: Graph, plain: int | None = None
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.graph = graph
        self.plain = len(self.outputs) if plain is None else plain
        self.lock = threading.RLock()
        self.draws = any(n.op is source.run_counter for n in toposort(self.outputs))
        self._forward: dict[frozenset[int], Callee] = {}
        self._reverse: dict[tuple[int, ...], Reverse] = {}
        self.watched: frozenset[int] = frozenset()  # the inputs that gradients flow to

    @cached_property
    def executable(self) -> Executable:
        """The compiled program."""
        with tracing(self.graph):
            program = capture(self.outputs, (), self.inputs, self.graph, self.name)
        return compile_program(program, current_options(), self.graph)

    def run(self, tensors: Sequence[EagerTensor]) -> tuple[EagerTensor, ...]:
        """The outputs for these inputs."""
        with self.lock:
            executable = self.executable
        binding = executable.bind(tuple([t.array.shape for t in tensors]))
        arrays = [t.array for t in tensors]
        if self.draws:
            with STORE.lock:
                STORE.counter = next_draw()
                found = binding.run(arrays, STORE)
        else:
            found = binding.run(arrays, STORE)
        return tuple([EagerTensor.of(x, t.dtype) for x, t in zip(found, self.outputs, strict=True)])

    # --- gradients --------------------------------------------------------------------------------------------------------------

    def forward(self, watched: frozenset[int]) -> Callee:
        """The callee that returns besides the results what the gradient by the inputs `watched` reads."""
        with self.lock:
            if watched not in self._forward:
                found = Callee(self.name, self.inputs, (*self.outputs, *self._kept(watched)), self.graph, self.plain)
                found.watched = watched
                self._forward[watched] = found
            return self._forward[watched]

    def _kept(self, watched: frozenset[int]) -> list[Tensor]:
        places = tuple(k for k, t in enumerate(self.outputs[: self.plain]) if t.dtype.is_differentiable)
        with tracing(self.graph):
            cotangents, gs = self._cotangents(watched, places)
        wanted = [t for t in cotangents if t is not None]
        late = depending_on(gs.values(), wanted)
        read = [t for node in toposort(wanted) if node.outputs[0] in late for t in node.inputs]
        used = dict.fromkeys(t for t in (*read, *wanted) if t not in late)
        counters = {n.output for n in toposort(wanted) if n.op is source.run_counter}
        kept = minimum_cut(used, counters, cost_of_keeping, cost_again)
        present = {*self.inputs, *self.outputs}
        return [t for t in dict.fromkeys([*kept, *sorted(counters, key=id)]) if t not in present]

    def _cotangents(self, watched: frozenset[int], places: Sequence[int]) -> tuple[list[Tensor | None], dict[int, Tensor]]:
        """(the cotangents of the inputs `watched`, those of the outputs in `places`, in terms of which they are)."""
        sources = [self.inputs[k] for k in sorted(watched)]
        gs = {k: make_placeholder(self.outputs[k].dtype, self.outputs[k].shape, "cotangent") for k in places}
        found = flowing(nodes_between(sources, self.outputs), [(self.outputs[k], g) for k, g in gs.items()], sources)
        return [found[t] for t in sources], gs

    def reverse(self, places: tuple[int, ...]) -> Reverse:
        """The gradient, where cotangents flow from the outputs in `places`."""
        with self.lock:
            if places not in self._reverse:
                with tracing(self.graph):
                    self._reverse[places] = self._reversed(places)
            return self._reverse[places]

    def _reversed(self, places: tuple[int, ...]) -> Reverse:
        cotangents, gs = self._cotangents(self.watched, places)
        reached = [k for k, g in zip(sorted(self.watched), cotangents, strict=True) if g is not None]
        wanted = [g for g in cotangents if g is not None]
        at_hand = {t: k for k, t in reversed(list(enumerate(self.outputs))) if is_computed(t)}
        needed = [t for t in below(wanted, set(at_hand)) if t in at_hand]
        given = {t: make_placeholder(t.dtype, t.shape, t.name.split("/")[-1].split(":")[0]) for t in needed}
        results = substituted(wanted, given)
        callee = Callee(f"gradient of {self.name}", (*self.inputs, *given.values(), *gs.values()), results, self.graph)
        return Reverse(callee, tuple(at_hand[t] for t in needed), tuple(reached))


class Reverse:
    """A gradient: a callee of the inputs, of the outputs `reads`, and of cotangents; it gives those of the inputs `reached`."""

    def __init__(self, callee: Callee, reads: tuple[int, ...], reached: tuple[int, ...]) -> None:
        self.callee, self.reads, self.reached = callee, reads, reached


def is_computed(tensor: Tensor) -> bool:
    """Is it the result of an op, or the counter of random numbers, and not an input or a constant?"""
    return bool(tensor.inputs) or tensor.op is source.run_counter or tensor.op.access is not Access.SOURCE


def _no_type(*operands: Any, callee: Callee) -> Any:
    raise AssertionError("a call is never built in a graph: functions are inlined")


CALL = Op(
    "call", _no_type, access=Access.OPAQUE, reference=None, operands=("operands",), variadic=True, attributes={"callee": None}
)


def watched_among(operands: Sequence[EagerTensor]) -> frozenset[int]:
    """Which of the operands a recorder watches."""
    recorders = state().recorders
    return frozenset(
        k for k, t in enumerate(operands) if t.dtype.is_differentiable and any(not r.watched.isdisjoint((t,)) for r in recorders)
    )


def call(callee: Callee, operands: Sequence[EagerTensor]) -> tuple[EagerTensor, ...]:
    """The results of a callee, shown to the recorders that watch an operand."""
    watched = watched_among(operands)
    if not watched:
        return callee.run(operands)
    chosen = callee.forward(watched)
    outputs = chosen.run(operands)
    show(state().recorders, CALL, tuple(operands), {"callee": chosen}, outputs)
    return outputs[: callee.plain]


@CALL.defvjp_all
def _call_vjp(g: Any, out: Any, *operands: EagerTensor, callee: Callee) -> list[Tensor | None]:
    """The gradient as another call, which recorders are shown, too."""
    gs, outs = (g, out) if isinstance(out, tuple) else ((g,), (out,))
    reverse = callee.reverse(tuple(k for k, flow in enumerate(gs) if flow is not None))
    found: list[Tensor | None] = [None] * len(operands)
    if not reverse.reached:
        return found
    given = (*operands, *(outs[k] for k in reverse.reads), *(flow for flow in gs if flow is not None))
    for k, value in zip(reverse.reached, call(reverse.callee, given), strict=True):
        found[k] = value
    return found
