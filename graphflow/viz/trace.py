"""A trace of a run in the format of Chrome and Perfetto: what ran when, on which thread, with its bytes and operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class TimedEvent(NamedTuple):
    """Something that a run did: from `start`, for `seconds`, on a thread; `row` is its place in the launch program, if any."""

    name: str
    start: float  # seconds from the beginning of the run
    seconds: float
    thread: int = 0
    category: str = "kernel"
    row: int | None = None
    details: Mapping[str, Any] = {}  # bytes, flops, the user's line, ...


def trace_text(events: Iterable[TimedEvent], threads: Mapping[int, str] | None = None, title: str = "graphflow") -> str:
    """Timed events as JSON that ui.perfetto.dev and chrome://tracing open; `threads` names threads by their numbers."""
    events = sorted(events, key=lambda event: (event.start, event.thread))
    names = {event.thread: f"thread {event.thread}" for event in events} | dict(threads or {})
    rows: list[dict[str, Any]] = [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": title}}]
    rows += [{"ph": "M", "pid": 0, "tid": k, "name": "thread_name", "args": {"name": n}} for k, n in sorted(names.items())]
    for event in events:
        details = dict(event.details) if event.row is None else {"row": event.row, **event.details}
        rows.append(
            {
                "ph": "X",
                "pid": 0,
                "tid": event.thread,
                "name": event.name,
                "cat": event.category,
                "ts": round(event.start * 1e6, 3),
                "dur": round(event.seconds * 1e6, 3),
                "args": details,
            }
        )
    return json.dumps({"displayTimeUnit": "ns", "traceEvents": rows}, default=str)
