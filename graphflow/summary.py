"""Summaries for TensorBoard, in TensorFlow 1's manner: fetch `merge_all()` and give what it is to a `FileWriter`.

    loss_summary = gf.summary.scalar("loss", loss)
    writer = gf.summary.FileWriter("logs", session.graph)
    writer.add_summary(session.run(gf.summary.merge_all()), step)

The files are written by the package tensorboard, which needs no TensorFlow.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from graphflow.errors import OptionError, ShapeError
from graphflow.ir.graph import Graph, get_default_graph
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor

_summaries: WeakKeyDictionary[Graph, list[Summary]] = WeakKeyDictionary()


class Summary:
    """Something to fetch: the bytes of a Summary message, made of the values of tensors."""

    def __init__(self, tensors: Sequence[Tensor], message: Callable[..., Any]) -> None:
        self.tensors = list(tensors)
        self.message = message

    def fetched(self) -> tuple[list[Tensor], Callable[[list[Any]], bytes]]:
        """What is fetched, and what is made of its values."""
        return self.tensors, lambda values: self.message(*values).SerializeToString()


@cache
def _proto(name: str) -> Any:
    """A module of TensorBoard's messages; OptionError where it is not installed."""
    try:
        return import_module(f"tensorboard.compat.proto.{name}_pb2")
    except ImportError:
        raise OptionError(
            "summaries need the package tensorboard", rule="pip install 'graphflow[viz]', or tensorboard; it needs no TensorFlow."
        ) from None


def _summary(name: str, tensor: Any, value: Callable[[str, np.ndarray], list[Any]], family: str | None = None) -> Summary:
    _proto("summary")  # now, and not when it is fetched
    found = convert_to_tensor(tensor)
    graph = found.graph or get_default_graph()
    tag = str(graph.unique_name(f"{family}/{name}" if family else name))
    made = Summary([found], lambda array: _proto("summary").Summary(value=value(tag, np.asarray(array))))
    _summaries.setdefault(graph, []).append(made)
    return made


def scalar(name: str, tensor: Any, family: str | None = None) -> Summary:
    """The summary of a number."""
    if convert_to_tensor(tensor).rank:
        raise ShapeError("summary.scalar: the tensor is no scalar", operands={"tensor": convert_to_tensor(tensor)})
    return _summary(name, tensor, lambda tag, x: [_value(tag, simple_value=float(x))], family)


def histogram(name: str, values: Any, family: str | None = None) -> Summary:
    """The summary of how values are distributed: 30 buckets of one width from the least to the largest; not of NaN."""

    def value(tag: str, x: np.ndarray) -> list[Any]:
        numbers = x.astype(np.float64).ravel()
        numbers = numbers[np.isfinite(numbers)]
        counts, edges = np.histogram(numbers, 30 if numbers.size else 1)
        proto = _proto("summary").HistogramProto(
            min=float(numbers.min(initial=np.inf)) if numbers.size else 0.0,
            max=float(numbers.max(initial=-np.inf)) if numbers.size else 0.0,
            num=numbers.size,
            sum=float(numbers.sum()),
            sum_squares=float(numbers @ numbers),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        return [_value(tag, histo=proto)]

    return _summary(name, values, value, family)


def image(name: str, tensor: Any, max_outputs: int = 3, family: str | None = None) -> Summary:
    """The summary of the first images of [batch, height, width, channels], 1, 3 or 4 channels: uint8, or floats.

    Floats are scaled so that the largest is 255; where there are negative ones, so that 0 is 127.
    """
    if convert_to_tensor(tensor).rank != 4:
        raise ShapeError("summary.image: the tensor is not [batch, height, width, channels]", operands={"tensor": tensor})

    def value(tag: str, x: np.ndarray) -> list[Any]:
        images = x[:max_outputs]
        found = []
        for k, pixels in enumerate(images):
            height, width, channels = pixels.shape
            encoded = png(pixels if pixels.dtype == np.uint8 else scaled(pixels))
            proto = _proto("summary").Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
            found.append(_value(f"{tag}/image" + (f"/{k}" if max_outputs > 1 else ""), image=proto))
        return found

    return _summary(name, tensor, value, family)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Floats as bytes."""
    x = np.nan_to_num(pixels.astype(np.float64))
    largest = np.abs(x).max(initial=0.0) or 1.0
    return (127 + x * (127 / largest) if x.min(initial=0.0) < 0 else x * (255 / largest)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The PNG file of bytes [height, width, channels]."""
    height, width, channels = pixels.shape
    if channels not in (1, 3, 4):
        raise ShapeError(f"summary.image: {channels} channels", rule="An image has 1, 3 or 4.")
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * channels)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines.tobytes())), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def text(name: str, value: str) -> Summary:
    """The summary of a text, which is Markdown."""
    metadata = _proto("summary").SummaryMetadata()
    metadata.plugin_data.plugin_name = "text"
    graph = get_default_graph()
    tag = str(graph.unique_name(name))
    tensor = _proto("tensor").TensorProto(dtype=_proto("types").DT_STRING, string_val=[value.encode()])
    tensor.tensor_shape.SetInParent()
    message = _proto("summary").Summary(value=[_value(tag, tensor=tensor, metadata=metadata)])
    made = Summary([], lambda: message)
    _summaries.setdefault(graph, []).append(made)
    return made


def _value(tag: str, **content: Any) -> Any:
    return _proto("summary").Summary.Value(tag=tag, **content)


def merge(inputs: Sequence[Summary]) -> Summary:
    """All of `inputs` as one summary."""
    parts = list(inputs)

    def message(*values: Any) -> Any:
        found, rest = _proto("summary").Summary(), list(values)
        for part in parts:
            own, rest = rest[: len(part.tensors)], rest[len(part.tensors) :]
            found.MergeFrom(part.message(*own))
        return found

    return Summary([tensor for part in parts for tensor in part.tensors], message)


def merge_all() -> Summary | None:
    """All summaries of the default graph as one; None where there is none."""
    found = _summaries.get(get_default_graph())
    return merge(found) if found else None


class FileWriter:
    """Writes summaries, and the graph, to an event file in a folder that TensorBoard is pointed to."""

    def __init__(self, logdir: Any, graph: Graph | None = None) -> None:
        _proto("event")
        writer = import_module("tensorboard.summary.writer.event_file_writer")
        self.folder = Path(logdir)
        self._writer = writer.EventFileWriter(str(self.folder))
        if graph is not None:
            self.add_graph(graph)

    def add_summary(self, summary: Any, global_step: int | None = None) -> None:
        """Add what fetching a summary gave: bytes."""
        message = _proto("summary").Summary.FromString(bytes(summary))
        self._add(summary=message, step=0 if global_step is None else int(global_step))

    def add_graph(self, graph: Graph) -> None:
        """Add a graph, as it was built."""
        tensorboard = import_module("graphflow.viz.tensorboard")
        drawn = import_module("graphflow.viz.subject").picture(graph)
        names = tensorboard.node_names(drawn)
        self._add(graph_def=tensorboard.graph_def(drawn, names, tensorboard._proto()).SerializeToString())

    def _add(self, **content: Any) -> None:
        self._writer.add_event(_proto("event").Event(wall_time=time.time(), **content))

    def flush(self) -> None:
        """Write what was added to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write what was added, and end the file."""
        self._writer.close()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


__all__ = ["FileWriter", "Summary", "histogram", "image", "merge", "merge_all", "scalar", "text"]
