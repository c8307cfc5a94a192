"""TensorBoard's files: the graph with name scopes and shapes, and the time and memory of its nodes; without TensorFlow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.errors import OptionError
from graphflow.viz.nodes import joined
from graphflow.viz.picture import Box, Picture, unique_keys
from graphflow.viz.subject import picture

if TYPE_CHECKING:
    from graphflow.profiler import Profile

DEVICE = "/device:CPU:0"
_DTYPE = re.compile(r"([a-z]+\d*)\[([^\]]*)\]")
_COMMA = re.compile(r",\s*(?![^()]*\))")  # between sizes, not inside one


def to_tensorboard(
    target: Any,
    path: str | os.PathLike[str],
    stage: str | None = None,
    feeds: Mapping[Any, Any] | None = None,
    profile: Profile | None = None,
) -> Path:
    """The path of the event file of `target`, which `tensorboard --logdir` of its folder shows; parameters as of `save`.

    A `profile`, which `gf.profile()` made of runs, gives each node its part of the time of its kernel, in the mean of the runs.
    """
    drawn = picture(target, stage, feeds)
    seconds: dict[str, float] = {}
    for kernel in profile.kernels if profile is not None else ():
        for node, share in kernel.shares:
            seconds[node.name] = seconds.get(node.name, 0.0) + share / max(1, profile.runs if profile is not None else 1)
    return write_tensorboard(drawn, path, {box.key: seconds[box.name] for box in drawn.boxes if box.name in seconds})


def write_tensorboard(
    drawn: Picture, path: str | os.PathLike[str], seconds: Mapping[str, float] | None = None, tag: str = "run"
) -> Path:
    """The path of the event file with the graph: `tensorboard --logdir` of its folder shows it.

    `seconds` are times of boxes by their keys; with them, or where bytes are known, the file has run metadata under `tag`, by
    which TensorBoard colours the graph. The name has to contain `tfevents`, or TensorBoard does not find the file.
    """
    proto = _proto()
    target = Path(path)
    names = node_names(drawn)
    graph = graph_def(drawn, names, proto)
    now = time.time()
    events = [proto["event"].Event(wall_time=now, file_version="brain.Event:2")]
    events.append(proto["event"].Event(wall_time=now, graph_def=graph.SerializeToString()))
    if seconds or any(box.bytes is not None for box in drawn.boxes):
        metadata = run_metadata(drawn, names, seconds or {}, proto)
        tagged = proto["event"].TaggedRunMetadata(tag=tag, run_metadata=metadata.SerializeToString())
        events.append(proto["event"].Event(wall_time=now, tagged_run_metadata=tagged))
    with open(target, "wb") as file:
        writer = import_module("tensorboard.summary.writer.record_writer").RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()
    return target


def _proto() -> dict[str, Any]:
    """TensorBoard's message classes; OptionError where it is not installed."""
    try:
        return {
            name: import_module(f"tensorboard.compat.proto.{name}_pb2")
            for name in ("event", "graph", "attr_value", "config", "step_stats", "tensor_shape", "types")
        }
    except ImportError:
        raise OptionError(
            "TensorBoard's files need the package tensorboard",
            rule="pip install tensorboard (it needs no TensorFlow), or save as .html, which needs nothing.",
        ) from None


def node_names(drawn: Picture) -> dict[str, str]:
    """The name of each box in TensorBoard: its scope and its label, without the signs that mean something there; unique."""
    found: dict[str, str] = {}
    used: dict[str, int] = {}
    for box in drawn.boxes:
        label = box.key.rstrip("/").rpartition("/")[2] or box.label
        (name,) = unique_keys([_clean(joined(box.scope, label)) or "node"], used)
        found[box.key] = name.replace("#", "_")
    return found


def _clean(text: str) -> str:
    return "/".join(re.sub(r"[^\w.\-()]", "_", part)[:200] for part in text.split("/") if part)


def graph_def(drawn: Picture, names: Mapping[str, str], proto: Mapping[str, Any]) -> Any:
    """The picture as TensorFlow's GraphDef: operands in order, then what runs before; shapes, lines and kernels as attributes."""
    operands: dict[str, list[tuple[int, str]]] = {}
    for arrow in drawn.arrows:
        if arrow.kind in ("data", "body"):
            output = f":{arrow.output}" if arrow.output else ""
            place = arrow.operand if arrow.operand >= 0 else 1_000
            operands.setdefault(arrow.target, []).append((place, f"{names[arrow.source]}{output}"))
        elif arrow.kind == "control":
            operands.setdefault(arrow.target, []).append((2_000, f"^{names[arrow.source]}"))
    attribute = proto["attr_value"].AttrValue
    graph = proto["graph"].GraphDef()
    graph.versions.producer = 22
    for box in drawn.boxes:
        inputs = [name for _, name in sorted(operands.get(box.key, []), key=lambda item: item[0])]
        node = graph.node.add(name=names[box.key], op=box.op, input=inputs, device=DEVICE)
        shapes = attribute.ListValue(shape=list(_shapes(box, proto)))
        node.attr["_output_shapes"].CopyFrom(attribute(list=shapes))
        for name, value in (("application", box.application), ("type", box.type), ("line", box.location), ("kind", box.kind)):
            node.attr[name].s = value.encode("utf-8", "replace")
        for number_name, number in (("bytes", box.bytes), ("flops", box.flops)):
            if number is not None:
                node.attr[number_name].i = number
        if box.band is not None:
            node.attr["kernel"].s = drawn.bands[box.band].name.encode("utf-8", "replace")
    return graph


def _shapes(box: Box, proto: Mapping[str, Any]) -> Iterator[Any]:
    """The shape of each result; -1 for a size that only a run knows."""
    shape = proto["tensor_shape"].TensorShapeProto
    for _, sizes in _DTYPE.findall(box.type):
        parts = [part for part in _COMMA.split(sizes) if part]
        yield shape(dim=[shape.Dim(size=int(part) if part.isdigit() else -1) for part in parts])


def run_metadata(drawn: Picture, names: Mapping[str, str], seconds: Mapping[str, float], proto: Mapping[str, Any]) -> Any:
    """Time and memory of the boxes, one after another, as TensorFlow's RunMetadata."""
    metadata = proto["config"].RunMetadata()
    device = metadata.step_stats.dev_stats.add(device=DEVICE)
    clock = 0
    for box in drawn.boxes:
        micros = max(1, round(seconds[box.key] * 1e6)) if box.key in seconds else 0
        stats = device.node_stats.add(
            node_name=names[box.key], all_start_micros=clock, op_end_rel_micros=micros, all_end_rel_micros=micros
        )
        if box.bytes is not None:
            stats.memory.add(allocator_name="cpu", total_bytes=box.bytes, peak_bytes=box.bytes)
            output = stats.output.add(slot=0)
            output.tensor_description.allocation_description.requested_bytes = box.bytes
            output.tensor_description.allocation_description.allocated_bytes = box.bytes
        clock += micros
    return metadata
