"""Samples of every op and every public composition: what to feed it, and what must come out.

`samples_for(op)` gives the samples of a primitive: those of the elementwise family follow from arity, kinds and domain; those
of the other ops are written out below. `COMPOSITIONS` has samples of the public functions made of ops, with NumPy's answer.
An op without samples fails a test, so does a public function.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.ir.op import Access, Op
from graphflow.ir.tensor import Literal
from graphflow.ops.attention import attention
from graphflow.types import as_dtype, float32, float64, int64
from tests.ops import array_samples, window_samples
from tests.ops.compositions import FLAT, TABLE

Array = np.ndarray


@dataclass(frozen=True)
class Sample:
    """One application: operands and attributes of an op, or a `build` that makes tensors of tensors."""

    name: str
    operands: tuple[Array, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    build: Callable[..., Any] | None = None
    gradient: bool = False  # compare the gradient with central differences
    expected: Callable[..., Any] | None = None  # NumPy's answer
    second: bool = True  # compare the second derivative as well

    def __str__(self) -> str:
        return self.name


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on the name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, domain: tuple[float, float] = (-2, 2)) -> Array:
    """Values in the domain, as far as the dtype has them."""
    kind = as_dtype(dtype).kind
    low, high = domain
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind == "complex":
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if kind == "float":
        return rng.uniform(low, high, shape).astype(as_dtype(dtype).numpy)
    bottom = max(int(np.ceil(low)), 0 if kind == "uint" else -100)
    return rng.integers(bottom, max(int(high), bottom) + 1, shape).astype(dtype)


# --- the elementwise family --------------------------------------------------------------------------------------------

_DTYPES = {
    "bool": ["bool"],
    "int": ["int32", "int8", "int64"],
    "uint": ["uint8", "uint64"],
    "float": ["float64", "float32", "float16", "bfloat16"],
    "complex": ["complex128", "complex64"],
}
_SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 3e38]


def elementwise_samples(op: Op) -> Iterator[Sample]:
    """Dtypes, broadcasting, rank 0, empty, special values."""
    kinds = op.kinds  # type: ignore[attr-defined]
    arity = len(op.operands)
    rng = generator(op.name)
    domain = op.domain or (-2.0, 2.0)
    for kind in kinds:
        for dtype in _DTYPES[kind]:
            operands = tuple(draw(rng, (3, 4), dtype, domain) for _ in range(arity))
            precise = dtype in ("float64", "complex128")
            yield Sample(dtype, operands, gradient=precise)
    dtype = "float64" if "float" in kinds else _DTYPES[kinds[0]][0]
    precise = dtype == "float64"
    yield Sample("rank 0", tuple(draw(rng, (), dtype, domain) for _ in range(arity)), gradient=precise)
    yield Sample("empty", tuple(draw(rng, (0, 3), dtype, domain) for _ in range(arity)))
    if arity == 2:
        for left, right in (((4, 1), (3,)), ((), (2, 3)), ((2, 1, 3), (2, 4, 1)), ((1,), (0,))):
            yield Sample(
                f"broadcast {left} {right}", (draw(rng, left, dtype, domain), draw(rng, right, dtype, domain)), gradient=precise
            )
    if "float" in kinds:
        for dtype in ("float64", "float32"):
            values = np.array(_SPECIAL)
            with np.errstate(all="ignore"):
                pairs = np.meshgrid(*[values] * arity)
                yield Sample(f"special {dtype}", tuple(p.ravel().astype(dtype) for p in pairs))
    if arity == 2 and {"int", "uint"} & set(kinds):
        for dtype in ("int32", "uint8", "int64"):
            if as_dtype(dtype).kind in kinds:
                bounds = np.iinfo(dtype)
                values = np.array([bounds.min, bounds.max, 0, 1, 2, 3, 7], dtype)
                yield Sample(f"bounds {dtype}", tuple(p.ravel() for p in np.meshgrid(values, values)))


# --- the others, written out -------------------------------------------------------------------------------------------


def _f(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + 17 * len(shape) + sum(shape)).uniform(-2, 2, shape)


def _i(*values: Any, dtype: str = "int32") -> Array:
    return np.array(values, dtype)


def _reduction(*arrays: Array, gradient: bool) -> list[Sample]:
    samples = []
    for x in arrays:
        axes = [tuple(range(x.ndim)), *((a,) for a in range(x.ndim))]
        axes += [(0, 2)] if x.ndim == 3 else []
        for axis in axes:
            if axis:
                for keepdims in (False, True):
                    name = f"{x.dtype}{list(x.shape)} over {list(axis)}{' kept' if keepdims else ''}"
                    precise = gradient and x.dtype.name in ("float64", "complex128") and bool(np.isfinite(x).all())
                    samples.append(Sample(name, (x,), {"axis": axis, "keepdims": keepdims}, gradient=precise))
    return samples


_ATTENTIONS = {
    "one matrix": ((_f(2, 3), _f(4, 3), _f(4, 2)), {"scale": 0.5, "causal": False}),
    "batches": ((_f(2, 1, 3, 2), _f(2, 1, 2, 2), _f(2, 1, 2, 3)), {"scale": 2.0, "causal": True}),
    "causal": ((_f(4, 2), _f(3, 2), _f(3, 1)), {"scale": 0.5, "causal": True}),
    "blocks": ((_f(2, 50, 3), _f(2, 70, 3), _f(2, 70, 4)), {"scale": 1.0, "causal": True}),
}


def _attention_gradients() -> Iterator[Sample]:
    for name, (operands, attributes) in _ATTENTIONS.items():
        out, total = attention.reference(*operands, **attributes)
        yield Sample(name, (*operands, out, total, _f(*out.shape)), attributes)


_NAN = np.array([[1.0, np.nan, 3.0], [-np.inf, 2.0, np.inf]])
_FEW = np.array([[0.5, 2.0, 0.0], [0.0, 3.0, 0.0], [1.5, -1.0, 2.0]])
_NUMBERS = (_f(2, 3, 4), _f(5), _f(0, 3), _f(3, 0), _f(4, 5).astype("float32"), (_f(3, 3) * 5).astype("int32"), _NAN)
_SMALL = np.asarray([[7, 200], [100, 99]], "uint8")

STRUCTURAL: dict[str, list[Sample]] = {
    "where": [
        Sample("same shapes", (_f(3, 4) > 0, _f(3, 4), _f(3, 4, seed=1)), gradient=True),
        Sample("broadcast", (_f(4) > 0, _f(3, 1), _f()), gradient=True),
        Sample("condition widest", (_f(2, 3) > 0, _f(3), _f(2, 1)), gradient=True),
        Sample("int", (_f(3) > 0, _i(1, 2, 3), _i(4, 5, 6))),
        Sample("bool", (_f(3) > 0, _f(3, seed=1) > 0, _f(3, seed=2) > 0)),
        Sample("complex", (_f(3) > 0, _f(3) + 1j, _f(3) * 2j), gradient=True),
        Sample("special", (np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, -0.0]))),
    ],
    "cast": [
        *(
            Sample(
                f"{source} to {target}",
                (draw(generator(source + target), (3, 2), source, (0, 9)),),
                {"dtype": as_dtype(target)},
                gradient=(source, target) in (("float64", "float64"), ("float64", "complex128"), ("complex128", "float64")),
            )
            for source in ("bool", "int8", "int64", "uint8", "uint64", "float16", "bfloat16", "float32", "float64", "complex128")
            for target in (
                "bool",
                "int16",
                "int64",
                "uint32",
                "float16",
                "bfloat16",
                "float32",
                "float64",
                "complex64",
                "complex128",
            )
        ),
        *(
            Sample(
                f"special to {target}",
                (np.array([np.nan, np.inf, -np.inf, -1.9, 1.9, 1e30, -1e30]),),
                {"dtype": as_dtype(target)},
            )
            for target in ("bool", "int8", "int32", "int64", "uint8", "uint64", "float16", "float32", "complex64")
        ),
    ],
    "identity": [Sample("float64", (_f(3, 2),), gradient=True), Sample("int32", (_i(1, 2),)), Sample("empty", (_f(0),))],
    "stop_gradient": [Sample("float64", (_f(3, 2),)), Sample("int32", (_i(1, 2),))],
    "reshape": [
        Sample("split and join", (_f(4, 6),), {"shape": (2, 2, 3, 2)}, gradient=True),
        Sample("flat", (_f(2, 3, 4),), {"shape": (24,)}, gradient=True),
        Sample("across", (_f(4, 3),), {"shape": (6, 2)}, gradient=True),
        Sample("ones", (_f(3, 1, 2),), {"shape": (1, 3, 2, 1)}, gradient=True),
        Sample("rank 0", (_f(1, 1),), {"shape": ()}, gradient=True),
        Sample("from rank 0", (_f(),), {"shape": (1, 1)}, gradient=True),
        Sample("empty", (_f(0, 3),), {"shape": (5, 0)}),
        Sample("bool", (_f(4) > 0,), {"shape": (2, 2)}),
    ],
    "transpose": [
        Sample("matrix", (_f(2, 3),), {"perm": (1, 0)}, gradient=True),
        Sample("cycle", (_f(2, 3, 4),), {"perm": (1, 2, 0)}, gradient=True),
        Sample("identity", (_f(2, 3),), {"perm": (0, 1)}, gradient=True),
        Sample("rank 0", (_f(),), {"perm": ()}, gradient=True),
        Sample("empty", (_f(0, 3),), {"perm": (1, 0)}),
        Sample("uint8", (_SMALL,), {"perm": (1, 0)}),
    ],
    "broadcast_to": [
        Sample("new axis", (_f(3),), {"shape": (2, 3)}, gradient=True),
        Sample("stretched", (_f(2, 1),), {"shape": (2, 3)}, gradient=True),
        Sample("scalar", (_f(),), {"shape": (2, 3)}, gradient=True),
        Sample("to empty", (_f(1),), {"shape": (0,)}, gradient=True),
        Sample("same", (_f(2, 3),), {"shape": (2, 3)}, gradient=True),
        Sample("int", (_i(1, 2),), {"shape": (3, 2)}),
    ],
    "ensure_shape": [Sample("same", (_f(2, 3),), {"shape": (2, 3)}, gradient=True)],
    "unbroadcast": [
        Sample("same", (_f(2, 3), _f(1, 3)), {"axis": 0, "size": 2}, gradient=True),
        Sample("total", (_f(2, 3), _f(1, 3)), {"axis": 0, "size": 1}, gradient=True),
        Sample("of nothing", (_f(0, 3), _f(1, 3)), {"axis": 0, "size": 1}, gradient=True),
    ],
    "slice": [
        Sample("block", (_f(5, 6),), {"begin": (1, 2), "step": (1, 1), "shape": (3, 2)}, gradient=True),
        Sample("steps", (_f(7, 6),), {"begin": (1, 5), "step": (2, -1), "shape": (3, 6)}, gradient=True),
        Sample("backwards by 3", (_f(8),), {"begin": (7,), "step": (-3,), "shape": (3,)}, gradient=True),
        Sample("empty", (_f(4),), {"begin": (4,), "step": (1,), "shape": (0,)}, gradient=True),
        Sample("of rank 0", (_f(),), {"begin": (), "step": (), "shape": ()}, gradient=True),
        Sample("int", (_i(1, 2, 3),), {"begin": (1,), "step": (1,), "shape": (2,)}),
    ],
    "pad": [
        Sample("border", (_f(2, 3),), {"begin": (1, 0), "step": (1, 1), "shape": (4, 5), "value": 7.0}, gradient=True),
        Sample("spread", (_f(3),), {"begin": (1,), "step": (3,), "shape": (9,), "value": 0}, gradient=True),
        Sample("backwards", (_f(3),), {"begin": (6,), "step": (-2,), "shape": (8,), "value": 0}, gradient=True),
        Sample("of nothing", (_f(0),), {"begin": (1,), "step": (1,), "shape": (3,), "value": -1.0}, gradient=True),
        Sample("infinite", (_f(2),), {"begin": (1,), "step": (1,), "shape": (4,), "value": -np.inf}),
        Sample("int", (_i(1, 2),), {"begin": (0,), "step": (1,), "shape": (4,), "value": -1}),
    ],
    "concat": [
        Sample("rows", (_f(2, 3), _f(1, 3)), {"axis": 0}, gradient=True),
        Sample("columns", (_f(2, 3), _f(2, 1), _f(2, 2)), {"axis": 1}, gradient=True),
        Sample("with nothing", (_f(0, 3), _f(2, 3)), {"axis": 0}, gradient=True),
        Sample("one", (_f(3),), {"axis": 0}, gradient=True),
        Sample("int", (_i(1, 2), _i(3)), {"axis": 0}),
    ],
    "iota": [
        Sample("int64", (), {"size": 4, "dtype": int64}),
        Sample("float32", (), {"size": 3, "dtype": float32}),
        Sample("none", (), {"size": 0, "dtype": float64}),
        Sample("float16", (), {"size": 3, "dtype": as_dtype("float16")}),
    ],
    "size_value": [Sample("7", (), {"size": 7})],
    "random_bits": [
        Sample("first word", (np.uint32(3).reshape(()),), {"shape": (2, 3), "key": (1, 2), "word": 0}),
        Sample("second word", (np.uint32(4).reshape(()),), {"shape": (5,), "key": (2**32 - 1, 7), "word": 1}),
        Sample("rank 0", (np.uint32(0).reshape(()),), {"shape": (), "key": (0, 0), "word": 0}),
        Sample("empty", (np.uint32(0).reshape(()),), {"shape": (0, 2), "key": (0, 0), "word": 0}),
    ],
    "gather": [
        Sample("rows", (_f(4, 3), _i(0, 3, 3, 1)), {"axis": 0, "batch_dims": 0}, gradient=True),
        Sample("columns", (_f(2, 5), _i([0, 4], [2, 2])), {"axis": 1, "batch_dims": 0}, gradient=True),
        Sample("middle", (_f(2, 3, 4), _i(2, 0)), {"axis": 1, "batch_dims": 0}, gradient=True),
        Sample("scalar index", (_f(4, 3), np.int64(2).reshape(())), {"axis": 0, "batch_dims": 0}, gradient=True),
        Sample("batch", (_f(2, 4, 3), _i([0, 3], [2, 2])), {"axis": 1, "batch_dims": 1}, gradient=True),
        Sample("batch, later axis", (_f(2, 3, 4), _i([0, 3, 1], [2, 2, 2])), {"axis": 2, "batch_dims": 1}, gradient=True),
        Sample("none", (_f(4, 3), np.zeros(0, "int32")), {"axis": 0, "batch_dims": 0}, gradient=True),
        Sample("int of uint8", (_i(5, 6, 7), _i(2, 0, dtype="uint8")), {"axis": 0, "batch_dims": 0}),
    ],
    "scatter_add": [
        Sample("rows", (_i(0, 2, 2), _f(3, 4)), {"size": 4, "drop": False}, gradient=True),
        Sample("grid", (_i([0, 1], [1, 1], dtype="int64"), _f(2, 2)), {"size": 2, "drop": False}, gradient=True),
        Sample("scalar index", (np.int32(1).reshape(()), _f(3)), {"size": 2, "drop": False}, gradient=True),
        Sample("nothing", (np.zeros(0, "int32"), _f(0, 3)), {"size": 2, "drop": False}, gradient=True),
        Sample("float32", (_i(1, 1, 0), _f(3).astype("float32")), {"size": 3, "drop": False}),
        Sample("outside", (_i(-1, 2, 0, 3, 2), _f(5, 2)), {"size": 3, "drop": True}, gradient=True),
    ],
    "scatter_add_to": [
        Sample("rows", (_f(4, 3), _i(0, 2, 2), _f(3, 3)), {"drop": False}, gradient=True),
        Sample("grid", (_f(2), _i([0, 1], [1, 1], dtype="uint8"), _f(2, 2)), {"drop": False}, gradient=True),
        Sample("outside", (_f(3, 2), _i(-1, 2, 0, 3, 2), _f(5, 2)), {"drop": True}, gradient=True),
        Sample("nothing", (_f(2, 3), np.zeros(0, "int32"), _f(0, 3)), {"drop": False}, gradient=True),
    ],
    "scatter_set": [
        Sample("rows", (_f(4, 3), _i(0, 3, 2), _f(3, 3)), {"drop": False}, gradient=True),
        Sample("equal indices", (_f(4, 3), _i(2, 3, 2), _f(3, 3)), {"drop": False}, gradient=True),
        Sample("grid", (_f(2), _i([0, 1], [1, 1], dtype="uint8"), _f(2, 2)), {"drop": False}, gradient=True),
        Sample("outside", (_f(3, 2), _i(-1, 2, 0, 3, 1), _f(5, 2)), {"drop": True}, gradient=True),
        Sample("nothing", (_f(2, 3), np.zeros(0, "int32"), _f(0, 3)), {"drop": False}, gradient=True),
    ],
    "check_numerics": [
        Sample("float32", (_f(2, 3),), {"message": "m"}, gradient=True),
        Sample("rank 0", (_f(),), {"message": ""}, gradient=True),
    ],
    "check_index": [
        Sample("int32", (_i(0, 3, 1),), {"size": 4, "axis": 1}),
        Sample("uint8", (_i([0], [2], dtype="uint8"),), {"size": 3, "axis": 0}),
    ],
    "matmul": [
        *(
            Sample(
                f"transpose {a} {b}",
                (_f(*((4, 3) if a else (3, 4))), _f(*((2, 4) if b else (4, 2)))),
                {"transpose_a": a, "transpose_b": b},
                gradient=True,
            )
            for a in (False, True)
            for b in (False, True)
        ),
        *(
            Sample(
                f"batch {a} {b}",
                (_f(2, 1, *((4, 3) if a else (3, 4))), _f(1, 3, *((2, 4) if b else (4, 2)))),
                {"transpose_a": a, "transpose_b": b},
                gradient=True,
            )
            for a in (False, True)
            for b in (False, True)
        ),
        Sample("no rows", (_f(0, 3), _f(3, 2)), {"transpose_a": False, "transpose_b": False}, gradient=True),
        Sample("no inner", (_f(2, 0), _f(0, 2)), {"transpose_a": False, "transpose_b": False}, gradient=True),
        Sample("float32", (_f(5, 3).astype("float32"), _f(3, 4).astype("float32")), {"transpose_a": False, "transpose_b": False}),
    ],
    "attention": [
        Sample(name, operands, attributes, gradient=name != "blocks") for name, (operands, attributes) in _ATTENTIONS.items()
    ],
    "attention_gradient": list(_attention_gradients()),
    "reduce_sum": _reduction(*_NUMBERS, _SMALL, _f(2, 2) + 1j, gradient=True),
    "reduce_prod": _reduction(*_NUMBERS[:-1], _SMALL, gradient=True)
    + [
        Sample(f"zeros {axis}", (_FEW,), {"axis": axis, "keepdims": False}, gradient=True, second=False)
        for axis in ((0,), (1,), (0, 1))
    ],
    "reduce_max": _reduction(*_NUMBERS[:2], gradient=True) + _reduction(*_NUMBERS[2:], _SMALL, gradient=False),
    "reduce_min": _reduction(*_NUMBERS[:2], gradient=True) + _reduction(*_NUMBERS[2:], _SMALL, gradient=False),
    "reduce_any": _reduction(_f(2, 3) > 1, _f(0, 2) > 0, gradient=False),
    "reduce_all": _reduction(_f(2, 3) > -1, _f(0, 2) > 0, gradient=False),
    "constant": [
        Sample("vector", (), {"value": Literal(np.array([1.0, 2.0]))}),
        Sample("scalar", (), {"value": Literal(np.int32(3).reshape(()))}),
    ],
    "read_after": [Sample("float64", (_f(3, 2),), gradient=True)],
    **window_samples.structural(Sample),
    **array_samples.structural(Sample),
}

# Ops that have no value of their own: what they stand for is fed, or is a matter of the session, or is what a body computes.
WITHOUT_SAMPLES = frozenset(
    ["placeholder", "variable", "run_counter", "assign", "assign_add", "assign_sub", "no_op", "parameter", "loop", "branch"]
    + ["value", "with_gradient", "host_function", "print", "after", "assert_true", "assert_relation", "stop", "watched"]
    + ["refused"]
)


def samples_for(op: Op) -> list[Sample]:
    """The samples of a primitive op; a KeyError for an op that has none."""
    if op.name in STRUCTURAL:
        return STRUCTURAL[op.name]
    if op.access is Access.ELEMENTWISE and hasattr(op, "kinds"):
        return list(elementwise_samples(op))
    raise KeyError(f"op {op.name} has no samples: add them to tests/ops/samples.py")


def all_samples(ops: Sequence[Op]) -> list[tuple[Op, Sample]]:
    """Every op of `ops` with every sample it has."""
    return [(op, sample) for op in ops if op.name not in WITHOUT_SAMPLES for sample in samples_for(op)]


# --- public functions --------------------------------------------------------------------------------------------------


def _composition_samples(name: str, rows: list[Any]) -> list[Sample]:
    samples = []
    for title, operands, build, expected in rows:
        floats = [x for x in operands if x.dtype.kind in "fc"]
        smooth = bool(floats) and all(x.dtype.name in ("float64", "complex128") and np.isfinite(x).all() for x in floats)
        samples.append(
            Sample(title, operands, build=build, gradient=smooth and name not in FLAT | array_samples.FLAT, expected=expected)
        )
    return samples


COMPOSITIONS: dict[str, list[Sample]] = {
    name: _composition_samples(name, rows) for name, rows in (TABLE | window_samples.TABLE | array_samples.TABLE).items()
}
