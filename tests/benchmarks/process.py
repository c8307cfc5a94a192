"""`WorkerProcess`: a worker as its parent sees it. It runs only while it is asked something; otherwise it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Development machines set them, users' do not. Without bytecode a process compiles all of graphflow's source, 0.2 s, but none of
# the peers', whose bytecode was written when they were installed.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
CAN_STOP = hasattr(signal, "SIGSTOP")


class WorkerError(Exception):
    """A worker could not do what it was asked; `reason` is one of a few words, `details` a traceback or a log."""

    def __init__(self, reason: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


def environment(threads: int, cache: Path) -> dict[str, str]:
    """The environment of a worker: as many threads as asked for, no accelerator, compilation caches below `cache`."""
    count = str(threads)
    caches = {
        "GRAPHFLOW_CACHE": cache / "graphflow",
        "JAX_COMPILATION_CACHE_DIR": cache / "jax",
        "TORCHINDUCTOR_CACHE_DIR": cache / "inductor",
        "TRITON_CACHE_DIR": cache / "triton",
        "NUMBA_CACHE_DIR": cache / "numba",
    }
    settings = {
        "GRAPHFLOW_NUM_THREADS": count,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
        "NPROC": count,  # read by JAX
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTENSOR_FLAGS": f"floatX=float32,base_compiledir={cache / 'pytensor'}",
        **{name: str(path) for name, path in caches.items()},
    }
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return {**kept, **settings}


class WorkerProcess:
    """A process that holds one workload in one framework."""

    def __init__(self, python: str, threads: int, cache: Path, timeout: float) -> None:
        self.timeout = timeout
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            [python, "-m", "tests.benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=environment(threads, cache),
        )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The worker's answer; WorkerError if it reports an error, dies, or takes too long."""
        process = self._process
        assert process.stdin is not None
        self._signal("SIGCONT")
        try:
            process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            process.stdin.flush()
            line = self._read_line()
        except BrokenPipeError:
            line = b""
        self._signal("SIGSTOP")
        if not line:
            code = process.wait()
            raise WorkerError("failed", f"the process ended with exit status {code}", self._log_tail())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["reason"], answer["error"], answer["traceback"])
        return answer

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        end, line = time.monotonic() + self.timeout, b""
        number = self._process.stdout.fileno()
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([number], [], [], max(0, end - time.monotonic()))
            if not ready:
                self.close()  # it would disturb the others
                raise WorkerError("failed", f"no answer within {self.timeout:.0f} s")
            part = os.read(number, 1 << 16)
            if not part:
                return b""
            line += part
        return line

    def _signal(self, name: str) -> None:
        if CAN_STOP and self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def _log_tail(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()  # a stopped process ends as well
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def run_module(module: str, *arguments: str, threads: int = 1) -> str:
    """What `python -m module` prints, NumPy's library held to `threads`."""
    env = {**environment(threads, Path(tempfile.gettempdir())), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise WorkerError("failed", f"{module} failed", done.stderr)
    return done.stdout
