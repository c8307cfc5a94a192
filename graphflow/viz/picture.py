"""`Picture`: what is drawn, before it is known how. Every exporter takes one; `viz.subject` makes them of graphs and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A node, a kernel, or a row of the launch program: its name, its op with attributes, its type, the user's line."""

    key: str  # unique within the picture
    name: str
    op: str
    application: str  # `multiply(·, 0.1)`
    type: str
    location: str
    kind: str  # a key of KINDS
    band: int | None = None  # index into Picture.bands
    fetched: bool = False
    scope: str = ""  # `hidden/layer_1`: where it is nested; of a gradient `gradients/hidden/layer_1`
    twin: str | None = None  # the key of the forward box whose gradient it computes
    bytes: int | None = None  # of its results; None where a size is not known
    flops: int | None = None  # operations it takes, in additions; None where a size is not known

    @property
    def label(self) -> str:
        """The name without its scopes."""
        return self.name.rstrip("/").rpartition("/")[2] or self.name


@dataclass(frozen=True)
class Arrow:
    """A value that flows from one box to another; `kind` is a key of ARROWS."""

    source: str
    target: str
    type: str
    operand: int
    output: int | None = None  # which result, where the source has several
    kind: str = "data"


@dataclass(frozen=True)
class Band:
    """Boxes that belong together: a fusion group, which one kernel or one call of a library computes, or the body of a loop."""

    name: str
    remarks: tuple[str, ...] = ()
    kind: str = "loop"  # of a fusion group "loop", "library", "host" or "control"; or "body"
    owner: str | None = None  # of a body, the key of the loop or the branch

    @property
    def library(self) -> bool:
        return self.kind == "library"

    @property
    def remark(self) -> str:
        """The first reason why the group ends where it does, and how many more there are."""
        more = len(self.remarks) - 1
        return f"{self.remarks[0]}{f' (+{more})' if more > 0 else ''}" if self.remarks else ""


@dataclass(frozen=True)
class Picture:
    """All there is to draw. Printed, it is its legend; `to_json` writes it whole."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    bands: tuple[Band, ...] = ()
    stage: str = "built"

    @property
    def legend(self) -> str:
        """`12 ops in 3 kernels and 2 library calls`."""
        if self.stage in ("kernels", "launches"):
            return counted(len([box for box in self.boxes if box.kind in ("kernel", "library", "step")]), "launch", "launches")
        ops = sum(1 for box in self.boxes if box.kind in ("forward", "gradient"))
        groups = [band for band in self.bands if band.kind != "body"]
        if not groups:
            return counted(ops, "op")
        calls = sum(band.library for band in groups)
        text = f"{counted(ops, 'op')} in {counted(len(groups) - calls, 'kernel')}"
        return f"{text} and {counted(calls, 'library call')}" if calls else text

    def __str__(self) -> str:
        return f"{self.title} ({self.stage}): {self.legend}"


# kind -> (what the legend says, fill colour, line colour)
KINDS: Mapping[str, tuple[str, str, str]] = {
    "placeholder": ("placeholder", "#d5f0dc", "#1b7837"),
    "variable": ("variable", "#fff3c4", "#a67c00"),
    "constant": ("constant", "#ececec", "#6b6b6b"),
    "parameter": ("input of a body", "#dff3f3", "#2b7f86"),
    "forward": ("forward", "#dbe9fb", "#1f5fa8"),
    "gradient": ("gradient", "#fde0cf", "#b8460e"),
    "update": ("update", "#e9dcf5", "#6a3d9a"),
    "kernel": ("kernel", "#dbe9fb", "#1f5fa8"),
    "library": ("library call", "#eceaf6", "#4a3f9a"),
    "step": ("moves, counts or jumps", "#ececec", "#6b6b6b"),
}
# kind -> what an arrow of it means
ARROWS: Mapping[str, str] = {
    "data": "a value that is read",
    "control": "an order of running",
    "update": "the next value of a variable",
    "body": "a value that enters or leaves the body of a loop or a branch",
}


def unique_keys(names: Iterable[str], used: dict[str, int]) -> list[str]:
    """A key for each name: itself, with `#2`, `#3` where several have one name; `used` counts the names so far."""
    keys = []
    for name in names:
        count = used.get(name, 0) + 1
        while count > 1 and f"{name}#{count}" in used:
            count += 1
        key = name if count == 1 else f"{name}#{count}"
        used[name] = count
        used.setdefault(key, 1)
        keys.append(key)
    return keys


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and a dot of omission, in `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 op`, `3 ops`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
