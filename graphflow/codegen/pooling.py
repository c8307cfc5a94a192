"""Kernels of pooling. The channels are the innermost loop of everything, so that it vectorises.

A window that lies inside the operand is written out, tap by tap, in registers; one that reaches over an end, or that is large,
goes through loops over its taps. A unit of parallel work is a line of windows; in gradients, where windows may overlap, an image.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from graphflow.codegen import scalar
from graphflow.codegen.emit import Source
from graphflow.codegen.windows import WindowCode
from graphflow.ir.scalar import Axis
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel
from graphflow.types import AnySize, DType, contiguous_strides, product

WRITTEN_OUT = 16  # taps: a larger window goes through loops
CHANNELS = 64  # whose maxima and places are kept at a time where a window goes through loops


@dataclass(frozen=True)
class Pool:
    """What an op does with a window of the operand `x`."""

    maximum: bool  # does it look for the first maximum, or take all taps?
    gathers: bool  # does it write one number for each window, or one for each tap?
    other: bool = False  # is there a second operand: what is gathered, or scattered

    @property
    def selects(self) -> bool:
        """Does the place of the maximum matter?"""
        return self.maximum and self.other


POOLS = {
    "max_pool": Pool(maximum=True, gathers=True),
    "max_pool_select": Pool(maximum=True, gathers=True, other=True),
    "max_pool_gradient": Pool(maximum=True, gathers=False, other=True),
    "sum_pool": Pool(maximum=False, gathers=True),
    "sum_pool_gradient": Pool(maximum=False, gathers=False),
}


def emit_pool(kernel: Kernel, root: Node) -> Source:
    """The source of any of the five."""
    return _PoolCode(kernel, root).source()


class _PoolCode:
    """The text of one kernel."""

    def __init__(self, kernel: Kernel, root: Node) -> None:
        self.kernel, self.pool = kernel, POOLS[root.op.name]
        large = root.type.shape if not self.pool.gathers else root.inputs[0].shape
        small = root.type.shape if self.pool.gathers else root.inputs[-1].shape
        self.code = WindowCode(kernel, root.attrs["window"], large, small, root.attrs)
        self.large, self.small = large, small
        self.dtype: DType = root.type.dtype
        self.channels = self.code.dim(large[-1])
        names = [self.code.emitter.params[id(b)] for b in kernel.operands]
        self.out = names[-1]
        self.x = names[0]
        self.other = names[1] if self.pool.other else names[0]
        self.suffix = scalar.SUFFIX[self.dtype.name]
        self.zero = scalar.literal(0.0, self.dtype)
        spatial = range(self.code.spatial)
        known = all(isinstance(k, int) for k in self.code.window)
        self.small_window = known and product(self.code.window) <= WRITTEN_OUT  # type: ignore[operator]
        self.inside = all(self.code.always_inside(axis) for axis in spatial)
        self.alone = self.tiles(spatial)
        # Are all results final when they are written? Then what follows is computed on the spot.
        self.final = self.small_window and self.inside and (self.pool.gathers or self.alone)
        self.raw_is_read = root.output in kernel.group.outputs

    def source(self) -> Source:
        code, axes = self.code, self.kernel.rows
        shared = self.units()
        with code.block("for unit in range(begin, end):"):
            code.emitter.unravel("unit", shared)
            image, *positions = [code.emitter.axis_text[id(a)] for a in shared]
            for k, text in enumerate(positions):
                code.line(f"o_{k} = {text}")
            if not self.pool.gathers and not self.alone:
                self.clear(image, bool(positions))
            inner = range(len(positions), code.spatial)
            with code.blocks([f"for o_{k} in range({code.dim(self.small[1 + k])}):" for k in inner]):
                self.window(image)
            if self.final or not code.followers:
                pass
            elif self.pool.gathers:
                self.follow(axes[len(shared) :])
            elif positions:
                stride = code.strides[0]
                with code.emitter.loop(f"for i1 in range(o_0 * {stride}, o_0 * {stride} + {stride}):", [axes[1]], ["i1"]):
                    self.follow(axes[2:])
            else:
                self.follow(axes[1:])
        extent = product([a.extent for a in shared])
        return Source(code.emitter.text(), tuple(code.emitter.dims), extent, self.kernel)

    def units(self) -> list[Axis]:
        """The axes that count units: lines of the result; of a gradient the lines of windows, or images where windows overlap."""
        axes = self.kernel.rows
        if self.pool.gathers:
            return list(axes[:-2])
        return [axes[0], Axis("o", self.small[1])] if self.tiles(range(1)) else [axes[0]]

    def tiles(self, axes: Sequence[int]) -> bool:
        """Is it known that each element of the operand lies in exactly one window, as far as these axes go?"""
        code = self.code
        return all(
            self.large[1 + a] == self.small[1 + a] * code.strides[a]
            and code.strides[a] == code.window[a]
            and code.low[a] == 0
            and (code.dilations[a] == 1 or code.window[a] == 1)
            for a in axes
        )

    def clear(self, image: str, lines: bool) -> None:
        """Zeros where the unit writes: an image, or the lines of one line of windows."""
        code = self.code
        size = code.dim(product(self.large[2:]) * code.strides[0] if lines else product(self.large[1:]))
        start = f"({code.times(image, self.small[1])} + o_0)" if lines else image
        code.line(f"for j in range({size}):")
        code.line(f"    {self.out}[{start} * {size} + j] = {self.zero}")

    def follow(self, axes: Sequence[Axis]) -> None:
        """The elementwise ops on what the unit has just written."""
        with self.code.emitter.nest(axes):
            self.code.emitter.stores(self.code.followers)

    # --- one window ------------------------------------------------------------------------------------------------------

    def window(self, image: str) -> None:
        code = self.code
        spatial = range(code.spatial)
        for axis in spatial:
            code.line(f"start_{axis} = {code.start(axis, f'o_{axis}')}")
        code.line(f"to = {code.pixel(image, [f'o_{a}' for a in spatial], self.small)}")
        if not (self.small_window and self.inside):
            for axis in spatial:
                for text in code.range_of_taps(axis):
                    code.line(text)
        if not self.small_window:
            self.loops(image)
            return
        if self.inside:
            self.written_out(image)
            return
        with code.block(f"if {code.whole_window()}:"):
            self.written_out(image)
        with code.block("else:"):
            self.loops(image)

    def written_out(self, image: str) -> None:
        """A window inside the operand: all of its taps are locals."""
        code, pool = self.code, self.pool
        code.line(f"at = {code.pixel(image, [f'start_{a}' for a in range(code.spatial)], self.large)}")
        taps = list(itertools.product(*map(range, code.window)))  # type: ignore[arg-type]
        offsets = [self.tap_offset(k) for k in taps]
        places = ["at + j" if offset == 0 else f"at + {code.dim(offset)} + j" for offset in offsets]
        with code.block(f"for j in range({self.channels}):"):
            if not pool.maximum:
                self.sums(image, taps, places)
                return
            for number, place in enumerate(places):
                code.line(f"x{number} = {self.x}[{place}]")
            code.line("largest = x0")
            for number in range(1, len(places)):
                code.line(f"largest = maximum_{self.suffix}(largest, x{number})")
            if not pool.selects:
                self.put_result(image, "largest")
                return
            code.line(f"value = {self.zero}" if pool.gathers else f"value = {self.other}[to + j]")
            for number, place in enumerate(places):
                is_it = f"(x{number} == largest or x{number} != x{number})"
                code.line(f"takes = {is_it}" if number == 0 else f"takes = {is_it} and not found")
                code.line("found = takes" if number == 0 else "found = found or takes")
                if pool.gathers:
                    code.line(f"value = {self.other}[{place}] if takes else value")
                else:
                    self.put_tap(image, taps[number], place, f"value if takes else {self.zero}")
            if pool.gathers:
                self.put_result(image, "value")

    def sums(self, image: str, taps: Sequence[tuple[int, ...]], places: Sequence[str]) -> None:
        if self.pool.gathers:
            self.code.line(f"value = {' + '.join(f'{self.x}[{place}]' for place in places)}")
            self.put_result(image, "value")
            return
        self.code.line(f"value = {self.x}[to + j]")
        for k, place in zip(taps, places, strict=True):
            self.put_tap(image, k, place, "value")

    def put_result(self, image: str, value: str) -> None:
        """Write the number of a window."""
        if not self.code.followers or not self.final or self.raw_is_read:
            self.code.line(f"{self.out}[to + j] = {value}")
        if self.code.followers and self.final:
            self.code.stores_of([image, *(f"o_{a}" for a in range(self.code.spatial)), "j"], value)

    def put_tap(self, image: str, k: Sequence[int], place: str, value: str) -> None:
        """Write the number of a tap of a window."""
        code = self.code
        if not code.followers or not self.final:
            self.put(place, value)
            return
        name = code.emitter.fresh("tap")
        code.line(f"{name} = {value}")
        if self.raw_is_read:
            self.put(place, name)
        positions = [code.emitter.fresh(f"i_{a}") for a in range(code.spatial)]
        for axis, position in enumerate(positions):
            code.line(f"{position} = start_{axis} + {k[axis] * code.dilations[axis]}")
        code.stores_of([image, *positions, "j"], name)

    def put(self, place: str, value: str) -> None:
        """Write to a tap what no other window writes to, or add to it."""
        self.code.line(f"{self.out}[{place}] = {value if self.alone else f'{self.out}[{place}] + ({value})'}")

    def tap_offset(self, k: Sequence[int]) -> AnySize:
        strides = contiguous_strides(self.large)[1:-1]
        offset: AnySize = 0
        for i, spread, stride in zip(k, self.code.dilations, strides, strict=True):
            offset = offset + stride * (i * spread)
        return offset

    # --- a window of which only a part is inside, or a large one ------------------------------------------------------------

    def loops(self, image: str) -> None:
        if self.pool.selects:
            self.select_by_loops(image)
        else:
            self.combine_by_loops(image)

    def taps(self, image: str) -> None:
        self.code.line(f"at = {self.code.pixel(image, self.code.tap_positions(), self.large)}")

    def combine_by_loops(self, image: str) -> None:
        code, pool = self.code, self.pool
        if pool.gathers:
            identity = scalar.literal(float("-inf"), self.dtype) if pool.maximum else self.zero
            code.line(f"for j in range({self.channels}):")
            code.line(f"    {self.out}[to + j] = {identity}")
        with code.blocks(code.tap_loops(range(code.spatial))):
            self.taps(image)
            with code.block(f"for j in range({self.channels}):"):
                if not pool.gathers:
                    self.put("at + j", f"{self.x}[to + j]")
                elif pool.maximum:
                    code.line(f"{self.out}[to + j] = maximum_{self.suffix}({self.out}[to + j], {self.x}[at + j])")
                else:
                    code.line(f"{self.out}[to + j] = {self.out}[to + j] + {self.x}[at + j]")

    def select_by_loops(self, image: str) -> None:
        """The maxima of some channels and the numbers of their taps, then a second pass over the taps."""
        code = self.code
        first = len(self.kernel.params)
        code.line(f"largest_of = scratch_{self.suffix}({CHANNELS}, {first + 1})")
        code.line(f"place_of = scratch_i64({CHANNELS}, {first + 2})")
        with code.block(f"for part in range(index_div({self.channels} + {CHANNELS - 1}, {CHANNELS})):"):
            code.line(f"c = part * {CHANNELS}")
            code.line(f"count = min({CHANNELS}, {self.channels} - c)")
            with code.block("for j in range(count):"):
                code.line(f"largest_of[j] = {scalar.literal(float('-inf'), self.dtype)}")
                code.line("place_of[j] = 0 - 1")
                if self.pool.gathers:
                    code.line(f"{self.out}[to + c + j] = {self.zero}")
            code.line("number = 0")
            with code.blocks(code.tap_loops(range(code.spatial))):
                self.taps(image)
                with code.block("for j in range(count):"):
                    code.line(f"value = {self.x}[at + c + j]")
                    code.line("largest = largest_of[j]")
                    code.line("takes = place_of[j] < 0 or value > largest or (value != value and largest == largest)")
                    code.line("largest_of[j] = value if takes else largest")
                    code.line("place_of[j] = number if takes else place_of[j]")
                code.line("number = number + 1")
            code.line("number = 0")
            with code.blocks(code.tap_loops(range(code.spatial))):
                self.taps(image)
                with code.block("for j in range(count):"):
                    if self.pool.gathers:
                        here, there = f"{self.out}[to + c + j]", f"{self.other}[at + c + j]"
                        code.line(f"{here} = {there} if place_of[j] == number else {here}")
                    else:
                        self.put("at + c + j", f"{self.other}[to + c + j] if place_of[j] == number else {self.zero}")
                code.line("number = number + 1")
