"""What kernels of convolutions and pooling share: the texts of positions in windows over [batch, *spatial, channels]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from graphflow.codegen.emit import Emitter, Source
from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.scalar import Load
from graphflow.loop.ir import Kernel, walk
from graphflow.types import AnySize, Shape, floordiv


class WindowCode:
    """The text of one kernel under construction, whose windows look at `operand` from the positions of `result`.

    Both are shapes [batch, *spatial, channels]; see `ops.windows` for how windows lie.
    """

    def __init__(self, kernel: Kernel, window: Shape, operand: Shape, result: Shape, attributes: Any) -> None:
        self.kernel, self.emitter = kernel, Emitter(kernel)
        self.window, self.operand, self.result = window, operand, result
        self.strides, self.dilations, self.low = attributes["strides"], attributes["dilations"], attributes["low"]
        self.spatial, self.last = len(window), len(window) - 1
        self.dim, self.line = self.emitter.dim, self.emitter.line
        self.followers = kernel.stages[0].stores
        self.emitter.count_uses([s.value for s in self.followers])

    def block(self, head: str) -> AbstractContextManager[Any]:
        """A loop or a condition."""
        return self.emitter.loop(head, (), ())

    def blocks(self, heads: Sequence[str]) -> ExitStack:
        """Blocks in one another."""
        stack = ExitStack()
        for head in heads:
            stack.enter_context(self.block(head))
        return stack

    def times(self, text: str, size: AnySize) -> str:
        return text if size == 1 else f"{text} * {self.dim(size)}"

    def minus(self, text: str, size: AnySize) -> str:
        return text if size == 0 else f"{text} - {self.dim(size)}"

    def start(self, axis: int, position: str) -> str:
        """Where in the operand the window at `position` of the result begins; it may be before 0."""
        return self.minus(self.times(position, self.strides[axis]), self.low[axis])

    def always_inside(self, axis: int) -> bool:
        """Is it known that no window reaches over the ends of the axis?"""
        n, m, k = self.operand[1 + axis], self.result[1 + axis], self.window[axis]
        stride, spread = self.strides[axis], self.dilations[axis]
        if self.low[axis] != 0:
            return False
        if isinstance(n, int) and isinstance(m, int) and isinstance(k, int):
            return (m - 1) * stride + (k - 1) * spread < n
        return m == floordiv(n - (k - 1) * spread - 1 + stride, stride)

    def range_of_taps(self, axis: int) -> tuple[str, str]:
        """Lines for `first_axis` and `stop_axis`: the k of the window that begins at `start_axis` that are inside the operand."""
        n, k, spread = self.operand[1 + axis], self.dim(self.window[axis]), self.dilations[axis]
        if self.always_inside(axis):
            return f"first_{axis} = 0", f"stop_{axis} = {k}"

        def rounded_up(text: str) -> str:
            return text if spread == 1 else f"index_div({text} + {spread - 1}, {spread})"

        return (
            f"first_{axis} = {rounded_up(f'max(0 - start_{axis}, 0)')}",
            f"stop_{axis} = min({k}, {rounded_up(f'max({self.dim(n)} - start_{axis}, 0)')})",
        )

    def whole_window(self) -> str:
        """The condition that all taps are inside."""
        axes = [axis for axis in range(self.spatial) if not self.always_inside(axis)]
        return " and ".join(f"first_{axis} == 0 and stop_{axis} == {self.dim(self.window[axis])}" for axis in axes)

    def tap_loops(self, axes: Sequence[int]) -> list[str]:
        return [f"for k_{axis} in range(first_{axis}, stop_{axis}):" for axis in axes]

    def outputs_of_tap(self, axis: int) -> None:
        """Lines for `o_first_axis` and `o_stop_axis`: the positions of the result at which tap k_axis is inside the operand.

        The tap of position o is at `o * stride + shift_axis`.
        """
        n, m, stride = self.operand[1 + axis], self.result[1 + axis], self.strides[axis]
        self.line(f"shift_{axis} = {self.minus(self.times(f'k_{axis}', self.dilations[axis]), self.low[axis])}")
        self.line(f"o_first_{axis} = index_div(max(0 - shift_{axis}, 0) + {stride - 1}, {stride})")
        self.line(f"o_stop_{axis} = min({self.dim(m)}, index_div(max({self.dim(n + (stride - 1))} - shift_{axis}, 0), {stride}))")

    def output_of_tap(self, axis: int, position: str) -> str:
        """A line for `o_axis`, the position of the result whose tap k_axis is at `position`; the condition that there is one."""
        stride = self.strides[axis]
        shift = self.minus(self.times(f"k_{axis}", self.dilations[axis]), self.low[axis])
        self.line(f"from_{axis} = {position} - ({shift})")
        self.line(f"o_{axis} = index_div(max(from_{axis}, 0), {stride})")
        return f"from_{axis} == {self.times(f'o_{axis}', stride)} and o_{axis} < {self.dim(self.result[1 + axis])}"

    def pixel(self, image: str, positions: Sequence[str], shape: Shape) -> str:
        """The offset of a pixel of a tensor of `shape`: of its first channel."""
        text = image
        for position, size in zip(positions, shape[1:-1], strict=True):
            text = f"({self.times(text, size)} + {position})"
        return self.times(text, shape[-1])

    def tap_positions(self) -> list[str]:
        """The position in the operand of the tap k."""
        return [f"start_{axis} + {self.times(f'k_{axis}', self.dilations[axis])}" for axis in range(self.spatial)]

    def name(self, operand: int) -> str:
        """The buffer of an operand of the op; -1 is where it writes."""
        return self.emitter.params[id(self.kernel.operands[operand])]

    # --- units of parallel work ------------------------------------------------------------------------------------------

    @contextmanager
    def units(self, items: AnySize, *work: AnySize) -> Iterator[None]:
        """The loop over units; each has a share of `items`, first_item up to stop_item.

        The work of an item is its operations and, where these read filters again and again, its rows.
        """
        self.work = (items, *work)
        share = self.dim(LibraryValue("share", self.work))
        with self.block("for unit in range(begin, end):"):
            self.line(f"first_item = unit * {share}")
            self.line(f"stop_item = min({self.dim(items)}, first_item + {share})")
            yield

    def unravel(self, item: str, axes: int) -> list[str]:
        """The positions along the first `axes` axes of the result of an item, which counts them."""
        self.emitter.unravel(item, self.kernel.rows[:axes])
        return [self.emitter.axis_text[id(a)] for a in self.kernel.rows[:axes]]

    def follow(self, axes: int) -> None:
        """The elementwise ops on the items of the unit, which count the first `axes` axes of the result."""
        if self.followers:
            with self.block("for item in range(first_item, stop_item):"):
                self.unravel("item", axes)
                with self.emitter.nest(self.kernel.rows[axes:]):
                    self.emitter.stores(self.followers)

    def stores_of(self, positions: Sequence[str], value: str) -> None:
        """The elementwise ops on one element of the result, which is the local `value`, where it is computed."""
        emitter, region = self.emitter, self.emitter.regions[-1]
        for axis, text in zip(self.kernel.rows, positions, strict=True):
            emitter.axis_text[id(axis)] = text
            emitter.axis_depth[id(axis)] = region.depth
        emitter.depths.clear()
        before, region.values = region.values, dict(region.values)
        for expr in walk([s.value for s in self.followers]):
            if isinstance(expr, Load) and expr.buffer is self.kernel.operands[-1]:
                region.values[emitter.key(expr)] = value
        emitter.stores(self.followers)
        region.values = before  # the positions mean another element next time

    def source(self) -> Source:
        return Source(self.emitter.text(), tuple(self.emitter.dims), LibraryValue("shares", self.work), self.kernel)
