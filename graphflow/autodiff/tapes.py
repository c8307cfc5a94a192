"""Tapes: what a loop reads of another one that it goes through backwards; and programs in which tapes have a bound.

Where the number of steps, of lanes or of bytes that a step keeps is known to a run alone, a gradient is built as if there were
room for everything. A program has its tapes; a run whose sizes make one of them too long is one of another program, in which
those loops are gone through in chunks (`autodiff.checkpoints`). It is compiled when the first such run comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from graphflow.autodiff.checkpoints import Chunk, Chunks, Steps, bytes_of, division, number
from graphflow.autodiff.control import product_of_rows
from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.program import Program, bodies_of, consumers, map_tensors, rebuild, with_bodies
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.array import zeros_like
from graphflow.ops.control import loop
from graphflow.ops.linalg import matmul_
from graphflow.ops.movement import reshape_, transpose_
from graphflow.types import AnySize, floordiv, size_max


class Demand(NamedTuple):
    """The bytes of a tape, and how many there may be."""

    bytes: AnySize
    budget: int


def demands(program: Program, lanes: AnySize = 1) -> list[Demand]:
    """What the tapes of a program, of so many lanes, take where only a run knows that."""
    found = []
    for tape in tapes_of(program).values():
        size = lanes * bytes_of(tape.rows)
        if not isinstance(size, int):
            found.append(Demand(size, tape.node.attrs["tape_bytes"]))
    for node in program.nodes:
        for body in bodies_of(node):
            found += demands(body, lanes * lanes_of(node))
    return found


@dataclass(frozen=True)
class Tape:
    """What a loop that goes through another one backwards reads of it, and what it makes for products of all its rows."""

    node: Node
    stacks: Sequence[Tensor]  # of the other loop, which nothing else reads
    products: Sequence[Product]

    @property
    def rows(self) -> list[Tensor]:
        """All stacks that take room."""
        return list(dict.fromkeys([*self.stacks, *(t for p in self.products for t in (p.a, p.b))]))


@dataclass(frozen=True)
class Product:
    """A product of the rows of two stacks, which sums over all steps (`control.product_of_rows`)."""

    result: Tensor
    a: Tensor
    b: Tensor
    transpose_a: bool
    transpose_b: bool

    def of(self, results: Sequence[Tensor]) -> Tensor:
        """The product of the rows of the loop's results, as they are for a part of its steps."""
        a, b = results[self.a.index], results[self.b.index]
        return product_of_rows(a, b, transpose_a=self.transpose_a, transpose_b=self.transpose_b)


def tapes_of(program: Program) -> dict[Node, Tape]:
    """The tapes of the loops of a program that have a budget."""
    loops = [node for node in program.nodes if node.op is loop and node.attrs["tape_bytes"] is not None]
    if not loops:
        return {}
    users, results = consumers(program), set(program.results)
    products: dict[Node, list[Product]] = {}
    for node in program.nodes:
        product = product_from(node, users, results)
        if product is not None:
            products.setdefault(product.a.node, []).append(product)
    found = {}
    for node in loops:
        own = [t for t in elements_of(node) if set(users[t]) == {node} and t not in results and is_forward_of(t.node, node)]
        if own:
            found[node] = Tape(node, own, products.get(node, ()))
    return found


def product_from(node: Node, users: Mapping[Tensor, Sequence[Node]], results: set[Tensor]) -> Product | None:
    """The product of the rows of two stacks of one loop, if the node is one and nothing else reads them."""
    if node.op is not matmul_ or not node.attrs["transpose_a"] or node.attrs["transpose_b"]:
        return None
    stacks = []
    for flat in node.inputs:
        read = [flat, flat.inputs[0]] if flat.op is reshape_ else [flat]
        if turned := read[-1].op is transpose_ and read[-1].node.attrs["perm"] == (0, 2, 1):
            read.append(read[-1].inputs[0])
        stack = read[-1]
        alone = all(len(set(users[t])) == 1 and t not in results for t in read)
        if not alone or stack.op is not loop or stack.rank != 3 or read[-2 if turned else -1].shape[2:] != flat.shape[1:]:
            return None
        stacks.append((stack, turned))
    (a, turned_a), (b, turned_b) = stacks
    return Product(node.output, a, b, not turned_a, turned_b) if a.node is b.node else None


def elements_of(node: Node) -> tuple[Tensor, ...]:
    """The stacks that a loop takes rows of."""
    first = int(node.attrs["counted"]) + node.attrs["carried"]
    return node.inputs[first : first + node.attrs["elements"]]


def is_forward_of(node: Node, other: Node) -> bool:
    """Does a loop go through the same rows as another one, in the other direction?"""
    if node.op is not loop or node.attrs["length"] is None:
        return False
    return node.attrs["length"] == other.attrs["length"] and node.attrs["reverse"] != other.attrs["reverse"]


def lanes_of(node: Node) -> AnySize:
    """How many steps of a loop may stand side by side; 1 for a branch."""
    alone = node.op is not loop or node.attrs["carried"] or node.attrs["condition"] is not None or node.attrs["counted"]
    return 1 if alone else node.attrs["length"]


# --- within a budget ----------------------------------------------------------------------------------------------------------


def bounded(program: Program, lanes: AnySize = 1) -> Program:
    """The program with tapes within their budgets, of whatever sizes."""
    inner = {n: with_bodies(n, lambda body, n=n: bounded(body, lanes * lanes_of(n))) for n in program.nodes if bodies_of(n)}  # type: ignore[misc]
    tapes = tapes_of(program)
    made: dict[Tensor, Tensor] = {}  # products

    def visit(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        if node.output in made:
            return [made[node.output]]
        tape = tapes.get(node)
        new = dict(zip(node.inputs, inputs, strict=True))
        if tape is None or not all(new[t].op is loop for t in tape.stacks) or len({new[t].node for t in tape.stacks}) > 1:
            return rebuild(inner.get(node, node), inputs)
        with derived_from(node):
            changed = rebuild(inner.get(node, node), inputs)[0].node
            results, sums = in_chunks(changed, [new[t] for t in tape.stacks], tape, floordiv(node.attrs["tape_bytes"], lanes))
        made.update(zip((p.result for p in tape.products), sums, strict=True))
        return results

    with scratch():
        return program.with_results(map_tensors(program.results, visit))


def in_chunks(node: Node, stacks: Sequence[Tensor], tape: Tape, room: AnySize) -> tuple[list[Tensor], list[Tensor]]:
    """(results of a loop that goes through the one that makes `stacks` in chunks, products of the rows of its results)."""
    forward, length = stacks[0].node, node.attrs["length"]
    body, carried = forward.attrs["body"], forward.attrs["carried"]
    steps, own = steps_of(forward), steps_of(node)
    outputs = (*body.outputs[:carried], *(body.outputs[t.index] for t in stacks))
    of_step = floordiv(bytes_of(tape.rows), length)
    size, checkpoints = division(size_max(1, room), bytes_of(steps.initial), of_step, length)
    chunks = Chunks(
        replace(steps, body=Program(body.inputs, outputs, (), body.name)),
        node.inputs[0] if node.attrs["counted"] else number(length), length, forward.attrs["reverse"], size, checkpoints,
    )  # fmt: skip
    place = {t: carried + k for k, t in enumerate(stacks)}

    def backwards(chunk: Chunk, state: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        count = len(own.initial)
        body, captured = own.from_any(own.body.outputs, chunks.row, chunks.number, True)
        sliced = iter(chunks.slices([t for t in own.stacks if t not in place], chunk.start))
        rows = [chunk.outs[place[t]] if t in place else next(sliced) for t in own.stacks]
        found = loop(
            chunk.operands[0], *state[:count], *rows, *captured, chunk.start, body=body, condition=None, carried=count,
            elements=len(rows), length=size, reverse=True, counted=True,
        )  # fmt: skip
        sums = [add(total, p.of(found)) for p, total in zip(tape.products, state[count:], strict=True)]
        return [*found[:count], *sums], found[count:-1]

    finals, made = chunks.reverse([*own.initial, *(zeros_like(p.result) for p in tape.products)], backwards)
    count = len(own.initial)
    return [*finals[:count], *made, chunks.number], finals[count:]


def steps_of(node: Node) -> Steps:
    """The steps of a loop."""
    attrs = node.attrs
    first = int(attrs["counted"])
    middle, last = first + attrs["carried"], first + attrs["carried"] + attrs["elements"]
    return Steps(attrs["body"], node.inputs[first:middle], node.inputs[middle:last], node.inputs[last:])
