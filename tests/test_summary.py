"""Summaries, read back by TensorBoard's own loader."""

import zlib

import numpy as np
import pytest

import graphflow as gf

pytest.importorskip("tensorboard")


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    x = gf.placeholder(gf.float32, [None], name="x")
    with gf.name_scope("train"):
        gf.summary.scalar("loss", gf.reduce_sum(x))
    gf.summary.scalar("loss", gf.reduce_max(x))
    gf.summary.histogram("values", x)
    gf.summary.image("picture", gf.reshape(x, [1, 2, 2, 1]), max_outputs=1)
    gf.summary.text("note", "**bold**")
    merged = gf.summary.merge_all()
    with gf.Session() as session, gf.summary.FileWriter(tmp_path, session.graph) as writer:
        for step in range(3):
            found, total = session.run([merged, gf.reduce_sum(x)], {x: [1, 2, 3, step]})
            assert isinstance(found, bytes) and total == 6 + step
            writer.add_summary(found, step)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()
    assert {"train/loss", "loss", "values", "picture/image", "note"} <= set(tags["tensors"]) | set(tags["scalars"]) | set(
        tags["histograms"]
    ) | set(tags["images"])
    if "train/loss" in tags["scalars"]:
        assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(0, 6), (1, 7), (2, 8)]
    else:
        assert [(e.step, make_ndarray(e.tensor_proto)) for e in events.Tensors("train/loss")] == [(0, 6), (1, 7), (2, 8)]
    assert make_ndarray(events.Tensors("note")[0].tensor_proto).ravel()[0] == b"**bold**"
    assert any(node.name == "x" for node in events.Graph().node)


def test_png():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    data = gf.summary.png(pixels)
    body = data[data.index(b"IDAT") + 4 :]
    assert zlib.decompressobj().decompress(body) == b"\0" + bytes(range(6)) + b"\0" + bytes(range(6, 12))
    np.testing.assert_array_equal(gf.summary.scaled(np.array([-1.0, 0, 1, np.nan])), [0, 127, 254, 127])


def test_what_is_no_summary_says_so():
    with pytest.raises(gf.errors.ShapeError, match="no scalar"):
        gf.summary.scalar("x", gf.constant([1.0]))
    with gf.Graph().as_default():
        assert gf.summary.merge_all() is None
