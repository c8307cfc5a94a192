"""Operands that do not fit: each error has its class, names the op, the operands with types and lines, the rule and a remedy."""

# ruff: noqa: E501 - a table, one sample a line
import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import DTypeError, GraphflowError, ShapeError


def f32(*shape, name="x"):
    return gf.placeholder(gf.float32, list(shape), name=name)


def i32(*shape, name="n"):
    return gf.placeholder(gf.int32, list(shape), name=name)


# What is built, the class of the error, texts of the message.
SAMPLES = {
    "add of shapes": (lambda: f32(2, 3) + f32(4, name="y"), ShapeError, ["add", "[2, 3] and [4]", "x", "float32[4]", "equal or 1"]),
    "add of dtypes": (lambda: f32(2) + i32(2), DTypeError, ["add", "float32 and int32", "gf.cast"]),
    "number that does not fit": (lambda: i32(2) + 0.5, DTypeError, ["add", "0.5 does not fit int32", "gf.cast"]),
    "large number": (lambda: i32(2) + 2**40, DTypeError, ["outside the range of int32"]),
    "text": (lambda: f32(2) + "three", DTypeError, ["add", "'three' is a text"]),
    "object": (lambda: f32(2) + object(), DTypeError, ["an object"]),
    "object array": (lambda: f32(2) + np.array([None, 1]), DTypeError, ["object"]),
    "ragged list": (lambda: gf.constant([[1, 2], [3]]), DTypeError, ["no array of numbers"]),
    "exp of integers": (lambda: gf.exp(i32(2)), DTypeError, ["exp: no exp of int32", "floats", "gf.cast"]),
    "logical_and of floats": (lambda: gf.logical_and(f32(2), f32(2)), DTypeError, ["logical_and", "float32"]),
    "less of complex": (lambda: gf.less(gf.constant(1j), 2j), DTypeError, ["less", "complex64"]),
    "where without condition": (lambda: gf.where(f32(2), f32(2), 0.0), DTypeError, ["where", "condition is float32", "compare"]),
    "where of dtypes": (lambda: gf.where(f32(2) > 0, f32(2), i32(2)), DTypeError, ["where", "float32 and int32"]),
    "cast to nothing": (lambda: gf.cast(f32(2), "float31"), DTypeError, ["no dtype 'float31'"]),
    "reduce axis": (lambda: gf.reduce_sum(f32(2, 3), axis=2), ShapeError, ["reduce_sum", "axis 2", "rank 2", "float32[2, 3]", "-2 to 1"]),
    "reduce axis twice": (lambda: gf.reduce_max(f32(2, 3), axis=[0, -2]), ShapeError, ["names an axis twice"]),
    "reduce axis is no number": (lambda: gf.reduce_sum(f32(2, 3), axis=1.5), DTypeError, ["reduce_sum", "1.5"]),
    "reduce_sum of bool": (lambda: gf.reduce_sum(f32(2) > 0), DTypeError, ["reduce_sum", "bool", "gf.cast"]),
    "reduce_any of floats": (lambda: gf.reduce_any(f32(2)), DTypeError, ["reduce_any", "float32"]),
    "argmax of a scalar": (lambda: gf.argmax(f32()), ShapeError, ["argmax", "no axis"]),
    "argmax of nothing": (lambda: gf.argmax(f32(0)), ShapeError, ["argmax", "empty"]),
    "matmul sizes": (
        lambda: f32(32, 784) @ f32(512, 10, name="w"),
        ShapeError,
        ["matmul: inner dimensions differ, 784 and 512", "float32[32, 784]", "float32[512, 10]", "a.shape[-1] == b.shape[-2]"],
    ),
    "matmul batches": (lambda: gf.matmul(f32(2, 3, 4), f32(3, 4, 5)), ShapeError, ["matmul", "[2] and [3]"]),
    "matmul dtypes": (lambda: gf.matmul(f32(2, 2), i32(2, 2)), DTypeError, ["matmul", "float32 and int32"]),
    "matmul of scalars": (lambda: gf.matmul(f32(), f32()), ShapeError, ["matmul", "scalar"]),
    "matmul of bool": (lambda: gf.matmul(f32(2, 2) > 0, f32(2, 2) > 0), DTypeError, ["bool"]),
    "einsum terms": (lambda: gf.einsum("ij,jk", f32(2, 2)), ShapeError, ["einsum", "2 terms for 1"]),
    "einsum sizes": (lambda: gf.einsum("ij,jk->ik", f32(2, 3), f32(4, 5)), ShapeError, ["einsum", "'j' has sizes 3 and 4"]),
    "einsum rank": (lambda: gf.einsum("ijk->", f32(2, 3)), ShapeError, ["einsum", "rank"]),
    "einsum result": (lambda: gf.einsum("ij->ik", f32(2, 3)), ShapeError, ["'k' in the result only"]),
    "einsum equation": (lambda: gf.einsum("i1->i", f32(2, 3)), ShapeError, ["no equation"]),
    "convolution channels": (
        lambda: gf.nn.conv2d(f32(8, 28, 28, 3), f32(5, 5, 4, 16, name="w"), 1, "SAME"),
        ShapeError,
        ["conv2d", "3 input channels, and filters for 4", "float32[8, 28, 28, 3]", "NCHW needs data_format"],
    ),
    "convolution window": (lambda: gf.nn.conv2d(f32(1, 4, 4, 1), f32(6, 3, 1, 2), 1, "VALID"), ShapeError, ["conv2d", "reaches over 6", "size 4", "SAME"]),
    "convolution rank": (lambda: gf.nn.conv2d(f32(4, 4, 1), f32(3, 1, 2), 1, "SAME"), ShapeError, ["conv2d", "rank 3, not 4", "batch, spatial axes, channels"]),
    "convolution of integers": (lambda: gf.nn.conv2d(i32(1, 4, 4, 1), i32(3, 3, 1, 2), 1, "SAME"), DTypeError, ["conv2d", "int32", "gf.cast"]),
    "convolution padding": (lambda: gf.nn.conv1d(f32(1, 4, 1), f32(3, 1, 2), 1, "FULL"), DTypeError, ["conv1d", "'FULL'", "VALID", "[before, after]"]),
    "convolution strides": (lambda: gf.nn.conv2d(f32(1, 4, 4, 1), f32(3, 3, 1, 2), [2, 2, 2, 1], "SAME"), ShapeError, ["strides", "batch or channels"]),
    "convolution format": (lambda: gf.nn.conv2d(f32(1, 4, 4, 1), f32(3, 3, 1, 2), 1, "SAME", data_format="CHWN"), DTypeError, ["'CHWN'", "NHWC", "NCHW"]),
    "convolution groups": (lambda: gf.nn.conv2d(f32(1, 4, 4, 4), f32(3, 3, 2, 3), 1, "SAME"), ShapeError, ["3 output channels", "2 groups"]),
    "transposed convolution": (
        lambda: gf.nn.conv2d_transpose(f32(1, 4, 4, 2), f32(3, 3, 5, 2), [1, 9, 8, 5], 2),
        ShapeError,
        ["conv2d_transpose", "[1, 5, 4, 2], not [1, 4, 4, 2]", "output_shape"],
    ),
    "depthwise channels": (lambda: gf.nn.depthwise_conv2d(f32(1, 4, 4, 4), f32(3, 3, 3, 1), 1, "SAME"), ShapeError, ["depthwise_conv2d", "4 input channels", "for 3"]),
    "pool padding": (lambda: gf.nn.max_pool2d(f32(1, 4, 4, 1), 2, 2, [[2, 0], [0, 0]]), ShapeError, ["max_pool2d", "whole window of 2"]),
    "pool of integers": (lambda: gf.nn.avg_pool2d(i32(1, 4, 4, 1), 2, 2, "SAME"), DTypeError, ["avg_pool2d", "int32", "gf.cast"]),
    "bias size": (lambda: gf.nn.bias_add(f32(2, 3), f32(4)), ShapeError, ["bias_add", "4"]),
    "tensordot": (lambda: gf.tensordot(f32(2, 3), f32(4), 1), ShapeError, ["tensordot", "3 and 4"]),
    "reshape": (lambda: gf.reshape(f32(2, 3), [4]), ShapeError, ["reshape", "6 elements do not fill shape [4] of 4", "float32[2, 3]"]),
    "reshape open": (lambda: gf.reshape(f32(2, 3), [-1, 4]), ShapeError, ["reshape", "do not divide"]),
    "reshape twice open": (lambda: gf.reshape(f32(2, 3), [-1, -1]), ShapeError, ["At most one"]),
    "reshape None": (lambda: gf.reshape(f32(2, 3), [None, 3]), DTypeError, ["None is no size", "x.shape[0]"]),
    "reshape float": (lambda: gf.reshape(f32(2, 3), [2.0, 3]), DTypeError, ["2.0 is no whole number"]),
    "reshape negative": (lambda: gf.reshape(f32(2, 3), [-2, -3]), ShapeError, ["negative"]),
    "reshape by a value of the run": (lambda: gf.reshape(f32(2, 3), i32(2)), DTypeError, ["not known before a run", "x.shape[0]"]),
    "transpose": (lambda: gf.transpose(f32(2, 3), [0, 0]), ShapeError, ["transpose", "[0, 0]", "once"]),
    "broadcast_to": (lambda: gf.broadcast_to(f32(2, 3), [2, 4]), ShapeError, ["broadcast", "[2, 4]"]),
    "concat ranks": (lambda: gf.concat([f32(2, 3), f32(2)], 0), ShapeError, ["concat", "ranks differ"]),
    "concat sizes": (lambda: gf.concat([f32(2, 3), f32(2, 4)], 0), ShapeError, ["concat", "axis 1", "3 and 4"]),
    "concat dtypes": (lambda: gf.concat([f32(2), i32(2)], 0), DTypeError, ["concat", "float32 and int32"]),
    "concat of scalars": (lambda: gf.concat([f32(), f32()], 0), ShapeError, ["concat", "gf.stack"]),
    "concat of nothing": (lambda: gf.concat([], 0), ShapeError, ["no tensors"]),
    "stack": (lambda: gf.stack([f32(2), f32(3)]), ShapeError, ["stack: shapes differ, float32[2] and float32[3]"]),
    "split": (lambda: gf.split(f32(5), 2), ShapeError, ["split", "does not divide into 2"]),
    "split sizes": (lambda: gf.split(f32(5), [2, 2]), ShapeError, ["split", "do not add up"]),
    "squeeze": (lambda: gf.squeeze(f32(2, 3), 0), ShapeError, ["squeeze", "axis 0 has size 2"]),
    "pad": (lambda: gf.pad(f32(2, 3), [[1, 1]]), ShapeError, ["pad", "One pair"]),
    "tile": (lambda: gf.tile(f32(2, 3), [2]), ShapeError, ["tile", "rank 2"]),
    "index": (lambda: f32(2, 3)[2], ShapeError, ["index 2 is outside axis 0 of size 2"]),
    "indices": (lambda: f32(2, 3)[0, 0, 0], ShapeError, ["3 indices for rank 2"]),
    "float index": (lambda: f32(2)[0.5], DTypeError, ["0.5 is no index"]),
    "NaN index": (lambda: f32(2)[float("nan")], DTypeError, ["nan is no index"]),
    "float indices": (lambda: gf.gather(f32(3), f32(2)), DTypeError, ["gather", "indices are float32", "gf.cast"]),
    "NaN in indices": (lambda: gf.gather(f32(3), [float("nan")]), DTypeError, ["gather", "integers"]),
    "mask": (lambda: f32(3)[f32(3) > 0], DTypeError, ["mask", "gf.where"]),
    "slice by a value of the run": (lambda: f32(3)[: i32()], DTypeError, ["not known before a run"]),
    "slice step": (lambda: f32(3)[::0], ShapeError, ["step 0"]),
    "one_hot of floats": (lambda: gf.one_hot(f32(2), 3), DTypeError, ["one_hot", "indices are float32"]),
    "one_hot depth": (lambda: gf.one_hot(i32(2), -3), ShapeError, ["one_hot", "depth -3 is negative"]),
    "softmax of integers": (lambda: gf.nn.softmax(i32(3)), DTypeError, ["softmax", "int32"]),
    "sparse labels": (
        lambda: gf.nn.sparse_softmax_cross_entropy_with_logits(labels=f32(2), logits=f32(2, 3)),
        DTypeError,
        ["sparse_softmax_cross_entropy_with_logits", "float32", "gf.cast"],
    ),
    "sparse labels' rank": (
        lambda: gf.nn.sparse_softmax_cross_entropy_with_logits(labels=i32(2, 3), logits=f32(2, 3)),
        ShapeError,
        ["labels have rank 2, logits 2", "int32[2, 3]", "without the last axis"],
    ),
    "dense labels": (
        lambda: gf.nn.softmax_cross_entropy_with_logits(labels=f32(2), logits=f32(2, 3)), ShapeError, ["labels have rank 1"],
    ),
    "dropout rate": (lambda: gf.nn.dropout(f32(2), 1.5), ShapeError, ["rate 1.5"]),
    "random shape": (lambda: gf.random.uniform([None, 3]), DTypeError, ["None is no size"]),
    "random bounds": (lambda: gf.random.uniform([3], dtype=gf.int32), DTypeError, ["whole minval and maxval"]),
    "random dtype": (lambda: gf.random.normal([3], dtype=gf.int32), DTypeError, ["int32"]),
    "random seed": (lambda: gf.random.normal([3], seed=0.5), DTypeError, ["seed 0.5"]),
    "fill": (lambda: gf.fill([2], [1, 2]), ShapeError, ["fill", "one number"]),
    "solve sizes": (lambda: gf.linalg.solve(f32(3, 3), f32(4, 1, name="b")), ShapeError, ["solve", "differ, 3 and 4", "float32[4, 1]"]),
    "cholesky of a wide matrix": (lambda: gf.linalg.cholesky(f32(3, 4)), ShapeError, ["cholesky", "not square, 4 and 3"]),
    "inverse of integers": (lambda: gf.linalg.inv(gf.cast(f32(3, 3), gf.int32)), DTypeError, ["inv", "int32", "gf.cast"]),
    "top_k of too few": (lambda: gf.top_k(f32(3), 5), ShapeError, ["first 5 of 3", "float32[3]"]),
    "cumulative sum of bool": (lambda: gf.cumsum(f32(3) > 0), DTypeError, ["bool", "gf.cast"]),
    "repeats of the run": (lambda: gf.repeat(f32(3), gf.placeholder(gf.int32, [3])), ShapeError, ["repeat", "depends on values", "total_repeat_length"]),
    "transform of nothing": (lambda: gf.fft.fft(f32(0)), ShapeError, ["fft", "axis 0 is empty"]),
    "function without a shape": (lambda: gf.numpy_function(np.sum, [], gf.float32), ShapeError, ["numpy_function", "Give `shape`"]),
    "other graph": (lambda: f32(2) + in_another_graph(), GraphflowError, ["different graphs"]),
    "truth": (lambda: bool(f32()), GraphflowError, ["gf.where"]),
    "iteration": (lambda: list(f32(None)), GraphflowError, ["cannot iterate"]),
}  # fmt: skip


def in_another_graph():
    with gf.Graph().as_default():
        return f32(2, name="foreign")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_message(name):
    build, kind, texts = SAMPLES[name]
    with pytest.raises(kind) as caught:
        build()
    message = str(caught.value)
    for text in texts:
        assert text in message, message
    assert isinstance(caught.value, GraphflowError)


def test_operands_are_shown_with_their_lines():
    with pytest.raises(ShapeError) as caught:
        gf.reshape(gf.transpose(f32(2, 3, name="image")), [5])
    assert "transpose  float32[3, 2]" in str(caught.value) and "test_errors.py" in str(caught.value)
