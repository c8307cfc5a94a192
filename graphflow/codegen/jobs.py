"""Jobs: functions that run while the caller goes on, on threads that end when there is nothing to do.

LLVM needs no Python while it compiles, so with a second processor it works on one kernel while the front end works on the next.
Whoever waits for a job works off others meanwhile: with one processor, or where no thread can be started, that is all there is.
No job is running in another thread while the process forks, so a child finds LLVM's locks free; what waits it runs itself.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_THREADS = 7
MOST_WAITING = 16  # jobs, each with its module in memory: with more, whoever adds one works off another


class Job:
    """The result of a function, some time later."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._outcome: tuple[Any, Exception | None] | None = None

    @property
    def done(self) -> bool:
        """Is there a result, or an error?"""
        return self._outcome is not None

    def run(self) -> None:
        """Do the work. What is no error of it, such as Ctrl-C, leaves it undone."""
        try:
            self._outcome = self._work(), None
        except Exception as error:
            self._outcome = None, error

    def result(self) -> Any:
        """What the function returned, or the error that it raised; the caller helps until it is there."""
        _queue.wait(self)
        assert self._outcome is not None
        value, error = self._outcome
        if error is not None:
            raise error
        return value


class _Queue:
    """Jobs that have not begun, and the threads that take them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: deque[Job] = deque()
        self.threads = 0
        self.runners: set[int] = set()  # the threads that run a job
        self.forking = False

    def add(self, job: Job) -> None:
        """Put a job last; a thread for it is started if a processor is free for one."""
        with self.changed:
            self.waiting.append(job)
            self._start_thread()
            crowded = len(self.waiting) > MOST_WAITING
        if crowded:
            self._run_next()

    def _start_thread(self) -> None:
        if self.threads >= min(available_cpus() - 1, MOST_THREADS):
            return
        try:
            threading.Thread(target=self._work, name="graphflow-compiler").start()
            self.threads += 1
        except RuntimeError:
            pass  # no more threads: those who wait do the work

    def _work(self) -> None:
        while threading.main_thread().is_alive() and self._run_next(last=True):
            pass  # a process that ends waits for what runs, not for what waits

    def _run_next(self, last: bool = False) -> bool:
        """Run the first job that waits; False where there is none; a thread that asks for the `last` time is then counted off."""
        with self.changed:
            self.changed.wait_for(lambda: not self.forking)
            if not self.waiting:
                self.threads -= last
                return False
            job = self.waiting.popleft()
            self.runners.add(threading.get_ident())
        try:
            job.run()
        finally:
            with self.changed:
                self.runners.remove(threading.get_ident())
                if not job.done:
                    self.waiting.appendleft(job)
                self.changed.notify_all()
        return True

    def wait(self, job: Job) -> None:
        """Until a job is done, run others."""
        while not job.done:
            if not self._run_next():
                with self.changed:
                    self.changed.wait_for(lambda: job.done or bool(self.waiting))

    # --- fork ----------------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let no job begin, and wait for those that run on other threads."""
        with self.changed:
            self.changed.wait_for(lambda: not self.forking)
            self.forking = True
            self.changed.wait_for(lambda: self.runners <= {threading.get_ident()})

    def go_on(self) -> None:
        """Let jobs begin again."""
        with self.changed:
            self.forking = False
            self.changed.notify_all()

    def restart(self) -> None:
        """In the child of a fork, which has no thread but its own."""
        self.changed = threading.Condition()
        self.threads = 0
        self.runners = set()
        self.forking = False


_queue = _Queue()


def begin(work: Callable[[], Any]) -> Job:
    """A job that runs as soon as a processor is free, or when somebody waits for it."""
    job = Job(work)
    _queue.add(job)
    return job


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_queue.hold, after_in_parent=_queue.go_on, after_in_child=_queue.restart)


def available_cpus() -> int:
    """Processors this process may use: by affinity and by the control group's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, count)
