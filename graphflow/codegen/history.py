"""What the cache did in this process, and why: each kernel and program with where it came from."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REMEMBERED = 10_000  # events
DESCRIPTION = "environment.json"  # in each folder of the cache: what its name is the hash of
PROGRAM_MAGIC = b"graphflow program 1\n"


@dataclass(frozen=True)
class Event:
    """One look into the cache."""

    kind: str  # "kernel" or "program"
    name: str  # of its files
    what: str  # the group or fetch, with the user's line
    outcome: str  # "memory", "disk", "made"
    seconds: float
    folder: Path
    parts: Mapping[str, str]  # of the key
    problem: str | None = None  # with a file that was there
    at: float = field(default_factory=time.time)


events: deque[Event] = deque(maxlen=REMEMBERED)


def explain() -> str:
    """Each look into the cache by this process, a line each: what it was for, whether it was found, and if not, why not.

    A miss is compared with what was stored before it: the reason names the parts of the key in which the nearest entry differs.
    """
    rows = []
    for event in events:
        made = "compiled" if event.kind == "kernel" else "built"
        outcome = {"memory": "in memory", "disk": "on disk", "made": made}[event.outcome]
        spent = "" if event.outcome == "memory" else f"{event.seconds * 1e3:.1f} ms"
        why = f": {reason(event)}" if event.outcome == "made" else ""
        rows.append((event.kind, outcome, spent, f"{event.what} ({event.name}){why}"))
    if not rows:
        return "nothing was looked for in the cache"
    return "\n".join([f"{kind:<7}  {outcome:<9}  {spent:>9}  {text}" for kind, outcome, spent, text in rows])


def reason(event: Event) -> str:
    """Why the cache did not have what was looked for."""
    if event.problem is not None:
        return f"the file was damaged: {event.problem}"
    differing = [_differences(event.parts, parts) for parts in _stored_before(event)]
    if not differing:
        return f"first time, no stored {event.kind} has its {'source' if event.kind == 'kernel' else 'operations'}"
    nearest = min(differing, key=len)
    if not nearest:
        return "it, or a kernel of it, was deleted, or another process made it at the same time"
    return "; ".join(nearest)


def _differences(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    found = []
    for name in now:
        old = then.get(name, "unknown")
        if now[name] != old:
            told = f"was {old}, is {now[name]}" if _is_readable(old) and _is_readable(now[name]) else "differs"
            found.append(f"{name} {told}")
    return found


def _is_readable(value: str) -> bool:
    """Is it a word or a few, not a hash?"""
    return len(value) <= 200 and not (len(value) >= 8 and set(value) <= set("0123456789abcdef"))


def _stored_before(event: Event) -> list[dict[str, str]]:
    """The keys of entries like it that are older: kernels of the same source, programs of the same operations."""
    found = []
    for folder in event.folder.parent.iterdir() if event.folder.parent.exists() else ():
        environment = _read(folder / DESCRIPTION)
        if not environment:
            continue  # of a version that did not describe its folders
        if event.kind == "kernel":
            if folder != event.folder and (folder / f"{event.name}.o").exists():
                found.append(environment)
            continue
        for path in folder.glob("p_*.program"):
            parts = program_parts(path)
            if path.stat().st_mtime < event.at - event.seconds and parts.get("operations") == event.parts["operations"]:
                found.append({**environment, **parts})
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def program_parts(path: Path) -> dict[str, str]:
    """The parts of the key of a stored program, which are its third line."""
    try:
        with open(path, "rb") as file:
            if file.readline() != PROGRAM_MAGIC:
                return {}
            file.readline()
            return json.loads(file.readline())
    except (OSError, ValueError):
        return {}
