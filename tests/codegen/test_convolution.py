"""Convolutions and pooling as they run when they are large: many units of work, parts of the batch, any number of threads."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen import library_values
from graphflow.ir.evaluate import evaluate
from graphflow.loop import convolution as lowering


@pytest.fixture
def small_units(monkeypatch, tmp_path):
    """Units of work as small as they get, so that small samples have many; programs stored with others are not found."""
    monkeypatch.setattr(library_values, "ALONE_FLOPS", 0)
    monkeypatch.setattr(library_values, "UNIT_FLOPS", 1)
    monkeypatch.setattr(library_values, "LEAST_ROWS", 1)
    monkeypatch.setattr(library_values, "CACHED_BYTES", 600)
    monkeypatch.setattr(lowering, "WHOLE_FLOPS", 0)
    with gf.options(cache=str(tmp_path)):
        yield


def layer(strides, padding, window=(3, 2), channels=3, groups=1, dilations=1):
    """An input, filters, and what to fetch: the layer, all gradients, and an update that follows the filters' one."""
    x = gf.placeholder(gf.float32, [None, 7, 9, channels * groups], name="x")
    w = gf.placeholder(gf.float32, [*window, channels, 4 * groups], name="w")
    y = gf.nn.relu(gf.nn.conv2d(x, w, strides, padding, dilations=dilations) + 0.25)
    dx, dw = gf.gradients(gf.reduce_sum(y * y * y), [x, w])
    return (x, w), [y, dx, w - 0.5 * dw]


LAYERS = {
    "valid": lambda: layer(1, "VALID"),
    "same": lambda: layer(1, "SAME"),
    "strides": lambda: layer([2, 3], "SAME"),
    "dilated": lambda: layer(1, "SAME", dilations=[1, 2]),
    "groups": lambda: layer([1, 2], "SAME", groups=2),
    "depthwise": lambda: layer(1, "SAME", channels=1, groups=3),
    "wide": lambda: layer(1, "SAME", channels=20),
}


@pytest.mark.parametrize("name", LAYERS)
def test_units_of_any_size_agree(small_units, rng, name):
    """Every unit writes its own part, all of it, whatever the batch; one thread and two give the same bits."""
    (x, w), fetches = LAYERS[name]()
    with gf.Session() as sess:
        in_parts = any(kernel.name.endswith("_combine") for kernel in sess.executable(fetches, [x, w]).kernels)
        assert in_parts == (name != "depthwise")
        for batch in (11, 1, 0):
            feeds = {x: rng.normal(size=(batch, *x.shape[1:])), w: rng.normal(size=w.shape)}
            feeds = {t: value.astype(np.float32) for t, value in feeds.items()}
            gf.set_num_threads(1)
            one = sess.run(fetches, feeds)
            gf.set_num_threads(2)
            two = sess.run(fetches, feeds)
            for a, b, expected in zip(one, two, evaluate(fetches, feeds), strict=True):
                np.testing.assert_array_equal(a, b)
                scale = max(1.0, np.abs(expected).max(initial=0))
                np.testing.assert_allclose(a, expected, rtol=1e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("how", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("window", [(2, 2, "VALID"), (2, 3, "VALID"), ([2, 3], [2, 1], "SAME"), (5, 4, "SAME")])
def test_what_follows_pooling_runs_inside_it(rng, how, window):
    """Activations before and after, their derivatives, and the raw result beside them; tiling and overlapping windows."""
    x = gf.placeholder(gf.float32, [None, 8, 6, 5])
    before = gf.nn.relu(x)
    raw = getattr(gf.nn, how)(before, *window)
    after = gf.tanh(raw * 0.5)
    (dx,) = gf.gradients(gf.reduce_sum(after * after), [x])
    feeds = {x: rng.normal(size=(3, 8, 6, 5)).astype(np.float32)}
    with gf.Session() as sess:
        for fetches in ([raw, after, dx], [after], [dx]):
            for actual, expected in zip(sess.run(fetches, feeds), evaluate(fetches, feeds), strict=True):
                np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_bias_and_activation_run_inside_the_convolution():
    x, w, b = (gf.placeholder(gf.float32, s) for s in ([None, 8, 8, 4], [3, 3, 4, 8], [8]))
    with gf.Session() as sess:
        assert len(sess.executable(gf.nn.relu(gf.nn.bias_add(gf.nn.conv2d(x, w, 1, "SAME"), b))).kernels) == 1


def test_transposes_between_layers_with_channels_first_cancel():
    """Two layers and the activation between them: one transpose at either end, none inside."""
    x, w = gf.placeholder(gf.float32, [None, 4, 8, 8]), gf.placeholder(gf.float32, [3, 3, 4, 4])

    def layer(t):
        return gf.nn.conv2d(t, w, 1, "SAME", data_format="NCHW")

    with gf.Session() as sess:
        kernels = sess.executable(layer(gf.nn.relu(layer(x)))).kernels
    assert [k.form for k in kernels] == ["map", "convolution", "convolution", "map"]
