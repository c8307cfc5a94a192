"""A worker process: one framework, one workload. Obeys one-line JSON commands on its input, answers each with one line.

    {"command": "start", "framework": ..., "workload": ..., "threads": ..., "values": path}
        import the framework, build the workload, run the first step, write the results of some steps to `path`
    {"command": "burst", "seconds": ...}
        run steps for so long; answer with the seconds of a step, in several samples
    {"command": "finish"}
        answer with the memory used and the number of compilations

Between bursts the parent stops the process, so that no thread of it disturbs the others.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

CHECKED_STEPS = 3  # of a workload that changes its state; one of others
SAMPLE_SECONDS = 2e-3  # steps shorter than this are timed several at once
WARM_UP_STEPS = 2  # at the start of a burst: caches are cold after the process was stopped
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl
KILL = 9


class Worker:
    """The state between commands."""

    def __init__(self) -> None:
        self.program: Any = None
        self.per_sample = 1
        self.compiled_at_start: int | None = None

    def start(self, framework: str, workload: str, threads: int, values: str) -> dict[str, Any]:
        """Seconds of the import and of the first step, which builds and compiles."""
        from tests.benchmarks.workloads import WORKLOADS

        definition = WORKLOADS[workload]
        if framework in definition.left_out:
            raise NotImplementedError(definition.left_out[framework])
        if hasattr(os, "sched_setaffinity"):  # before any library counts processors
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        from tests.benchmarks.frameworks import FRAMEWORKS

        module, variant = FRAMEWORKS[framework]
        definition.arrays()  # NumPy's own first use is nobody's time

        before = time.perf_counter()
        adapter = import_module(f"tests.benchmarks.frameworks.{module}")
        imported = time.perf_counter()
        self.program = adapter.build(definition, threads, variant)
        self.program.step()
        first = time.perf_counter()
        self._write_results(definition, values)
        self.compiled_at_start = self.program.compiled()
        self._calibrate()
        return {
            "import_seconds": imported - before,
            "first_seconds": first - imported,
            "version": self.program.version,
            "compiled": self.compiled_at_start,
        }

    def _write_results(self, definition: Any, path: str) -> None:
        import numpy as np

        found = self.program.results()
        for number in range(1, CHECKED_STEPS if definition.kept else 1):
            outputs = {f"{name}, step {number}": value for name, value in found.items() if name not in definition.kept}
            self.program.step()
            found = {**outputs, **self.program.results()}
        np.savez(path, **found)

    def _calibrate(self) -> None:
        """Choose how many steps a sample has."""
        best = float("inf")
        for _ in range(5):
            before = time.perf_counter()
            self.program.step()
            best = min(best, time.perf_counter() - before)
            if best > SAMPLE_SECONDS:
                return
        self.per_sample = max(1, int(SAMPLE_SECONDS / best))

    def burst(self, seconds: float) -> dict[str, Any]:
        """Seconds of one step, in as many samples as fit into `seconds`; at least one."""
        step, count, clock = self.program.step, self.per_sample, time.perf_counter
        samples = []
        gc.collect()
        gc.disable()
        try:
            for _ in range(WARM_UP_STEPS):
                step()
            end = clock() + seconds
            while not samples or clock() < end:
                before = clock()
                for _ in range(count):
                    step()
                samples.append((clock() - before) / count)
        finally:
            gc.enable()
        return {"samples": samples}

    def finish(self) -> dict[str, Any]:
        """Peak memory of the process, and compilations since the first step, of which there should be none."""
        compiled = self.program.compiled()
        later = None if compiled is None or self.compiled_at_start is None else compiled - self.compiled_at_start
        return {"peak_bytes": peak_bytes(), "compiled_later": later}


def peak_bytes() -> int | None:
    """Most memory this process had at once; None where the system does not say."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    except OSError:
        found = None
    if found:  # not getrusage: its number begins with what the parent had
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reason(error: BaseException) -> str:
    """Why a framework does not take part, or "failed" where it should have."""
    if isinstance(error, ModuleNotFoundError):
        return "not installed"
    if isinstance(error, NotImplementedError):
        return f"left out: {error}" if str(error) else "not defined"
    if isinstance(error, AttributeError) and re.search(r"module 'graphflow[\w.]*' has no attribute", str(error)):
        return "not available"
    return "failed"


def main() -> None:
    """Obey until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, KILL)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("command"))(**request)
        except Exception as error:
            answer = {"reason": reason(error), "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
