"""`jvp`: the derivative of tensors in a direction, as more graph, computed along with them: forward mode.

The tangent of an op's result is linear in the tangents of its operands, and its gradient rule is linear in the cotangent of the
result: one is the transpose of the other, which is the derivative of the rule by the cotangent. So ops need no second rule. A
loop carries the tangents beside the values, a branch returns them beside its results: nothing is kept of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

from graphflow.autodiff.backward import backward
from graphflow.autodiff.gradients import convert_weight, nodes_between, require_derivative, tensor_of, weights_of
from graphflow.autodiff.gradients import flatten as leaves_of
from graphflow.errors import GradientError
from graphflow.ir.graph import changed_state, derived_from, name_scope
from graphflow.ir.program import Program, rebuild, toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.array import zeros_like
from graphflow.ops.control import branch, loop, parameter_like
from graphflow.ops.logic import identity
from graphflow.ops.structure import pack

Tangents = dict[Tensor, Tensor]


def jvp(ys: Any, xs: Any, tangents: Any, name: str = "jvp") -> Any:
    """The derivatives of `ys` by `xs` in the direction `tangents`: for each y the sum of dy/dx times the tangent of x.

    `ys` and `xs` are tensors, variables, or nested lists and tuples of them; `tangents` has the structure of `xs`, the result
    that of `ys`. The derivative of a y that does not depend on any x is 0. Derivatives have derivatives:
    `gf.gradients(gf.jvp(y, x, v), x)` and `gf.jvp(gf.gradients(y, x), [x], [v])` are the product of the Hessian with v.
    """
    targets = [tensor_of(y) for y in leaves_of(ys)]
    sources = [tensor_of(x) for x in leaves_of(xs)]
    weights = weights_of(xs, tangents, "tangents", "xs", "jvp")
    with name_scope(name):
        directions: Tangents = {}
        for source, weight in zip(sources, weights, strict=True):
            if not source.dtype.is_differentiable:
                raise GradientError(
                    f"jvp: {source.name} is {source.dtype}",
                    operands={"x": source},
                    rule="Derivatives are by floats or complex numbers.",
                )
            if weight is not None:
                directions[source] = convert_weight(weight, source, "tangent", "x", "jvp")
        for target in targets:
            require_derivative(target, "jvp")
        _, found = forward(toposort(targets), {}, directions)
        return pack(ys, [found[t] if t in found else zeros_like(t) for t in targets])


def forward(nodes: Iterable[Node], values: Mapping[Tensor, Tensor], tangents: Tangents) -> tuple[Tangents, Tangents]:
    """(values, tangents) of the results of `nodes`, operands first, given those of some tensors.

    A tensor that is not among the values has itself as its value, one that is not among the tangents the tangent 0. Loops and
    branches that compute tangents compute the values too: what follows takes them from there.
    """
    known, flowing = dict(values), dict(tangents)
    for node in nodes:
        inputs = tuple(known.get(t, t) for t in node.inputs)
        directions = [flowing.get(t) if t.dtype.is_differentiable else None for t in node.inputs]
        with derived_from(node, gradient=True):
            if not node.op.differentiable or all(t is None for t in directions):
                found: Sequence[Tensor] = rebuild(node, inputs)
                moved: Sequence[Tensor | None] = [None] * len(found)
            elif node.op is loop:
                found, moved = along_loop(inputs, directions, **node.attrs)
            elif node.op is branch:
                found, moved = along_branch(inputs, directions, **node.attrs)
            else:
                found = rebuild(node, inputs)
                moved = transposed(found[0].node, directions)
        for old, new, tangent in zip(node.outputs, found, moved, strict=True):
            if new is not old:
                known[old] = new
            if tangent is not None:
                flowing[old] = add(flowing[old], tangent) if old in flowing else tangent
    return known, flowing


Between = Callable[[Sequence[Tensor], Sequence[Tensor]], list[Node]]


def transposed(
    node: Node,
    directions: Sequence[Tensor | None],
    following: Callable[[Sequence[Tensor]], AbstractContextManager[Between]] = lambda given: nullcontext(nodes_between),
) -> list[Tensor | None]:
    """The tangents of a node's results: the derivative of its gradient rule by the cotangents of its results.

    `following(cotangents)` is a context in which the rule is applied; it gives the function that finds the nodes between.
    """
    sources = list(dict.fromkeys(t for t, d in zip(node.inputs, directions, strict=True) if d is not None))
    of_source = {t: d for t, d in zip(node.inputs, directions, strict=True) if d is not None}
    with changed_state(eager=False) if isinstance(node, Node) else nullcontext():
        seeds = {t: identity(zeros_like(t)) for t in node.outputs if t.dtype.is_differentiable}
    with following(list(seeds.values())) as between:
        pulled = backward([node], seeds, sources)
    reached: Tangents = {}  # two operands may have one cotangent
    for source, cotangent in zip(sources, pulled, strict=True):
        if cotangent is not None:
            weight = of_source[source]
            reached[cotangent] = add(reached[cotangent], weight) if cotangent in reached else weight
    given = list(seeds.values())
    totals = backward(between(given, list(reached)), reached, given) if reached else [None] * len(given)
    found = dict(zip(seeds, totals, strict=True))
    return [found.get(t) for t in node.outputs]


# --- loops and branches -----------------------------------------------------------------------------------------------------


def along_loop(
    inputs: Sequence[Tensor], directions: Sequence[Tensor | None], *, body: Program, condition: Program | None, carried: int,
    elements: int, length: Any, reverse: bool, counted: bool, tape_bytes: int | None,
) -> tuple[list[Tensor], list[Tensor | None]]:  # fmt: skip
    """(values, tangents) of the results of a loop that carries the tangents of its carried values."""
    first = int(counted)
    ends = (first, first + carried, first + carried + elements, len(inputs))
    initial, stacks, captured = (list(inputs[a:b]) for a, b in pairwise(ends))
    of_initial, of_stacks, of_captured = (list(directions[a:b]) for a, b in pairwise(ends))
    index, parameters = body.inputs[0], body.inputs[1:]
    state, rows, outer = parameters[:carried], parameters[carried : carried + elements], parameters[carried + elements :]
    t_rows = {t: parameter_like(t, name="t_row") for t, d in zip(rows, of_stacks, strict=True) if d is not None}
    t_outer = {t: parameter_like(t, name="tangent") for t, d in zip(outer, of_captured, strict=True) if d is not None}
    active = {k for k, d in enumerate(of_initial) if d is not None}
    while True:  # until no other carried value gets a tangent
        t_state = {state[k]: parameter_like(state[k], name="t_state") for k in sorted(active)}
        known, flowing = forward(body.nodes, {}, {**t_state, **t_rows, **t_outer})
        reached = active | {k for k, t in enumerate(body.outputs[:carried]) if t in flowing}
        if reached == active:
            break
        active = reached
    numbers = sorted(active)
    moved = [k for k, t in enumerate(body.outputs) if k >= carried and t in flowing]
    results = [known.get(t, t) for t in body.outputs]
    of_results = [flowing[t] if (t := body.outputs[k]) in flowing else zeros_like(t) for k in numbers]
    with_tangents = Program(
        (index, *state, *t_state.values(), *rows, *t_rows.values(), *outer, *t_outer.values()),
        (*results[:carried], *of_results, *results[carried:], *(flowing[body.outputs[k]] for k in moved)),
        (), body.name,
    )  # fmt: skip
    if condition is not None:
        own = condition.inputs
        unread = [[parameter_like(t) for t in group] for group in (t_state, t_outer)]
        condition = Program(
            (*own[: 1 + carried], *unread[0], *own[1 + carried :], *unread[1]), condition.outputs, (), condition.name
        )
    starts = [zeros_like(state[k]) if (d := of_initial[k]) is None else d for k in numbers]
    found = loop(
        *inputs[:first], *initial, *starts, *stacks, *(d for d in of_stacks if d is not None), *captured,
        *(d for d in of_captured if d is not None), body=with_tangents, condition=condition, carried=carried + len(numbers),
        elements=elements + len(t_rows), length=length, reverse=reverse, counted=counted, tape_bytes=tape_bytes,
    )  # fmt: skip
    count = len(body.outputs)
    stacked = carried + len(numbers)
    values = [*found[:carried], *found[stacked : stacked + count - carried], found[-1]]
    tangents: list[Tensor | None] = [None] * (count + 1)
    for k, t in zip((*numbers, *moved), (*found[carried:stacked], *found[stacked + count - carried : -1]), strict=True):
        tangents[k] = t
    return values, tangents


def along_branch(
    inputs: Sequence[Tensor], directions: Sequence[Tensor | None], *, branches: Sequence[Program]
) -> tuple[list[Tensor], list[Tensor | None]]:
    """(values, tangents) of the results of a branch that returns the tangents beside its results."""
    given = [k for k, d in enumerate(directions[1:]) if d is not None]
    computed: list[tuple[Program, list[Tensor], Tangents, Callable[[Tensor], Tensor]]] = []
    for body in branches:
        parameters = {body.inputs[k]: parameter_like(body.inputs[k], name="tangent") for k in given}
        known, flowing = forward(body.nodes, {}, parameters)
        computed.append((body, list(parameters.values()), flowing, lambda t, known=known: known.get(t, t)))  # type: ignore[misc]
    count = len(branches[0].outputs)
    moved = [k for k in range(count) if any(body.outputs[k] in flowing for body, _, flowing, _ in computed)]
    programs = []
    for body, parameters_, flowing, value in computed:
        tangents = [flowing[t] if (t := body.outputs[k]) in flowing else zeros_like(t) for k in moved]
        programs.append(Program((*body.inputs, *parameters_), (*map(value, body.outputs), *tangents), (), body.name))
    found = branch(*inputs, *(directions[1 + k] for k in given), branches=tuple(programs))
    found = found if isinstance(found, tuple) else (found,)
    of_result = dict(zip(moved, found[count:], strict=True))
    return list(found[:count]), [of_result.get(k) for k in range(count)]
