"""The one rewrite driver: a program and rules in, the program that no rule applies to out.

Nodes are visited operands first, so a rule sees operands in their final form, and what a rule makes is visited in its turn.
One visit of every node is therefore enough to reach the form that no rule changes. The memo of nodes by op, operands and
attributes is common-subexpression elimination; it also finds rules that undo each other, because a node that comes up again
while its own replacement is being built can never come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.errors import RewriteLoopError
from graphflow.ir.graph import ScratchGraph, derived_from, scratch
from graphflow.ir.op import Access, Op
from graphflow.ir.program import Program, rebuild
from graphflow.ir.tensor import Attrs, Node, Tensor
from graphflow.ops import arithmetic, logic
from graphflow.ops.declare import REGISTRY

MAX_REWRITES = 100  # replacements of replacements of one node; the default of options.max_rewrites
LOOP_TAIL = 8  # rules named at most when a loop is found by its length only

# Ops of two operands whose order does not matter.
COMMUTATIVE = (
    arithmetic.add,
    arithmetic.multiply,
    arithmetic.maximum,
    arithmetic.minimum,
    logic.equal,
    logic.not_equal,
    logic.logical_and,
    logic.logical_or,
    logic.logical_xor,
    logic.bitwise_and,
    logic.bitwise_or,
    logic.bitwise_xor,
)
_COMMUTATIVE = frozenset(COMMUTATIVE)

Function = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True, eq=False)
class Rule:
    """A function `Tensor -> Tensor | None`; None means that the rule does not apply. Its docstring is its equation."""

    name: str
    equation: str
    function: Function
    roots: frozenset[Op | Access]  # what the root of its left side may be, an op or a class of ops; empty: anything

    def matches(self, op: Op) -> bool:
        """May `op` stand at the root of the left side?"""
        return not self.roots or op in self.roots or op.access in self.roots

    def __call__(self, tensor: Tensor) -> Tensor | None:
        return self.function(tensor)

    def __repr__(self) -> str:
        return f"<rule {self.name}: {self.equation}>"


class Fired(dict[Rule, int]):
    """How often each rule replaced a tensor; and, of the rules that the driver applied, what by what."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[Rule, Node, Tensor]] = []  # rule, the node as it was found, the tensor in its place

    def count(self, rule: Rule, node: Node, tensor: Tensor) -> None:
        self[rule] = self.get(rule, 0) + 1
        self.places.append((rule, node, tensor))


def rule(*roots: Op | Access) -> Callable[[Function], Rule]:
    """Decorator that makes a rule for tensors made by one of `roots`, ops or classes of ops; by any op where none is given.

    @rule(math.negative)
    def negative_of_negative(t):
        \"\"\"-(-x) -> x\"\"\"
    """

    def decorate(function: Function) -> Rule:
        equation = " ".join((function.__doc__ or "").split())
        assert equation, f"rule {function.__name__} needs its equation as docstring"
        return Rule(function.__name__, equation, function, frozenset(roots))

    return decorate


def rewrite(
    program: Program,
    rules: Iterable[Rule],
    *,
    limit: int = MAX_REWRITES,
    merge: bool = False,
    fired: Fired | None = None,
) -> Program:
    """The program after `rules`, applied wherever they apply; `program` itself where none does.

    `merge` makes equal nodes of the program one; nodes that rules make are always merged. `fired` receives the counts of the
    rules. RewriteLoopError when rules undo each other, or when one node is replaced more than `limit` times in a row.
    """
    results = program.results
    if not results:
        return program
    with scratch() as graph, derived_from(results[0].node):
        rewriter = _Rewriter(program, tuple(rules), graph, limit=limit, merge=merge, fired=Fired() if fired is None else fired)
        rewriter.settle_all(program.nodes)
        new = [rewriter.final(t) for t in results]
    changed = any(a is not b for a, b in zip(new, results, strict=True))
    return program.with_results(new) if changed else program


@dataclass(frozen=True, eq=False)
class _Replacement:
    """A node that a rule replaced, waiting for the final form of what the rule made."""

    visited: Node  # as it was found
    node: Node  # the same on its final operands
    outputs: tuple[Tensor, ...]  # what stands for its outputs
    applied: tuple[tuple[int, Rule], ...]  # to which output


class _Rewriter:
    """One run of the driver: `done` maps each node visited to the final tensors that stand for its outputs."""

    def __init__(
        self, program: Program, rules: tuple[Rule, ...], graph: ScratchGraph, *, limit: int, merge: bool, fired: Fired
    ) -> None:
        self.graph = graph
        self.limit = limit
        self.merge = merge
        self.fired = fired
        self.done: dict[Node, tuple[Tensor, ...]] = {t.node: t.node.outputs for t in program.inputs}
        self.memo: dict[tuple[Any, ...], Node] = {}
        self.waiting: list[_Replacement] = []
        self.rules_of = {op: tuple(rule for rule in rules if rule.matches(op)) for op in REGISTRY.values()}

    def final(self, tensor: Tensor) -> Tensor:
        return self.done[tensor.node][tensor.index]

    def settle_all(self, nodes: Sequence[Node]) -> None:
        """Find the final form of `nodes`, which stand in topological order."""
        for node in nodes:
            if node not in self.done:
                made = self.visit(node)
                if self.waiting:
                    self.settle([node, *made])

    def settle(self, stack: list[Node]) -> None:
        """Find the final form of all that rules make for the node at the bottom; a stack in place of recursion."""
        while stack:
            node = stack[-1]
            if node in self.done:
                stack.pop()
            elif self.waiting and self.waiting[-1].visited is node:
                self.finish(self.waiting.pop())
            else:
                open_operands = [t.node for t in node.inputs if t.node not in self.done]
                open_operands = open_operands[::-1] or self.visit(node)
                if self.waiting:
                    self.refuse_own_replacement(open_operands)
                stack.extend(open_operands)

    def visit(self, node: Node) -> list[Node]:
        """Give `node`, whose operands are final, its final form, or replace it: then the new nodes to settle first."""
        if node.op.access is Access.SOURCE and node.op.name != "constant":
            self.done[node] = node.outputs
            return []
        made = bool(self.waiting)  # only nodes that rules made are settled while a replacement waits
        new = self.on_final_operands(node, made)
        key = node_key(new)
        known = self.memo.get(key)
        if known is not None and (made or self.merge) and known.types == new.types:
            if known in self.done:
                self.done[node] = self.done[known]
                return []
            if known.inputs == new.inputs:  # not so for a + b, which a rule made from b + a
                raise self.loop(self.waiting[self.position(known) :])
        if known is None:
            self.memo[key] = new
        replacement = self.apply_rules(node, new)
        if replacement is None:
            self.done[node] = self.done[new] = new.outputs
            return []
        self.waiting.append(replacement)
        if len(self.waiting) > self.limit:
            raise self.loop(self.waiting[-LOOP_TAIL:])
        return [t.node for t in reversed(replacement.outputs) if t.node is not new and t.node not in self.done]

    def on_final_operands(self, node: Node, made: bool) -> Node:
        """`node` on its final operands; one that a rule made takes line, twin and, at the root, name from what it replaces."""
        inputs = tuple([self.done[t.node][t.index] for t in node.inputs])
        if not made:
            return node if inputs == node.inputs else rebuild(node, inputs)[0].node
        origin = self.waiting[-1]
        name = origin.node.name if node.outputs == origin.outputs else node.name
        return Node(
            node.op, inputs, node.attributes, node.types, name, origin.node.location, node.number, node.graph, (),
            node.constraints, origin.node.twin,
        )  # fmt: skip

    def apply_rules(self, visited: Node, node: Node) -> _Replacement | None:
        """What the first rule that applies makes of each output of `node`; None when no rule does."""
        outputs = list(node.outputs)
        applied = []
        for index, tensor in enumerate(node.outputs):
            for rule in self.rules_of[node.op]:
                replacement = rule.function(tensor)
                if replacement is None or replacement is tensor:
                    continue
                assert replacement.type == tensor.type, f"rule {rule.name}: {tensor!r} became {replacement!r}"
                applied.append((index, rule))
                outputs[index] = replacement
                break
        return _Replacement(visited, node, tuple(outputs), tuple(applied)) if applied else None

    def finish(self, replacement: _Replacement) -> None:
        """The final form of what the rule made is that of the node it replaced."""
        own = replacement.node
        final = tuple(t if t.node is own else self.final(t) for t in replacement.outputs)
        self.done[replacement.visited] = self.done[own] = final
        for index, rule in replacement.applied:
            self.fired.count(rule, replacement.visited, final[index])

    def refuse_own_replacement(self, nodes: list[Node]) -> None:
        """RewriteLoopError when a replacement is built from the very node that it replaces."""
        for k, replacement in enumerate(self.waiting):
            if replacement.node in nodes or replacement.visited in nodes:
                raise self.loop(self.waiting[k:])

    def position(self, node: Node) -> int:
        """Where the replacement of `node` stands among those that wait."""
        return next(k for k, replacement in enumerate(self.waiting) if replacement.node is node)

    def loop(self, replacements: Sequence[_Replacement]) -> RewriteLoopError:
        names = list(dict.fromkeys(rule.name for r in replacements for _, rule in r.applied))
        equations = {rule.name: rule.equation for r in replacements for _, rule in r.applied}
        first = replacements[0].node
        what = "rules undo each other" if len(names) > 1 else "a rule never comes to an end"
        return RewriteLoopError(
            f"rewrite {what}: {' and '.join(names)}",
            operands={"tensor": first.outputs[0]},
            rule="\n".join(f"{name}: {equations[name]}" for name in names),
        )


def node_key(node: Node) -> tuple[Any, ...]:
    """Equal for nodes that compute the same: op, operands (in a fixed order where it does not matter), attributes."""
    operands = [(t.node, t.index) for t in node.inputs]
    if len(operands) == 2 and node.op in _COMMUTATIVE and _order(operands[1]) < _order(operands[0]):
        operands.reverse()
    return node.op, tuple(operands), attributes_key(node.attributes) if node.attributes else ()


def _order(operand: tuple[Node, int]) -> tuple[int, int]:
    return operand[0].number, operand[1]


def attributes_key(attributes: Attrs) -> tuple[Any, ...]:
    """Attributes with their classes, as 1, 1.0 and True, or 0.0 and -0.0, compare equal and mean different things."""
    return tuple([(name, _exact(value)) for name, value in attributes])


def _exact(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_exact(v) for v in value])
    return type(value), repr(value) if isinstance(value, float | complex) else value
