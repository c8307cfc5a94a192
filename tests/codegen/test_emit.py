"""Emitted source: golden files for chosen groups, and the same source run as plain Python."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen.library_values import LIBRARY_VALUES, LibraryValue
from graphflow.codegen.python import run_in_python
from graphflow.stages import kernel_text
from graphflow.types import evaluate


def softmax():
    x = gf.placeholder(gf.float32, [None, 10], name="x")
    return [x], gf.nn.softmax(x)


def bias_gradient():
    g, b = gf.placeholder(gf.float32, [None, 64], name="g"), gf.Variable(np.zeros(64, np.float32), name="b")
    return [g], b.assign_sub(0.5 * gf.reduce_sum(g, axis=0))


def full_sum():
    x = gf.placeholder(gf.float32, [None], name="x")
    return [x], [gf.reduce_sum(gf.square(x)), x * 2.0]


def dense_layer():
    x = gf.placeholder(gf.float32, [None, 8], name="x")
    return [x], gf.nn.relu(x @ gf.Variable(np.ones((8, 4), np.float32), name="w") + gf.constant([0.5, 1.5, 2.5, 3.5]))


def weight_update():
    x, w = gf.placeholder(gf.float32, [None, 8], name="x"), gf.Variable(np.ones((8, 4), np.float32), name="w")
    return [x], w.assign_sub(0.1 * gf.matmul(x, gf.ones([gf.shape(x)[0], 4]), transpose_a=True))


def concatenation():
    x, y = gf.placeholder(gf.float32, [None, 3], name="x"), gf.placeholder(gf.float32, [None, 2], name="y")
    return [x, y], gf.concat([x, y], axis=1) + 1.0


def embedding():
    table, index = gf.placeholder(gf.float32, [5, 3], name="table"), gf.placeholder(gf.int32, [None], name="index")
    return [table, index], [gf.gather(table, index), *gf.gradients(gf.gather(table, index), [table])]


def random_mask():
    x = gf.placeholder(gf.bfloat16, [None, 4], name="x")
    return [x], gf.nn.dropout(x, 0.5, seed=3)


def convolution():
    x, w = gf.placeholder(gf.float32, [None, 4, 5, 2], name="x"), gf.Variable(np.ones((3, 2, 2, 3), np.float32), name="w")
    y = gf.nn.relu(gf.nn.conv2d(x, w, [1, 2], "SAME") + gf.constant([0.5, -1.5, 2.5]))
    return [x], [y, *gf.gradients(gf.reduce_sum(y * y), [x, w])]


def pooling():
    x = gf.placeholder(gf.float32, [None, 5, 6, 3], name="x")
    largest, mean = gf.nn.max_pool2d(x, 2, 2, "VALID"), gf.nn.avg_pool2d(x, 3, 2, "SAME")
    return [x], [largest, mean, *gf.gradients([largest * 2.0, mean], [x])]


IN_PYTHON = [softmax, full_sum, dense_layer, concatenation, embedding, convolution, pooling]
CASES = [*IN_PYTHON, bias_gradient, weight_update, random_mask]


@pytest.fixture
def sess():
    with gf.Session() as session:
        yield session


def kernels(sess, case):
    feeds, fetches = case()
    executable = sess.executable(fetches, feeds)
    text = "\n\n".join(kernel_text(source, k) for k, source in enumerate(executable.sources))
    return "\n".join(line.rstrip() for line in text.splitlines() if not line.startswith("#   from ")) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_golden_source(sess, golden, case):
    golden(kernels(sess, case), f"{case.__name__}.py")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_emission_is_stable(case):
    texts = set()
    for _ in range(2):
        with gf.Graph().as_default(), gf.Session() as sess:
            texts.add(kernels(sess, case))
    assert len(texts) == 1


@pytest.mark.parametrize("case", IN_PYTHON, ids=lambda case: case.__name__)
def test_source_runs_as_plain_python(sess, rng, case):
    """Every access of every kernel stays inside its buffer, and the result is that of the native code."""
    feeds, fetches = case()
    values = {
        t: (
            rng.integers(0, 5, 3)
            if t.dtype.is_integer
            else rng.normal(size=[3 if not isinstance(d, int) else d for d in t.shape])
        ).astype(t.dtype.numpy)
        for t in feeds
    }
    sess.run(gf.global_variables_initializer())
    expected = sess.run(fetches, values)
    executable = sess.executable(fetches, feeds)
    binding = executable.bind(tuple(values[t].shape for t in executable.feeds))
    memory = {}
    program = executable.launch_program
    for number, (slot, shape) in enumerate(zip(program.slots, binding.shapes, strict=True)):
        if slot.kind == "feed":
            memory[number] = values[executable.feeds[slot.number]].copy()
        elif slot.kind == "variable":
            memory[number] = sess.run(executable.handle(slot.number))
        elif slot.kind == "constant":
            memory[number] = program.constants[slot.number].copy()
        elif slot.kind != "errors":
            memory[number] = np.zeros(shape, slot.dtype.numpy)
    for launch, source in zip(program.launches, executable.sources, strict=True):
        arrays = [memory[n].reshape(-1) for n in launch.slots if n in memory]
        dims = [number_of(d, binding.values) for d in launch.dims]
        errors = run_in_python(source, arrays, dims, number_of(launch.extent, binding.values))
        assert not errors.any()
    results = [memory[p.number].reshape(np.shape(e)) for p, e in zip(program.results, as_list(expected), strict=True)]
    for actual, wanted in zip(results, as_list(expected), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)


def as_list(value):
    return value if isinstance(value, list) else [value]


def number_of(size, values):
    if isinstance(size, LibraryValue):
        return LIBRARY_VALUES[size.name](*(number_of(a, values) for a in size.args)) if size.name in LIBRARY_VALUES else 0
    return evaluate(size, values)


def test_out_of_bounds_is_a_python_error_in_plain_python(sess):
    x = gf.placeholder(gf.float32, [4], name="x")
    (source,) = sess.executable(gf.exp(x)).sources
    with pytest.raises(IndexError, match="outside a buffer of 3"):
        run_in_python(source, [np.zeros(3, np.float32), np.zeros(4, np.float32)], [], 4)


def test_identical_computations_are_one_kernel(sess):
    """Names do not matter: the same layer twice is compiled once."""
    x, y = gf.placeholder(gf.float32, [None, 7], name="first"), gf.placeholder(gf.float32, [None, 7], name="second")
    one, two = sess.executable(gf.tanh(x) * 3.0), sess.executable(gf.tanh(y) * 3.0)
    assert one.sources[0].text == two.sources[0].text and one.addresses == two.addresses
