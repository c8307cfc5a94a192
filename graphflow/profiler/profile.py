"""`profile`: a block whose runs are measured, and the `Profile` that it leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from time import time
from typing import Any

from graphflow.codegen.history import Event, events
from graphflow.profiler import flame, trace
from graphflow.profiler.attribution import KernelTime, Share, kernel_times, program_name, scope_of, sums
from graphflow.profiler.text import report
from graphflow.runtime.memory import MemoryReport
from graphflow.runtime.timing import Recorder, TimedBinding


class Profile:
    """What the runs inside a `with gf.profile()` block did, and how long it took them; print it.

    What it says of kernels is worked out when it is first asked for, which goes through the stages of compiling.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._since = time()
        self.events: tuple[Event, ...] = ()  # looks into the cache

    def _close(self) -> None:
        self.events = tuple(event for event in events if event.at >= self._since)

    # --- plain values ------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Of the whole block."""
        return (self.recorder.ended_ns - self.recorder.began_ns) / 1e9

    @property
    def runs(self) -> int:
        """Runs of sessions in the block."""
        return sum(len(binding.runs()) for binding in self.recorder.bindings)

    @property
    def run_seconds(self) -> float:
        """Spent in runs, from the feeds to the results."""
        return sum(end - start for binding in self.recorder.bindings for _, start, end in binding.runs()) / 1e9

    @cached_property
    def programs(self) -> tuple[tuple[TimedBinding, list[KernelTime]], ...]:
        """The programs that were run, each for one set of sizes, with their kernels in the order of their rows."""
        return tuple((binding, kernel_times(binding)) for binding in self.recorder.bindings if binding.runs())

    @cached_property
    def kernels(self) -> tuple[KernelTime, ...]:
        """Each kernel of each program, the one that took longest first."""
        return tuple(sorted((kernel for _, kernels in self.programs for kernel in kernels), key=lambda k: -k.seconds))

    @property
    def kernel_seconds(self) -> float:
        """Spent in kernels."""
        return sum(kernel.seconds for kernel in self.kernels)

    @property
    def lines(self) -> tuple[Share, ...]:
        """The kernels' time by the user's lines; within a kernel it is shared out by the work estimated."""
        return tuple(sums(self.kernels, lambda node: str(node.location)))

    @property
    def scopes(self) -> tuple[Share, ...]:
        """The kernels' time by name scopes."""
        return tuple(sums(self.kernels, scope_of))

    @property
    def ops(self) -> tuple[Share, ...]:
        """The kernels' time by ops."""
        return tuple(sums(self.kernels, lambda node: node.op.name))

    @property
    def compile_seconds(self) -> float:
        """Spent on kernels and programs that the cache did not have."""
        return sum(event.seconds for event in self.events if event.outcome == "made" and event.kind == "kernel")

    def found(self, kind: str, outcome: str) -> int:
        """How many kernels or programs were "made", or found on "disk" or in "memory"."""
        return sum(event.kind == kind and event.outcome == outcome for event in self.events)

    @cached_property
    def memory(self) -> tuple[tuple[str, MemoryReport], ...]:
        """The memory of a run of each program, by its first result."""
        return tuple((program_name(binding), binding.report()) for binding in self.recorder.bindings if binding.runs())

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dicts, fit for JSON."""
        kernels = []
        for kernel in self.kernels:
            row = {key: value for key, value in vars(kernel).items() if key != "shares"}
            rates = {key: getattr(kernel, key) for key in ("gigabytes_per_second", "gigaflops", "intensity")}
            kernels.append({**row, "lines": list(kernel.lines), **rates})
        return {
            "seconds": self.seconds,
            "runs": self.runs,
            "run_seconds": self.run_seconds,
            "kernel_seconds": self.kernel_seconds,
            "compile_seconds": self.compile_seconds,
            "cache": {f"{kind}s": {o: self.found(kind, o) for o in ("made", "disk", "memory")} for kind in ("kernel", "program")},
            "memory": {name: {"arena": r.plan.arena_bytes, "run": r.run, "total": r.total} for name, r in self.memory},
            "kernels": kernels,
            **{key: [asdict(share) for share in getattr(self, key)] for key in ("lines", "scopes", "ops")},
        }

    # --- texts and files -----------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return report(self)

    def __repr__(self) -> str:
        return f"<Profile of {self.runs} runs, {self.run_seconds:.3g} s>"

    def trace(self) -> dict[str, Any]:
        """Runs, launches by thread, and compilations as a trace that Perfetto and Chrome's about:tracing open."""
        return trace.chrome_trace(self.recorder, self.programs, self.events)

    def stacks(self) -> str:
        """The kernels' time in microseconds by scope, line and op, as the collapsed stacks that flame graph tools read."""
        return flame.collapsed(self.kernels)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """The folder, with `profile.txt`, `profile.json`, `trace.json`, `stacks.txt`, `flame.svg` and `speedscope.json` in it."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        files = {
            "profile.txt": str(self) + "\n",
            "profile.json": json.dumps(self.to_dict(), indent=1),
            "trace.json": json.dumps(self.trace()),
            "stacks.txt": self.stacks(),
            "flame.svg": flame.svg(self.kernels),
            "speedscope.json": json.dumps(flame.speedscope(self.kernels)),
        }
        for name, text in files.items():
            (place / name).write_text(text, encoding="utf-8")
        return place


@contextmanager
def profile(folder: str | os.PathLike[str] | None = None) -> Iterator[Profile]:
    """The `Profile` of all runs inside the block, in every thread: `with gf.profile() as p: ...; print(p)`.

    It is complete when the block is left, and then saved to `folder`, if there is one. Profiles do not nest.
    """
    recorder = Recorder()
    recorder.start()
    found = Profile(recorder)
    try:
        yield found
    finally:
        recorder.stop()
        found._close()
    if folder is not None:
        found.save(folder)
