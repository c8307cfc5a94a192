"""The ledger: all that the compiler did with a program, as one value, one page, or one JSON text."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from graphflow.ir.tensor import Node
from graphflow.loop.ir import FusionGroup, Kernel, Label
from graphflow.passes import PassRecord
from graphflow.profiler.attribution import bytes_of_kernel, operations_of_kernel
from graphflow.runtime.binding import BYTES_PER_NS, FLOP_NS, OPERATION_NS, Binding
from graphflow.runtime.executable import Executable
from graphflow.runtime.launch import Launch
from graphflow.stages import all_groups, row_texts
from graphflow.viz.loop_text import loop_text
from graphflow.viz.nodes import Facts
from graphflow.viz.picture import Picture
from graphflow.viz.subject import Subject, is_shape, resolved, stage_name, subject_of
from graphflow.viz.vectors import vector_width

if TYPE_CHECKING:
    import os

    from graphflow.profiler import Profile

FORMAT, VERSION = "graphflow ledger", 1
VECTOR_SECONDS = 3.0  # kernels are sent through LLVM to see their vectors for so long in all; of the others it is not said
PLACES = 200  # of a rule in a pass that are told
SPANS = 5_000  # calls of kernels in the timeline


@dataclass(frozen=True)
class Ledger:
    """What the compiler did: the program at every stage, kernels, launches, memory; `data` as in docs/visualization.md."""

    data: Mapping[str, Any]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of the page, which needs nothing else and asks nothing of any network; of the JSON for the ending `.json`."""
        target = Path(path)
        target.write_text(self.to_json() if target.suffix == ".json" else self.page(), encoding="utf-8")
        return target

    def page(self) -> str:
        """The page as HTML text."""
        return import_module("graphflow.viz.page").page(self.data)

    def _repr_html_(self) -> str:
        """What notebooks show: the page in a frame of its own, from which nothing reaches the notebook."""
        style = "width:100%;height:720px;border:1px solid #8888;border-radius:6px"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(self.page())}"></iframe>'

    def to_json(self) -> str:
        """The ledger as JSON."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(stage["name"] for stage in self.data["stages"])

    def __str__(self) -> str:
        lines = [self.data["title"]]
        for stage in self.data["stages"]:
            count = len(stage["boxes"])
            fired = ", ".join(f"{rule['count']} x {rule['name']}" for rule in stage["fired"])
            lines.append(f"  {stage['name']:<20} {count:>6} nodes" + (f"  {fired}" if fired else ""))
        kernels = self.data["kernels"]
        lines.append(f"  {len(kernels)} kernels" + "".join(f"\n    {kernel['name']}" for kernel in kernels))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Ledger of {self.data['title']}: {len(self.data['stages'])} stages, {len(self.data['kernels'])} kernels>"


def ledger(
    target: Any, feeds: Mapping[Any, Any] | None = None, profile: Profile | None = None, *, vectors: bool = True
) -> Ledger:
    """The ledger of `target` and `feeds`, which are those of `picture`; `Session.ledger` makes it of what a session runs.

    Feeds, or their sizes, make bytes, operations and the memory plan known; of a function it is the last call that does. A
    `profile` of runs adds measured times. `vectors` looks at LLVM's code for the width of the vectors in each kernel.
    """
    target = resolved(target)
    if isinstance(target, Picture):
        return of_picture(target)
    subject = subject_of(target)
    return Ledger(_Writer(subject, feeds or {}, profile, vectors).data())


class _Tables:
    """Texts, boxes and arrows: those that several stages share are kept once, and meant by their numbers."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.boxes: dict[tuple[Any, ...], int] = {}
        self.arrows: dict[tuple[Any, ...], int] = {}

    def contents(self, drawn: Picture) -> dict[str, Any]:
        boxes = [
            self.number(
                self.boxes,
                (*map(self.text, (b.key, b.name, b.op, b.application, b.type, b.location, b.kind, b.scope)),
                 -1 if b.twin is None else self.text(b.twin), b.bytes, b.flops, int(b.fetched)),
            )
            for b in drawn.boxes
        ]  # fmt: skip
        arrows = [
            self.number(
                self.arrows,
                (*map(self.text, (a.source, a.target, a.type, a.kind)), a.operand, -1 if a.output is None else a.output),
            )
            for a in drawn.arrows
        ]
        bands = [{"name": band.name, "kind": band.kind, "owner": band.owner} for band in drawn.bands]
        return {"boxes": boxes, "arrows": arrows, "bands": bands, "band": [-1 if b.band is None else b.band for b in drawn.boxes]}

    def text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def number(self, table: dict[tuple[Any, ...], int], row: tuple[Any, ...]) -> int:
        return table.setdefault(row, len(table))

    def data(self, title: str, stages: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
        """The ledger of these stages; `parts` are what is known beyond them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "title": title,
            "made by": f"graphflow {import_module('graphflow').__version__}, Python {platform.python_version()}",
            "machine": {"bytes per ns": BYTES_PER_NS, "ns per flop": FLOP_NS, "ns per operation": OPERATION_NS},
            "stages": stages,
            "texts": list(self.texts),
            "boxes": [list(box) for box in self.boxes],
            "arrows": [list(arrow) for arrow in self.arrows],
            **{"sizes": {}, "groups": [], "kernels": [], "rows": [], "memory": None, "timeline": [], **parts},
        }


def of_picture(drawn: Picture) -> Ledger:
    """The ledger of one picture: its page shows the graph, and knows nothing of kernels and memory."""
    tables = _Tables()
    nothing: dict[str, Any] = {"seconds": 0.0, "fired": [], "new": [], "changed": [], "gone": []}
    return Ledger(tables.data(str(drawn), [{"name": drawn.stage, **tables.contents(drawn), **nothing}]))


class _Writer:
    """A ledger in the making."""

    def __init__(self, subject: Subject, feeds: Mapping[Any, Any], profile: Profile | None, vectors: bool) -> None:
        self.subject, self.feeds, self.profile, self.vectors = subject, feeds, profile, vectors
        self.executable: Executable = subject.executable
        self.groups = all_groups(self.executable)
        self.binding = self.bound()
        self.sizes = subject.sizes(feeds) if self.binding is None else self.binding.values
        self.tables = _Tables()

    def bound(self) -> Binding | None:
        """The launch program for the sizes of the feeds, if all are known; without feeds, for those of the last run."""
        if not self.feeds and self.executable.bindings:
            return next(reversed(self.executable.bindings.values()))
        shapes = {t: value if is_shape(value) else _shape(value) for t, value in self.feeds.items()}
        found = [shapes.get(t, t.shape) for t in self.executable.feeds]
        if not all(is_shape(shape) for shape in found):
            return None
        return self.executable.bind(tuple(found))

    def data(self) -> dict[str, Any]:
        kernels = self.kernels()
        title = self.subject.title if self.subject.title not in ("graph", "program") else self.title()
        return self.tables.data(
            title,
            self.stages(),
            sizes={str(dim): size for dim, size in self.sizes.items()},
            groups=[self.group(group) for group in self.groups],
            kernels=kernels,
            rows=self.rows(kernels),
            memory=self.memory(),
            timeline=self.timeline(),
        )

    def title(self) -> str:
        results = [t.name for t in self.executable.built.outputs] or [v.name for v, _ in self.executable.built.updates]
        return ", ".join(results[:3]) + (f" and {len(results) - 3} more" if len(results) > 3 else "")

    # --- stages ------------------------------------------------------------------------------------------------------------

    def stages(self) -> list[dict[str, Any]]:
        """Each stage up to the fusion groups: its boxes and arrows, what is new in it, and the rules that made it so."""
        found: list[dict[str, Any]] = []
        records: dict[str, PassRecord | None] = {"built": None, **self.subject.records, "groups": None}
        before: _Seen | None = None
        known: Facts = {}
        for name, record in records.items():
            if record is not None and not record.changed and found:
                found.append(
                    {**found[-1], "name": name, "seconds": record.seconds, "fired": [], "new": [], "changed": [], "gone": []}
                )
                continue
            drawn, nodes = self.subject.nodes_picture(name, self.sizes, known)
            seen = _Seen(drawn, nodes)
            found.append(
                {
                    "name": name,
                    **self.tables.contents(drawn),
                    **seen.since(before, self.tables.text),
                    **self.work(record, before, seen),
                }
            )
            before = seen
        return found

    def work(self, record: PassRecord | None, before: _Seen | None, after: _Seen) -> dict[str, Any]:
        """The time of a pass, and each rule that fired with its equation and where."""
        if record is None or before is None:
            return {"seconds": 0.0, "fired": []}
        places: dict[str, list[list[int]]] = {}
        for name, node, tensor in record.places:
            found = [
                self.tables.text(before.keys.get(node.number, node.name)),
                self.tables.text(after.keys.get(tensor.node.number, tensor.name)),
            ]
            known = [int(node.number in before.keys), int(tensor.node.number in after.keys)]
            if len(rule := places.setdefault(name, [])) < PLACES:
                rule.append(found + known)
        fired = [
            {"name": name, "equation": equation, "count": count, "places": places.get(name, [])}
            for (name, count), equation in zip(record.fired, record.equations, strict=True)
        ]
        return {"seconds": record.seconds, "fired": fired, "title": stage_name(record)}

    # --- kernels -----------------------------------------------------------------------------------------------------------

    def group(self, group: FusionGroup) -> dict[str, Any]:
        return {
            "name": group.name,
            "number": group.number,
            "kind": group.kind,
            "shape": str(list(group.shape)),
            "members": [node.name for node in group.members],
            "reads": [f"{t.name}: {t.type}" for t in group.reads],
            "writes": [f"{t.name}: {t.type}" for t in group.outputs],
            "remarks": list(group.remarks),
            "refused": [[r.node.name, r.group, r.reason] for r in group.refused],
        }

    def kernels(self) -> list[dict[str, Any]]:
        """Each kernel with its texts, its work, and its time where it was measured."""
        number = {group: k for k, group in enumerate(self.groups)}
        measured = self.measured()
        started = perf_counter()
        found = []
        rows = [item for item in self.executable.stages.rows if not isinstance(item, Label)]
        sources = {id(source.kernel): source for source in self.executable.sources}
        for row, item in enumerate(rows):
            if not isinstance(item, Kernel):
                continue
            source, kernel = sources[id(item)], item
            look = self.vectors and perf_counter() - started < VECTOR_SECONDS
            found.append(
                {
                    "row": row,
                    "name": kernel.name,
                    "form": kernel.form,
                    "group": number[kernel.group],
                    "extent": str(source.extent),
                    "buffers": [[b.name, role.value, _type(b)] for b, role in zip(kernel.params, kernel.roles, strict=True)],
                    "dims": [str(size) for size in source.dims],
                    "lines": list(dict.fromkeys(str(node.location) for node in kernel.group.members)),
                    "loops": loop_text(kernel),
                    "source": source.text,
                    "vector": _vector(kernel, source.text) if look else "not looked at",
                    "seconds": measured.get(row),
                    **self.costs(kernel, row),
                }
            )
        return found

    def costs(self, kernel: Kernel, row: int) -> dict[str, Any]:
        """Bytes, operations and the estimated time of a launch; None where sizes are not known."""
        launch = self.executable.launch_program.rows[row]
        if self.binding is None or not isinstance(launch, Launch):
            return {"bytes": None, "flops": None, "estimate": None}
        return {
            "bytes": bytes_of_kernel(kernel, self.binding.evaluate),
            "flops": operations_of_kernel(kernel, launch, self.binding),
            "estimate": self.binding.work(launch) / 1e9,
        }

    def rows(self, kernels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        number = {kernel["row"]: k for k, kernel in enumerate(kernels)}
        texts = row_texts(self.executable)
        return [{"text": text, "depth": depth, "kernel": number.get(k, -1)} for k, (depth, text) in enumerate(texts)]

    # --- memory and time ---------------------------------------------------------------------------------------------------

    def memory(self) -> dict[str, Any] | None:
        """Where each buffer lies from which launch to which, and who holds most at the peak."""
        if self.binding is None:
            return None
        report = self.binding.report()
        ranges = report.plan.ranges
        live = [sum(r.size for r in ranges if r.first <= k <= r.last) for k in range(len(self.executable.launch_program.rows))]
        names = ("feeds", "variables", "constants", "results", "next_values", "run", "total")
        return {
            "arena": report.plan.arena_bytes,
            "ranges": [[r.name, r.size, r.first, r.last, o] for r, o in zip(ranges, report.plan.offsets, strict=True)],
            "live": live,
            "peak": max(range(len(live)), key=live.__getitem__) if live else 0,
            "sums": {name.replace("_", " "): getattr(report, name) for name in names},
            "in place": list(report.in_place),
        }

    def measured(self) -> dict[int, float]:
        """Seconds of a launch by row, in the mean."""
        found: dict[int, float] = {}
        for binding, kernels in self.profile.programs if self.profile is not None else ():
            if binding.executable is self.executable:
                found.update({kernel.number: kernel.seconds / max(1, kernel.launches) for kernel in kernels})
        return found

    def timeline(self) -> list[list[Any]]:
        """[row, thread, began, ended] of the kernels' calls in the last run that was profiled, in microseconds."""
        for binding, _ in self.profile.programs if self.profile is not None else ():
            if binding.executable is self.executable and binding.runs():
                _, began, ended = binding.runs()[-1]
                spans = [span for span in binding.spans() if began <= span.began <= ended][:SPANS]
                threads = {thread: k for k, thread in enumerate(dict.fromkeys(span.thread for span in spans))}
                first = min((span.began for span in spans), default=0.0)
                return [
                    [span.row, threads[span.thread], round((span.began - first) / 1e3, 3), round((span.ended - first) / 1e3, 3)]
                    for span in spans
                ]
        return []


class _Seen:
    """A stage as the next one is compared with it: nodes by their numbers, which they keep on other operands."""

    def __init__(self, drawn: Picture, nodes: Iterable[Node]) -> None:
        self.keys: dict[int, str] = {}
        self.content: dict[int, tuple[Any, ...]] = {}
        for box, node in zip(drawn.boxes, nodes, strict=True):
            self.keys.setdefault(node.number, box.key)
            operands = tuple((tensor.node.number, tensor.index) for tensor in node.inputs)
            self.content.setdefault(node.number, (box.op, box.application, box.type, operands))

    def since(self, before: _Seen | None, text: Any) -> dict[str, list[int]]:
        """What is new, what is changed, and what is gone since the stage before."""
        old = self.content if before is None else before.content
        new = [key for number, key in self.keys.items() if number not in old]
        changed = [key for number, key in self.keys.items() if number in old and old[number] != self.content[number]]
        gone = [] if before is None else [key for number, key in before.keys.items() if number not in self.content]
        return {"new": [text(k) for k in new], "changed": [text(k) for k in changed], "gone": [text(k) for k in gone]}


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(import_module("numpy").shape(value))


def _type(buffer: Any) -> str:
    return str(buffer.tensor.type) if buffer.tensor is not None else f"{buffer.dtype}[{buffer.size}]"


def _vector(kernel: Kernel, source: str) -> str:
    """`8 x float`, or why not."""
    found = vector_width(source)
    if found is not None:
        return f"{found[0]} x {found[1]}"
    return "those of the matrix product" if kernel.form == "matmul" else "none"
