"""What changed between two versions of a model, or two stages of one: as a value, and as text fit for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.viz.ledger import Ledger
from graphflow.viz.picture import Box, Picture, counted, shortened
from graphflow.viz.subject import picture

SHOWN = 20  # lines of each kind in the text


@dataclass(frozen=True)
class Change:
    """A node that both have, and in what it differs: (field, before, after)."""

    name: str
    fields: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return f"`{self.name}`: " + "; ".join(f"{field} {a or 'none'} → {b or 'none'}" for field, a, b in self.fields)


@dataclass(frozen=True)
class Comparison:
    """What is in `b` and not in `a`, and so on. Nodes are the same where their names are. Printed, it is Markdown."""

    title: str
    added: tuple[str, ...]  # names of nodes
    removed: tuple[str, ...]
    changed: tuple[Change, ...]
    numbers: tuple[tuple[str, float | None, float | None], ...]  # what, before, after: nodes, kernels, bytes, ...
    kernels_added: tuple[str, ...] = ()
    kernels_removed: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Is there no difference?"""
        return not (self.added or self.removed or self.changed or self.kernels_added or self.kernels_removed)

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", "| | before | after | |", "|---|---:|---:|---:|"]
        lines += [f"| {name} | {_number(a)} | {_number(b)} | {_ratio(a, b)} |" for name, a, b in self.numbers]
        if self.same:
            return "\n".join([*lines, "", "Nothing else changed.", ""])
        parts: tuple[tuple[str, Sequence[Any]], ...] = (
            ("added", [f"`{name}`" for name in self.added]),
            ("removed", [f"`{name}`" for name in self.removed]),
            ("changed", self.changed),
            ("new kernels", [f"`{name}`" for name in self.kernels_added]),
            ("kernels no more", [f"`{name}`" for name in self.kernels_removed]),
        )
        for title, items in parts:
            times = Counter(shortened(" ".join(str(item).split()), 300) for item in items)
            if times:
                texts = [text if count == 1 else f"{count} × {text}" for text, count in times.items()]
                more = [f"- and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
                lines += ["", f"**{counted(len(items), title, title)}**", "", *(f"- {text}" for text in texts[:SHOWN]), *more]
        return "\n".join(lines) + "\n"


def compare(a: Any, b: Any) -> Comparison:
    """What changed from `a` to `b`, each a ledger, or what `picture` takes: `print(gf.viz.compare(before, after))`.

    Nodes are matched by their names, kernels by what they compute. Two ledgers also compare work and memory.
    """
    if isinstance(a, Ledger) and isinstance(b, Ledger):
        boxes = [boxes_of(ledger) for ledger in (a, b)]
        return _compared(boxes[0], boxes[1], f"{a.data['title']} → {b.data['title']}", (a.data, b.data))
    drawn: list[Picture] = [picture(item, "built" if not isinstance(item, Picture) else None) for item in (a, b)]
    return _compared(drawn[0].boxes, drawn[1].boxes, f"{drawn[0].title} → {drawn[1].title}", None)


def boxes_of(ledger: Ledger, stage: int = 0) -> tuple[Box, ...]:
    """The boxes of a stage, by default as the program was built."""
    texts, rows = ledger.data["texts"], ledger.data["boxes"]
    found = []
    for index in ledger.data["stages"][stage]["boxes"]:
        key, name, op, application, type_, location, kind, scope = (texts[k] for k in rows[index][:8])
        twin, size, flops, fetched = rows[index][8:]
        twin = None if twin < 0 else texts[twin]
        found.append(Box(key, name, op, application, type_, location, kind, None, bool(fetched), scope, twin, size, flops))
    return tuple(found)


def _compared(
    a: Iterable[Box], b: Iterable[Box], title: str, ledgers: tuple[Mapping[str, Any], Mapping[str, Any]] | None
) -> Comparison:
    before, after = ({box.key: box for box in boxes} for boxes in (a, b))
    changed = []
    for key in (key for key in before if key in after):
        one, other = before[key], after[key]
        fields = [("op", one.op, other.op), ("type", one.type, other.type)]
        if one.op == other.op:
            fields.append(("", one.application, other.application))
        differing = tuple((name, x, y) for name, x, y in fields if x != y)
        if differing:
            changed.append(Change(key, differing))
    numbers: list[tuple[str, float | None, float | None]] = [("nodes", len(before), len(after))]
    kernels = (Counter[str](), Counter[str]())
    if ledgers is not None:
        kernels = tuple(Counter(_computation(name) for name in (k["name"] for k in data["kernels"])) for data in ledgers)  # type: ignore[assignment]
        numbers += [(name, _of(ledgers[0], name), _of(ledgers[1], name)) for name in NUMBERS]
    return Comparison(
        title=title,
        added=tuple(key for key in after if key not in before),
        removed=tuple(key for key in before if key not in after),
        changed=tuple(changed),
        numbers=tuple(numbers),
        kernels_added=tuple((kernels[1] - kernels[0]).elements()),
        kernels_removed=tuple((kernels[0] - kernels[1]).elements()),
    )


NUMBERS = ("nodes after the passes", "kernels", "bytes moved", "operations", "arena", "estimated seconds", "measured seconds")


def _of(data: Mapping[str, Any], name: str) -> float | None:
    """A number of a ledger; None where it is not known."""
    fields = {"bytes moved": "bytes", "operations": "flops", "estimated seconds": "estimate", "measured seconds": "seconds"}
    if name == "nodes after the passes":
        return len(data["stages"][-1]["boxes"])
    if name == "kernels":
        return len(data["kernels"])
    if name == "arena":
        return None if data["memory"] is None else data["memory"]["arena"]
    found = [kernel[fields[name]] for kernel in data["kernels"]]
    return None if not found or None in found else sum(found)


def _computation(kernel: str) -> str:
    """A kernel's name without the number of its group: what it computes."""
    return "_".join(part for part in kernel.split("_") if not part.isdigit())


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(a: float | None, b: float | None) -> str:
    return "" if not a or b is None or a == b else f"{100 * (b / a - 1):+.3g} %"
