"""Kernels of convolutions in which each channel is a group of its own: the channels are the innermost loop, which vectorises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from graphflow.codegen import scalar
from graphflow.codegen.emit import Source
from graphflow.codegen.windows import WindowCode
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel
from graphflow.types import AnySize, Shape, contiguous_strides, floordiv, product

WRITTEN_OUT = 16  # taps: the sum over a larger window goes through memory
SLOWER = 4  # an operation takes about this many times as long as in a product, which reads each number for many others


class _ChannelCode(WindowCode):
    """The text of a kernel that goes channel by channel; `multiplier` results for each channel of the input."""

    def __init__(self, kernel: Kernel, root: Node, window: Shape, operand: Shape, result: Shape) -> None:
        super().__init__(kernel, window, operand, result, root.attrs)
        self.channels, self.out = operand[-1], result[-1]
        self.multiplier: AnySize = floordiv(self.out, self.channels)
        self.zero = scalar.literal(0.0, root.type.dtype)

    @contextmanager
    def channel_loop(self) -> Iterator[str]:
        """The loop over results `j` of a pixel; the channel of the input."""
        if self.multiplier == 1:
            with self.block(f"for j in range({self.dim(self.out)}):"):
                yield "j"
            return
        with self.blocks([f"for channel in range({self.dim(self.channels)}):", f"for m in range({self.dim(self.multiplier)}):"]):
            self.line(f"j = channel * {self.dim(self.multiplier)} + m")
            yield "channel"

    def flops(self, pixels: AnySize) -> AnySize:
        return product((2 * SLOWER, pixels, *self.window, self.out))

    def tap(self) -> str:
        """The offset of tap k in the filters."""
        return self.pixel("0", [f"k_{a}" for a in range(self.spatial)], (1, *self.window, self.out))


def emit_convolution(kernel: Kernel, root: Node) -> Source:
    """Items are lines of the result."""
    x, w = root.inputs
    code = _ChannelCode(kernel, root, w.shape[:-2], x.shape, root.type.shape)
    spatial, width = range(code.spatial), code.result[-2]
    inside = all(code.always_inside(axis) for axis in spatial)
    known = all(isinstance(k, int) for k in code.window) and code.multiplier == 1
    written_out = known and product(code.window) <= WRITTEN_OUT  # type: ignore[operator]
    with code.units(product(code.result[:-2]), code.flops(width)):
        with code.block("for item in range(first_item, stop_item):"):
            image, *positions = code.unravel("item", code.last + 1)
            with code.block(f"for i in range({code.dim(width)}):"):
                for axis, position in enumerate([*positions, "i"]):
                    code.line(f"start_{axis} = {code.start(axis, position)}")
                    for text in code.range_of_taps(axis):
                        code.line(text)
                code.line(f"to = {code.pixel('item', ['i'], (1, width, code.out))}")
                if written_out:
                    with code.blocks([] if inside else [f"if {code.whole_window()}:"]):
                        _sum_written_out(code, image)
                if not (written_out and inside):
                    with code.blocks(["else:"] if written_out else []):
                        _sum_by_loops(code, image)
        code.follow(code.last + 1)
    return code.source()


def _sum_written_out(code: _ChannelCode, image: str) -> None:
    code.line(f"at = {code.pixel(image, [f'start_{a}' for a in range(code.spatial)], code.operand)}")
    strides = contiguous_strides(code.operand)[1:-1]
    terms = []
    for number, k in enumerate(itertools.product(*map(range, code.window))):  # type: ignore[arg-type]
        offset: AnySize = 0
        for i, spread, stride in zip(k, code.dilations, strides, strict=True):
            offset = offset + stride * (i * spread)
        terms.append(f"{code.name(0)}[at + {code.dim(offset)} + j] * {code.name(1)}[{code.dim(code.out * number)} + j]")
    with code.block(f"for j in range({code.dim(code.out)}):"):
        code.line(f"total = {terms[0]}")
        for term in terms[1:]:
            code.line(f"total = total + {term}")
        code.line(f"{code.name(-1)}[to + j] = total")


def _sum_by_loops(code: _ChannelCode, image: str) -> None:
    y, x, w = code.name(-1), code.name(0), code.name(1)
    code.line(f"for j in range({code.dim(code.out)}):")
    code.line(f"    {y}[to + j] = {code.zero}")
    with code.blocks(code.tap_loops(range(code.spatial))):
        code.line(f"at = {code.pixel(image, code.tap_positions(), code.operand)}")
        code.line(f"of = {code.tap()}")
        with code.channel_loop() as channel:
            code.line(f"{y}[to + j] = {y}[to + j] + {x}[at + {channel}] * {w}[of + j]")


def emit_input_gradient(kernel: Kernel, root: Node) -> Source:
    """Items are lines of the input; each tap adds to them what it reads from the lines of the output."""
    y, w = root.inputs
    code = _ChannelCode(kernel, root, w.shape[:-2], root.type.shape, y.shape)
    last, stride = code.last, code.strides[code.last]
    with code.units(product(root.type.shape[:-2]), code.flops(y.shape[-2])):
        line_size = product(root.type.shape[-2:])
        code.line(f"for j in range({code.times('first_item', line_size)}, {code.times('stop_item', line_size)}):")
        code.line(f"    {code.name(-1)}[j] = {code.zero}")
        with code.block("for item in range(first_item, stop_item):"):
            image, *positions = code.unravel("item", last + 1)
            with code.blocks([f"for k_{a} in range({code.dim(code.window[a])}):" for a in range(code.spatial)]):
                code.outputs_of_tap(last)
                conditions = [code.output_of_tap(axis, position) for axis, position in enumerate(positions)]
                with code.blocks([f"if {' and '.join(conditions)}:"] if conditions else []):
                    code.line(f"of = {code.tap()}")
                    with code.block(f"for i in range(o_first_{last}, o_stop_{last}):"):
                        code.line(f"at = {code.pixel(image, [*(f'o_{a}' for a in range(last)), 'i'], code.result)}")
                        target = f"{code.times('i', stride)} + shift_{last}"
                        code.line(f"to = {code.pixel('item', [target], (1, *code.operand[-2:]))}")
                        with code.channel_loop() as channel:
                            sum_at = f"{code.name(-1)}[to + {channel}]"
                            code.line(f"{sum_at} = {sum_at} + {code.name(0)}[at + j] * {code.name(1)}[of + j]")
        code.follow(last + 1)
    return code.source()


def emit_filter_gradient(kernel: Kernel, root: Node) -> Source:
    """Items are taps of the window; each sums over all pixels."""
    x, y = root.inputs
    code = _ChannelCode(kernel, root, root.type.shape[:-2], x.shape, y.shape)
    with code.units(product(code.window), product((2 * SLOWER, *y.shape))):
        with code.block("for item in range(first_item, stop_item):"):
            for axis, position in enumerate(code.unravel("item", code.spatial)):
                code.line(f"k_{axis} = {position}")
                code.outputs_of_tap(axis)
            code.line(f"to = {code.times('item', code.out)}")
            code.line(f"for j in range({code.dim(code.out)}):")
            code.line(f"    {code.name(-1)}[to + j] = {code.zero}")
            heads = [f"for o_{axis} in range(o_first_{axis}, o_stop_{axis}):" for axis in range(code.spatial)]
            with code.blocks([f"for image in range({code.dim(x.shape[0])}):", *heads]):
                places = [f"{code.times(f'o_{a}', code.strides[a])} + shift_{a}" for a in range(code.spatial)]
                code.line(f"at = {code.pixel('image', places, code.operand)}")
                code.line(f"of = {code.pixel('image', [f'o_{a}' for a in range(code.spatial)], code.result)}")
                out = code.name(-1)
                with code.channel_loop() as channel:
                    code.line(f"{out}[to + j] = {out}[to + j] + {code.name(0)}[at + {channel}] * {code.name(1)}[of + j]")
        code.follow(code.spatial)
    return code.source()


DEPTHWISE = {
    "convolution": emit_convolution,
    "convolution_input_gradient": emit_input_gradient,
    "convolution_filter_gradient": emit_filter_gradient,
}
