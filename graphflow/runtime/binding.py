"""`Binding`: the launch program for one set of sizes; `Context`: the memory of one run.

A run fills in the addresses of what changes (feeds, variables, fetched results), makes one native call that walks all
launches, and commits the updates of variables, all of them or, when it failed, none.
"""

from __future__ import annotations

import math
import sys
from array import array as packed
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from operator import getitem
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.codegen.library_values import LIBRARY_VALUES, LibraryValue, flops_of
from graphflow.errors import ResourceError, ShapeError
from graphflow.ir.liveness import Repeated, live_ranges
from graphflow.runtime import blas, native
from graphflow.runtime.host import HostCall
from graphflow.runtime.launch import Call, Launch, Move, Place, Slot
from graphflow.runtime.memory import LiveRange, MemoryPlan, MemoryReport, plan_memory
from graphflow.runtime.variables import Store
from graphflow.types import AnySize

if TYPE_CHECKING:
    from graphflow.runtime.executable import Executable

REUSED_BYTES = 1 << 26  # results up to this size are kept for a later run, which takes them over if the caller let go of them
STAGED_BYTES = 2048  # feeds and results up to this size are copied into the context: cheaper than asking for an address

# The work of a kernel is estimated from its operations and bytes, at what one core with AVX2 did (docs/performance.md).
OPERATION_NS = 0.035  # of one addition on one float32, vectorised; costs of ops are in additions
BYTES_PER_NS = 10.0  # from and to memory
FLOP_NS = 0.013  # of one floating-point operation of a product
PARALLEL_NS = 150_000.0  # less work stays on the calling thread: waking another takes 40,000 (decision 0003)
LONG_NS = 250_000.0  # in a run of so much work another thread is woken once, and awake for whatever launch
AWAKE_NS = 5_000.0  # is worth handing out to it: that takes 300
CHUNK_NS = 20_000.0  # work that is handed out at a time
CHUNKS = 8  # of a launch that has less
MOVE_NS = 5.0  # of a row that launches nothing
BRIEF_NS = 20_000.0  # a run of less work keeps the GIL: other threads wait no longer than for a line of Python


MOVE = 2  # in the place of "may it fail?", marks a row that launches nothing
OPS = {  # their numbers, as in `driver.move`
    name: number
    for number, name in enumerate(
        ("point", "locate", "turn", "count", "again", "until", "unless", "copy", "store", "jump", "choose", "clear"), start=1
    )
}
KEPT = 2  # arrays of one result: a caller may have each until it has the next one


@dataclass
class Context:
    """What one run writes to; reused by later runs."""

    words: packed[int]  # what the native side reads: see `runtime.driver`
    slots: packed[int]
    errors: packed[int]
    counter: packed[int]
    enter: Callable[[], int]  # runs the launches
    keep: list[Any]  # what the addresses in it point into
    feeds: list[tuple[np.ndarray, Any, int]]  # where a small feed is copied to, under which index, and which it is
    staged: dict[int, np.ndarray]  # small results by slot, copied out to the caller
    results: list[Callable[[], Any]]  # copies of the results, where all of them are small
    spare: dict[int, list[np.ndarray]] = field(default_factory=dict)  # arrays by slot that a later run may take


class Binding:
    """The launch program for one set of sizes, with a stock of contexts so that several threads can run it."""

    def __init__(self, executable: Executable, shapes: tuple[tuple[int, ...], ...]) -> None:
        self.executable = executable
        self.program = executable.launch_program
        self.values = executable.solve_dims(shapes)
        executable.check_constraints(self.values)
        self.shapes = [self._shape(slot) for slot in self.program.slots]
        self.sizes = [prod(shape) * slot.dtype.itemsize for shape, slot in zip(self.shapes, self.program.slots, strict=True)]
        self.memory = self._plan()
        self._limit()
        self._table()
        self._tell_slots()
        self.contexts: list[Context] = []

    def evaluate(self, size: AnySize | LibraryValue) -> int:
        """A size as a number."""
        if isinstance(size, LibraryValue):
            if size.name == "poll":
                return native.poll_address()
            args = [self.evaluate(a) for a in size.args]
            if size.name in LIBRARY_VALUES:
                return LIBRARY_VALUES[size.name](*args)
            return blas.function_address(size.name, *args)
        return self.executable.size(size, self.values)

    def _shape(self, slot: Slot) -> tuple[int, ...]:
        shape = tuple([self.evaluate(d) for d in slot.shape])
        if any(d < 0 for d in shape):
            raise ShapeError(
                f"{self.executable.slot_name(slot)} would have the shape {list(shape)}",
                operands=self.executable.operand("tensor", slot),
            )
        return shape

    def _plan(self) -> MemoryPlan:
        cycles = [Repeated(c.first, c.head, c.last - 1, c.pinned) for c in self.program.cycles]
        alive = live_ranges([row.slots for row in self.program.rows], cycles)
        self.arena_slots = [n for n, s in enumerate(self.program.slots) if s.kind == "arena" and n in alive]
        name = self.executable.slot_name
        slots = self.program.slots
        return plan_memory([LiveRange(name(slots[n]), self.sizes[n], *alive[n]) for n in self.arena_slots])

    def _limit(self) -> None:
        """ResourceError, before anything is allocated, where a run needs more memory than there is."""
        slots = self.program.slots
        fresh = [n for n, s in enumerate(slots) if s.kind in ("output", "state")]
        total = self.memory.arena_bytes + sum(self.sizes[n] for n in fresh)
        limit = native.physical_memory()
        if total <= limit:
            return
        worst = max([*self.arena_slots, *fresh], key=lambda n: self.sizes[n])
        raise ResourceError(
            f"the run needs {total:,} bytes; {self.executable.slot_name(slots[worst])} alone has {self.sizes[worst]:,}",
            operands=self.executable.operand("result", slots[worst]),
            rule=f"This machine has {limit:,} bytes. Feed smaller arrays, or fetch less at once.",
        )

    def _table(self) -> None:
        rows = packed("q")
        self.keep: list[packed[int]] = [rows]
        self.hosts: list[HostCall] = []
        self.parallel = False
        works = [self.work(row) if isinstance(row, Launch) else MOVE_NS for row in self.program.rows]
        total = self.total(works)
        worth = AWAKE_NS if total >= LONG_NS else PARALLEL_NS
        self.polls = len(self.program.launches) < len(self.program.rows) or any(
            isinstance(d, LibraryValue) and d.name == "poll" for launch in self.program.launches for d in launch.dims
        )
        self.brief = total < BRIEF_NS and not self.polls and not any(launch.library for launch in self.program.launches)
        addresses = iter(self.executable.addresses)
        for k, row in enumerate(self.program.rows):
            numbers = packed("q", row.slots)
            values = packed("q")
            if isinstance(row, Move):
                values = packed("q", [*(self.evaluate(v) for v in row.values), *row.targets])
                target = row.targets[0] if row.targets else 0
                what = (OPS[row.op], target, MOVE, round(sum(works[target : k + 1])) if row.op == "again" else 0)
                address = native.move_address()
            elif isinstance(row, Call):
                host = HostCall(row, self.values, self.executable.raised)
                self.hosts.append(host)
                what = (0, 0, MOVE, 0)
                address = host.address
            else:
                address = next(addresses)
                values = packed("q", [self.evaluate(d) for d in row.dims])
                extent = self.evaluate(row.extent)
                grain = max(1, extent) if works[k] < worth else self.grain(row, extent, works[k])
                what = (extent, grain, bool(row.checks), round(works[k]))
                self.parallel |= extent > grain
            self.keep += [numbers, values]
            rows.extend((address, native.address_of(numbers), len(numbers), native.address_of(values), *what))
        self.brief &= not self.parallel
        self.width = max((len(launch.slots) for launch in self.program.launches), default=1)
        self.table_address = native.address_of(rows)

    def total(self, works: Sequence[float]) -> float:
        """The estimated work of a run, in nanoseconds; without end where a loop has no bound."""
        times = [1.0] * len(works)
        for cycle in self.program.cycles:
            trips = math.inf if cycle.trips is None else self.evaluate(cycle.trips)
            for k in range(cycle.head, cycle.last):
                times[k] *= trips
        return sum(work * count for work, count in zip(works, times, strict=True) if work)

    def report(self) -> MemoryReport:
        """The memory of a run."""
        executable, slots = self.executable, self.program.slots
        of_kind = lambda kind: sum(size for size, s in zip(self.sizes, slots, strict=True) if s.kind == kind)  # noqa: E731
        written_over = [
            f"{node.name} is written over {executable.slot_name(slots[merge.slot])} (launch {merge.launch})"
            for merge in self.program.merges
            if (node := executable.node(merge.node)) is not None
        ]
        copies = sum(
            prod(shape) * tensor.dtype.itemsize
            for shape, tensor, k in zip(self.result_shapes, executable.built.outputs, range(len(self.fetches)), strict=True)
            if not self.is_handed_over(k)
        )
        variables = {executable.handle(s.number) for s in slots if s.kind == "variable"} | {h for h, _ in executable.updated}
        return MemoryReport(
            plan=self.memory,
            feeds=sum(prod([self.evaluate(d) for d in t.shape]) * t.dtype.itemsize for t in executable.feeds),
            variables=sum(prod([self.evaluate(d) for d in v.shape]) * v.dtype.itemsize for v in variables),
            constants=sum(array.nbytes for array in self.program.constants),
            results=of_kind("output") + copies,
            next_values=of_kind("state"),
            in_place=tuple(written_over),
        )

    def work(self, launch: Launch) -> float:
        """The estimated time of a launch on one thread, in nanoseconds."""
        moved = sum(self.sizes[n] for n in launch.slots)
        found = self.evaluate(launch.elements) * launch.cost * OPERATION_NS + moved / BYTES_PER_NS
        if isinstance(launch.extent, LibraryValue):
            found += FLOP_NS * flops_of(launch.extent.name, *map(self.evaluate, launch.extent.args))
        return found

    def grain(self, launch: Launch, extent: int, work: float) -> int:
        """Units of a chunk; depends on sizes only, never on threads."""
        chunk = min(CHUNK_NS, work / CHUNKS)
        units = max(1, round(chunk * extent / work))
        return -(-units // launch.step) * launch.step

    def _tell_slots(self) -> None:
        """Who fills which slot before a run, and who reads which after it."""
        executable, slots = self.executable, self.program.slots
        self.large_feeds = [(n, s.number) for n, s in enumerate(slots) if s.kind == "feed" and self.sizes[n] > STAGED_BYTES]
        self.variable_slots = [(n, executable.handle(s.number)) for n, s in enumerate(slots) if s.kind == "variable"]
        self.fresh_slots = [
            (n, self.shapes[n], s.dtype.numpy)
            for n, s in enumerate(slots)
            if s.kind == "state" or (s.kind == "output" and self.sizes[n] > STAGED_BYTES)
        ]
        self.reusable = [n for n, _, _ in self.fresh_slots if slots[n].kind == "output" and self.sizes[n] <= REUSED_BYTES]
        self.result_shapes = [tuple([self.evaluate(d) for d in t.shape]) for t in executable.built.outputs]
        self.fetches = [self._fetcher(k) for k in range(len(self.program.results))]
        # Nothing but feeds and small results: the context has all else.
        self.small = not (
            self.variable_slots
            or self.fresh_slots
            or self.parallel
            or self.program.updates
            or self.program.uses_counter
            or any(place.kind != "slot" for place in self.program.results)
        )
        self.locks = bool(self.variable_slots or self.program.updates or self.program.uses_counter) or any(
            place.kind in ("variable", "counter") for place in self.program.results
        )
        native.load_driver()

    # --- contexts ----------------------------------------------------------------------------------------------------------

    def context(self) -> Context:
        """Memory for a run."""
        slots = packed("q", bytes(8 * (len(self.program.slots) + 1)))
        pointers = packed("q", bytes(8 * (self.width + 1)))
        errors = packed("q", bytes(64))
        counter = packed("I", bytes(8))
        try:
            arena = native.aligned_empty((self.memory.arena_bytes,), np.dtype(np.uint8))
        except MemoryError:
            raise ResourceError(f"no memory for an arena of {self.memory.arena_bytes:,} bytes") from None
        base = native.address(arena)
        for number, offset in zip(self.arena_slots, self.memory.offsets, strict=True):
            slots[number] = base + offset
        feeds: list[tuple[np.ndarray, Any, int]] = []
        staged: dict[int, np.ndarray] = {}
        for number, slot in enumerate(self.program.slots):
            small = self.sizes[number] <= STAGED_BYTES
            if slot.kind == "constant":
                slots[number] = native.address(self.program.constants[slot.number])
            elif slot.kind == "counter":
                slots[number] = native.address_of(counter)
            elif slot.kind == "errors":
                slots[number] = native.address_of(errors)
            elif small and slot.kind in ("feed", "output"):
                memory = native.aligned_empty(self.shapes[number], slot.dtype.numpy)
                slots[number] = native.address(memory)
                if slot.kind == "feed":
                    feeds.append((memory, ... if self.shapes[number] else (), slot.number))
                else:
                    staged[number] = memory
        words = packed("q", [native.address_of(slots), native.address_of(pointers), native.address_of(errors), 0, 0])
        words.extend((self.table_address, len(self.program.rows), native.run_table_address(), not self.brief))
        words.extend([0] * 7)
        if self.polls:
            words[9] = native.address_of(words)
            words[11], words[13], words[15] = native.poll_address(), native.memmove_address(), native.memset_address()
        enter = native.entry(native.address_of(words))
        results = [self._copier(k, staged) for k in range(len(self.program.results))] if self.small else []
        return Context(words, slots, errors, counter, enter, [pointers, arena], feeds, staged, results)

    def _copier(self, k: int, staged: dict[int, np.ndarray]) -> Callable[[], Any]:
        """The function that gives a copy of result `k`, which is small: a scalar where it has no axes."""
        shape = self.result_shapes[k]
        memory = staged[self.program.results[k].number].reshape(shape)
        return memory.copy if shape else partial(getitem, memory, ())

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self, arrays: list[Any], store: Store) -> list[Any]:
        """One run on arrays or scalars of the placeholders' dtypes and of the binding's shapes; the fetched values."""
        if self.locks:
            with store.lock:
                return self._run(arrays, store)
        return self._run(arrays, store)

    def _run(self, arrays: list[Any], store: Store) -> list[Any]:
        try:
            context = self.contexts.pop()
        except IndexError:
            context = self.context()
        try:
            for memory, index, feed in context.feeds:
                memory[index] = arrays[feed]
            self._feed(context, arrays)
            if self.small:
                if context.enter():
                    raise self.executable.run_error(context, self.values)
                return [result() for result in context.results]
            fresh = self._fill(context, arrays, store)
            if context.enter():
                raise self.executable.run_error(context, self.values)
            results = [fetch(fresh, arrays, store) for fetch in self.fetches]
            self._commit(context, fresh, arrays, store)
            return results
        finally:
            self.contexts.append(context)

    def _feed(self, context: Context, arrays: list[Any]) -> None:
        """Tell the context where the large feeds are."""
        for number, feed in self.large_feeds:
            array = arrays[feed]
            if not (array.flags.c_contiguous and array.flags.aligned):
                array = arrays[feed] = np.require(array, requirements=["C", "A"])
            context.slots[number] = native.address(array)

    def _fill(self, context: Context, arrays: list[Any], store: Store) -> dict[int, np.ndarray]:
        """Tell the context where this run's variables and results are; the results' memory by slot.

        That is the array of an earlier run if the caller has let go of it, which saves the pages of a new one.
        """
        slots, spare = context.slots, context.spare
        for number, handle in self.variable_slots:
            slots[number] = store.address(handle)
        fresh = context.staged.copy() if self.fresh_slots else context.staged
        for number, shape, dtype in self.fresh_slots:
            array = _let_go(spare.setdefault(number, []))
            if array is None:
                array = self._allocate(shape, dtype)
            slots[number] = native.address(array)
            fresh[number] = array
        if self.program.uses_counter:
            context.counter[0] = store.counter & 0xFFFFFFFF
        if self.parallel:
            context.words[3] = native.pool_address()
        return fresh

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        try:
            return native.aligned_empty(shape, dtype)
        except MemoryError:
            raise ResourceError(f"no memory for an array of {dtype}{list(shape)}") from None

    def _fetcher(self, k: int) -> Callable[[dict[int, np.ndarray], Sequence[Any], Store], Any]:
        """The function that gives the caller fetched value `k`: an array of its own, or a scalar."""
        place = self.program.results[k]
        shape = self.result_shapes[k]
        if place.kind == "slot":
            key = place.number
            if not shape:
                if self.program.slots[key].shape == ():
                    return lambda fresh, arrays, store: fresh[key][()]
                return lambda fresh, arrays, store: fresh[key].reshape(())[()]
            if self.is_handed_over(k):
                return lambda fresh, arrays, store: fresh[key].reshape(shape)
            return lambda fresh, arrays, store: fresh[key].reshape(shape).copy()

        def fetch(fresh: dict[int, np.ndarray], arrays: Sequence[Any], store: Store) -> Any:
            array = self._source(place, arrays, store)
            return array.reshape(shape) if shape else array.reshape(())[()]

        return fetch

    def is_handed_over(self, k: int) -> bool:
        """Does the caller get the very array that the kernels wrote as result `k`, and no copy?"""
        place = self.program.results[k]
        if place.kind != "slot" or place in self.program.results[:k]:
            return False
        return self.program.slots[place.number].kind == "output" and self.sizes[place.number] > STAGED_BYTES

    def _source(self, place: Place, arrays: Sequence[Any], store: Store) -> np.ndarray:
        """A copy of what was there before the run."""
        match place.kind:
            case "feed":
                dtype = self.executable.feeds[place.number].dtype.numpy
                return np.array(arrays[place.number], dtype=dtype, order="C", copy=True)
            case "variable":
                return store.value(self.executable.handle(place.number)).copy()
            case "constant":
                return self.program.constants[place.number].copy()
            case _:
                return np.array(store.counter, np.uint32)

    def _commit(self, context: Context, fresh: dict[int, np.ndarray], arrays: Sequence[Any], store: Store) -> None:
        """Give all variables their next values; nothing in here can fail half-way."""
        for number in self.reusable:
            _keep(context.spare.setdefault(number, []), fresh[number])
        pending: list[tuple[Any, np.ndarray, int | None]] = []
        used: set[int] = set()
        for (handle, shape), place in zip(self.executable.updated, self.program.updates, strict=True):
            if place.kind == "slot":
                array = fresh[place.number].reshape(shape)
                if place.number in used:
                    array = array.copy()
                used.add(place.number)
                pending.append((handle, array, place.number))
            elif place.kind != "in place":
                pending.append((handle, aligned_copy(self._source(place, arrays, store).reshape(shape)), None))
        for handle, array, slot in pending:
            old = store.assign(handle, array)
            if slot is not None and old is not None and old.dtype == array.dtype:
                _keep(context.spare.setdefault(slot, []), old.reshape(self.shapes[slot]))
        if self.program.uses_counter:
            store.counter += 1


def _let_go(arrays: list[np.ndarray]) -> np.ndarray | None:
    """Take out one of the arrays that nobody else has."""
    for k, array in enumerate(arrays):
        if not _is_shared(array):
            return arrays.pop(k)
    return None


def _keep(arrays: list[np.ndarray], array: np.ndarray) -> None:
    """Remember an array for later runs."""
    arrays.append(array)
    del arrays[:-KEPT]


def _is_shared(array: np.ndarray) -> bool:
    """Does anybody else have the memory of one of our arrays? All views of it, the caller's too, refer to the same base."""
    return sys.getrefcount(array.base) > _REFERENCES


_probe = native.aligned_empty((1,), np.dtype(np.float32))
_REFERENCES = sys.getrefcount(_probe.base)  # to the base of an array that has no other view


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy that starts at a cache line."""
    result = native.aligned_empty(array.shape, array.dtype)
    result[...] = array
    return result
