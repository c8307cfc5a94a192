"""From a kernel of the loop IR to the text of a numba function that people can read.

    def kernel(buffers, dims, begin, end):
        in0 = buffer_f32(buffers, 0)
        out1 = buffer_f32(buffers, 1)
        for i0 in range(begin, end):
            out1[i0] = exp_f32(in0[i0])

The emitter knows loops, indices and accumulators; of ops it knows only the spelling of their elements. A value is a local
of the outermost loop it depends on. One value is one local.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graphflow.codegen import scalar
from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.scalar import Accumulator, Argument, Axis, Call, Check, Const, Expr, Load, Select, SizeValue
from graphflow.loop.ir import Kernel, Offset, Role, Stage, Store, children, passes, structure_key, walk
from graphflow.loop.lower import LANE_TILE
from graphflow.types import AnySize, DType, product

_NUMPY_NAMES = {
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "complex64", "complex128",
}  # fmt: skip
# Parameters are numbered, not named after the user's tensors, so that equal computations are one kernel.
_PREFIX = {Role.INPUT: "in", Role.OUTPUT: "out", Role.INOUT: "inout", Role.SCRATCH: "scratch"}
# What docstrings say of kernels whose loops carry values.
SCALARS = "One step after another: no loop over elements is to be vectorised."
SIDE_BY_SIDE = "Lanes are independent: a vector has a number of each."
_LINE = 110  # characters of one expression; longer ones become locals


@dataclass(frozen=True)
class Source:
    """The text of a kernel and what it expects in `dims`: sizes, and addresses of library functions by name."""

    text: str
    dims: tuple[AnySize | LibraryValue, ...]
    extent: AnySize | LibraryValue
    kernel: Kernel


class Region:
    """Lines of one loop body, and the values that are locals there."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.lines: list[str] = []
        self.values: dict[tuple[Any, ...], str] = {}


class Emitter:
    """Writes one kernel. `depth` of a value is the loop it belongs to: 0 before all loops, 1 a row, 2 and more inside."""

    note = ""  # the docstring

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.regions: list[Region] = [Region(0)]
        self.axis_depth: dict[int, int] = {}
        self.axis_text: dict[int, str] = {}
        self.accumulator_text: dict[int, str] = {}
        self.accumulator_depth: dict[int, int] = {}
        self.dims: list[AnySize | LibraryValue] = []
        self.names: dict[str, int] = {}
        self.depths: dict[int, int] = {}
        self.keys: dict[int, tuple[Any, ...]] = {}
        self.counts: dict[tuple[Any, ...], int] = {}
        self.key_ids: dict[tuple[Any, ...], int] = {}
        self.keep: list[Expr] = []
        self.params = {
            id(b): self.fresh(f"{_PREFIX[role]}{k}") for k, (b, role) in enumerate(zip(kernel.params, kernel.roles, strict=True))
        }
        self.sites = {id(node): k for k, node in enumerate(kernel.checks)}
        self.number = {id(b): k for k, b in enumerate(kernel.params)}
        self.changing: set[int] = set()  # buffers that the kernel writes before it reads them: read where a value is needed
        self.arrays: dict[int, str] = {}  # of accumulators, where each row of a block has one

    # --- names ---------------------------------------------------------------------------------------------------------

    def fresh(self, base: str) -> str:
        count = self.names.get(base)
        self.names[base] = 0 if count is None else count + 1
        name = base if count is None else f"{base}_{count + 1}"
        if count is not None and name in self.names:
            return self.fresh(base)
        self.names.setdefault(name, 0)
        return name

    def dim(self, size: AnySize | LibraryValue) -> str:
        """The text of a size: a number, or a run-time argument."""
        if isinstance(size, int):
            return str(size)
        if size not in self.dims:
            self.dims.append(size)
        return f"d{self.dims.index(size)}"

    def argument(self, value: int) -> str:
        """The text of a number that is passed at run time."""
        argument = LibraryValue("argument", (value,))
        return self.dim(argument)

    # --- structure of values ---------------------------------------------------------------------------------------------

    def key(self, expr: Expr) -> tuple[Any, ...]:
        """Equal for equal values."""
        found = self.keys.get(id(expr))
        if found is not None:
            return found
        key = structure_key(expr, tuple(self.key_id(c) for c in children(expr)))
        self.keys[id(expr)] = key
        self.keep.append(expr)
        return key

    def key_id(self, expr: Expr) -> int:
        return self.key_ids.setdefault(self.key(expr), len(self.key_ids))

    def depth(self, expr: Expr) -> int:
        """The loop a value belongs to."""
        found = self.depths.get(id(expr))
        if found is None:
            match expr:
                case Axis():
                    found = self.axis_depth[id(expr)]
                case Accumulator(number):
                    found = self.accumulator_depth[number]
                case Load(buffer) if id(buffer) in self.changing:
                    found = self.regions[-1].depth
                case _:
                    found = max((self.depth(c) for c in children(expr)), default=0)
            self.depths[id(expr)] = found
            self.keep.append(expr)
        return found

    def count_uses(self, roots: Iterable[Expr]) -> None:
        """How often each value is read; what is read once is written where it is read."""
        seen: set[tuple[Any, ...]] = set()
        stack = list(roots)
        for root in stack:
            key = self.key(root)
            self.counts[key] = self.counts.get(key, 0) + 1
        while stack:
            expr = stack.pop()
            key = self.key(expr)
            if key in seen:
                continue
            seen.add(key)
            for child in children(expr):
                k = self.key(child)
                self.counts[k] = self.counts.get(k, 0) + 1
                stack.append(child)

    # --- text of values ----------------------------------------------------------------------------------------------------

    def value(self, expr: Expr, *, atom: bool = True) -> str:
        """The text of a value: a local, a number, or with `atom=False` also an expression."""
        match expr:
            case Axis():
                return self.axis_text[id(expr)]
            case Accumulator(number):
                return self.accumulator_text[number]
            case Const(value, dtype):
                return scalar.literal(value, dtype)
            case SizeValue(size):
                return self.dim(size)
            case Argument(value, dtype):
                return f"{scalar.constructor(dtype)}({self.argument(value)})"
        key = self.key(expr)
        for region in reversed(self.regions):
            if key in region.values:
                return region.values[key]
        region = self.region_of(expr)
        if isinstance(expr, Select):
            return self.select(expr, key)
        text = self.expression(expr)
        is_call = text.endswith(")") and "(" in text and text[: text.index("(")].isidentifier() and _closes_at_end(text)
        inline_ok = self.counts.get(key, 1) <= 1 and region is self.regions[-1] and len(text) <= _LINE
        if inline_ok and (not atom or is_call or isinstance(expr, Load)):
            return text
        if inline_ok and atom:
            return f"({text})"
        name = self.fresh(self.local_name(expr))
        region.lines.append(f"{name} = {text}")
        region.values[key] = name
        return name

    def region_of(self, expr: Expr) -> Region:
        depth = self.depth(expr)
        for region in reversed(self.regions):
            if region.depth <= depth:
                return region
        return self.regions[0]

    def local_name(self, expr: Expr) -> str:
        match expr:
            case Call(fn, _, _) if fn in scalar.INDEX:
                return "bits" if fn == "threefry" else "index"
            case Call(fn, _, _):
                return clean(fn)
            case Load(buffer, _, _):
                return f"{self.params[id(buffer)]}_at"
            case Offset():
                return "at"
            case _:
                return "index"

    def expression(self, expr: Expr) -> str:
        match expr:
            case Load(buffer, (offset, *_), dtype):
                text = f"{self.params[id(buffer)]}[{self.offset_text(offset)}]"
                if dtype.name == "float16":
                    return f"load_f16({text})"
                return f"load_bf16({text})" if dtype.name == "bfloat16" else text
            case Call("cast", (x,), dtype):
                text = scalar.cast(self.value(x), x.dtype, dtype)
                return rounded(text, dtype) if x.dtype.compute != dtype or dtype.compute != dtype else text
            case Call(fn, args, dtype):
                operand = args[-1].dtype if args else dtype
                if args and any(a.dtype != operand for a in args):
                    operand = next((a.dtype for a in args if not a.dtype.is_bool), operand)
                parts = [self.value(a) if not (fn == "threefry" and k == 4) else str(a.value) for k, a in enumerate(args)]  # type: ignore[attr-defined]
                text = scalar.spelling(fn, operand).format(*parts)
                if fn in scalar.INDEX:
                    return text
                return f"{dtype.name}({text})" if dtype.is_integer else text
            case Check(index, size, site):
                return f"checked_index({self.value(index, atom=False)}, {self.dim(size)}, errors, {self.sites[id(site)] + 1})"
            case Offset():
                return self.offset_text(expr)
            case _:
                raise AssertionError(f"no text for {expr!r}")

    def offset_text(self, offset: Expr) -> str:
        """A position: what belongs to outer loops is one local there, the innermost axis is added last."""
        assert isinstance(offset, Offset)
        here = self.regions[-1].depth
        outer = tuple((a, f) for a, f in offset.terms if self.depth(a) < here)
        inner = [(a, f) for a, f in offset.terms if self.depth(a) >= here]
        parts = []
        if (outer and (len(outer) > 1 or outer[0][1] != 1 or offset.constant != 0)) and inner:
            base = Offset(offset.constant, outer)
            parts.append(self.hoisted(base))
        else:
            parts += [self.term(a, f) for a, f in outer]
            if offset.constant != 0 or not offset.terms:
                parts.append(self.dim(offset.constant) if not isinstance(offset.constant, int) else str(offset.constant))
        parts += [self.term(a, f) for a, f in inner]
        return " + ".join(parts).replace("+ -", "- ")

    def hoisted(self, base: Offset) -> str:
        self.counts[self.key(base)] = 2  # always a local
        return self.value(base)

    def term(self, atom: Expr, factor: AnySize) -> str:
        text = self.value(atom)
        return text if factor == 1 else f"{text} * {self.dim(factor)}"

    def select(self, expr: Select, key: tuple[Any, ...]) -> str:
        """A value of which only the branch taken is computed: an if statement."""
        region = self.region_of(expr)
        condition = self.value(expr.condition)
        name = self.fresh("chosen")
        for head, branch in ((f"if {condition}:", expr.then), ("else:", expr.otherwise)):
            inner = Region(region.depth)
            self.regions.append(_Guard(inner, region.depth))
            text = self.value(branch, atom=False)
            body = self.regions.pop().lines
            region.lines.append(head)
            region.lines.extend("    " + line for line in [*body, f"{name} = {text}"])
        region.values[key] = name
        return name

    # --- statements --------------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self.regions[-1].lines.append(text)

    @contextmanager
    def loop(self, head: str, axes: Sequence[Axis], names: Sequence[str]) -> Iterator[Region]:
        """A loop; `axes` get their values inside it."""
        outer = self.regions[-1]
        region = Region(outer.depth + 1)
        for axis, name in zip(axes, names, strict=True):
            self.axis_depth[id(axis)] = region.depth
            self.axis_text[id(axis)] = name
        self.depths.clear()
        self.regions.append(region)
        yield region
        self.regions.pop()
        self.depths.clear()
        outer.lines.append(head)
        outer.lines.extend("    " + line for line in region.lines or ["pass"])

    @contextmanager
    def nest(self, axes: Sequence[Axis]) -> Iterator[None]:
        """Loops over all of `axes`, the first one outermost."""
        if not axes:
            yield
            return
        name = self.fresh(axes[0].name)
        with self.loop(f"for {name} in range({self.dim(axes[0].extent)}):", axes[:1], [name]), self.nest(axes[1:]):
            yield

    def unravel(self, flat: str, axes: Sequence[Axis]) -> None:
        """Give `axes` their values from the row-major position `flat`, in the current loop."""
        depth = self.regions[-1].depth
        rest = flat
        for k in range(len(axes) - 1, -1, -1):
            axis = axes[k]
            if k == 0:
                text = rest
            else:
                name = self.fresh(axis.name)
                self.line(f"{name} = index_mod({rest}, {self.dim(axis.extent)})")
                following = self.fresh("rest")
                self.line(f"{following} = index_div({rest}, {self.dim(axis.extent)})")
                text, rest = name, following
            self.axis_text[id(axis)] = text
            self.axis_depth[id(axis)] = depth
        self.depths.clear()

    def stores(self, items: Sequence[Store]) -> None:
        """Stores of one loop body; what is read from a buffer that is written too is read before anything is written."""
        written = {id(b) for b, role in zip(self.kernel.params, self.kernel.roles, strict=True) if role is Role.INOUT}
        written |= {id(item.buffer) for item in items} if len(items) > 1 else set()
        if written:
            for e in walk([s.value for s in items]):
                if isinstance(e, Load) and id(e.buffer) in written:
                    self.counts[self.key(e)] = 2
                    self.value(e)
        for item in items:
            self.store(item)

    def store(self, item: Store) -> None:
        value = self.value(item.value, atom=False)
        dtype = item.buffer.dtype
        if dtype.name in ("float16", "bfloat16"):
            value = f"store_{'f16' if dtype.name == 'float16' else 'bf16'}({value})"
        self.line(f"{self.params[id(item.buffer)]}[{self.offset_text(item.offset)}] = {value}")

    def combine(self, fn: str, dtype: DType, left: str, right: str) -> str:
        text = scalar.spelling(fn, dtype).format(left, right)
        return f"{dtype.name}({text})" if dtype.is_integer else text

    # --- kernels -----------------------------------------------------------------------------------------------------------

    def run(self) -> Source:
        kernel = self.kernel
        every = [s for st in kernel.stages for s in st.stores] + list(kernel.finals)
        scalars = [value for st in kernel.stages for _, value in st.scalars]
        self.count_uses([s.value for s in every] + [r.value for st in kernel.stages for r in st.reductions] + scalars)
        {"map": self.map, "row": self.row, "column": self.column, "chunk": self.chunk, "across": self.across}[kernel.form]()
        return Source(self.text(), tuple(self.dims), kernel.extent, kernel)

    def map(self) -> None:
        axes = self.kernel.rows
        if len(axes) > 1:
            with self.rows(axes[:-1]):
                for st in self.kernel.stages:
                    self.segment(axes[-1:], st)
            return
        for st in self.kernel.stages:
            self.segment(axes, st, "begin", "end")

    def segment(self, axes: Sequence[Axis], st: Stage, first: str = "0", last: str = "") -> None:
        """The stores of a stage over its segment of the innermost axis, and of that from `first` to `last`."""
        name = self.fresh(axes[0].name if axes else "i0")
        start, stop = first, last or self.dim(axes[0].extent)
        if st.bounds is not None:
            start, stop = (self.dim(bound) for bound in st.bounds)
            if last:
                start, stop = f"max({first}, {start})", f"min({last}, {stop})"
        bounds = stop if start == "0" else f"{start}, {stop}"
        with self.loop(f"for {name} in range({bounds}):", axes, [name] * len(axes)):
            self.stores(st.stores)

    @contextmanager
    def rows(self, axes: Sequence[Axis], bounds: str = "begin, end") -> Iterator[None]:
        """A loop over rows, by default the parallel one; several row axes run as one."""
        if len(axes) == 1:
            name = self.fresh(axes[0].name)
            with self.loop(f"for {name} in range({bounds}):", axes, [name]):
                yield
            return
        name = self.fresh("row")
        with self.loop(f"for {name} in range({bounds}):", (), ()):
            self.unravel(name, axes)
            yield

    def row(self) -> None:
        self.block_arrays()
        self.row_passes(self.kernel.rows, "begin", "end")

    def row_passes(self, rows: Sequence[Axis], first: str, last: str) -> None:
        """The stages of the rows from `first` to `last`, row by row or block by block."""
        kernel = self.kernel
        if kernel.block:
            self.block_passes(rows[0], first, last)
            return
        with self.rows(rows, f"{first}, {last}"):
            for st in kernel.stages:
                self.scalar_stage(st.reductions, st.stores, kernel.reduced)
            self.stores(kernel.finals)

    def block_arrays(self) -> None:
        """An array for each value of a row, with an element for each row of a block."""
        if not self.kernel.block:
            return
        for st in self.kernel.stages:
            for accumulator in [*(r.accumulator for r in st.reductions), *(a for a, _ in st.scalars)]:
                name = self.fresh("of_rows")
                self.arrays[accumulator.number] = name
                scope = len(self.kernel.params) + len(self.arrays)
                kind = scalar.SUFFIX[accumulator.dtype.compute.name]
                self.line(f"{name} = scratch_{kind}({self.kernel.block}, {scope})")

    def block_passes(self, row: Axis, first: str, last: str) -> None:
        """Each stage for all rows of a block; what is computed once a row is a loop over the rows."""
        kernel, known = self.kernel, set[int]()
        block, top, count = self.fresh("block"), self.fresh("top"), self.fresh("count")

        @contextmanager
        def rows() -> Iterator[str]:
            lane, name = self.fresh("lane"), self.fresh(row.name)
            with self.loop(f"for {lane} in range({count}):", (row,), [name]) as region:
                self.line(f"{name} = {top} + {lane}")
                for number in known:
                    self.accumulator_text[number] = f"{self.arrays[number]}[{lane}]"
                    self.accumulator_depth[number] = region.depth
                self.depths.clear()
                yield lane

        with self.loop(f"for {block} in range(index_div({last} - {first} + {kernel.block - 1}, {kernel.block})):", (), ()):
            self.line(f"{top} = {first} + {block} * {kernel.block}")
            self.line(f"{count} = min({kernel.block}, {last} - {top})")
            for st in kernel.stages:
                if st.scalars:
                    with rows() as lane:
                        for accumulator, value in st.scalars:
                            self.line(f"{self.arrays[accumulator.number]}[{lane}] = {self.value(value, atom=False)}")
                    known.update(accumulator.number for accumulator, _ in st.scalars)
                with rows() as lane:
                    self.scalar_stage(st.reductions, st.stores, kernel.reduced)
                    for r in st.reductions:
                        self.line(f"{self.arrays[r.accumulator.number]}[{lane}] = {self.accumulator_text[r.accumulator.number]}")
                known.update(r.accumulator.number for r in st.reductions)
            if kernel.finals:
                with rows():
                    self.stores(kernel.finals)

    def scalar_stage(self, reductions: Any, stores: Any, axes: Sequence[Axis]) -> None:
        """One pass over the reduced axes with an accumulator per reduction."""
        depth = self.regions[-1].depth
        for r in reductions:
            name = self.fresh(clean(r.node.op.name))
            self.accumulator_text[r.accumulator.number] = name
            self.accumulator_depth[r.accumulator.number] = depth
            self.line(f"{name} = {scalar.literal(r.identity.value, r.identity.dtype)}")
        self.depths.clear()
        with self.nest(axes):
            values = [self.value(r.value) for r in reductions]
            for r, v in zip(reductions, values, strict=True):
                name = self.accumulator_text[r.accumulator.number]
                self.line(f"{name} = {self.combine(r.combine, r.accumulator.dtype, name, v)}")
            self.stores(stores)

    def column(self) -> None:
        """Accumulators for a tile of lanes; the lanes are the innermost loop of every pass."""
        kernel, lane = self.kernel, self.kernel.lanes[0]
        tiles = (lane.extent + (LANE_TILE - 1)) // LANE_TILE
        unit = self.fresh("unit")
        scope = len(kernel.params) + 1
        arrays: dict[int, str] = {}
        for first, *_ in passes(kernel.stages):
            for r in first.reductions:
                name = self.fresh(f"{clean(r.node.op.name)}_tile")
                arrays[r.accumulator.number] = name
                self.line(f"{name} = scratch_{scalar.SUFFIX[r.accumulator.dtype.name]}({LANE_TILE}, {scope})")
                scope += 1
        with self.loop(f"for {unit} in range(begin, end):", (), ()):
            tile = unit
            if kernel.rows and tiles == 1:
                self.unravel(unit, kernel.rows)
            elif kernel.rows:
                tile = self.fresh("tile")
                self.line(f"{tile} = index_mod({unit}, {self.dim(tiles)})")
                row = self.fresh("row")
                self.line(f"{row} = index_div({unit}, {self.dim(tiles)})")
                self.unravel(row, kernel.rows)
            if tiles == 1:
                start, count = "0", self.dim(lane.extent)
            else:
                start, count = self.fresh("start"), str(LANE_TILE)
                self.line(f"{start} = {tile} * {LANE_TILE}")
                if not isinstance(lane.extent, int) or lane.extent % LANE_TILE:
                    count = self.fresh("count")
                    self.line(f"{count} = min({LANE_TILE}, {self.dim(lane.extent)} - {start})")

            @contextmanager
            def lanes(bounds: tuple[AnySize, AnySize] | None = None) -> Iterator[str]:
                lane_name = self.fresh("lane")
                position = lane_name if start == "0" else self.fresh(lane.name)
                span = count
                if bounds is not None:
                    low, high = (self.dim(bound) for bound in bounds)
                    span = f"{low}, {high}" if start == "0" else f"max(0, {low} - {start}), min({count}, {high} - {start})"
                with self.loop(f"for {lane_name} in range({span}):", (lane,), [position]) as region:
                    if position != lane_name:
                        region.lines.append(f"{position} = {start} + {lane_name}")
                    for number, array in arrays.items():
                        if number in self.accumulator_text:
                            self.accumulator_text[number] = f"{array}[{lane_name}]"
                            self.accumulator_depth[number] = region.depth
                    self.depths.clear()
                    yield lane_name

            for parts in passes(kernel.stages):
                for r in parts[0].reductions:
                    index = self.fresh("lane")
                    self.line(f"for {index} in range({LANE_TILE}):")
                    self.line(
                        f"    {arrays[r.accumulator.number]}[{index}] = {scalar.literal(r.identity.value, r.identity.dtype)}"
                    )
                with self.nest(kernel.reduced):
                    for st in parts:
                        with lanes(st.bounds) as lane_name:
                            values = [self.value(r.value) for r in st.reductions]
                            for r, v in zip(st.reductions, values, strict=True):
                                place = f"{arrays[r.accumulator.number]}[{lane_name}]"
                                self.line(f"{place} = {self.combine(r.combine, r.accumulator.dtype, place, v)}")
                            self.stores(st.stores)
                for r in parts[0].reductions:
                    self.accumulator_text[r.accumulator.number] = ""
            if kernel.finals:
                with lanes():
                    self.stores(kernel.finals)

    def chunk(self) -> None:
        """Partial results of a full reduction: unit u covers `chunk` elements or rows from u * chunk on."""
        kernel = self.kernel
        unit, first = kernel.rows[0], kernel.reduced[0]
        name = self.fresh("unit")
        with self.loop(f"for {name} in range(begin, end):", (unit,), [name]):
            self.line(f"start = {name} * {kernel.chunk}")
            self.line(f"stop = min({self.dim(first.extent)}, start + {kernel.chunk})")
            st = kernel.stages[0]
            depth = self.regions[-1].depth
            for r in st.reductions:
                accumulator = self.fresh(clean(r.node.op.name))
                self.accumulator_text[r.accumulator.number] = accumulator
                self.accumulator_depth[r.accumulator.number] = depth
                self.line(f"{accumulator} = {scalar.literal(r.identity.value, r.identity.dtype)}")
            index = self.fresh(first.name)
            with self.loop(f"for {index} in range(start, stop):", (first,), [index]), self.nest(kernel.reduced[1:]):
                values = [self.value(r.value) for r in st.reductions]
                for r, v in zip(st.reductions, values, strict=True):
                    accumulator = self.accumulator_text[r.accumulator.number]
                    self.line(f"{accumulator} = {self.combine(r.combine, r.accumulator.dtype, accumulator, v)}")
                self.stores(st.stores)
            self.stores(kernel.finals)

    def across(self) -> None:
        """Rows whose sums each unit adds up: unit u covers `chunk` rows from u * chunk on."""
        kernel = self.kernel
        unit, *rows = kernel.rows
        self.block_arrays()
        name = self.fresh("unit")
        with self.loop(f"for {name} in range(begin, end):", (unit,), [name]):
            width = self.dim(product([a.extent for a in kernel.reduced]))
            for buffer, identity in kernel.partials:
                position = self.fresh("lane")
                self.line(f"for {position} in range({name} * {width}, {name} * {width} + {width}):")
                self.line(f"    {self.params[id(buffer)]}[{position}] = {scalar.literal(identity.value, identity.dtype)}")
            chunk = self.dim(kernel.chunk)
            self.line(f"start = {name} * {chunk}")
            self.line(f"stop = min({self.dim(product([a.extent for a in rows]))}, start + {chunk})")
            self.row_passes(rows, "start", "stop")

    # --- the whole text ------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        kernel = self.kernel
        body = [f"{self.params[id(b)]} = buffer_{scalar.SUFFIX[b.dtype.name]}(buffers, {k})" for k, b in enumerate(kernel.params)]
        if kernel.checks:
            body.append(f"errors = buffer_i64(buffers, {len(kernel.params)})")
        body += [f"d{k} = dims[{k}]" for k in range(len(self.dims))]
        body += self.regions[0].lines
        return assemble(body, self.note)


class _Guard(Region):
    """The body of one branch: values made there are locals of the branch."""

    def __init__(self, inner: Region, depth: int) -> None:
        super().__init__(-1)  # whatever is computed inside stays inside: a load must not leave its guard
        self.lines = inner.lines

    # `region_of` finds a guard first, as its depth is below every other.


def rounded(text: str, dtype: DType) -> str:
    """A value passed through a 16-bit float."""
    if dtype.name == "float16":
        return f"load_f16(store_f16({text}))"
    return f"load_bf16(store_bf16({text}))" if dtype.name == "bfloat16" else text


def assemble(body: Sequence[str], docstring: str = "") -> str:
    """A whole source file: imports of what the body uses, then the function."""
    text = "\n".join("    " + line for line in ([f'"""{docstring}"""'] if docstring else []) + [*body])
    names = scalar.helper_names(text)
    numpy_names = sorted(names & _NUMPY_NAMES)
    lines = []
    if any(word in text for word in ("inf", "nan")):
        lines.append("from math import inf, nan")
    lines.append("")
    if numpy_names:
        lines.append(f"from numpy import {', '.join(numpy_names)}")
        lines.append("")
    for module, known in helper_modules().items():
        used = sorted(names & known)
        if used:
            lines.append(f"from graphflow.codegen.{module} import {', '.join(used)}")
    head = "\n".join(lines).strip()
    return f"{head}\n\n\ndef kernel(buffers, dims, begin, end):\n{text}\n"


@cache
def helper_modules() -> Mapping[str, set[str]]:
    """The functions that kernels may call, by module; read from the modules' text, as importing some would import numba.

    They are what a decorator or a call makes: `@helper` above `def erf_f32`, `exp_f32, exp_f64 = helper(...), helper(...)`.
    """
    modules: dict[str, set[str]] = {}
    for module in ("bits", "helpers", "integer_math", "intrinsics", "special_math", "vector_math"):
        text = (Path(__file__).parent / f"{module}.py").read_text()
        modules[module] = set(re.findall(r"^@\w+\ndef ([a-z]\w*)", text, re.M))
        for names in re.findall(r"^([a-z][\w, ]*?) = \w+\(", text, re.M):
            modules[module].update(name.strip() for name in names.split(","))
    return modules


def clean(name: str) -> str:
    """A Python name for a tensor: its last part, without what names may not hold."""
    last = name.split("/")[-1]
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in last)[:40].strip("_") or "value"
    text = text if not text[0].isdigit() else f"v{text}"
    return f"{text}_" if text in _RESERVED or text.startswith(("i0", "i1", "d0", "d1")) else text


_BUILT_IN = "min max abs bool complex range round pow inf nan"
_OF_KERNELS = "kernel buffers dims begin end start stop count tile unit row rest errors chosen at index lane"
_RESERVED = frozenset([*keyword.kwlist, *_BUILT_IN.split(), *_OF_KERNELS.split()]) | _NUMPY_NAMES


def _closes_at_end(text: str) -> bool:
    """Is `f(...)` one call up to its last character?"""
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and char == ")":
            return position == len(text) - 1
    return False


def emit(kernel: Kernel) -> Source:
    """The source of a kernel, with a comment that says what it computes."""
    return Emitter(kernel).run()
