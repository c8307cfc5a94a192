"""Register blocks: the innermost part of a matrix product, emitted with vector types.

`ROWS` x `WIDTH` results stay in registers while the depth runs, which neither a loop over scalars nor LLVM's vectoriser arrives
at. One step loads a row of B, WIDTH numbers, and one number of each row of A, and does ROWS * VECTORS fused multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from graphflow.codegen.assembly import I32, I64, POINTER, VOID, Builder, Value, constant, constants, suffix, vector
from graphflow.codegen.objects import host_features
from graphflow.codegen.tracing import llvm_type

AHEAD = 12  # rows of B that are asked for in advance while it is copied


@dataclass(frozen=True)
class Shape:
    """A block of `rows` x (`vectors` * `lanes`) results."""

    rows: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        return self.vectors * self.lanes


@cache
def block_shape(dtype: np.dtype) -> Shape:
    """The largest block of a dtype whose results, a row of B and a number of A fit the vector registers of this machine."""
    features = set(host_features().split(","))
    if "+avx512f" in features:
        rows, bits = 12, 512
    elif "+avx" in features:
        rows, bits = 6, 256
    elif "+neon" in features:
        rows, bits = 12, 128
    else:
        rows, bits = 6, 128
    return Shape(rows, 2, bits // (8 * dtype.itemsize))


class Block:
    """Emits one block into a function under construction. Addresses are int64 values, strides count elements."""

    def __init__(self, builder: Builder, dtype: np.dtype, rows: int) -> None:
        self.builder = builder
        self.shape = block_shape(dtype)
        self.rows = rows
        self.number = llvm_type(dtype)
        self.size = dtype.itemsize
        self.vector = vector(self.number, self.shape.lanes)

    def place(self, base: Value, index: Value, lane: int = 0) -> Value:
        """The pointer to element `index + lane` from the address `base` on."""
        pointer = self.builder.cast("inttoptr", base, POINTER)
        pointer = self.builder.place(self.number, pointer, index)
        return self.builder.place(self.number, pointer, constant(I64, lane)) if lane else pointer

    def load(self, base: Value, index: Value, vector: int) -> Value:
        return self.builder.load(self.vector, self.place(base, index, vector * self.shape.lanes), self.size)

    def store(self, value: Value, base: Value, index: Value, vector: int) -> None:
        self.builder.store(value, self.place(base, index, vector * self.shape.lanes), self.size)

    def prefetch(self, base: Value, index: Value) -> None:
        """Ask for the cache line at element `index`: rows of B far apart are no pattern that the processor finds by itself."""
        how = [constant(I32, number) for number in (0, 3, 1)]  # to read, to keep, data
        self.builder.intrinsic("llvm.prefetch.p0", VOID, [self.place(base, index), *how])

    def splat(self, scalar: Value) -> Value:
        return self.builder.splat(scalar, self.shape.lanes)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self.builder.intrinsic(f"llvm.fmuladd.{suffix(self.vector)}", self.vector, [a, b, c])

    def times(self, factor: int, stride: Value) -> Value:
        return self.builder.mul(stride, constant(I64, factor))

    def loop(self, count: Value, values: list[Value], body: object) -> list[Value]:
        """`values` after `count` rounds of `body(round, values)`, in registers."""
        builder = self.builder
        before = builder.block
        head, inside, end = (builder.append_basic_block(n) for n in ("block_head", "block_step", "block_end"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(I64)
        k.add_incoming(constant(I64, 0), before)
        phis = []
        for value in values:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        builder.cbranch(builder.compare("icmp slt", k, count), inside, end)
        builder.position_at_end(inside)
        new = body(k, phis)  # type: ignore[operator]
        k.add_incoming(builder.add(k, constant(I64, 1)), builder.block)
        for phi, value in zip(phis, new, strict=True):
            phi.add_incoming(value, builder.block)
        # A step is long enough, and unrolled ones take long to compile.
        builder.branch(head, builder.module.loop(["llvm.loop.unroll.disable"]))
        builder.position_at_end(end)
        return list[Value](phis)

    def step(self, sums: Sequence[Value], of_b: Sequence[Value], of_a: Callable[[int], Value]) -> list[Value]:
        """The sums with one more term: the number of A at `of_a(row)` times a row of B."""
        new = []
        for r in range(self.rows):
            x = self.splat(self.builder.load(self.number, of_a(r)))
            new += [self.fma(x, b, sums[r * len(of_b) + v]) for v, b in enumerate(of_b)]
        return new

    def product(
        self, a: Value, a_row: Value, a_outer: Value, a_inner: Value, b: Value, b_step: Value,
        outer: Value, inner: Value, packed: Value | None,
    ) -> list[Value]:  # fmt: skip
        """Sums of A[r, o, i] B[o * inner + i, :], as vectors by row; the rows of B are copied to `packed` on the way."""
        builder, vectors = self.builder, self.shape.vectors
        zero = constants(self.number, [0.0] * self.shape.lanes)

        def outer_step(o: Value, sums: Sequence[Value]) -> list[Value]:
            start_a, start_b = builder.mul(o, a_outer), builder.mul(o, inner)

            def step(k: Value, sums: Sequence[Value]) -> list[Value]:
                row = builder.add(start_b, k)
                at = builder.mul(row, b_step)
                of_b = [self.load(b, at, v) for v in range(vectors)]
                if packed is not None:
                    self.prefetch(b, builder.add(at, self.times(AHEAD, b_step)))
                    there = self.times(self.shape.width, row)
                    for v in range(vectors):
                        self.store(of_b[v], packed, there, v)
                column = builder.add(start_a, builder.mul(k, a_inner))
                return self.step(sums, of_b, lambda r: self.place(a, builder.add(self.times(r, a_row), column)))

            return self.loop(inner, list(sums), step)

        return self.loop(outer, [zero] * (self.rows * vectors), outer_step)

    def write(
        self, sums: Sequence[Value], alpha: Value, beta: Value, old: Value, old_row: Value,
        c: Value, c_row: Value,
    ) -> None:  # fmt: skip
        """C = beta * old + alpha * sums."""
        vectors = self.shape.vectors
        scale, keep = self.splat(alpha), self.splat(beta)
        for r in range(self.rows):
            for v in range(vectors):
                before = self.load(old, self.times(r, old_row), v)
                value = self.fma(keep, before, self.builder.binary("fmul", scale, sums[r * vectors + v]))
                self.store(value, c, self.times(r, c_row), v)

    def merge(self, source: Value, target: Value, beta: Value | None) -> None:
        """target = beta * target + source for one vector of numbers; without `beta`, target = source."""
        start = constant(I64, 0)
        new = self.load(source, start, 0)
        if beta is not None:
            new = self.fma(self.splat(beta), self.load(target, start, 0), new)
        self.store(new, target, start, 0)

    def transpose(self, source: Value, source_row: Value, target: Value, target_row: Value) -> None:
        """Copy lanes x lanes numbers, rows to columns: log2(lanes) rounds of exchanges between pairs of vectors."""
        lanes = self.shape.lanes
        rows = [self.load(source, self.times(r, source_row), 0) for r in range(lanes)]
        half = lanes // 2
        while half:
            low = [(k if not k & half else lanes + k - half) for k in range(lanes)]
            high = [(k + half if not k & half else lanes + k) for k in range(lanes)]
            for r in range(lanes):
                if not r & half:
                    a, b = rows[r], rows[r + half]
                    rows[r] = self.builder.shuffle(a, b, low)
                    rows[r + half] = self.builder.shuffle(a, b, high)
            half //= 2
        for r in range(lanes):
            self.store(rows[r], target, self.times(r, target_row), 0)
