"""The memory plan: where in one arena each intermediate buffer lives."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True)
class LiveRange:
    """A buffer needed from launch `first` to launch `last`, both included."""

    name: str
    size: int  # bytes
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets in an arena of `arena_bytes`; two buffers that live at the same time do not overlap."""

    ranges: tuple[LiveRange, ...]
    offsets: tuple[int, ...]
    arena_bytes: int

    def __str__(self) -> str:
        total = sum(r.size for r in self.ranges)
        lines = [f"memory plan: arena of {self.arena_bytes:,} bytes for {len(self.ranges)} buffers of {total:,} bytes in sum"]
        for r, offset in sorted(zip(self.ranges, self.offsets, strict=True), key=lambda item: (item[0].first, item[1])):
            lines.append(f"  at {offset:>12,} + {r.size:>12,}  launches {r.first:>3}-{r.last:<3}  {r.name}")
        return "\n".join(lines)


@dataclass(frozen=True)
class MemoryReport:
    """The memory of a run, in bytes, as far as it is known before it: printed by `Session.memory_plan`."""

    plan: MemoryPlan
    feeds: int  # the caller's
    variables: int  # values that the run reads or writes
    constants: int
    results: int  # arrays for the caller
    next_values: int  # of variables that are not written in place; the values they replace serve the next run
    in_place: tuple[str, ...]  # what is written over what

    @property
    def run(self) -> int:
        """What the first run of these sizes allocates; later ones allocate the results that the caller keeps."""
        return self.plan.arena_bytes + self.results + self.next_values

    @property
    def total(self) -> int:
        """All that is alive at the end of a run, feeds included."""
        return self.run + self.feeds + self.variables + self.constants

    def __str__(self) -> str:
        rows = {
            "arena": self.plan.arena_bytes,
            "results": self.results,
            "next values": self.next_values,
            "a run allocates": self.run,
            "feeds": self.feeds,
            "variables": self.variables,
            "constants": self.constants,
            "total": self.total,
        }
        lines = [f"{name:<16}{size:>16,} bytes" for name, size in rows.items()]
        return "\n".join([*lines, *self.in_place, str(self.plan)])


def plan_memory(ranges: Sequence[LiveRange]) -> MemoryPlan:
    """Largest first, each at the lowest place that is free for as long as it lives."""
    placed: list[tuple[int, int, int, int]] = []  # (start, end, first launch, last launch), by start
    offsets: dict[int, int] = {}
    for number in sorted(range(len(ranges)), key=lambda k: (-ranges[k].size, ranges[k].first, k)):
        r = ranges[number]
        size = rounded(r.size)
        start = 0
        for low, high, first, last in placed:
            if first <= r.last and r.first <= last:  # they live at the same time
                if start + size <= low:
                    break
                if high > start:
                    start = high
        offsets[number] = start
        insort(placed, (start, start + size, r.first, r.last))
    arena = max((high for _, high, _, _ in placed), default=0)
    return MemoryPlan(tuple(ranges), tuple(offsets[k] for k in range(len(ranges))), arena)


def rounded(size: int) -> int:
    """The size rounded up to whole cache lines, at least one."""
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT


def overlaps(a: LiveRange, b: LiveRange) -> bool:
    """Do both live at some launch?"""
    return a.first <= b.last and b.first <= a.last
