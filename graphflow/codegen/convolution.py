"""Kernels of convolutions: direct ones, which copy no window anywhere.

Each of the three is a product with listed rows (`runtime.listed_product`). For `convolution` the rows are the pixels of the
result, and the depth runs over the lines of a window and along them, which lie together; pixels whose windows reach over the same
ends of the input share a product. For `convolution_input_gradient` there is a product for each tap of the window, which adds to
the pixels of the input that it touches. For `convolution_filter_gradient` the rows are input channels, and the depth runs over
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.codegen import scalar
from graphflow.codegen.emit import Source
from graphflow.codegen.library_values import LibraryValue
from graphflow.codegen.windows import WindowCode
from graphflow.ir.tensor import Node
from graphflow.loop.convolution import batch_parts
from graphflow.loop.ir import Kernel
from graphflow.types import AnySize, Shape, floordiv, product

LISTED = 256  # rows of one product: the lists of their places stay in the first cache


class _ProductCode(WindowCode):
    """The text of a kernel that is made of listed products."""

    def __init__(self, kernel: Kernel, root: Node, window: Shape, own: AnySize, operand: Shape, result: Shape) -> None:
        super().__init__(kernel, window, operand, result, root.attrs)
        self.own = own
        self.groups, self.channels, self.out = root.attrs["groups"], operand[-1], result[-1]
        self.outs = floordiv(self.out, self.groups)
        self.size, self.suffix = root.type.dtype.itemsize, scalar.SUFFIX[root.type.dtype.name]
        self.zero = scalar.literal(0.0, root.type.dtype)

    def lists(self) -> None:
        scope = len(self.kernel.params)
        self.line(f"a_rows = scratch_i64({LISTED}, {scope + 1})")
        self.line(f"c_rows = scratch_i64({LISTED}, {scope + 2})")

    def address(self, operand: int, offset: str) -> str:
        """The address of an element of operand number `operand` of the call; -1 is where it writes."""
        number = self.kernel.params.index(self.kernel.operands[operand])
        return f"buffers[{number}] + {self.size} * ({offset})"

    def grouped(self, text: str, size: AnySize) -> str:
        """An offset, moved to the channels of the group."""
        return text if self.groups == 1 else f"{text} + {self.times('group', size)}"

    def group_loop(self) -> Sequence[str]:
        return [] if self.groups == 1 else [f"for group in range({self.dim(self.groups)}):"]

    def call(self, columns: AnySize, depth: Sequence[str], a: Sequence[str], b: Sequence[str], accumulate: str, c: str) -> None:
        """One product: depth is (outer, inner), a and b are (address, outer stride, inner stride)."""
        address = self.dim(LibraryValue(f"listed_{self.suffix}"))
        of_a, of_c = [a[0], "address(a_rows)", *a[1:]], [c, "address(c_rows)"]
        parts = [address, "rows", self.dim(columns), *depth, *of_a, *b, accumulate, *of_c]
        self.line(f"listed_{self.suffix}({', '.join(parts)})")


# --- the result ---------------------------------------------------------------------------------------------------------


def emit_convolution(kernel: Kernel, root: Node) -> Source:
    """Pixels of the result; items are its lines."""
    x, w = root.inputs
    code = _ProductCode(kernel, root, w.shape[:-2], w.shape[-2], x.shape, root.type.shape)
    width, last = code.result[-2], code.last
    lines = product(code.result[:-2])
    outer = range(last)
    code.lists()
    with code.units(lines, product((2, width, *w.shape)), width):
        code.line("i = 0")
        with code.block(f"while i < {code.dim(width)}:"):
            _pixels_of_one_kind(code)
            for axis in outer:
                code.line(f"first_now_{axis} = 0")
                code.line(f"stop_now_{axis} = 0")
            code.line("rows = 0")
            with code.block("for item in range(first_item, stop_item + 1):"):
                code.line("there = min(item, stop_item - 1)")
                positions = code.unravel("there", last + 1)
                for axis in outer:
                    code.line(f"start_{axis} = {code.start(axis, positions[1 + axis])}")
                    for text in code.range_of_taps(axis):
                        code.line(text)
                others = [f"first_{a} != first_now_{a} or stop_{a} != stop_now_{a}" for a in outer if not code.always_inside(a)]
                with code.block(f"if rows > 0 and ({' or '.join(['item == stop_item', f'rows + count > {LISTED}', *others])}):"):
                    _product_of_pixels(code)
                    code.line("rows = 0")
                for axis in outer:
                    code.line(f"first_now_{axis} = first_{axis}")
                    code.line(f"stop_now_{axis} = stop_{axis}")
                with code.block("if item < stop_item:"):
                    starts = [f"start_{axis}" for axis in range(code.spatial)]
                    code.line(f"a_at = {code.pixel(positions[0], starts, code.operand)}")
                    code.line(f"c_at = {code.pixel('item', ['i'], (1, width, code.out))}")
                    _list_rows(code, "count", code.channels * code.strides[last], code.out)
            code.line("i = i + count")
        code.follow(len(code.result) - 2)
    return code.source()


def _pixels_of_one_kind(code: _ProductCode) -> None:
    """How many pixels from `i` on, at most LISTED, have the taps first..stop of the last axis: all inside, or a single one."""
    last, width = code.last, code.result[-2]
    code.line(f"start_{last} = {code.start(last, 'i')}")
    for text in code.range_of_taps(last):
        code.line(text)
    if code.always_inside(last):
        code.line(f"count = min({code.dim(width)} - i, {LISTED})")
        return
    n, k, stride = code.operand[-2], code.window[last], code.strides[last]
    fits = n + code.low[last] - (k - 1) * code.dilations[last] - 1 + stride  # positions whose windows end inside, times stride
    code.line("count = 1")
    with code.block(f"if first_{last} == 0 and stop_{last} == {code.dim(k)}:"):
        code.line(f"count = min(min({code.dim(width)}, index_div({code.dim(fits)}, {stride})) - i, {LISTED})")


def _list_rows(code: _ProductCode, count: str, a_step: AnySize, c_step: AnySize) -> None:
    """Append pixels that lie evenly, from a_at and c_at on."""
    with code.block(f"for j in range({count}):"):
        code.line(f"a_rows[rows + j] = a_at + {code.times('j', a_step)}")
        code.line(f"c_rows[rows + j] = c_at + {code.times('j', c_step)}")
    code.line(f"rows = rows + {count}")


def _product_of_pixels(code: _ProductCode) -> None:
    """The listed pixels: products over the taps inside, or zeros where there are none."""
    last = code.last
    taps = f"stop_{last} - first_{last}"
    together = code.groups == 1 and (code.dilations[last] == 1 or code.window[last] == 1)  # a line of a window lies together
    looped = range(last - 1) if together else range(last)
    heads = [f"for k_{a} in range(first_now_{a}, stop_now_{a}):" for a in looped]
    line_stride = code.operand[-2] * code.channels  # elements from one line of the input to the next
    with code.blocks(code.group_loop()):
        code.line("done = 0")
        with code.blocks(heads):
            place = [f"k_{a}" for a in looped]
            place += [f"first_now_{last - 1}"] * (together and last > 0) + [f"first_{last}"]
            spread = [code.times(k, code.dilations[a]) for a, k in enumerate(place)]
            a = code.address(0, code.grouped(code.pixel("0", spread, code.operand), code.own))
            b_pixel = code.pixel("0", place, (1, *code.window, code.own * code.out))
            b = code.address(1, code.grouped(b_pixel, code.outs))
            if together:
                outer = f"stop_now_{last - 1} - first_now_{last - 1}" if last else "1"
                inner = code.times(f"({taps})", code.channels)
                step = code.dim(line_stride * code.dilations[last - 1]) if last else "0"
                strides_b = [code.dim(code.window[last] * code.own * code.out), code.dim(code.out)]
                strides_a = [step, "1"]
            else:
                outer, inner = taps, code.dim(code.own)
                strides_a = [code.dim(code.channels * code.dilations[last]), "1"]
                strides_b = [code.dim(code.own * code.out), code.dim(code.out)]
            with code.blocks([f"if {taps} > 0 and {outer} > 0:"]):
                c = code.address(-1, code.grouped("0", code.outs))
                code.call(code.outs, (outer, inner), (a, *strides_a), (b, *strides_b), "done", c)
                code.line("done = 1")
    with code.blocks(["if done == 0:", "for j in range(rows):", f"for c in range({code.dim(code.out)}):"]):
        code.line(f"{code.name(-1)}[c_rows[j] + c] = {code.zero}")


# --- the input ----------------------------------------------------------------------------------------------------------


def emit_input_gradient(kernel: Kernel, root: Node) -> Source:
    """Pixels of the input; items are its lines. The filters come with the channels of the output before those of the input."""
    y, w = root.inputs
    code = _ProductCode(kernel, root, w.shape[:-2], w.shape[-1], root.type.shape, y.shape)
    last = code.last
    line_size = product(root.type.shape[-2:])
    code.lists()
    with code.units(product(root.type.shape[:-2]), product((2, y.shape[-2], *w.shape)), y.shape[-2]):
        code.line(f"for j in range({code.times('first_item', line_size)}, {code.times('stop_item', line_size)}):")
        code.line(f"    {code.name(-1)}[j] = {code.zero}")
        with code.blocks([f"for k_{a} in range({code.dim(code.window[a])}):" for a in range(code.spatial)]):
            code.outputs_of_tap(last)
            with code.block(f"for piece in range(index_div(max(o_stop_{last} - o_first_{last}, 0) + {LISTED - 1}, {LISTED})):"):
                code.line(f"o = o_first_{last} + piece * {LISTED}")
                code.line(f"count = min({LISTED}, o_stop_{last} - o)")
                _pixels_of_tap(code)
        code.follow(len(root.type.shape) - 2)
    return code.source()


def _pixels_of_tap(code: _ProductCode) -> None:
    """The products of one tap for all lines of the unit that it reads from."""
    last, stride = code.last, code.strides[code.last]
    code.line("rows = 0")
    with code.block("for item in range(first_item, stop_item + 1):"):
        with code.block(f"if rows > 0 and (item == stop_item or rows + count > {LISTED}):"):
            _product_of_tap(code)
            code.line("rows = 0")
        code.line("there = min(item, stop_item - 1)")
        image, *positions = code.unravel("there", last + 1)
        conditions = [code.output_of_tap(axis, position) for axis, position in enumerate(positions)]
        with code.block(f"if {' and '.join(['item < stop_item', *conditions])}:"):
            outer = [f"o_{axis}" for axis in range(last)]
            code.line(f"a_at = {code.pixel(image, [*outer, 'o'], code.result)}")
            first = f"{code.times('o', stride)} + shift_{last}"
            code.line(f"c_at = {code.pixel('there', [first], (1, *code.operand[-2:]))}")
            _list_rows(code, "count", code.out, code.channels * stride)


def _product_of_tap(code: _ProductCode) -> None:
    tap = code.pixel("0", [f"k_{a}" for a in range(code.spatial)], (1, *code.window, code.own * code.out))
    with code.blocks(code.group_loop()):
        a = code.address(0, code.grouped("0", code.outs))
        b = code.address(1, code.grouped(tap, code.outs * code.own))
        c = code.address(-1, code.grouped("0", code.own))
        code.call(code.own, ("1", code.dim(code.outs)), (a, "0", "1"), (b, "0", code.dim(code.own)), "1", c)


# --- the filters --------------------------------------------------------------------------------------------------------


def emit_filter_gradient(kernel: Kernel, root: Node) -> Source:
    """Rows [*window, channels] of the filters; the depth of a product is the pixels of some lines of an image.

    Items are parts of the batch, each with sums of its own, which a second kernel adds up; or the rows, where the filters are
    large. So many lines at a time as the first cache holds pass all rows.
    """
    x, y = root.inputs
    code = _ProductCode(kernel, root, root.type.shape[:-2], root.type.shape[-2], x.shape, y.shape)
    together = code.spatial  # the axes from here on are always inside: their taps share a product
    while together > 0 and code.always_inside(together - 1):
        together -= 1
    rows, batch, parts = product(root.type.shape[:-1]), x.shape[0], batch_parts(root)
    flops = floordiv(product((2, *y.shape)), code.groups)
    code.lists()
    if parts == 1:
        with code.units(rows, flops):
            code.line("target = 0")
            _sums_of_rows(code, "first_item", "stop_item", ("0", code.dim(batch)), together)
            code.follow(len(root.type.shape) - 1)
        return code.source()
    with code.units(parts, (floordiv(flops, parts) + 1) * rows), code.block("for item in range(first_item, stop_item):"):
        code.line(f"target = {code.times('item', root.type.size)}")
        images = [f"index_div({text} * {code.dim(batch)}, {code.dim(parts)})" for text in ("item", "(item + 1)")]
        _sums_of_rows(code, "0", code.dim(rows), (images[0], images[1]), together)
    return code.source()


def _sums_of_rows(code: _ProductCode, first: str, stop: str, images: tuple[str, str], together: int) -> None:
    """The rows from `first` up to `stop`, summed over some images, at `target` in what is written."""
    last, run = code.last, product((*code.window[together:], code.own))  # as many rows share a product
    code.line(f"for j in range(target + {code.times(first, code.out)}, target + {code.times(stop, code.out)}):")
    code.line(f"    {code.name(-1)}[j] = {code.zero}")
    lines = code.result[-3] if last else 1
    line_of_x = code.operand[-2] * code.channels * (code.strides[last - 1] if last else 1)
    line_of_y = code.result[-2] * code.out
    height = code.dim(LibraryValue("lines_in_cache", (lines, (line_of_x + line_of_y) * code.size)))
    each_image = f"for image in range({images[0]}, {images[1]}):"
    with code.blocks([each_image, f"for part in range(index_div({code.dim(lines)} + {height} - 1, {height})):"]):
        code.line(f"row = {first}")
        with code.block(f"while row < {stop}:"):
            code.line(f"tap = index_div(row, {code.dim(run)})")
            code.line(f"rows = min(min({code.dim(run)} - index_mod(row, {code.dim(run)}), {stop} - row), {LISTED})")
            rest = "tap"
            for axis in range(together - 1, -1, -1):
                code.line(f"k_{axis} = " + (f"index_mod({rest}, {code.dim(code.window[axis])})" if axis else rest))
                code.line(f"left_{axis} = index_div({rest}, {code.dim(code.window[axis])})")
                rest = f"left_{axis}"
            _list_filter_rows(code, together, run)
            for axis in range(code.spatial):
                if axis >= together:
                    code.line(f"shift_{axis} = 0")
                    code.line(f"o_first_{axis} = 0")
                    code.line(f"o_stop_{axis} = {code.dim(code.result[1 + axis])}")
                else:
                    code.outputs_of_tap(axis)
            if last:
                code.line(f"o_first_{last - 1} = max(o_first_{last - 1}, part * {height})")
                code.line(f"o_stop_{last - 1} = min(o_stop_{last - 1}, (part + 1) * {height})")
            _product_over_pixels(code)
            code.line("row = row + rows")


def _list_filter_rows(code: _ProductCode, together: int, run: AnySize) -> None:
    """Rows [*taps of the axes from `together` on, channel]: where the first pixel's number is, where the sum goes."""
    with code.block("for j in range(rows):"):
        code.line(f"c_rows[j] = target + {code.times('(row + j)', code.out)}")
        if together == code.spatial:
            code.line(f"a_rows[j] = index_mod(row, {code.dim(run)}) + j")
            return
        code.line(f"within = index_mod(row, {code.dim(run)}) + j")
        code.line(f"channel = index_mod(within, {code.dim(code.own)})")
        code.line(f"within = index_div(within, {code.dim(code.own)})")
        for axis in range(code.spatial - 1, together - 1, -1):
            code.line(f"t_{axis} = index_mod(within, {code.dim(code.window[axis])})")
            code.line(f"within = index_div(within, {code.dim(code.window[axis])})")
        taps = [code.times(f"t_{axis}", code.dilations[axis]) if axis >= together else "0" for axis in range(code.spatial)]
        code.line(f"a_rows[j] = {code.pixel('0', taps, code.operand)} + channel")


def _product_over_pixels(code: _ProductCode) -> None:
    """The listed rows of the lines o_first..o_stop of an image; the axes before those in loops."""
    last = code.last
    outer = f"max(o_stop_{last - 1} - o_first_{last - 1}, 0)" if last else "1"
    inner = f"max(o_stop_{last} - o_first_{last}, 0)"
    line_stride = code.operand[-2] * code.channels
    a_outer = code.dim(line_stride * code.strides[last - 1]) if last else "0"
    b_outer = code.dim(code.result[-2] * code.out) if last else "0"
    strides_a = (a_outer, code.dim(code.channels * code.strides[last]))
    with code.blocks([f"for o_{a} in range(o_first_{a}, o_stop_{a}):" for a in range(last - 1)]):
        y_place = [f"o_{a}" for a in range(last - 1)] + [f"o_first_{a}" for a in range(max(last - 1, 0), code.spatial)]
        x_place = [f"{code.times(o, code.strides[a])} + shift_{a}" for a, o in enumerate(y_place)]
        with code.blocks(code.group_loop()):
            a = code.address(0, code.grouped(code.pixel("image", x_place, code.operand), code.own))
            b = code.address(1, code.grouped(code.pixel("image", y_place, code.result), code.outs))
            c = code.address(-1, code.grouped("0", code.outs))
            code.call(code.outs, (outer, inner), (a, *strides_a), (b, b_outer, code.dim(code.out)), "1", c)


PRODUCTS = {
    "convolution": emit_convolution,
    "convolution_input_gradient": emit_input_gradient,
    "convolution_filter_gradient": emit_filter_gradient,
}
