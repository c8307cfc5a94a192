"""The native side as Python sees it: the driver that walks launch programs, and the pool of threads that helps it."""

from __future__ import annotations

import ctypes
import math
import os
import re
import threading
import time
from array import array as packed
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.codegen.cache import begin, load
from graphflow.codegen.jobs import available_cpus
from graphflow.errors import OptionError

ROW = 8  # int64s of a row of the launch program
_POOL_WORDS = 256  # the last ones are what wake-up calls write: a byte for each sleeping thread

_WORKER = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)

# A function that Python calls without arguments, by the C interface of Python: through ctypes the same call takes 0.7 us, so
# 0.06. `self` is a capsule with the address of a context; the words of a context are described in `driver.py`.
_ENTRY = """\
declare i64* @PyCapsule_GetPointer(i8*, i8*)
declare i8* @PyEval_SaveThread()
declare void @PyEval_RestoreThread(i8*)
declare i8* @PyLong_FromLongLong(i64)

define i8* @kernel(i8* %self, i8* %nothing) {
  %context = call i64* @PyCapsule_GetPointer(i8* %self, i8* null)
  %table_at = getelementptr i64, i64* %context, i64 5
  %table = load i64, i64* %table_at
  %rows_at = getelementptr i64, i64* %context, i64 6
  %rows = load i64, i64* %rows_at
  %walk_at = getelementptr i64, i64* %context, i64 7
  %walk_word = load i64, i64* %walk_at
  %walk = inttoptr i64 %walk_word to void (i64*, i64, i64, i64)*
  %releases_at = getelementptr i64, i64* %context, i64 8
  %releases = load i64, i64* %releases_at
  %brief = icmp eq i64 %releases, 0
  br i1 %brief, label %holding, label %releasing
holding:
  call void %walk(i64* %context, i64 %table, i64 0, i64 %rows)
  br label %done
releasing:
  %state = call i8* @PyEval_SaveThread()
  call void %walk(i64* %context, i64 %table, i64 0, i64 %rows)
  call void @PyEval_RestoreThread(i8* %state)
  br label %done
done:
  %failed_at = getelementptr i64, i64* %context, i64 4
  %failed = load i64, i64* %failed_at
  %interrupted = icmp eq i64 %failed, -1
  br i1 %interrupted, label %raising, label %returning
raising:
  store i64 0, i64* %failed_at
  ret i8* null
returning:
  %result = call i8* @PyLong_FromLongLong(i64 %failed)
  ret i8* %result
}
"""

# Lets Python handle signals: 0, or another number where a handler raised an exception, which is then set and which `entry`
# raises. Native code that may run for long calls it now and then.
_POLL = """\
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()

define i64 @kernel(i64 %unused) {
  SKIP
  %state = call i32 @PyGILState_Ensure()
  %found = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %state)
  %result = sext i32 %found to i64
  ret i64 %result
}
"""
# Another thread may have the GIL, so it is asked for every 50 ms at most.
_CLOCK = """\
@last = internal global i64 0
declare i32 @clock_gettime(i32, i64*)

"""
_SKIP = """\
%time = alloca [2 x i64]
  %seconds_at = getelementptr [2 x i64], [2 x i64]* %time, i64 0, i64 0
  %nanoseconds_at = getelementptr [2 x i64], [2 x i64]* %time, i64 0, i64 1
  %told = call i32 @clock_gettime(i32 NUMBER, i64* %seconds_at)
  %seconds = load i64, i64* %seconds_at
  %nanoseconds = load i64, i64* %nanoseconds_at
  %whole = mul i64 %seconds, 1000
  %part = udiv i64 %nanoseconds, 1000000
  %now = add i64 %whole, %part
  %before = load i64, i64* @last
  %since = sub i64 %now, %before
  %early = icmp ult i64 %since, 50
  br i1 %early, label %going, label %asking
going:
  ret i64 0
asking:
  store i64 %now, i64* @last"""
_NO_ARGUMENTS = 4  # METH_NOARGS


class _MethodDef(ctypes.Structure):
    """PyMethodDef: how Python's C interface describes a function."""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


@cache
def _driver(name: str) -> int:
    """The address of a function of `driver.py`, compiled."""
    return load(_driver_source(name), f"the driver's {name}")


def _driver_source(name: str) -> str:
    text = (Path(__file__).parent / "driver.py").read_text()
    header = re.search(r"^from [^(\n]*(\([^)]*\))?", text, re.M)
    body = re.search(rf"^def {name}\(.*?(?=^def |\Z)", text, re.M | re.S)
    assert header is not None and body is not None
    return f"{header[0]}\n\n\n{body[0].strip()}\n".replace(f"def {name}(", "def kernel(")


def move_address() -> int:
    """The address of the function that does the rows of a launch program which launch nothing."""
    return _driver("move")


@cache
def poll_address() -> int:
    """The address of `int64 poll(int64)`: native code calls it now and then, and ends where it does not give 0.

    It lets Python handle signals, such as an interrupt from the keyboard. What it is given does not matter.
    """
    names = ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals")
    objects = import_module("graphflow.codegen.objects")
    for name in names:
        objects.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    library = objects.c_library()
    text = _POLL.replace("  SKIP\n", "")
    if hasattr(library, "clock_gettime"):
        objects.add_symbol("clock_gettime", ctypes.cast(library.clock_gettime, ctypes.c_void_p).value)
        text = _CLOCK + _POLL.replace("SKIP", _SKIP.replace("NUMBER", str(time.CLOCK_MONOTONIC)))
    return load(text, "the driver's poll", compiler="assembly")


def memmove_address() -> int:
    """The address of the C library's `memmove`."""
    return _library_address("memmove")


def memset_address() -> int:
    """The address of the C library's `memset`."""
    return _library_address("memset")


@cache
def _library_address(name: str) -> int:
    library = import_module("graphflow.codegen.objects").c_library()
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


@cache
def _entry_definition() -> _MethodDef:
    names = ("PyCapsule_GetPointer", "PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_FromLongLong")
    objects = import_module("graphflow.codegen.objects")
    for name in names:
        objects.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    return _MethodDef(b"enter", load(_ENTRY, "the driver's entry", compiler="assembly"), _NO_ARGUMENTS, None)


def _driver_functions() -> tuple[str, ...]:
    return ("run_table", "worker") if get_num_threads() > 1 else ("run_table",)


def begin_driver() -> None:
    """Let the native code of the runtime be compiled where the cache does not have it, while the caller goes on."""
    for name in _driver_functions():
        _begin_driver(name)
    _begin_entry()


@cache  # once in a process
def _begin_driver(name: str) -> None:
    begin(_driver_source(name), f"the driver's {name}")


@cache
def _begin_entry() -> None:
    begin(_ENTRY, "the driver's entry", compiler="assembly")


def load_driver() -> None:
    """Load all native code of the runtime, so that no later run loads any."""
    with _loading:  # a second definition of the entry would take the place of the first, to which functions refer
        for name in _driver_functions():
            _driver(name)
        _entry_definition()


_loading = threading.RLock()


def run_table_address() -> int:
    """The address of the function that walks launch programs."""
    return _driver("run_table")


def entry(context: int) -> Callable[[], int]:
    """A function that runs the launches of the context at an address: 0, or the number of the launch that failed."""
    capsule = _new_capsule(context, None, None)
    return _new_function(ctypes.addressof(_entry_definition()), capsule, None)


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.restype, _new_function.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)


# --- threads --------------------------------------------------------------------------------------------------------------


class _Pool:
    """Threads parked in native code, without the GIL. They live as long as the process, and in no child of it."""

    def __init__(self, workers: int) -> None:
        libc = import_module("graphflow.codegen.objects").c_library()
        read, write = (libc._read, libc._write) if os.name == "nt" else (libc.read, libc.write)
        self.words = aligned_zeros(_POOL_WORDS * 8).view(np.int64)
        self.read_end, self.write_end = os.pipe()
        self.words[55] = ctypes.cast(read, ctypes.c_void_p).value or 0
        self.words[56] = ctypes.cast(write, ctypes.c_void_p).value or 0
        self.words[57], self.words[58] = self.read_end, self.write_end
        if hasattr(libc, "clock_gettime"):
            self.words[67], self.words[68] = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value or 0, time.CLOCK_MONOTONIC
        if hasattr(libc, "sched_getcpu"):
            self.words[71], self.words[72] = ctypes.cast(libc.sched_getcpu, ctypes.c_void_p).value or 0, -1
        self.words[66] = 1 << 40  # no stall for a long time
        self.address = self.words.ctypes.data
        entry = _WORKER(_driver("worker"))
        self.scratch = np.zeros((workers, 16), np.int64)
        for k in range(workers):
            self.scratch[k, 0] = self.scratch[k, 8:].ctypes.data  # what a wake-up byte is read into
            target = np.array([self.address], np.int64)
            thread = threading.Thread(
                target=self._work, args=(entry, self.scratch[k], target), name=f"graphflow-{k}", daemon=True
            )
            thread.start()

    def _work(self, entry: Callable[[int, int, int, int], None], scratch: np.ndarray, target: np.ndarray) -> None:
        entry(scratch.ctypes.data, target.ctypes.data, 0, 0)

    def stop(self) -> None:
        """Let the threads end; nobody may be running on the pool."""
        self.words[54] = 1
        self.words[0] += 1
        os.write(self.write_end, bytes(256))


_lock = threading.Lock()
_pool: _Pool | None = None
_wanted: int | None = None


def _number_from_environment() -> int | None:
    text = os.environ.get("GRAPHFLOW_NUM_THREADS")
    return int(text) if text and text.isdigit() and int(text) > 0 else None


def get_num_threads() -> int:
    """Threads a run may use: what `set_num_threads` said, or GRAPHFLOW_NUM_THREADS, or the processors available."""
    return _wanted or _number_from_environment() or available_cpus()


def set_num_threads(count: int) -> None:
    """Let runs use `count` threads, from the next run on. Results do not depend on it."""
    global _wanted, _pool
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise OptionError(f"set_num_threads takes a whole number of at least 1, not {count!r}")
    with _lock:
        if int(count) == get_num_threads():
            _wanted = int(count)
            return
        _wanted = int(count)
        _retired.append(_pool)  # a run may still be on it: it ends with the process
        if _pool is not None and _pool.words[40] == 0:
            _pool.stop()
        _pool = None


_retired: list[_Pool | None] = []


def pool_address() -> int:
    """The pool that a run may use; 0 for one thread. The threads start with the first program that has work for two."""
    global _pool
    if _pool is not None:
        return _pool.address
    if get_num_threads() == 1:
        return 0
    with _lock:
        if _pool is None:
            _pool = _Pool(get_num_threads() - 1)
        return _pool.address


def _forget_after_fork() -> None:
    global _pool, _lock, _loading
    _lock, _loading = threading.Lock(), threading.RLock()
    if _pool is not None:
        _retired.append(_pool)  # its memory may be in use by a run of the parent's other thread
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


# --- memory -----------------------------------------------------------------------------------------------------------------


def address(array: np.ndarray) -> int:
    """Where an array's elements start; three times as fast as `array.ctypes.data`."""
    try:
        return ctypes.addressof(_Byte.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only, empty, or of a dtype that the buffer protocol does not know
        return array.ctypes.data


_Byte = ctypes.c_char


def address_of(words: packed[Any]) -> int:
    """Where the words of a packed array start; it must not grow afterwards."""
    return words.buffer_info()[0]


def aligned_zeros(size: int, alignment: int = 64) -> np.ndarray:
    """`size` zero bytes that start at a multiple of `alignment`."""
    raw = np.zeros(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + size]


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that starts at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -address(raw) % 64
    return raw[start : start + size].view(dtype).reshape(shape)


@lru_cache(maxsize=1)
def physical_memory() -> int:
    """Bytes of memory this process may hope for: the machine's, or its control group's limit."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 40
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if text != "max":
            limit = min(limit, int(text))
    except (OSError, ValueError):
        pass
    return limit
