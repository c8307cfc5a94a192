"""Loops and branches: equal loops become one, and what nobody needs of them is left out.

A loop whose values a gradient keeps is another node than the loop it is the gradient of: both have the same operands, and each
step computes the same values, of which one keeps more. They are merged before anything rewrites their bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.op import apply
from graphflow.ir.program import Program, rebuild, substituted, toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.control import branch, loop
from graphflow.ops.movement import broadcast_to_, iota
from graphflow.ops.source import constant, size_value
from graphflow.passes.rewrite import MAX_REWRITES, Fired, Rule

SUNK = (constant, size_value, iota)  # what a body computes itself rather than read it


def _rule(name: str, equation: str) -> Rule:
    return Rule(name, equation, lambda tensor: None, frozenset((loop, branch)))


MERGED = _rule("equal_loops", "two loops over the same operands with the same state -> one that returns the results of both")
UNUSED = _rule("unused_results", "a result, a carried value or an operand that nothing reads -> left out")
INVARIANT = _rule("invariant_state", "a carried value that no step changes -> a captured value")
INSIDE = _rule("constant_operand", "a captured constant -> a constant of the body")


def control_flow(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with equal loops merged, and without what is not needed of loops and branches."""
    if not any(node.op in (loop, branch) for node in program.nodes):
        return program
    counts = Fired() if fired is None else fired
    before = sum(counts.values())
    with scratch():
        results = _Simplifier(program, counts).results()
    return program.with_results(results) if sum(counts.values()) > before else program


def equal_loops(program: Program) -> dict[Node, list[Node]]:
    """For each loop, those over the same operands with the same carried values, itself included."""
    groups: dict[Any, list[Node]] = {}
    for node in program.nodes:
        if node.op is loop:
            body = node.attrs["body"]
            others = tuple(item for item in node.attributes if item[0] != "body")
            groups.setdefault((node.inputs, others, body.inputs, body.outputs[: node.attrs["carried"]]), []).append(node)
    return {node: group for group in groups.values() for node in group}


class _Simplifier:
    """One walk over a program."""

    def __init__(self, program: Program, fired: Fired) -> None:
        self.program = program
        self.fired = fired
        self.groups = equal_loops(program)
        self.used = {t for node in program.nodes for t in node.inputs} | set(program.results)
        self.mapped: dict[Tensor, Tensor] = {t: t for t in program.inputs}

    def count(self, rule: Rule, times: int = 1) -> None:
        if times:
            self.fired[rule] = self.fired.get(rule, 0) + times

    def results(self) -> list[Tensor]:
        for node in self.program.nodes:
            if all(t in self.mapped for t in node.outputs):
                continue
            new = tuple(self.mapped[t] for t in node.inputs)
            with derived_from(node):
                if node.op is loop:
                    self.loop(node, new)
                elif node.op is branch:
                    self.branch(node, new)
                else:
                    self.mapped.update(zip(node.outputs, rebuild(node, new), strict=True))
        return [self.mapped[t] for t in self.program.results]

    # --- loops -------------------------------------------------------------------------------------------------------------

    def loop(self, node: Node, inputs: tuple[Tensor, ...]) -> None:
        """Map the outputs of a loop, and of those equal to it, to those of a loop that has what is used of them."""
        nodes = self.groups[node]
        self.count(MERGED, len(nodes) - 1)
        attrs = node.attrs
        body, condition = attrs["body"], attrs["condition"]
        carried, elements, counted = attrs["carried"], attrs["elements"], int(attrs["counted"])
        places: dict[Tensor, list[Tensor]] = {}  # each stacked result of a step, with the outputs that are stacks of it
        for other in nodes:
            stacks = other.attrs["body"].outputs[carried:]
            for inner, outer in zip(stacks, other.outputs[carried:-1], strict=True):
                if outer in self.used:
                    places.setdefault(inner, []).append(outer)
                else:
                    self.count(UNUSED)
        state, rows = body.inputs[1 : 1 + carried], body.inputs[1 + carried : 1 + carried + elements]
        outer = body.inputs[1 + carried + elements :]
        initial = inputs[counted : counted + carried]
        stacks = inputs[counted + carried : counted + carried + elements]
        captured = inputs[counted + carried + elements :]
        fixed = {k for k in range(carried) if body.outputs[k] is state[k]}
        kept = self.kept_state(nodes, body, condition, carried, list(places)) - fixed
        self.count(INVARIANT, len(fixed))
        self.count(UNUSED, carried - len(kept) - len(fixed))
        for k in fixed:
            for other in nodes:
                self.mapped[other.outputs[k]] = initial[k]
        numbers = sorted(kept)
        outputs = [*(body.outputs[k] for k in numbers), *places]
        given = [*zip(outer, captured, strict=True), *((state[k], initial[k]) for k in sorted(fixed))]
        of_condition = {} if condition is None else condition_parameters(condition, body, carried, elements)
        wanted = inputs_below(outputs, condition, of_condition)
        rows_kept: list[tuple[Tensor, Tensor]] = []
        of_stack: dict[Tensor, Tensor] = {}
        inside: dict[Tensor, Tensor] = {}
        for row, stack in zip(rows, stacks, strict=True):
            if row in wanted and stack in of_stack:
                inside[row] = of_stack[stack]
            elif row in wanted:
                of_stack[stack] = row
                rows_kept.append((row, stack))
        others: dict[Tensor, Tensor] = {}  # parameters by what they stand for: one for each tensor
        names: list[tuple[Tensor, Tensor]] = []
        for parameter, tensor in given:
            if parameter not in wanted:
                self.count(UNUSED)
            elif sinkable(tensor):
                inside[parameter] = tensor
                self.count(INSIDE)
            elif tensor in others:
                inside[parameter] = others[tensor]
                self.count(UNUSED)
            else:
                others[tensor] = parameter
                names.append((parameter, tensor))
        self.count(UNUSED, len(rows) - len(rows_kept))
        head = (body.inputs[0], *(state[k] for k in numbers))
        parameters = (*head, *(row for row, _ in rows_kept), *(p for p, _ in names))
        new_body = Program(parameters, tuple(substituted(outputs, inside)), (), body.name)
        new_condition = None
        if condition is not None:
            swapped = {of_condition[p]: of_condition.get(t, t) for p, t in inside.items() if p in of_condition}
            own = (condition.inputs[0], *(of_condition[state[k]] for k in numbers), *(of_condition[p] for p, _ in names))
            new_condition = Program(own, tuple(substituted(condition.outputs, swapped)), (), condition.name)
        operands = (*inputs[:counted], *(initial[k] for k in numbers), *(s for _, s in rows_kept), *(t for _, t in names))
        attributes = {**attrs, "body": new_body, "condition": new_condition, "carried": len(numbers), "elements": len(rows_kept)}
        found = apply(loop, operands, tuple(sorted(attributes.items())), node.name) if len(outputs) or self.trips(nodes) else ()
        found = found if isinstance(found, tuple) else (found,)
        for other in nodes:
            for k, result in zip(numbers, found, strict=False):
                self.mapped[other.outputs[k]] = result
            if found:
                self.mapped[other.outputs[-1]] = found[-1]
            for output in other.outputs:
                self.mapped.setdefault(output, output)  # nobody reads it
        for inner, result in zip(places, found[len(numbers) :], strict=False):
            for output in places[inner]:
                self.mapped[output] = result

    def trips(self, nodes: Sequence[Node]) -> bool:
        return any(node.outputs[-1] in self.used for node in nodes)

    def kept_state(
        self, nodes: Sequence[Node], body: Program, condition: Program | None, carried: int, stacked: Sequence[Tensor]
    ) -> set[int]:
        """The carried values that a result which is used depends on."""
        state = {t: k for k, t in enumerate(body.inputs[1 : 1 + carried])}
        kept = {k for k in range(carried) if any(node.outputs[k] in self.used for node in nodes)}
        roots = list(stacked)
        if condition is not None:
            own = dict(zip(condition.inputs[1 : 1 + carried], state, strict=True))
            kept |= {state[own[t]] for t in inputs_of(condition.outputs) if t in own}
        while True:
            found = kept | {state[t] for t in inputs_of([*roots, *(body.outputs[k] for k in kept)]) if t in state}
            if found == kept:
                return kept
            kept = found

    # --- branches ----------------------------------------------------------------------------------------------------------

    def branch(self, node: Node, inputs: tuple[Tensor, ...]) -> None:
        """Map the outputs of a branch to those of one that has what is used of them; of one that is known, to its results."""
        programs: tuple[Program, ...] = node.attrs["branches"]
        if inputs[0].op is constant:
            number = int(inputs[0].numpy())
            chosen = programs[number if 0 <= number < len(programs) else -1]
            known = dict(zip(chosen.inputs, inputs[1:], strict=True))
            self.count(UNUSED)
            self.mapped.update(zip(node.outputs, substituted(chosen.outputs, known), strict=True))
            return
        used = [k for k, t in enumerate(node.outputs) if t in self.used]
        self.count(UNUSED, len(node.outputs) - len(used))
        wanted = [set(inputs_of([program.outputs[k] for k in used])) for program in programs]
        kept: list[int] = []
        first: dict[Tensor, int] = {}
        same: list[dict[Tensor, Tensor]] = [{} for _ in programs]
        for k, tensor in enumerate(inputs[1:]):
            if not any(program.inputs[k] in reads for program, reads in zip(programs, wanted, strict=True)):
                self.count(UNUSED)
            elif sinkable(tensor):
                self.count(INSIDE)
                for program, inside in zip(programs, same, strict=True):
                    inside[program.inputs[k]] = tensor
            elif tensor in first:
                self.count(UNUSED)
                for program, inside in zip(programs, same, strict=True):
                    inside[program.inputs[k]] = program.inputs[first[tensor]]
            else:
                first[tensor] = k
                kept.append(k)
        if len(used) == len(node.outputs) and len(kept) == len(inputs) - 1:
            self.mapped.update(zip(node.outputs, rebuild(node, inputs), strict=True))
            return
        new = tuple(
            Program(tuple(p.inputs[k] for k in kept), tuple(substituted([p.outputs[k] for k in used], inside)), (), p.name)
            for p, inside in zip(programs, same, strict=True)
        )
        found = apply(branch, (inputs[0], *(inputs[1 + k] for k in kept)), (("branches", new),), node.name)
        found = found if isinstance(found, tuple) else (found,)
        self.mapped.update({node.outputs[k]: result for k, result in zip(used, found, strict=True)})
        for output in node.outputs:
            self.mapped.setdefault(output, output)


def sinkable(tensor: Tensor) -> bool:
    """Is the tensor made of constants alone, and as cheap to make as to read?"""
    return tensor.op in SUNK or (tensor.op is broadcast_to_ and sinkable(tensor.inputs[0]))


def inputs_of(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The sources, constants excepted, that outputs depend on."""
    return [t for node in toposort(outputs) if not node.inputs for t in node.outputs if node.op is not constant]


def inputs_below(outputs: Sequence[Tensor], condition: Program | None, of_condition: dict[Tensor, Tensor]) -> set[Tensor]:
    """The inputs of the body that outputs of the body and of the condition depend on."""
    found = set(inputs_of(outputs))
    if condition is not None:
        read = set(inputs_of(condition.outputs))
        found |= {of_body for of_body, own in of_condition.items() if own in read}
    return found


def condition_parameters(condition: Program, body: Program, carried: int, elements: int) -> dict[Tensor, Tensor]:
    """The condition's parameter for each carried and captured parameter of the body."""
    of_body = (*body.inputs[1 : 1 + carried], *body.inputs[1 + carried + elements :])
    return dict(zip(of_body, condition.inputs[1:], strict=True))
