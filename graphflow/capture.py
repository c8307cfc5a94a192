"""Capture: from what a caller fetches and feeds to a closed `Program`.

Updates become pairs of a variable and its next value; reads after an update become that value; a fed tensor becomes an
input. After capture there are no control dependencies, and no gradients that somebody stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphflow.errors import GraphError
from graphflow.ir.graph import Graph, derived_from, scratch
from graphflow.ir.op import bind_attributes
from graphflow.ir.order import dependencies_first
from graphflow.ir.program import Program, attribute_dims, program_dims, toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops import source
from graphflow.ops.arithmetic import add, subtract
from graphflow.ops.custom_gradient import passing
from graphflow.ops.effects import after
from graphflow.types import dims_of

UPDATES = {"assign": None, "assign_add": add, "assign_sub": subtract}


def capture(
    fetches: Sequence[Tensor], operations: Sequence[Node], feeds: Sequence[Tensor], graph: Graph | None, name: str = "program"
) -> Program:
    """The program that computes `fetches` and runs `operations`, given values for `feeds`."""
    fed = set(feeds)
    order = control_order([*(t.node for t in fetches), *operations], fed)
    updates = sorted((n for n in order if n.op.name in UPDATES), key=lambda n: n.number)
    before = earlier_updates(order, updates)
    stand_in: dict[Tensor, Tensor] = {}
    in_bodies: dict[Tensor, Tensor] = {}  # what became of the tensors of the bodies of loops and branches
    current: dict[object, list[tuple[Node, Tensor]]] = {}  # per variable: each update so far and the value after it
    with scratch() as graph_of_pass:
        for tensor in feeds:
            stand_in[tensor] = tensor if tensor.op is source.placeholder else fed_placeholder(tensor, graph_of_pass)
        for node in schedule(order, updates, before):
            if node.op.name in UPDATES:
                history = current.setdefault(node.attrs["handle"], [])
                combine = UPDATES[node.op.name]
                value = stand_in[node.inputs[0]]
                if combine is not None:
                    variable = node.attrs["handle"].value
                    base = history[-1][1] if history else stand_in.get(variable, variable)
                    with derived_from(node):
                        value = combine(base, value)
                history.append((node, value))
                stand_in.setdefault(node.output, value)
                continue
            if not node.types or node.output in fed:
                continue
            if node.op is source.parameter:
                raise leaked(node, order)
            if node.op.name == "read_after":
                variable = node.inputs[0]
                done = [v for n, v in current.get(variable.attrs.get("handle"), []) if n in before[node]]
                stand_in[node.output] = done[-1] if done else stand_in[variable]
                continue
            found = passing(node, tuple(stand_in[t] for t in node.inputs), in_bodies)
            stand_in.update(zip(node.outputs, found, strict=True))
        results = [*(stand_in[t] for t in fetches), *(history[-1][1] for history in current.values())]
        results = with_effects(results, [stand_in[n.output] for n in order if n.op.effect and n.output in stand_in])
    outputs = tuple(results[: len(results) - len(current)])
    pairs = tuple(
        (handle.value, value)  # type: ignore[attr-defined]
        for handle, value in zip(current, results[len(outputs) :], strict=True)
    )
    program = Program((), outputs, pairs, name)
    return Program(inputs_of(program, [stand_in[t] for t in feeds], graph), outputs, pairs, name)


def with_effects(results: list[Tensor], effects: Sequence[Tensor]) -> list[Tensor]:
    """What a run computes, with the effects that nothing of it depends on: the first result waits for them."""
    computed = {t for node in toposort(results) for t in node.outputs}
    loose = [effect for effect in effects if effect not in computed]
    if not loose:
        return results
    return [after(*loose, results[0]), *results[1:]] if results else loose


def leaked(parameter: Node, order: Sequence[Node]) -> GraphError:
    """The error for a value of a body that is read outside of it."""
    reader = next((n for n in order if parameter.output in n.inputs), parameter)
    return GraphError(
        f"{reader.name} is part of the body of a loop: outside of it, it has no value",
        operands={"value": parameter.output, "read by": reader.output} if reader.types else {"value": parameter.output},
        rule="Return it from the body: scan stacks what a step returns, while_loop returns the last loop_vars.",
    )


def fed_placeholder(tensor: Tensor, graph: Graph) -> Tensor:
    """The placeholder that stands for a fed intermediate tensor."""
    attributes = bind_attributes(source.placeholder, {"dtype": tensor.dtype, "shape": tensor.shape})
    with derived_from(tensor.node):
        return graph.add(source.placeholder, (), attributes, (tensor.type,), (), tensor.name).output


def inputs_of(program: Program, feeds: Sequence[Tensor], graph: Graph | None) -> tuple[Tensor, ...]:
    """All placeholders and variables a program depends on: those it reads, and those whose shapes give it sizes."""
    found: dict[Tensor, None] = dict.fromkeys(feeds)
    for node in program.nodes:
        if node.op.access.name == "SOURCE" and node.op.name != "constant":
            found[node.output] = None
    dims = set(program_dims(program))
    for node in program.nodes:
        for constraint in node.constraints:
            dims |= dims_of(constraint.a) | dims_of(constraint.b)
        for _, value in node.attributes:
            dims |= attribute_dims(value)
    known = {d for t in found for size in t.shape for d in dims_of(size)}
    for dim in sorted(dims - known, key=lambda d: d.number):
        origin = graph.dim_origin(dim) if graph is not None else None
        if origin is not None:
            found[origin] = None
    return tuple(found)


def control_order(roots: Sequence[Node], fed: set[Tensor]) -> list[Node]:
    """All nodes a run needs, through operands and control dependencies, dependencies first; fed tensors are not entered."""

    def below(node: Node) -> list[Node]:
        if node.types and all(t in fed for t in node.outputs):
            return []
        return [*(t.node for t in node.inputs if t not in fed), *node.control]

    return dependencies_first(roots, below)


def earlier_updates(order: Sequence[Node], updates: Sequence[Node]) -> dict[Node, frozenset[Node]]:
    """For each node, the updates that run before it: those it depends on, and earlier updates of the same variables."""
    if not updates:
        return dict.fromkeys(order, frozenset())
    found: dict[Node, frozenset[Node]] = {}
    for node in order:
        below: frozenset[Node] = frozenset()
        for dependency in [*(t.node for t in node.inputs), *node.control]:
            if dependency in found:
                below |= found[dependency]
                if dependency.op.name in UPDATES:
                    below |= {dependency}
        if below:
            newest: dict[object, int] = {}
            for update in below:
                handle = update.attrs["handle"]
                newest[handle] = max(newest.get(handle, -1), update.number)
            below |= {u for u in updates if u.number <= newest.get(u.attrs["handle"], -1)}
        found[node] = below
    return found


def schedule(order: Sequence[Node], updates: Sequence[Node], before: Mapping[Node, frozenset[Node]]) -> list[Node]:
    """The nodes in an order in which updates of one variable come as they were built, and reads after what they wait for."""
    if not updates:
        return list(order)
    extra: dict[Node, list[Node]] = {n: list(before[n]) for n in order}
    previous: dict[object, Node] = {}
    for update in updates:
        handle = update.attrs["handle"]
        if handle in previous:
            extra[update].append(previous[handle])
        previous[handle] = update
    present = set(order)

    def below(node: Node) -> list[Node]:
        return [n for n in [*(t.node for t in node.inputs), *node.control, *extra[node]] if n in present]

    return dependencies_first(order, below)
