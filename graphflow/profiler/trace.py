"""A profile as a trace of Chrome's format, which Perfetto (https://ui.perfetto.dev) and about:tracing show by thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from time import perf_counter_ns, time
from typing import Any

from graphflow.codegen.history import Event
from graphflow.profiler.attribution import KernelTime, program_name
from graphflow.runtime.timing import Recorder, TimedBinding

_COMPILING = 1  # the track of compilations; threads have numbers from 2 on


def chrome_trace(
    recorder: Recorder, programs: Sequence[tuple[TimedBinding, Sequence[KernelTime]]], compilations: Sequence[Event]
) -> dict[str, Any]:
    """The trace: a span for each run, each call of a kernel with its bytes and operations, and each compilation."""
    tracks: dict[int, int] = {}
    process = os.getpid()
    found: list[dict[str, Any]] = []

    def span(name: str, kind: str, track: int, began_ns: float, ended_ns: float, args: dict[str, Any]) -> None:
        times = {"ts": (began_ns - recorder.began_ns) / 1e3, "dur": (ended_ns - began_ns) / 1e3}
        found.append({"name": name, "cat": kind, "ph": "X", "pid": process, "tid": track, **times, "args": args})

    for binding, kernels in programs:
        program, by_row = program_name(binding), {kernel.number: kernel for kernel in kernels}
        for thread, began, ended in binding.runs():
            span(f"run {program}", "run", tracks.setdefault(thread, len(tracks) + _COMPILING + 1), began, ended, {})
        for call in binding.spans():
            kernel = by_row[call.row]
            part = call.units / binding.units(call.row)
            args: dict[str, Any] = {"row": call.row, "units": call.units, "bytes": round(part * kernel.bytes / kernel.launches)}
            if kernel.operations is not None:
                args["flops"] = round(part * kernel.operations / kernel.launches)
            args["lines"] = ", ".join(kernel.lines)
            track = tracks.setdefault(call.thread, len(tracks) + _COMPILING + 1)
            span(kernel.name, "kernel", track, call.began, call.ended, args)
    offset = perf_counter_ns() - time() * 1e9  # from the clock of the events to that of the runs
    for event in compilations:
        if event.outcome != "memory":
            end = event.at * 1e9 + offset
            span(event.what, event.outcome, _COMPILING, end - event.seconds * 1e9, end, {"file": event.name})
    names = {_COMPILING: "compilation and cache"}
    main, others = threading.main_thread().ident, 0
    for thread, track in tracks.items():
        others += thread != main
        names[track] = "main thread" if thread == main else f"thread {others}"
    named = [
        {"name": "thread_name", "ph": "M", "pid": process, "tid": track, "args": {"name": name}} for track, name in names.items()
    ]
    return {"traceEvents": [*named, *sorted(found, key=lambda e: e["ts"])], "displayTimeUnit": "ns"}
