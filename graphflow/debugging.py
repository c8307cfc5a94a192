"""Assertions under TensorFlow's names: each is an operation that lets a run fail with InvalidArgumentError.

It belongs to a run that fetches it, or that computes something built under `gf.control_dependencies([it])`; in the body of a loop
or a branch, to each run of it. What is known when the graph is built raises at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.graph import is_eager
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.assertions import Assert, related
from graphflow.ops.numerics import check_numerics
from graphflow.ops.state import Operation, group
from graphflow.types import DType, as_dtype


def _relation(relation: str, what: str) -> Callable[..., Operation | None]:
    def check(x: Any, y: Any, message: str | None = None, summarize: int | None = None, name: str | None = None) -> Any:
        return related(x, y, relation, message, name or f"assert_{relation}")

    check.__name__ = check.__qualname__ = f"assert_{relation}"
    check.__doc__ = f"The operation that fails unless each element of `x` {what} that of `y`; they broadcast."
    return check


assert_equal = _relation("equal", "equals")
assert_none_equal = _relation("none_equal", "differs from")
assert_less = _relation("less", "is less than")
assert_less_equal = _relation("less_equal", "is less than, or equal to,")
assert_greater = _relation("greater", "is greater than")
assert_greater_equal = _relation("greater_equal", "is greater than, or equal to,")


def _sign(name: str, relation: str, what: str) -> Callable[..., Operation | None]:
    def check(x: Any, message: str | None = None, summarize: int | None = None, name: str | None = None) -> Any:
        return related(x, 0, relation, message, name or title)

    title = check.__name__ = check.__qualname__ = f"assert_{name}"
    check.__doc__ = f"The operation that fails unless each element of `x` is {what}."
    return check


assert_positive = _sign("positive", "greater", "greater than 0")
assert_negative = _sign("negative", "less", "less than 0")
assert_non_negative = _sign("non_negative", "greater_equal", "0 or greater")
assert_non_positive = _sign("non_positive", "less_equal", "0 or less")


def assert_near(
    x: Any,
    y: Any,
    rtol: float | None = None,
    atol: float | None = None,
    message: str | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Operation | None:
    """The operation that fails unless |x - y| <= atol + rtol |y| for each pair; both are 10 units of rounding unless given."""
    a = convert_to_tensor(x)
    tolerance = 10 * (2.0 ** -{"float64": 52, "float16": 10, "bfloat16": 7}.get(a.dtype.name, 23))
    rtol, atol = (tolerance if t is None else t for t in (rtol, atol))
    return related(a, y, "near", message, name or "assert_near", rtol, atol)


def assert_all_finite(x: Any, message: str = "", name: str | None = None) -> Tensor:
    """`x`; a run that computes it fails where an element is NaN or infinite."""
    return check_numerics(x, message, name)


def assert_rank(x: Any, rank: int, message: str | None = None, name: str | None = None) -> Operation | None:
    """ShapeError unless `x` has that rank; a rank is known when the graph is built."""
    return _static(convert_to_tensor(x), lambda t: t.rank == rank, f"rank {rank}", message, name)


def assert_rank_at_least(x: Any, rank: int, message: str | None = None, name: str | None = None) -> Operation | None:
    """ShapeError unless `x` has at least that rank."""
    return _static(convert_to_tensor(x), lambda t: t.rank >= rank, f"a rank of at least {rank}", message, name)


def assert_rank_in(x: Any, ranks: Sequence[int], message: str | None = None, name: str | None = None) -> Operation | None:
    """ShapeError unless the rank of `x` is one of `ranks`."""
    return _static(convert_to_tensor(x), lambda t: t.rank in ranks, f"a rank of {list(ranks)}", message, name)


def assert_scalar(tensor: Any, message: str | None = None, name: str | None = None) -> Operation | None:
    """ShapeError unless `tensor` has no axes."""
    return assert_rank(tensor, 0, message, name)


def assert_shapes(
    shapes: Mapping[Any, Any] | Sequence[tuple[Any, Any]], message: str | None = None, name: str | None = None
) -> Operation | None:
    """The operation that fails unless each tensor has its shape: `[(x, ("n", 3)), (y, ("n",))]`.

    A size is a number, None for any, or a symbol, which is one size everywhere. What sizes known now violate is a ShapeError at
    once.
    """
    pairs = list(shapes.items()) if isinstance(shapes, Mapping) else list(shapes)
    known: dict[Any, Any] = {}  # sizes by symbol
    checks: list[Operation | None] = []
    for item, wanted in pairs:
        tensor = convert_to_tensor(item)
        sizes = (wanted,) if isinstance(wanted, int | str) or wanted is None else tuple(wanted)
        if len(sizes) != tensor.rank:
            raise _wrong(tensor, f"rank {len(sizes)}", message)
        for have, want in zip(tensor.shape, sizes, strict=True):
            if want is None or want == ".":
                continue
            if not isinstance(want, int):
                want = known.setdefault(want, have)
            if isinstance(have, int) and isinstance(want, int):
                if have != want:
                    raise _wrong(tensor, f"the shape {list(sizes)}", message)
            elif have != want:
                text = f"{message + ': ' if message else ''}a size of {tensor.name}, which is {list(sizes)}"
                checks.append(related(convert_to_tensor(have), convert_to_tensor(want), "equal", text, name or "assert_shapes"))
    return None if is_eager() else group(*checks, name=name or "assert_shapes")


def assert_type(tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None) -> Operation | None:
    """DTypeError unless `tensor` is of that dtype."""
    return _of_dtype(convert_to_tensor(tensor), lambda d: d == as_dtype(tf_type), str(as_dtype(tf_type)), message, name)


def assert_integer(x: Any, message: str | None = None, name: str | None = None) -> Operation | None:
    """DTypeError unless `x` is of an integer dtype."""
    return _of_dtype(convert_to_tensor(x), lambda d: d.is_integer, "an integer dtype", message, name)


def assert_same_float_dtype(tensors: Sequence[Any] | None = None, dtype: Any = None) -> DType:
    """The one floating-point dtype of all `tensors`, `dtype` if it is given; DTypeError where there are two, or another one."""
    found = [convert_to_tensor(t) for t in tensors or ()]
    wanted = as_dtype(dtype) if dtype is not None else found[0].dtype if found else as_dtype("float32")
    for tensor in found:
        _of_dtype(tensor, lambda d: d == wanted and d.is_floating, str(wanted), None, None)
    return wanted


def is_numeric_tensor(tensor: Any) -> bool:
    """Is it a tensor of numbers, and no bool?"""
    return isinstance(tensor, Tensor) and not tensor.dtype.is_bool


def _static(tensor: Tensor, holds: Callable[[Tensor], bool], what: str, message: str | None, name: str | None) -> Any:
    if not holds(tensor):
        raise _wrong(tensor, what, message)
    return None if is_eager() else group(name=name or "assert_rank")


def _wrong(tensor: Tensor, what: str, message: str | None) -> ShapeError:
    return ShapeError(f"{message + ': ' if message else ''}{tensor.name} has not {what}", operands={"x": tensor})


def _of_dtype(tensor: Tensor, holds: Callable[[DType], bool], what: str, message: str | None, name: str | None) -> Any:
    if not holds(tensor.dtype):
        raise DTypeError(f"{message + ': ' if message else ''}{tensor.name} is not {what}", operands={"x": tensor})
    return None if is_eager() else group(name=name or "assert_type")


__all__ = [
    "Assert", "assert_all_finite", "assert_equal", "assert_greater", "assert_greater_equal", "assert_integer", "assert_less",
    "assert_less_equal", "assert_near", "assert_negative", "assert_non_negative", "assert_non_positive", "assert_none_equal",
    "assert_positive", "assert_rank", "assert_rank_at_least", "assert_rank_in", "assert_same_float_dtype", "assert_scalar",
    "assert_shapes", "assert_type", "check_numerics", "is_numeric_tensor",
]  # fmt: skip
