"""The command line of the benchmark: `python -m tests.benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.benchmarks.floor import Floor
from tests.benchmarks.frameworks import FRAMEWORKS
from tests.benchmarks.measure import Result, Settings, measure
from tests.benchmarks.process import run_module
from tests.benchmarks.report import as_json, machine, show_result, show_summary
from tests.benchmarks.workloads import WORKLOADS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Run the same workloads in graphflow and in every peer that is installed, side by side. "
        "See docs/benchmark.md.",
    )
    parser.add_argument("--only", type=_names(WORKLOADS), metavar="NAME,...", help="workloads to run; all by default")
    peers = [name for name in FRAMEWORKS if name != "graphflow"]
    parser.add_argument(
        "--peers", type=_names(peers), metavar="NAME,...", default=peers, help=f"of {', '.join(peers)}; '' for none"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured, with all samples")
    parser.add_argument("--seconds", type=float, default=1.0, help="timing of each framework in each workload (default 1)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="threads of each (default 2)")
    parser.add_argument("--no-start-up", action="store_true", help="leave out the second start of each: no warm first call")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that a first call may take (default 300)")
    parser.add_argument("--peers-python", metavar="PYTHON", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--list", action="store_true", help="print the workloads and stop")
    return parser.parse_args(arguments)


def _names(known):
    """A converter of names with commas between them; the error for an unknown one lists those that exist."""

    def convert(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return names

    return convert


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the number of frameworks that failed or disagreed."""
    chosen = parse(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else max(110, shutil.get_terminal_size().columns))
    if chosen.list:
        for workload in WORKLOADS.values():
            console.print(f"{workload.name:14} {workload.what}")
        return 0
    frameworks = ["graphflow", *[name for name in FRAMEWORKS if name in chosen.peers]]
    python = {name: sys.executable if name == "graphflow" else chosen.peers_python for name in frameworks}
    settings = Settings(chosen.seconds, chosen.threads, not chosen.no_start_up, chosen.timeout, python)
    run_module("compileall", "-q", "graphflow", "tests/benchmarks")  # an installer does so for graphflow and the peers
    floor = measure_floor(settings.threads)
    about = machine()
    console.print(
        f"{about['processor']}, {settings.threads} threads; copy {max(floor.bandwidth.values()) / 1e9:.0f} GB/s from a cache, "
        f"{floor.bandwidth[max(floor.bandwidth)] / 1e9:.0f} GB/s from memory; products {floor.flops / 1e9:.0f} GFLOP/s; "
        f"load {about['load']}\n"
    )
    results: list[Result] = []
    progress = Console(stderr=True)
    for name in chosen.only or WORKLOADS:
        with progress.status(name) as status:
            results.append(measure(WORKLOADS[name], frameworks, floor, settings, status.update))
        show_result(console, results[-1])
        if chosen.json:  # after each workload: an interrupted run keeps what it has
            chosen.json.write_text(json.dumps(as_json(results, floor, settings), indent=1))
    show_summary(console, results)
    failures = [(r, row) for r in results for row in r.rows if row.problem.startswith(("failed", "wrong"))]
    for result, row in failures:
        console.print(f"[red]{result.workload.name}, {row.framework}[/]: {escape(_first_line(row.problem))}")
    return len(failures)


def _first_line(text: str) -> str:
    return text.splitlines()[0]


def measure_floor(threads: int) -> Floor:
    """Bandwidth and products of this machine, measured in a process of its own."""
    found = json.loads(run_module("tests.benchmarks.floor", str(threads)))
    return Floor({int(size): rate for size, rate in found["bandwidth"].items()}, found["flops"])


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
