"""What is printed and written: a table for each workload, one of all, and JSON with every sample."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.floor import Floor
from tests.benchmarks.frameworks import BY_HAND, FRAMEWORKS
from tests.benchmarks.measure import ROUNDS, Result, Row, Settings

LEAST_FLOOR = 1e-7  # seconds; below it, a floor says nothing


def show_result(console: Console, result: Result) -> None:
    """Print the table of one workload."""
    table = Table(title=f"{result.workload.name}: {result.workload.what}", title_justify="left", title_style="bold")
    table.add_column("framework")
    for heading in ("median us", "best us", "ratio", "x by hand", "x floor", "cold s", "warm s", "peak MB", "compiled"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        style = "bold" if row.framework == "graphflow" else ""
        if row.problem:
            continue
        table.add_row(
            row.framework,
            microseconds(row.median),
            microseconds(row.best),
            number(_row_ratio(result, row)),
            number(result.ratio(row.framework, to=BY_HAND)),
            _times_floor(result, row),
            number(row.cold_seconds),
            number(row.warm_seconds),
            number(None if row.peak_bytes is None else row.peak_bytes / 1e6, 0),
            "-" if row.compiled is None else str(row.compiled),
            style=style,
        )
    console.print(table)
    for row in result.rows:
        if row.problem:
            console.print(f"  {row.framework}: {escape(_short(row.problem))}")
        if row.compiled_later:
            console.print(f"  {row.framework}: [red]{row.compiled_later} more compiled after the first step[/]")
    console.print()


def _row_ratio(result: Result, row: Row) -> float | None:
    """For graphflow: best peer / graphflow. For a peer: itself / graphflow."""
    peer = result.best_peer if row.framework == "graphflow" else row.framework
    return None if peer is None else result.ratio(peer)


def show_summary(console: Console, results: Sequence[Result]) -> None:
    """Print one line for each workload, and the geometric mean of the ratios."""
    table = Table(title="all workloads", title_justify="left", title_style="bold")
    for heading, justify in (("workload", "left"), ("graphflow us", "right"), ("best peer", "left"), ("its us", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for heading in ("ratio", "x by hand", "x floor", "cold s", "warm s"):
        table.add_column(heading, justify="right")
    for result in results:
        ours = result.timed.get("graphflow")
        peer = result.best_peer
        table.add_row(
            result.workload.name,
            microseconds(ours.median) if ours else _short(_problem(result)),
            peer or "-",
            microseconds(result.timed[peer].median) if peer else "-",
            _coloured(result.ratio(peer) if peer else None),
            number(result.ratio("graphflow", to=BY_HAND)),
            _times_floor(result, ours),
            number(ours.cold_seconds if ours else None),
            number(ours.warm_seconds if ours else None),
        )
    console.print(table)
    mean = geometric_mean(ratios(results))
    if mean is not None:
        console.print(f"geometric mean of {len(ratios(results))} ratios, best peer / graphflow: [bold]{mean:.2f}[/]")
    each = {name: [r for result in results if (r := result.ratio(name)) is not None] for name in FRAMEWORKS}
    means = [
        f"{name} {geometric_mean(found):.2f} ({len(found)})" for name, found in each.items() if found and name != "graphflow"
    ]
    console.print(f"of each / graphflow: {', '.join(means)}")
    console.print(", ".join(f"{name} {version}" for name, version in versions(results).items()))


def _times_floor(result: Result, row: Row | None) -> str:
    """How many times the physical floor; a dash where the floor is no more than the price of a call."""
    return "-" if row is None or result.floor_seconds < LEAST_FLOOR else f"{row.median / result.floor_seconds:.3g}"


def _problem(result: Result) -> str:
    return next((row.problem for row in result.rows if row.framework == "graphflow"), "-")


def _short(text: str) -> str:
    """The first line of a text, of a readable length."""
    line = text.splitlines()[0]
    return line if len(line) <= 100 else line[:97] + "..."


def _coloured(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"[{'green' if ratio >= 1 else 'red'}]{ratio:.2f}[/]"


def microseconds(seconds: float) -> str:
    """Three significant digits."""
    value = seconds * 1e6
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def versions(results: Sequence[Result]) -> dict[str, str]:
    """The version of each framework that was started."""
    return {row.framework: row.version for result in results for row in result.rows if row.version}


def ratios(results: Sequence[Result]) -> list[float]:
    """Best peer / graphflow, of the workloads that have both."""
    found = [result.ratio(result.best_peer) for result in results if result.best_peer]
    return [ratio for ratio in found if ratio is not None]


def geometric_mean(found: Sequence[float]) -> float | None:
    """None if there are no numbers."""
    return math.exp(sum(map(math.log, found)) / len(found)) if found else None


# --- JSON -------------------------------------------------------------------------------------------------------------------


def as_json(results: Sequence[Result], floor: Floor, settings: Settings) -> dict[str, Any]:
    """Everything that was measured, for other programs."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "settings": {"seconds": settings.seconds, "rounds": ROUNDS, "threads": settings.threads, "start_up": settings.start_up},
        "versions": versions(results),
        "floor": {"bandwidth": {str(size): rate for size, rate in floor.bandwidth.items()}, "flops": floor.flops},
        "geometric_mean": geometric_mean(ratios(results)),
        "workloads": [_result_json(result) for result in results],
    }


def machine() -> dict[str, Any]:
    """What the numbers depend on: processor, system, Python, and how busy the machine is."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _result_json(result: Result) -> dict[str, Any]:
    peer = result.best_peer
    return {
        "name": result.workload.name,
        "what": result.workload.what,
        "floor_seconds": result.floor_seconds,
        "best_peer": peer,
        "ratio": result.ratio(peer) if peer else None,
        "by_hand": result.ratio("graphflow", to=BY_HAND),
        "frameworks": {row.framework: _row_json(row) for row in result.rows},
    }


def _row_json(row: Row) -> dict[str, Any]:
    if row.problem:
        return {"problem": row.problem, "details": row.details}
    return {
        "median_seconds": row.median,
        "best_seconds": row.best,
        "cold_seconds": row.cold_seconds,
        "warm_seconds": row.warm_seconds,
        "import_seconds": row.import_seconds,
        "peak_bytes": row.peak_bytes,
        "compiled": row.compiled,
        "compiled_later": row.compiled_later,
        "samples": [[float(f"{sample:.4g}") for sample in samples] for samples in row.rounds],
    }
