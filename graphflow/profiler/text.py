"""A profile as text: what the block did, then its kernels, lines and scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphflow.profiler.attribution import Share

if TYPE_CHECKING:
    from graphflow.profiler.profile import Profile

MOST_ROWS = 30


def report(profile: Profile) -> str:
    """The whole profile."""
    kernels = profile.kernels
    whole = profile.kernel_seconds
    parts = [summary(profile)]
    if kernels:
        rows = [("kernel", "launches", "time", "", "each", "GB/s", "GFLOP/s", "FLOP/byte", "lines")]
        for k in kernels[:MOST_ROWS]:
            rows.append(
                (
                    k.name if len({kernel.program for kernel in kernels}) == 1 else f"{k.name} of {k.program}",
                    f"{k.launches:,}",
                    shown_time(k.seconds),
                    percent(k.seconds, whole),
                    shown_time(k.seconds / k.launches),
                    f"{k.gigabytes_per_second:.3g}",
                    "?" if k.gigaflops is None else f"{k.gigaflops:.3g}",
                    "?" if k.intensity is None else f"{k.intensity:.3g}",
                    ", ".join(k.lines[:3]) + (", ..." if len(k.lines) > 3 else ""),
                )
            )
        parts.append(columns(rows, left=(0, 8)) + rest(len(kernels)))
        parts.append(shares("line", profile.lines, whole))
        parts.append(shares("name scope", profile.scopes, whole))
    return "\n\n".join(parts)


def summary(profile: Profile) -> str:
    """What the block did, in a few lines."""
    lines = [
        f"{profile.runs:,} runs took {shown_time(profile.run_seconds)} of {shown_time(profile.seconds)}; "
        f"their kernels {shown_time(profile.kernel_seconds)} ({percent(profile.kernel_seconds, profile.run_seconds)} of the runs)"
    ]
    for kind in ("kernel", "program"):
        made, disk, memory = (profile.found(kind, outcome) for outcome in ("made", "disk", "memory"))
        if made + disk + memory:
            word = "compiled" if kind == "kernel" else "built"
            spent = f" in {shown_time(profile.compile_seconds)}" if kind == "kernel" and made else ""
            lines.append(f"{kind}s: {made} {word}{spent}, {disk} from disk, {memory} in memory")
    for name, found in profile.memory:
        lines.append(f"memory of a run of {name}: {found.total:,} bytes, {found.plan.arena_bytes:,} of them the arena")
    return "\n".join(lines)


def shares(what: str, found: Sequence[Share], whole: float) -> str:
    """A table of shares."""
    rows = [(what, "time", "", "ops")]
    for share in found[:MOST_ROWS]:
        ops = ", ".join(share.ops[:6]) + (", ..." if len(share.ops) > 6 else "")
        rows.append((share.name, shown_time(share.seconds), percent(share.seconds, whole), ops))
    return columns(rows, left=(0, 3)) + rest(len(found))


def rest(count: int) -> str:
    return f"\n... and {count - MOST_ROWS} more" if count > MOST_ROWS else ""


def columns(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Rows of one number of cells, one below the other; the columns `left` begin at their left side, numbers end at the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    aligned = [[f"{cell:<{w}}" if k in left else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(row, widths))] for row in rows]
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


def shown_time(seconds: float) -> str:
    """`1.5 s`, `2.34 ms`, `17.3 us`."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""
