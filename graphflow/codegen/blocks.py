"""Register blocks: the innermost part of a matrix product, emitted with vector types.

`ROWS` x `WIDTH` results stay in registers while the depth runs, which neither a loop over scalars nor LLVM's vectoriser arrives
at. One step loads a row of B, WIDTH numbers, and one number of each row of A, and does ROWS * VECTORS fused multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from llvmlite import ir

from graphflow.codegen.objects import host_features
from graphflow.codegen.tracing import llvm_type

I64, I32, I8 = (ir.IntType(bits) for bits in (64, 32, 8))
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


Property = str | tuple[str, int]  # what is asked of a loop: `llvm.loop.unroll.disable`, or with a number


class LoopName(ir.MDValue):
    """Metadata of one loop: a node that names itself first, then what is asked of the loop."""

    def __init__(self, module: ir.Module, properties: Sequence[Property]) -> None:
        pairs = [(p, None) if isinstance(p, str) else p for p in properties]
        numbers = [[] if number is None else [ir.Constant(ir.IntType(32), number)] for _, number in pairs]
        values = [module.add_metadata([name, *number]) for (name, _), number in zip(pairs, numbers, strict=True)]
        super().__init__(module, values, name=str(len(module.metadata)))

    def descr(self, buf: list[str]) -> None:
        operands = ", ".join(v.get_reference() for v in (self, *self.operands))
        buf += (f"distinct !{{ {operands} }}", "\n")


class Block:
    """Emits one block into a function under construction. Addresses are int64 values, strides count elements."""

    def __init__(self, builder: ir.IRBuilder, dtype: np.dtype, rows: int) -> None:
        self.builder = builder
        self.shape = block_shape(dtype)
        self.rows = rows
        self.number = llvm_type(dtype)
        self.size = dtype.itemsize
        self.vector = ir.VectorType(self.number, self.shape.lanes)

    def place(self, base: ir.Value, index: ir.Value, lane: int = 0) -> ir.Value:
        """The pointer to element `index + lane` from the address `base` on."""
        pointer = self.builder.inttoptr(base, self.number.as_pointer())
        return self.builder.gep(self.builder.gep(pointer, [index]), [ir.Constant(I64, lane)])

    def load(self, base: ir.Value, index: ir.Value, vector: int) -> ir.Value:
        pointer = self.place(base, index, vector * self.shape.lanes)
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def store(self, value: ir.Value, base: ir.Value, index: ir.Value, vector: int) -> None:
        pointer = self.place(base, index, vector * self.shape.lanes)
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def prefetch(self, base: ir.Value, index: ir.Value) -> None:
        """Ask for the cache line at element `index`: rows of B far apart are no pattern that the processor finds by itself."""
        pointer = self.builder.bitcast(self.place(base, index), I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        module = self.builder.module
        function = module.globals.get("llvm.prefetch.p0") or ir.Function(module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [pointer, ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)])

    def splat(self, scalar: ir.Value) -> ir.Value:
        undefined = ir.Constant(self.vector, ir.Undefined)
        lane = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(
            lane, undefined, ir.Constant(ir.VectorType(I32, self.shape.lanes), [0] * self.shape.lanes)
        )

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fmuladd.v{self.shape.lanes}{'f32' if self.size == 4 else 'f64'}"
        function = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, c])

    def times(self, factor: int, stride: ir.Value) -> ir.Value:
        return self.builder.mul(stride, ir.Constant(I64, factor))

    def loop(self, count: ir.Value, values: list[ir.Value], body: object) -> list[ir.Value]:
        """`values` after `count` rounds of `body(round, values)`, in registers."""
        builder = self.builder
        before = builder.block
        head, inside, end = (builder.append_basic_block(n) for n in ("block_head", "block_step", "block_end"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(I64)
        k.add_incoming(ir.Constant(I64, 0), before)
        phis = []
        for value in values:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        builder.cbranch(builder.icmp_signed("<", k, count), inside, end)
        builder.position_at_end(inside)
        new = body(k, phis)  # type: ignore[operator]
        k.add_incoming(builder.add(k, ir.Constant(I64, 1)), builder.block)
        for phi, value in zip(phis, new, strict=True):
            phi.add_incoming(value, builder.block)
        back = builder.branch(head)
        # A step is long enough, and unrolled ones take long to compile.
        back.set_metadata("llvm.loop", LoopName(builder.module, ["llvm.loop.unroll.disable"]))
        builder.position_at_end(end)
        return phis

    def step(self, sums: Sequence[ir.Value], of_b: Sequence[ir.Value], of_a: Callable[[int], ir.Value]) -> list[ir.Value]:
        """The sums with one more term: the number of A at `of_a(row)` times a row of B."""
        new = []
        for r in range(self.rows):
            x = self.splat(self.builder.load(of_a(r)))
            new += [self.fma(x, b, sums[r * len(of_b) + v]) for v, b in enumerate(of_b)]
        return new

    def product(
        self, a: ir.Value, a_row: ir.Value, a_outer: ir.Value, a_inner: ir.Value, b: ir.Value, b_step: ir.Value,
        outer: ir.Value, inner: ir.Value, packed: ir.Value | None,
    ) -> list[ir.Value]:  # fmt: skip
        """Sums of A[r, o, i] B[o * inner + i, :], as vectors by row; the rows of B are copied to `packed` on the way."""
        builder, vectors = self.builder, self.shape.vectors
        zero = ir.Constant(self.vector, [0.0] * self.shape.lanes)

        def outer_step(o: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            start_a, start_b = builder.mul(o, a_outer), builder.mul(o, inner)

            def step(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
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
        self, sums: Sequence[ir.Value], alpha: ir.Value, beta: ir.Value, old: ir.Value, old_row: ir.Value,
        c: ir.Value, c_row: ir.Value,
    ) -> None:  # fmt: skip
        """C = beta * old + alpha * sums."""
        vectors = self.shape.vectors
        scale, keep = self.splat(alpha), self.splat(beta)
        for r in range(self.rows):
            for v in range(vectors):
                before = self.load(old, self.times(r, old_row), v)
                value = self.fma(keep, before, self.builder.fmul(scale, sums[r * vectors + v]))
                self.store(value, c, self.times(r, c_row), v)

    def merge(self, source: ir.Value, target: ir.Value, beta: ir.Value | None) -> None:
        """target = beta * target + source for one vector of numbers; without `beta`, target = source."""
        start = ir.Constant(I64, 0)
        new = self.load(source, start, 0)
        if beta is not None:
            new = self.fma(self.splat(beta), self.load(target, start, 0), new)
        self.store(new, target, start, 0)

    def transpose(self, source: ir.Value, source_row: ir.Value, target: ir.Value, target_row: ir.Value) -> None:
        """Copy lanes x lanes numbers, rows to columns: log2(lanes) rounds of exchanges between pairs of vectors."""
        lanes = self.shape.lanes
        rows = [self.load(source, self.times(r, source_row), 0) for r in range(lanes)]
        mask = ir.VectorType(I32, lanes)
        half = lanes // 2
        while half:
            low = [(k if not k & half else lanes + k - half) for k in range(lanes)]
            high = [(k + half if not k & half else lanes + k) for k in range(lanes)]
            for r in range(lanes):
                if not r & half:
                    a, b = rows[r], rows[r + half]
                    rows[r] = self.builder.shuffle_vector(a, b, ir.Constant(mask, low))
                    rows[r + half] = self.builder.shuffle_vector(a, b, ir.Constant(mask, high))
            half //= 2
        for r in range(lanes):
            self.store(rows[r], target, self.times(r, target_row), 0)
