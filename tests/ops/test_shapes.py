"""Sizes that only a run knows: slices clamp as Python's do, shapes follow, and what does not fit is an error."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GraphflowError, IndexOutOfRangeError, ShapeError
from graphflow.ir.evaluate import evaluate
from graphflow.types import evaluate as size_number

KEYS = {
    "[:-1]": lambda x, n: x[:-1], "[-3:]": lambda x, n: x[-3:], "[::2]": lambda x, n: x[::2], "[1::3]": lambda x, n: x[1::3],
    "[::-1]": lambda x, n: x[::-1], "[::-2]": lambda x, n: x[::-2], "[3:1]": lambda x, n: x[3:1], "[:2]": lambda x, n: x[:2],
    "[2:5]": lambda x, n: x[2:5], "[-4:-1]": lambda x, n: x[-4:-1], "[5:0:-2]": lambda x, n: x[5:0:-2],
    "[-2::-1]": lambda x, n: x[-2::-1], "[:n-1]": lambda x, n: x[: n - 1], "[n:]": lambda x, n: x[n:],
    "[n//2:]": lambda x, n: x[n // 2 :],
    "[:-3:-1]": lambda x, n: x[:-3:-1], "[None]": lambda x, n: x[None], "[-1:0:-3]": lambda x, n: x[-1:0:-3],
}  # fmt: skip


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("key", KEYS)
def test_slices_of_unknown_sizes(key, length):
    x = gf.placeholder(gf.float64, [None], name="x")
    value = np.arange(1.0, length + 1)
    y = KEYS[key](x, x.shape[0])
    expected = KEYS[key](value, length)
    (found,) = evaluate([y], {x: value})
    np.testing.assert_array_equal(found, expected)
    gradient = evaluate(gf.gradients(gf.reduce_sum(y * y), x), {x: value})[0]
    np.testing.assert_array_equal(gradient, np.where(np.isin(value, expected), 2 * value, 0))


def test_numbers_as_indices_are_checked_in_the_run():
    x = gf.placeholder(gf.float64, [None, 3], name="x")
    last, third = x[-1], x[2]
    value = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(evaluate([last, third], {x: value}), [value[-1], value[2]])
    for tensor, rows in ((last, 0), (third, 2)):
        with pytest.raises(ShapeError, match="outside axis 0"):
            evaluate([tensor], {x: value[:rows]})
    with pytest.raises(ShapeError, match="index 3 is outside axis 1 of size 3"):
        x[:, 3]
    with pytest.raises(ShapeError, match="index -1 is outside axis 1"):
        x[:, -4]


def test_reshape_with_unknown_sizes():
    x = gf.placeholder(gf.float64, [None, 4], name="x")
    value = np.arange(24.0).reshape(6, 4)
    for shape in ([-1], [-1, 2], [2, -1], [x.shape[0], 2, 2], [gf.shape(x)[0], 4], [-1, x.shape[0]]):
        expected = [
            size_number(s, {d: 6 for d in s.dims}) if hasattr(s, "dims") else s for s in shape if not isinstance(s, gf.Tensor)
        ]
        y = gf.reshape(x, shape)
        (found,) = evaluate([y], {x: value})
        assert found.ravel().tolist() == value.ravel().tolist() and (
            len(expected) != len(shape) or found.shape == np.reshape(value, expected).shape
        )
    assert gf.reshape(x, [-1, 2, 2]).shape[0] is not None
    with pytest.raises(ShapeError):
        evaluate([gf.reshape(x, [-1, 5])], {x: value[:3]})
    with pytest.raises(ShapeError):
        evaluate([gf.reshape(x, [3, 8])], {x: value[:3]})
    assert gf.reshape(x, [-1, 4]).shape == x.shape


def test_sizes_as_tensors():
    x = gf.placeholder(gf.float32, [None, 3], name="x")
    value = np.ones((5, 3), np.float32)
    found = evaluate(
        [gf.shape(x), gf.size(x), gf.zeros(gf.shape(x)), gf.range(x.shape[0]), gf.reshape(x, gf.shape(x)[::-1])], {x: value}
    )
    assert found[0].tolist() == [5, 3] and found[1] == 15 and found[2].shape == (5, 3) and found[3].tolist() == [0, 1, 2, 3, 4]
    assert found[4].shape == (3, 5)


def test_split_stack_concat_of_unknown_sizes():
    x = gf.placeholder(gf.float64, [None, 4], name="x")
    value = np.arange(24.0).reshape(6, 4)
    parts = gf.split(x, 3)
    np.testing.assert_array_equal(evaluate([gf.concat(parts[::-1], 0)], {x: value})[0], np.concatenate(np.split(value, 3)[::-1]))
    with pytest.raises(ShapeError):
        evaluate(parts, {x: value[:5]})
    (both,) = evaluate([gf.concat([x, x[:2], x[1:]], 0)], {x: value})
    assert both.shape == (13, 4)


def test_indices_out_of_range_are_errors_of_the_run():
    x = gf.placeholder(gf.float64, [None, 3], name="x")
    n = gf.placeholder(gf.int32, [None], name="n")
    value = np.ones((4, 3))
    for tensor in (gf.gather(x, n), x[n], gf.gather(x[None], n, axis=1)):
        assert evaluate([tensor], {x: value, n: [0, 3]})[0].size == 6
        for bad in (-1, 4):
            with pytest.raises(IndexOutOfRangeError, match=f"index {bad} "):
                evaluate([tensor], {x: value, n: [0, bad]})
    loss = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=n, logits=x)
    with pytest.raises(IndexOutOfRangeError, match="index 3 "):
        evaluate([loss], {x: value, n: [0, 3, 1, 1]})
    with pytest.raises(ShapeError):
        evaluate([loss], {x: value, n: [0, 1]})


def test_iteration_and_unpacking():
    x = gf.placeholder(gf.float64, [2, None], name="x")
    a, b = x
    np.testing.assert_array_equal(evaluate([b - a], {x: [[1, 2], [5, 7]]})[0], [4, 5])
    with pytest.raises(GraphflowError):
        list(gf.placeholder(gf.float64, [None]))
