"""Measuring one workload: start every framework twice, compare their values, then time them in turns."""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.agreement import disagreement
from tests.benchmarks.floor import Floor
from tests.benchmarks.frameworks import BY_HAND
from tests.benchmarks.process import WorkerError, WorkerProcess
from tests.benchmarks.workload import Workload

ROUNDS = 15


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    seconds: float = 1.0  # of timing for each framework and workload
    threads: int = 2
    start_up: bool = True  # measure a cold first call as well, in a process of its own
    timeout: float = 300.0  # seconds that a worker may take for an answer
    python: Mapping[str, str] = field(default_factory=dict)  # framework -> interpreter


@dataclass
class Row:
    """A framework's measurements in one workload; `problem` says why there are none."""

    framework: str
    problem: str = ""
    details: str = ""
    version: str = ""
    rounds: list[list[float]] = field(default_factory=list)  # seconds of a step: samples of each round
    cold_seconds: float | None = None  # first call in a process with an empty compilation cache
    warm_seconds: float | None = None  # the same in a second process, which finds what the first has compiled
    import_seconds: float | None = None
    peak_bytes: int | None = None
    compiled: int | None = None  # by the process that started cold
    compiled_later: int | None = None  # after the first call: should be 0

    @property
    def median(self) -> float:
        """The median over rounds of the median sample."""
        return statistics.median(self.round_medians())

    @property
    def best(self) -> float:
        """The shortest sample."""
        return min(min(samples) for samples in self.rounds)

    def round_medians(self) -> list[float]:
        """The median sample of each round."""
        return [statistics.median(samples) for samples in self.rounds]


@dataclass
class Result:
    """A workload's rows."""

    workload: Workload
    rows: list[Row]
    floor_seconds: float

    @property
    def timed(self) -> dict[str, Row]:
        """The rows that have times."""
        return {row.framework: row for row in self.rows if not row.problem}

    def ratio(self, peer: str, to: str = "graphflow") -> float | None:
        """How many times as long as `to` `peer` takes: the median of the rounds' ratios. None if one has no times."""
        timed = self.timed
        if peer not in timed or to not in timed:
            return None
        pairs = zip(timed[peer].round_medians(), timed[to].round_medians(), strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    @property
    def best_peer(self) -> str | None:
        """The fastest framework other than graphflow."""
        peers = {name: row.median for name, row in self.timed.items() if name not in ("graphflow", BY_HAND)}
        return min(peers, key=peers.__getitem__) if peers else None


def measure(workload: Workload, frameworks: Sequence[str], floor: Floor, settings: Settings, report: Any = None) -> Result:
    """All rows of `workload`; `report` is called with what is going on."""
    say = report or (lambda text: None)
    rows = {name: Row(name) for name in frameworks}
    with tempfile.TemporaryDirectory(prefix="graphflow-benchmark-") as folder, contextlib.ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        values: dict[str, dict[str, np.ndarray]] = {}
        for name, row in rows.items():
            say(f"{workload.name}: {name} starts")
            with _problems_of(row):
                place = Path(folder) / name
                place.mkdir()
                if settings.start_up:
                    _start_cold(row, workload, place, settings)
                worker = WorkerProcess(settings.python[name], settings.threads, place, settings.timeout)
                stack.callback(worker.close)
                answer = _start(worker, row, workload, place, settings)
                row.warm_seconds = answer["first_seconds"] if settings.start_up else None
                row.cold_seconds = row.cold_seconds if settings.start_up else answer["first_seconds"]
                row.compiled = row.compiled if settings.start_up else answer["compiled"]
                with np.load(place / "values.npz") as found:
                    values[name] = dict(found)
                workers[name] = worker
        for name, text in disagreement(workload, values).items():
            rows[name].problem = f"wrong values: {text}"
            del workers[name]
        _time(workload, rows, workers, settings, say)
        for name, worker in workers.items():
            with _problems_of(rows[name]):
                for key, value in worker.ask("finish").items():
                    setattr(rows[name], key, value)
    return Result(workload, list(rows.values()), floor.seconds(workload.bytes(), workload.flops()))


def _start_cold(row: Row, workload: Workload, place: Path, settings: Settings) -> None:
    """A first call in a process that finds nothing compiled."""
    worker = WorkerProcess(settings.python[row.framework], settings.threads, place, settings.timeout)
    try:
        answer = _start(worker, row, workload, place, settings)
    finally:
        worker.close()
    row.cold_seconds, row.compiled = answer["first_seconds"], answer["compiled"]


def _start(worker: WorkerProcess, row: Row, workload: Workload, place: Path, settings: Settings) -> dict[str, Any]:
    path = place / "values.npz"
    answer = worker.ask("start", framework=row.framework, workload=workload.name, threads=settings.threads, values=str(path))
    row.version, row.import_seconds = answer["version"], answer["import_seconds"]
    return answer


def _time(workload: Workload, rows: dict[str, Row], workers: dict[str, WorkerProcess], settings: Settings, say: Any) -> None:
    """Bursts of each worker in turns, each round in another order, so that what disturbs the machine disturbs all alike."""
    order = random.Random(0)
    for number in range(ROUNDS):
        names = list(workers)
        order.shuffle(names)
        say(f"{workload.name}: round {number + 1} of {ROUNDS}")
        for name in names:
            with _problems_of(rows[name]):
                rows[name].rounds.append(workers[name].ask("burst", seconds=settings.seconds / ROUNDS)["samples"])
            if rows[name].problem:
                del workers[name]


@contextlib.contextmanager
def _problems_of(row: Row) -> Iterator[None]:
    """Note in `row` what goes wrong with its worker."""
    try:
        yield
    except WorkerError as error:
        row.problem = error.reason if error.reason != "failed" else f"failed: {error}"
        row.details = error.details
