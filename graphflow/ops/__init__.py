"""The ops: one block each, and the compositions made of them."""

from __future__ import annotations

from graphflow.ir.tensor import set_operators
from graphflow.ops import array, control, convolution, indexing, linalg, logic, math, movement, nn, pooling, random, source, state

set_operators(
    {
        "add": math.add,
        "subtract": math.subtract,
        "multiply": math.multiply,
        "divide": math.divide,
        "floordiv": math.floordiv,
        "mod": math.mod,
        "pow": math.power,
        "matmul": linalg.matmul,
        "bitwise_and": math.bitwise_and,
        "bitwise_or": math.bitwise_or,
        "bitwise_xor": math.bitwise_xor,
        "invert": math.invert,
        "left_shift": math.left_shift,
        "right_shift": math.right_shift,
        "negative": math.negative,
        "abs": math.absolute,
        "real": math.real,
        "imag": math.imag,
        "equal": math.equal,
        "not_equal": math.not_equal,
        "less": math.less,
        "less_equal": math.less_equal,
        "greater": math.greater,
        "greater_equal": math.greater_equal,
        "getitem": indexing.getitem,
        "transpose": movement.transpose,
        "swapaxes": array.swapaxes,
        "stack": array.stack,
        "detached": logic.stop_gradient,
        "size_value": lambda size: source.size_value(size=size),
    }
)

__all__ = [
    "array",
    "control",
    "convolution",
    "indexing",
    "linalg",
    "math",
    "movement",
    "nn",
    "pooling",
    "random",
    "source",
    "state",
]
