"""`Executable`: a compiled program; `Binding`: its launch program for one set of sizes; `Context`: the memory of one run.

A run fills in the addresses of what changes (feeds, variables, fetched results), makes one native call that walks all
launches, and commits the updates of variables, all of them or, when it failed, none.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.codegen import cache
from graphflow.codegen.emit import Source
from graphflow.codegen.library_values import LIBRARY_VALUES, LibraryValue
from graphflow.errors import FeedError, IndexOutOfRangeError, ResourceError, ShapeError, UninitializedVariableError
from graphflow.ir.graph import Graph
from graphflow.ir.program import Program
from graphflow.ir.tensor import Constraint, Node, Tensor
from graphflow.loop.inline import storage
from graphflow.loop.ir import Buffer, FusionGroup, Kernel
from graphflow.runtime import blas, native
from graphflow.runtime.memory import LiveRange, MemoryPlan, plan_memory
from graphflow.types import AnySize, Dim, Size, evaluate, int64

REMEMBERED_BINDINGS = 64  # sets of sizes whose launch program and arena are kept; the oldest goes first
REUSED_BYTES = 1 << 26  # results up to this size are kept for a later run, which takes them over if the caller let go of them
_OURS = 2  # references to an array that only its context holds: the local name, and the argument of getrefcount
STAGED_BYTES = 2048  # feeds and results up to this size are copied into the context: cheaper than asking for an address


@dataclass(frozen=True)
class Launch:
    """A row of the launch program before sizes are known."""

    source: Source
    address: int
    slots: tuple[int, ...]

    @property
    def kernel(self) -> Kernel:
        return self.source.kernel


@dataclass(frozen=True)
class Slot:
    """A buffer and where its memory comes from."""

    buffer: Buffer
    kind: str  # "feed", "variable", "constant", "counter", "output", "state", "arena", "errors"
    tensor: Tensor | None


class VariableStore:
    """The values of variables in one session."""

    def __init__(self) -> None:
        self.values: dict[Any, np.ndarray] = {}
        self.counter = 0
        self.lock = threading.RLock()

    def value(self, tensor: Tensor) -> np.ndarray:
        """The value of a variable's tensor; UninitializedVariableError if it has none yet."""
        handle = tensor.attrs["handle"]
        found = self.values.get(handle)
        if found is None:
            raise UninitializedVariableError(
                f"variable {handle.name} has no value in this session",
                operands={"variable": handle},
                rule="Run gf.global_variables_initializer() in this session first.",
            )
        return found


@dataclass
class Context:
    """What one run writes to; reused by later runs."""

    words: np.ndarray  # the driver's context: slots, pointers, errors, pool, failed row
    address: int
    slots: np.ndarray
    errors: np.ndarray
    arena: np.ndarray
    keep: list[Any]
    counter: np.ndarray
    feeds: list[tuple[int, int, np.ndarray | None]]  # slot, feed, and where a small one is copied to
    staged: dict[int, np.ndarray]  # small results, copied out to the caller
    spare: dict[int, np.ndarray] = field(default_factory=dict)


class Executable:
    """A compiled program and every stage it went through."""

    def __init__(
        self,
        *,
        built: Program,
        records: tuple[Any, ...],
        program: Program,
        groups: tuple[FusionGroup, ...],
        kernels: tuple[Kernel, ...],
        sources: tuple[Source, ...],
        constraints: tuple[tuple[Constraint, Node], ...],
        graph: Graph | None,
    ) -> None:
        self.built = built
        self.records = records
        self.program = program
        self.groups = groups
        self.kernels = kernels
        self.sources = sources
        self.constraints = constraints
        self.graph = graph
        self.feeds = tuple(t for t in built.inputs if t.op.name == "placeholder")
        self.uses_counter = any(t.op.name == "run_counter" for t in program_sources(program))
        self.slots: list[Slot] = []
        self._numbers: dict[int, int] = {}
        self.launches = tuple(self._launch(source) for source in sources)
        self.updates = tuple(self._update(variable, value) for variable, value in program.updates)
        self.results = tuple(self._result(tensor) for tensor in program.outputs)
        self.uses_variables = (
            bool(self.updates)
            or any(s.kind == "variable" for s in self.slots)
            or any(kind == "variable" for kind, _, _ in self.results)
        )
        self._bindings: dict[tuple[tuple[int, ...], ...], Binding] = {}
        self._lock = threading.Lock()

    # --- slots -----------------------------------------------------------------------------------------------------------

    def _launch(self, source: Source) -> Launch:
        address = cache.load(source.text, f"group {source.kernel.group.number}: {source.kernel.name}")
        numbers = [self._slot(buffer) for buffer in source.kernel.params]
        if source.kernel.checks:
            numbers.append(self._error_slot())
        return Launch(source, address, tuple(numbers))

    def _slot(self, buffer: Buffer) -> int:
        number = self._numbers.get(id(buffer))
        if number is None:
            number = self._numbers[id(buffer)] = len(self.slots)
            self.slots.append(Slot(buffer, self._kind(buffer), buffer.tensor))
        return number

    def _error_slot(self) -> int:
        for number, slot in enumerate(self.slots):
            if slot.kind == "errors":
                return number
        self.slots.append(Slot(_ERRORS, "errors", None))
        return len(self.slots) - 1

    def _kind(self, buffer: Buffer) -> str:
        tensor = buffer.tensor
        if tensor is None:
            return "arena"
        if tensor.op.access.name == "SOURCE":
            return {"placeholder": "feed", "variable": "variable", "constant": "constant", "run_counter": "counter"}[
                tensor.op.name
            ]
        if any(storage(value) is tensor for _, value in self.program.updates):
            return "state"
        return "output" if any(storage(t) is tensor for t in self.program.outputs) else "arena"

    def _update(self, variable: Tensor, value: Tensor) -> tuple[Tensor, Tensor, int | None]:
        base = storage(value)
        for number, slot in enumerate(self.slots):
            if slot.tensor is base and slot.kind == "state":
                return variable, value, number
        if base.op.access.name == "SOURCE":
            return variable, value, None
        # Written in place: the launch program has the variable's own buffer where the value would be.
        return variable, variable, None

    def _result(self, tensor: Tensor) -> tuple[str, Any, Tensor]:
        base = storage(tensor)
        if base.op.access.name == "SOURCE":
            if base.op.name == "placeholder":
                return "feed", self.feeds.index(base), tensor
            return base.op.name, base, tensor
        for number, slot in enumerate(self.slots):
            if slot.tensor is base:
                return slot.kind, number, tensor
        raise AssertionError(f"{tensor!r} is computed nowhere")

    # --- sizes -----------------------------------------------------------------------------------------------------------

    def bind(self, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        """The launch program for feeds of these shapes; remembered."""
        found = self._bindings.get(shapes)
        if found is None:
            with self._lock:
                found = self._bindings.get(shapes)
                if found is None:
                    found = Binding(self, shapes)
                    while len(self._bindings) >= REMEMBERED_BINDINGS:
                        self._bindings.pop(next(iter(self._bindings)))
                    self._bindings[shapes] = found
        return found

    def solve_dims(self, shapes: Sequence[Sequence[int]]) -> dict[Dim, int]:
        """The numbers that symbols stand for; FeedError where shapes contradict the placeholders or one another."""
        values: dict[Dim, int] = {}
        origin: dict[Dim, Tensor] = {}
        later: list[tuple[Tensor, AnySize, int]] = []
        for tensor, shape in zip(self.feeds, shapes, strict=True):
            if len(shape) != tensor.rank:
                raise FeedError(
                    f"placeholder {tensor.name} is fed an array of shape {list(shape)}",
                    operands={"placeholder": tensor},
                    rule=f"It takes rank {tensor.rank}.",
                )
            for wanted, size in zip(tensor.shape, shape, strict=True):
                if isinstance(wanted, int):
                    if wanted != size:
                        raise FeedError(
                            f"placeholder {tensor.name} is fed an array of shape {list(shape)}",
                            operands={"placeholder": tensor},
                            rule=f"It takes {tensor.type}.",
                        )
                    continue
                dim = single_symbol(wanted)
                if dim is None:
                    later.append((tensor, wanted, size))
                elif values.setdefault(dim, size) != size:
                    raise FeedError(
                        f"size {dim} is {values[dim]} in {origin[dim].name} and {size} in {tensor.name}",
                        operands={"one": origin[dim], "other": tensor},
                        rule="One symbol is one size in a run.",
                    )
                else:
                    origin.setdefault(dim, tensor)
        for tensor, wanted, size in later:
            assert isinstance(wanted, Size)
            if wanted.dims <= values.keys() and evaluate(wanted, values) != size:
                raise FeedError(
                    f"{tensor.name} is fed a size of {size} where it has {wanted} = {evaluate(wanted, values)}",
                    operands={"tensor": tensor},
                    rule="A fed tensor has the shape it would have been computed with.",
                )
        return values

    def check_constraints(self, values: Mapping[Dim, int]) -> None:
        """ShapeError where sizes known only now do not fit together."""
        for constraint, node in self.constraints:
            a, b = (self.size(s, values, node) for s in (constraint.a, constraint.b))
            fits = {
                "equal": a == b,
                "broadcast": a == b or a == 1,
                "divisible": b != 0 and a % b == 0,
                "within": 0 <= a <= b,
            }[constraint.kind]
            if not fits:
                labels = node.op.operands if not node.op.variadic else tuple(f"operand {i}" for i in range(len(node.inputs)))
                raise ShapeError(
                    f"{node.op.name} ({node.name}): {constraint.text}: {a} and {b}",
                    operands=dict(zip(labels, node.inputs, strict=False)),
                    location=node.location,
                )

    def size(self, size: AnySize, values: Mapping[Dim, int], what: Any) -> int:
        """A size as a number; FeedError where a symbol has none."""
        try:
            return evaluate(size, values)
        except KeyError as error:
            dim = error.args[0]
            source = self.graph.dim_origin(dim) if self.graph is not None else None
            name = source.name if source is not None else "the placeholder it belongs to"
            raise FeedError(
                f"size {dim} is not known",
                operands={"placeholder": source} if source is not None else {},
                rule=f"Feed {name} as well: its shape gives the size.",
            ) from None

    def raise_error(self, context: Context, binding: Binding) -> None:
        """Turn the error record of a failed run into an exception."""
        row = int(context.words[4]) - 1
        site, index, size = (int(x) for x in context.errors[:3])
        context.errors[0] = 0
        context.words[4] = 0
        kernel = self.launches[row].kernel
        node = kernel.checks[site - 1]
        labels = node.op.operands if not node.op.variadic else tuple(f"operand {i}" for i in range(len(node.inputs)))
        axis = node.attrs.get("axis", 0)
        raise IndexOutOfRangeError(
            f"{node.op.name} ({node.name}): index {index} is outside axis {axis} of size {size}",
            operands=dict(zip(labels, node.inputs, strict=False)),
            location=node.location,
            rule=f"Indices run from 0 to {size - 1}. No variable was changed."
            if size
            else "The axis is empty. No variable was changed.",
        )

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self, arrays: Sequence[Any], store: VariableStore) -> list[Any]:
        """The values of `program.outputs`; updates are committed. `arrays` are contiguous and of the placeholders' dtypes."""
        shapes = tuple([a.shape for a in arrays])
        binding = self._bindings.get(shapes) or self.bind(shapes)
        if not self.uses_variables and not self.uses_counter:
            return binding.run(arrays, store)
        with store.lock:
            return binding.run(arrays, store)


class Binding:
    """The launch program for one set of sizes, with a stock of contexts so that several threads can run it."""

    def __init__(self, executable: Executable, shapes: tuple[tuple[int, ...], ...]) -> None:
        self.executable = executable
        self.values = executable.solve_dims(shapes)
        executable.check_constraints(self.values)
        self.sizes = [self._bytes(slot) for slot in executable.slots]
        self.memory = self._plan()
        self._limit()
        self._table()
        self.contexts: list[Context] = []
        self._tell_slots()

    def evaluate(self, size: AnySize | LibraryValue) -> int:
        if isinstance(size, LibraryValue):
            args = [self.evaluate(a) for a in size.args]
            if size.name in LIBRARY_VALUES:
                return LIBRARY_VALUES[size.name](*args)
            return blas.function_address(size.name, *args)
        return self.executable.size(size, self.values, None)

    def _bytes(self, slot: Slot) -> int:
        count = self.evaluate(slot.buffer.size)
        size = count * slot.buffer.dtype.itemsize
        if slot.tensor is not None:
            sizes = [self.evaluate(d) for d in slot.tensor.shape]
            if any(d < 0 for d in sizes):
                raise ShapeError(f"{slot.tensor.name} would have the shape {sizes}", operands={"tensor": slot.tensor})
        return size

    def _plan(self) -> MemoryPlan:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for k, launch in enumerate(self.executable.launches):
            for number in launch.slots:
                first.setdefault(number, k)
                last[number] = k
        self.arena_slots = [n for n, s in enumerate(self.executable.slots) if s.kind == "arena"]
        slots = self.executable.slots
        return plan_memory([LiveRange(slots[n].buffer.name, self.sizes[n], first[n], last[n]) for n in self.arena_slots])

    def _limit(self) -> None:
        """ResourceError, before anything is allocated, where a run needs more memory than there is."""
        fresh = [n for n, s in enumerate(self.executable.slots) if s.kind in ("output", "state")]
        total = self.memory.arena_bytes + sum(self.sizes[n] for n in fresh)
        limit = native.physical_memory()
        if total <= limit:
            return
        slots = self.executable.slots
        worst = max([*self.arena_slots, *fresh], key=lambda n: self.sizes[n])
        tensor = slots[worst].tensor
        operand = {"result": tensor} if tensor is not None else {}
        raise ResourceError(
            f"the run needs {total:,} bytes; {slots[worst].buffer.name} alone has {self.sizes[worst]:,}",
            operands=operand,
            rule=f"This machine has {limit:,} bytes. Feed smaller arrays, or fetch less at once.",
        )

    def _table(self) -> None:
        launches = self.executable.launches
        self.table = np.zeros((len(launches), native.ROW), np.int64)
        self.keep: list[np.ndarray] = []
        self.parallel = False
        for row, launch in zip(self.table, launches, strict=True):
            numbers = np.array(launch.slots, np.int64)
            dims = np.array([self.evaluate(d) for d in launch.source.dims], np.int64)
            extent = self.evaluate(launch.source.extent)
            grain = self.grain(launch, extent)
            self.keep += [numbers, dims]
            row[:7] = [
                launch.address,
                numbers.ctypes.data,
                len(numbers),
                dims.ctypes.data,
                extent,
                grain,
                bool(launch.kernel.checks),
            ]
            self.parallel |= extent > grain
        self.width = max((len(launch.slots) for launch in launches), default=1)
        self.table_address = self.table.ctypes.data
        self.rows = len(launches)

    def grain(self, launch: Launch, extent: int) -> int:
        """Units of a chunk: all of them where a second thread would not pay; depends on sizes only, never on threads."""
        if isinstance(launch.source.extent, LibraryValue):
            return 1
        kernel = launch.kernel
        work = self.evaluate(elements_of(kernel)) * cost_of(kernel) * OPERATION_NS
        work += sum(self.sizes[n] for n in launch.slots) / BYTES_PER_NS
        if work < PARALLEL_NS:
            return max(1, extent)
        units = max(1, round(CHUNK_NS * extent / work))
        if kernel.form == "map" and len(kernel.rows) <= 1:
            units = -(-units // 64) * 64
        return units

    def _tell_slots(self) -> None:
        """Who fills which slot before a run."""
        slots = self.executable.slots
        self.feed_slots = [(n, self.executable.feeds.index(s.tensor)) for n, s in enumerate(slots) if s.kind == "feed"]  # type: ignore[arg-type]
        self.variable_slots = [(n, s.tensor) for n, s in enumerate(slots) if s.kind == "variable" and s.tensor is not None]
        self.fresh_slots = [
            (n, tuple(self.evaluate(d) for d in s.tensor.shape), s.tensor.dtype.numpy, s.kind)  # type: ignore[union-attr]
            for n, s in enumerate(slots)
            if s.kind in ("output", "state")
        ]
        self.result_shapes = [tuple(self.evaluate(d) for d in t.shape) for _, _, t in self.executable.results]
        self.allocates = any(kind == "state" or self.sizes[n] > STAGED_BYTES for n, _, _, kind in self.fresh_slots)
        self.reusable = [
            n for n, _, _, kind in self.fresh_slots if kind == "output" and STAGED_BYTES < self.sizes[n] <= REUSED_BYTES
        ]
        self.fetches = [self._fetcher(k) for k in range(len(self.result_shapes))]
        self.may_fail = any(launch.kernel.checks for launch in self.executable.launches)
        self.walk = native.run_table()

    # --- contexts ----------------------------------------------------------------------------------------------------------

    def context(self) -> Context:
        """Memory for a run."""
        slots = np.zeros(len(self.executable.slots) + 1, np.int64)
        pointers = np.zeros(self.width + 1, np.int64)
        errors = np.zeros(8, np.int64)
        try:
            arena = native.aligned_empty((self.memory.arena_bytes,), np.dtype(np.uint8))
        except MemoryError:
            raise ResourceError(f"no memory for an arena of {self.memory.arena_bytes:,} bytes") from None
        keep: list[Any] = [pointers]
        base = arena.ctypes.data
        for number, offset in zip(self.arena_slots, self.memory.offsets, strict=True):
            slots[number] = base + offset
        counter = np.zeros(2, np.uint32)
        for number, slot in enumerate(self.executable.slots):
            if slot.kind == "constant":
                values = np.ascontiguousarray(slot.tensor.attrs["value"].array)  # type: ignore[union-attr]
                keep.append(values)
                slots[number] = values.ctypes.data
            elif slot.kind == "counter":
                slots[number] = counter.ctypes.data
            elif slot.kind == "errors":
                slots[number] = errors.ctypes.data
        feeds: list[tuple[int, int, np.ndarray | None]] = []
        for number, feed in self.feed_slots:
            tensor = self.executable.feeds[feed]
            array: np.ndarray | None = None
            if self.sizes[number] <= STAGED_BYTES:
                array = native.aligned_empty(tuple(self.evaluate(d) for d in tensor.shape), tensor.dtype.numpy)
                slots[number] = array.ctypes.data
            feeds.append((number, feed, array))
        staged: dict[int, np.ndarray] = {}
        for number, shape, dtype, kind in self.fresh_slots:
            if kind == "output" and self.sizes[number] <= STAGED_BYTES:
                staged[number] = native.aligned_empty(shape, dtype)
                slots[number] = staged[number].ctypes.data
        words = np.array([slots.ctypes.data, pointers.ctypes.data, errors.ctypes.data, 0, 0, 0], np.int64)
        return Context(words, words.ctypes.data, slots, errors, arena, keep, counter, feeds, staged)

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self, arrays: Sequence[Any], store: VariableStore) -> list[Any]:
        """One run on contiguous arrays of the right types; the fetched values."""
        try:
            context = self.contexts.pop()
        except IndexError:
            context = self.context()
        try:
            slots = context.slots
            for number, feed, staged in context.feeds:
                if staged is not None:
                    staged[...] = arrays[feed]
                else:
                    slots[number] = native.address(arrays[feed])
            for number, tensor in self.variable_slots:
                slots[number] = native.address(store.value(tensor))
            fresh = context.staged if not self.allocates else self._fresh(context)
            if self.executable.uses_counter:
                context.counter[0] = store.counter & 0xFFFFFFFF
            if self.rows:
                if self.parallel:
                    context.words[3] = native.pool_address()
                self.walk(context.address, self.table_address, 0, self.rows)
                if self.may_fail and context.words[4]:
                    self.executable.raise_error(context, self)
            results = [fetch(fresh, arrays, store) for fetch in self.fetches]
            for number in self.reusable:
                context.spare[number] = fresh[number]
            if self.executable.updates:
                self._commit(context, fresh, arrays, store)
            if self.executable.uses_counter:
                store.counter += 1
            return results
        finally:
            self.contexts.append(context)

    def _fresh(self, context: Context) -> dict[int, np.ndarray]:
        """Memory for results and next values: the context's own for small ones, else an array that nobody else holds.

        That is the array of an earlier run if the caller has let go of it, which saves the pages of a new one.
        """
        found, spare, slots = context.staged.copy(), context.spare, context.slots
        for number, shape, dtype, _ in self.fresh_slots:
            if number in found:
                continue
            array = spare.pop(number, None)
            if array is None or sys.getrefcount(array) > _OURS:
                array = self._allocate(shape, dtype)
            slots[number] = native.address(array)
            found[number] = array
        return found

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        try:
            return native.aligned_empty(shape, dtype)
        except MemoryError:
            raise ResourceError(f"no memory for an array of {dtype}{list(shape)}") from None

    def _fetcher(self, k: int) -> Callable[[dict[int, np.ndarray], Sequence[Any], VariableStore], Any]:
        """The function that gives the caller fetched value `k`: an array of its own, or a scalar."""
        kind, key, tensor = self.executable.results[k]
        shape = self.result_shapes[k]
        if kind in ("output", "state"):
            shared = kind == "state" or self.sizes[key] <= STAGED_BYTES
            shared |= any(r[0] == "output" and r[1] == key for r in self.executable.results[:k])
            if not shape:
                if tensor.shape == self.executable.slots[key].tensor.shape:  # type: ignore[union-attr]
                    return lambda fresh, arrays, store: fresh[key][()]
                return lambda fresh, arrays, store: fresh[key].reshape(())[()]
            if shared:
                return lambda fresh, arrays, store: fresh[key].reshape(shape).copy()
            return lambda fresh, arrays, store: fresh[key].reshape(shape)

        def fetch(fresh: dict[int, np.ndarray], arrays: Sequence[Any], store: VariableStore) -> Any:
            if kind == "feed":
                array = np.array(arrays[key], dtype=tensor.dtype.numpy, copy=True)
            elif kind == "variable":
                array = store.value(key).copy()
            elif kind == "run_counter":
                array = np.array(store.counter, np.uint32)
            else:
                array = key.attrs["value"].array.copy()
            return array.reshape(shape) if shape else array.reshape(())[()]

        return fetch

    def _commit(self, context: Context, fresh: dict[int, np.ndarray], arrays: Sequence[Any], store: VariableStore) -> None:
        """Give all variables their next values; nothing in here can fail half-way."""
        pending: list[tuple[Tensor, np.ndarray, int | None]] = []
        used: set[int] = set()
        for variable, value, number in self.executable.updates:
            if number is not None:
                array = fresh[number]
                if number in used:
                    array = array.copy()
                used.add(number)
                pending.append((variable, array.reshape(shape_of(variable)), number))
            elif value is not variable:
                base = storage(value)
                if base.op.name == "placeholder":
                    array = np.array(arrays[self.executable.feeds.index(base)], dtype=value.dtype.numpy, copy=True)
                elif base.op.name == "variable":
                    array = store.value(base).copy()
                else:
                    array = base.attrs["value"].array.copy()
                pending.append((variable, aligned_copy(array.reshape(shape_of(variable))), None))
        for variable, array, number in pending:
            handle = variable.attrs["handle"]
            old = store.values.get(handle)
            store.values[handle] = array
            if number is not None and old is not None and old.dtype == array.dtype:
                context.spare[number] = old.reshape(fresh[number].shape)


# The work of a kernel is estimated from its operations and bytes, at what one core with AVX2 did (docs/performance.md).
OPERATION_NS = 0.035  # of one addition on one float32, vectorised; costs of ops are in additions
BYTES_PER_NS = 10.0  # from and to memory
PARALLEL_NS = 150_000.0  # less work stays on the calling thread: waking another takes 40,000 (decision 0003)
CHUNK_NS = 20_000.0  # work that is handed out at a time: much more than the 0.2 us that handing out takes
_ERRORS = Buffer("errors", int64, 8)


def shape_of(variable: Tensor) -> tuple[int, ...]:
    """The shape of a variable: its sizes are all known."""
    return tuple(int(size) for size in variable.shape)  # type: ignore[arg-type]


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy that starts at a cache line."""
    result = native.aligned_empty(array.shape, array.dtype)
    result[...] = array
    return result


def single_symbol(size: AnySize) -> Dim | None:
    """The symbol a size consists of, if it is one symbol."""
    if isinstance(size, Size) and len(size.terms) == 1:
        monomial, factor = size.terms[0]
        if factor == 1 and len(monomial) == 1 and isinstance(monomial[0], Dim):
            return monomial[0]
    return None


def elements_of(kernel: Kernel) -> AnySize:
    """Elements of the domain of a kernel."""
    result: AnySize = 1
    for axis in (*kernel.rows, *kernel.reduced, *kernel.lanes):
        if axis.name != "unit":
            result = result * axis.extent
    return result if kernel.form != "row" or kernel.reduced or kernel.rows else 1


def cost_of(kernel: Kernel) -> float:
    """Operations an element of a kernel's domain costs, loads and stores included."""
    return sum(node.op.cost for node in kernel.group.members) + len(kernel.params)


def program_sources(program: Program) -> list[Tensor]:
    """Placeholders, variables and constants that a program reads."""
    return [node.output for node in program.nodes if node.op.access.name == "SOURCE"]
