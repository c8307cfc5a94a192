"""Time per launch: bindings whose tables call each kernel through a function that notes when it began and when it ended.

While a recorder is active, executables make `TimedBinding`s; the bindings they had come back afterwards. A run that nobody
times has nothing of this in its way.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from array import array as packed
from functools import cache
from importlib import import_module
from threading import get_ident as _thread
from time import perf_counter_ns as _now
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

import numpy as np

from graphflow.codegen.cache import load
from graphflow.errors import SessionError
from graphflow.runtime import native
from graphflow.runtime.binding import Binding
from graphflow.runtime.host import FUNCTION, HostCall
from graphflow.runtime.launch import Call, Launch
from graphflow.runtime.variables import Store

if TYPE_CHECKING:
    from graphflow.runtime.executable import Executable

MOST_SPANS = 1 << 16  # calls of kernels that a recorder keeps one by one; of all further ones it keeps the sums
CALIBRATION = 5_000_000  # ns: what the processor's counter counts is found out over that time at least

_ROW = 16  # int64s: kernel | its sizes | number | record | calls | of them timed | their ticks | mask | ticks of brief ones
_HEAD = 8  # int64s of a record: spans so far | how many are kept
_SPAN = 5  # int64s: row | thread | began | ended | units
_SAMPLED, _EVERY = 64, 32  # a kernel whose first 64 calls took less than BRIEF each is timed at every 32nd call from then on
BRIEF = 1000  # ns: timing a call takes 35

# The processor's own counter: some 10 ns, where asking the system takes 30. It counts at a constant rate on all processors.
_COUNTER = "llvm.readcyclecounter" if platform.machine().lower() in ("x86_64", "amd64", "i386") else "llvm.readsteadycounter"
_TICKS = f"""\
declare i64 @{_COUNTER}()

define i64 @kernel() {{
  %now = call i64 @{_COUNTER}()
  ret i64 %now
}}
"""
# A kernel as the driver sees it; its `dims` are a row of _ROW words.
_TIMED = f"""\
declare i64 @{_COUNTER}()
declare i64 @THREAD()

define void @kernel(i64* %buffers, i64* %row, i64 %begin, i64 %end) {{
  %kernel_word = load i64, i64* %row
  %kernel = inttoptr i64 %kernel_word to void (i64*, i64*, i64, i64)*
  %dims_at = getelementptr i64, i64* %row, i64 1
  %dims_word = load i64, i64* %dims_at
  %dims = inttoptr i64 %dims_word to i64*
  %calls_at = getelementptr i64, i64* %row, i64 4
  %calls = atomicrmw add i64* %calls_at, i64 1 monotonic
  %mask_at = getelementptr i64, i64* %row, i64 7
  %mask = load atomic i64, i64* %mask_at monotonic, align 8
  %masked = and i64 %calls, %mask
  %timing = icmp eq i64 %masked, 0
  br i1 %timing, label %timed, label %untimed
untimed:
  call void %kernel(i64* %buffers, i64* %dims, i64 %begin, i64 %end)
  ret void
timed:
  %began = call i64 @{_COUNTER}()
  call void %kernel(i64* %buffers, i64* %dims, i64 %begin, i64 %end)
  %ended = call i64 @{_COUNTER}()
  %ticks = sub i64 %ended, %began
  %count_at = getelementptr i64, i64* %row, i64 5
  %count = atomicrmw add i64* %count_at, i64 1 monotonic
  %ticks_at = getelementptr i64, i64* %row, i64 6
  %before = atomicrmw add i64* %ticks_at, i64 %ticks monotonic
  %record_at = getelementptr i64, i64* %row, i64 3
  %record_word = load i64, i64* %record_at
  %record = inttoptr i64 %record_word to i64*
  %sampled = icmp eq i64 %count, {_SAMPLED}
  br i1 %sampled, label %judging, label %noting
judging:
  %brief_at = getelementptr i64, i64* %row, i64 8
  %brief_ticks = load i64, i64* %brief_at
  %brief = icmp ult i64 %before, %brief_ticks
  %new_mask = select i1 %brief, i64 {_EVERY - 1}, i64 0
  store atomic i64 %new_mask, i64* %mask_at monotonic, align 8
  br label %noting
noting:
  %room_at = getelementptr i64, i64* %record, i64 1
  %room = load i64, i64* %room_at
  %so_far = load atomic i64, i64* %record monotonic, align 8
  %fits = icmp ult i64 %so_far, %room
  br i1 %fits, label %counting, label %done
counting:
  %number = atomicrmw add i64* %record, i64 1 monotonic
  %kept = icmp ult i64 %number, %room
  br i1 %kept, label %keeping, label %done
keeping:
  %offset = mul i64 %number, {_SPAN}
  %place = add i64 %offset, {_HEAD}
  %span = getelementptr i64, i64* %record, i64 %place
  %number_at = getelementptr i64, i64* %row, i64 2
  %row_number = load i64, i64* %number_at
  store i64 %row_number, i64* %span
  %thread = call i64 @THREAD()
  %thread_at = getelementptr i64, i64* %span, i64 1
  store i64 %thread, i64* %thread_at
  %began_at = getelementptr i64, i64* %span, i64 2
  store i64 %began, i64* %began_at
  %ended_at = getelementptr i64, i64* %span, i64 3
  store i64 %ended, i64* %ended_at
  %units = sub i64 %end, %begin
  %units_at = getelementptr i64, i64* %span, i64 4
  store i64 %units, i64* %units_at
  br label %done
done:
  ret void
}}
"""


@cache
def _ticks() -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(load(_TICKS, "the recorder's clock", compiler="assembly"))


@cache
def _timed_address() -> int:
    objects = import_module("graphflow.codegen.objects")
    library = ctypes.windll.kernel32 if hasattr(ctypes, "windll") else objects.c_library()
    name = "GetCurrentThreadId" if hasattr(ctypes, "windll") else "pthread_self"
    objects.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    return load(_TIMED.replace("THREAD", name), "the recorder of launches", compiler="assembly")


class Span(NamedTuple):
    """One call of a kernel, for a part of its units or all of them; times are `time.perf_counter_ns()`."""

    row: int
    thread: int
    began: float
    ended: float
    units: int


class TimedCall:
    """What a row calls that calls Python, and when it did."""

    def __init__(self, host: HostCall) -> None:
        self.host = host
        self.times = packed("q")  # thread, began, ended of each call
        self.function = FUNCTION(self._called)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value or 0

    def _called(self, context: int, at: int, row: int, end: int) -> None:
        began = _now()
        self.host.called(context, at, row, end)
        self.times.extend((_thread(), began, _now()))

    def spans(self, row: int) -> list[Span]:
        words = self.times.tolist()
        return [Span(row, *what, 1) for what in zip(words[::3], words[1::3], words[2::3], strict=True)]


class TimedBinding(Binding):
    """A binding that counts its launches and times them."""

    def __init__(self, executable: Executable, shapes: tuple[tuple[int, ...], ...], recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__(executable, shapes)
        self._runs = packed("q")  # thread, began, ended of each
        recorder.bindings.append(self)

    def _table(self) -> None:
        super()._table()
        rows = self.keep[0]
        self.timings = np.zeros((len(self.program.rows), _ROW), np.int64)
        self.record = np.zeros(_HEAD + MOST_SPANS * _SPAN, np.int64)
        self.record[1] = MOST_SPANS
        table, hosts = packed("q", rows), iter(self.hosts)
        self.host_calls: dict[int, TimedCall] = {}
        for k, row in enumerate(self.program.rows):
            at = native.ROW * k
            if isinstance(row, Call):
                self.host_calls[k] = TimedCall(next(hosts))
                table[at] = self.host_calls[k].address
            if isinstance(row, Launch):
                self.timings[k, :4] = rows[at], rows[at + 3], k, self.record.ctypes.data
                self.timings[k, 8] = self.recorder.brief_ticks if self.calls(k) == 1 else 0  # all chunks of a launch, or none
                table[at], table[at + 3] = _timed_address(), self.timings[k].ctypes.data
        self.keep.append(table)
        self.table_address = native.address_of(table)

    def run(self, arrays: list[Any], store: Store) -> list[Any]:
        began = _now()
        try:
            return Binding.run(self, arrays, store)
        finally:
            self._runs.extend((_thread(), began, _now()))

    def runs(self) -> list[tuple[int, int, int]]:
        """(thread, began, ended) of each run, from the feeds to the results."""
        words = self._runs.tolist()
        return list(zip(words[::3], words[1::3], words[2::3], strict=True))

    def units(self, row: int) -> int:
        """How many units of parallel work a launch has."""
        return max(1, self.keep[0][native.ROW * row + 4]) if row not in self.host_calls else 1

    def calls(self, row: int) -> int:
        """How often a launch calls its kernel: once for each chunk of its units."""
        return -(-self.units(row) // max(1, self.keep[0][native.ROW * row + 5]))

    def launches(self) -> dict[int, tuple[int, float]]:
        """(calls, ns of all threads in sum) of each row that launches a kernel, or calls Python."""
        found = {}
        for k, call in self.host_calls.items():
            spans = call.spans(k)
            found[k] = len(spans), sum(span.ended - span.began for span in spans)
        for k, row in enumerate(self.program.rows):
            if isinstance(row, Launch):
                calls, timed, ticks = self.timings[k, 4:7].tolist()
                found[k] = calls, ticks * self.recorder.ns_per_tick * calls / max(1, timed)
        return found

    def spans(self) -> list[Span]:
        """The first calls of kernels that were timed, one by one."""
        count = min(int(self.record[0]), MOST_SPANS)
        rows = self.record[_HEAD : _HEAD + count * _SPAN].reshape(count, _SPAN).tolist()
        at = self.recorder.at
        kept = [Span(row, thread, at(began), at(ended), units) for row, thread, began, ended, units in rows]
        return [*kept, *(span for row, call in self.host_calls.items() for span in call.spans(row)[:MOST_SPANS])]


class Recorder:
    """What is measured between `start` and `stop`; one at a time in a process."""

    def __init__(self) -> None:
        self.bindings: list[TimedBinding] = []
        self.brief_ticks = 0
        self._kept: list[tuple[Executable, dict[tuple[tuple[int, ...], ...], Binding]]] = []

    def start(self) -> None:
        """From here on executables bind anew, and their launches are timed."""
        global _active
        _timed_address()
        self._clock = _ticks()
        self._clock()
        with _switching:
            if _active is not None:
                raise SessionError("a profile is being taken already", rule="Profiles do not nest: leave the one before first.")
            self.began_ns, self._began_ticks = _now(), self._clock()
            self._calibrate(CALIBRATION // 50)
            self.brief_ticks = round(_SAMPLED * BRIEF / self.ns_per_tick)
            _active = self
            for executable in _executables:
                with executable.lock:
                    self._kept.append((executable, dict(executable.bindings)))
                    executable.bindings.clear()
        renew()

    def stop(self) -> None:
        """Executables have their bindings back."""
        global _active
        with _switching:
            _active = None
            self.ended_ns = _now()
            for executable in _executables:
                with executable.lock:
                    executable.bindings.clear()
            for executable, bindings in self._kept:
                with executable.lock:
                    executable.bindings.update(bindings)
            self._kept.clear()
        renew()
        self._calibrate(CALIBRATION)

    def _calibrate(self, least: int) -> None:
        """Find out what a tick is, from at least so many nanoseconds."""
        while (now := _now()) - self.began_ns < least:
            pass
        self.ns_per_tick = (now - self.began_ns) / max(1, self._clock() - self._began_ticks)

    def at(self, ticks: int) -> float:
        """The `time.perf_counter_ns()` at which the processor's counter was at `ticks`."""
        return self.began_ns + (ticks - self._began_ticks) * self.ns_per_tick


_switching = threading.Lock()
_active: Recorder | None = None


_executables: WeakSet[Executable] = WeakSet()


def register(executable: Executable) -> None:
    """Let recorders find an executable."""
    with _switching:
        _executables.add(executable)


def renew() -> None:
    """Let all who keep bindings ask for them again."""
    with _switching:
        followers = [follower for executable in _executables for follower in executable.followers]
    for follower in followers:
        follower.renew()


def bind(executable: Executable, shapes: tuple[tuple[int, ...], ...]) -> Binding:
    """A new binding, which is timed while a recorder is active."""
    return Binding(executable, shapes) if _active is None else TimedBinding(executable, shapes, _active)
