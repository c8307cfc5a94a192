"""Hoisting: what each step of a loop would do alone is done before or behind the loop, for all steps at once.

What depends on captured values alone is computed once. Products of rows with a captured matrix are one large product of all
rows before the loop; products that only become rows of a result are one behind it. A captured matrix that is read transposed is
transposed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphflow.autodiff.control import large
from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.op import Access, apply
from graphflow.ir.program import Program, map_tensors, rebuild, substituted
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.control import loop, parameter_like
from graphflow.ops.linalg import matmul_
from graphflow.ops.movement import reshape, reshape_, transpose
from graphflow.passes.control_flow import sinkable
from graphflow.passes.rewrite import MAX_REWRITES, Fired, Rule


def _rule(name: str, equation: str) -> Rule:
    return Rule(name, equation, lambda tensor: None, frozenset((loop,)))


CAPTURED = _rule("captured_alone", "f(w) in each step, of a captured w -> f(w) before the loop")
TRANSPOSED = _rule("transposed_once", "x w^T in each step, of a captured w -> x v, where v = w^T before the loop")
BEFORE = _rule("products_before", "x_t w in each step, of a row x_t and a captured w -> a row of x w")
BEHIND = _rule("products_behind", "the stack of y_t w, of a captured w -> (the stack of y_t) w")
ROWS = _rule("stack_of_rows", "the stack of the rows x_t of x -> x")


def hoisting(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with work moved out of its loops."""
    if not any(node.op is loop for node in program.nodes):
        return program
    counts = Fired() if fired is None else fired
    before = sum(counts.values())

    def visit(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        if node.op is not loop:
            return rebuild(node, inputs)
        with derived_from(node):
            return _Loop(node, inputs, counts).outputs()

    with scratch():
        results = map_tensors(program.results, visit)
    return program.with_results(results) if sum(counts.values()) > before else program


@dataclass
class _Loop:
    """A loop from which work is moved."""

    node: Node
    operands: tuple[Tensor, ...]
    fired: Fired
    moved: dict[Tensor, Tensor] = field(default_factory=dict)  # tensors of the body by the parameters in their places
    captured: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # new parameters with their values
    rows: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    finish: dict[int, Callable[[Tensor], Tensor]] = field(default_factory=dict)  # what is made of a stacked result
    given: dict[int, Tensor] = field(default_factory=dict)  # stacked results that are known

    def count(self, rule: Rule) -> None:
        self.fired[rule] = self.fired.get(rule, 0) + 1

    def outputs(self) -> Sequence[Tensor]:
        """The results of the loop without the work that is moved."""
        attrs = self.node.attrs
        body: Program = attrs["body"]
        carried, elements, counted = attrs["carried"], attrs["elements"], int(attrs["counted"])
        first = 1 + carried
        parameters = body.inputs[first:]
        self.outer = dict(zip(parameters[elements:], self.operands[counted + carried + elements :], strict=True))
        self.stacks = dict(
            zip(parameters[:elements], self.operands[counted + carried : counted + carried + elements], strict=True)
        )
        self.length = attrs["length"]
        self.hoist_captured(body)
        if attrs["condition"] is None and not counted:
            self.hoist_products(body)
            results = self.sink_products(body, carried)
        else:
            results = list(body.outputs)
        self.transpose_once(body)
        if not (self.moved or self.finish or self.given):
            return rebuild(self.node, self.operands)
        results = substituted(results, self.moved)
        inputs = (
            *body.inputs[: first + elements], *(p for p, _ in self.rows), *parameters[elements:], *(p for p, _ in self.captured)
        )  # fmt: skip
        split = counted + carried + elements
        operands = (
            *self.operands[:split], *(t for _, t in self.rows), *self.operands[split:], *(t for _, t in self.captured)
        )  # fmt: skip
        condition: Program | None = attrs["condition"]
        if condition is not None and self.captured:
            extra = tuple(parameter_like(p) for p, _ in self.captured)
            condition = Program((*condition.inputs, *extra), condition.outputs, (), condition.name)
        changed = {
            **attrs,
            "body": Program(inputs, tuple(results), (), body.name),
            "condition": condition,
            "elements": elements + len(self.rows),
        }
        found = apply(loop, operands, tuple(sorted(changed.items())), self.node.name)
        found = found if isinstance(found, tuple) else (found,)
        made = [self.finish[k](t) if k in self.finish else self.given.get(k, t) for k, t in enumerate(found)]
        return made

    def capture(self, inner: Tensor, value: Tensor) -> None:
        parameter = parameter_like(inner)
        self.moved[inner] = parameter
        self.captured.append((parameter, value))

    # --- before the loop ---------------------------------------------------------------------------------------------------

    def hoist_captured(self, body: Program) -> None:
        """Compute before the loop what depends on captured values alone, unless that is only a matter of indices."""
        fixed: dict[Tensor, bool] = {t: True for t in self.outer}  # by whether it depends on a captured value
        for node in body.nodes:
            if node.op.fails or node.op.effect or node.op.access is Access.CONTROL:
                continue  # there may be no step, and then no failure and no effect
            if node.inputs and all(t in fixed or sinkable(t) or t.op.name == "constant" for t in node.inputs):
                if any(fixed.get(t) for t in node.inputs):
                    fixed.update(dict.fromkeys(node.outputs, True))
        outer = [t for node in body.nodes for t in node.inputs if any(o not in fixed for o in node.outputs)]
        for tensor in dict.fromkeys([*outer, *body.outputs]):
            base = tensor
            while base.op.access is Access.MOVEMENT and base.inputs and base in fixed:
                base = base.inputs[0]
            if base in fixed and base.node.inputs and base not in self.moved:
                self.capture(base, self.value_before(base))
                self.count(CAPTURED)

    def value_before(self, tensor: Tensor) -> Tensor:
        """A tensor of the body that depends on captured values alone, outside of the loop."""
        return substituted([tensor], self.outer)[0]

    def fixed_matrix(self, tensor: Tensor) -> Tensor | None:
        """The value outside of the loop of a captured matrix that is not small."""
        if tensor.op.name == "constant":
            return tensor if tensor.rank == 2 and large(tensor) else None
        return self.outer[tensor] if tensor in self.outer and tensor.rank == 2 and large(tensor) else None

    def hoist_products(self, body: Program) -> None:
        for node in body.nodes:
            if node.op is not matmul_ or node.output in self.moved or node.attrs["transpose_a"] or node.type.rank != 2:
                continue
            x, w = node.inputs
            matrix, stack = self.fixed_matrix(w), self.stacks.get(base_of(x))
            if matrix is None or stack is None:
                continue
            product = product_of_rows(stack, x, matrix, node)
            parameter = parameter_like(node.output)
            self.moved[node.output] = parameter
            self.rows.append((parameter, product))
            self.count(BEFORE)

    def transpose_once(self, body: Program) -> None:
        turned: dict[Tensor, Tensor] = {}
        for node in body.nodes:
            if node.op is not matmul_ or not node.attrs["transpose_b"] or node.output in self.moved or node.type.rank != 2:
                continue
            x, w = node.inputs
            if w in self.outer and large(w) and w.rank == 2:
                if w not in turned:
                    turned[w] = parameter_like(w, (w.shape[1], w.shape[0]))
                    self.captured.append((turned[w], transpose(self.outer[w], (1, 0))))
                straight = matmul_(x, turned[w], transpose_a=node.attrs["transpose_a"], transpose_b=False)
                self.moved[node.output] = straight
                self.count(TRANSPOSED)

    # --- behind the loop ---------------------------------------------------------------------------------------------------

    def sink_products(self, body: Program, carried: int) -> list[Tensor]:
        """The results of a step, with those that are products replaced by what is multiplied behind the loop."""
        results = list(body.outputs)
        uses: dict[Tensor, int] = {}
        for tensor in [*(t for node in body.nodes for t in node.inputs), *body.outputs]:
            uses[tensor] = uses.get(tensor, 0) + 1
        for k in range(carried, len(results)):
            result = results[k]
            if result in self.stacks:
                self.given[k] = self.stacks[result]
                self.count(ROWS)
                continue
            product = base_of(result, uses)
            node = product.node
            if node.op is not matmul_ or product in self.moved or node.attrs["transpose_a"] or node.type.rank != 2:
                continue
            y, w = node.inputs
            matrix = self.fixed_matrix(w)
            if matrix is None or uses[product] > 1:
                continue
            results[k] = y
            self.finish[k] = finisher(node, matrix, result)
            self.count(BEHIND)
        return results


def base_of(tensor: Tensor, uses: Mapping[Tensor, int] | None = None) -> Tensor:
    """What a tensor is a reshape of; as far as nothing else reads it, if `uses` says how often each is read."""
    while tensor.op is reshape_ and (uses is None or uses.get(tensor, 0) <= 1):
        tensor = tensor.inputs[0]
    return tensor


def product_of_rows(stack: Tensor, x: Tensor, matrix: Tensor, node: Node) -> Tensor:
    """The stack of the products of all rows, which are matrices of the shape of `x`, with a matrix."""
    flat = reshape(stack, (stack.shape[0] * x.shape[0], x.shape[1]))
    product = matmul_(flat, matrix, transpose_a=False, transpose_b=node.attrs["transpose_b"])
    return reshape(product, (stack.shape[0], *node.type.shape))


def finisher(node: Node, matrix: Tensor, result: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that makes the stack of a result of the stack of the left factor."""

    def finish(stack: Tensor) -> Tensor:
        product = product_of_rows(stack, node.inputs[0], matrix, node)
        return reshape(product, (stack.shape[0], *result.shape))

    return finish
