"""Decorators that make an `Op` from one block: signature, type rule, docstring; then VJPs, element rule and reference.

    @elementwise(scalar="exp_{t}({0})", reference=np.exp, domain=(-4, 4), cost=12)
    def exp(x):
        \"\"\"Elementwise exponential, e**x.\"\"\"

    exp.defvjp(lambda g, out, x: g * out)

Positional parameters are operands, keyword-only ones are attributes. `REGISTRY` holds every op declared, by name; tests
and documentation are derived from it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.errors import DTypeError, ShapeError, TypeRuleError
from graphflow.ir import scalar as s
from graphflow.ir.graph import name_scope
from graphflow.ir.op import Access, Op, require
from graphflow.ops.recipe import remembered
from graphflow.types import (
    AnySize,
    DType,
    Shape,
    TensorType,
    bool_,
    broadcast_shapes,
    dims_of,
    float64,
    format_shape,
    nonunit,
)

REGISTRY: dict[str, Op] = {}
_NAMED = re.compile(r"\w+: ")  # a headline that begins with the name of an op
COMPOSITIONS: dict[str, Callable[..., Any]] = {}  # public functions made of ops, by name


def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool, dict[str, Any]]:
    operands: list[str] = []
    attributes: dict[str, Any] = {}
    variadic = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            attributes[parameter.name] = parameter.default
        else:
            operands.append(parameter.name)
            variadic |= parameter.kind is inspect.Parameter.VAR_POSITIONAL
    return tuple(operands), variadic, attributes


def _register(op: Op) -> Op:
    assert op.name not in REGISTRY, f"op {op.name} is declared twice"
    REGISTRY[op.name] = op
    return op


def op(
    *,
    access: Access,
    reference: Callable[..., Any] | None,
    common: tuple[str, ...] = (),
    differentiable: bool = True,
    cost: float = 1.0,
    fails: bool = False,
    combine: str | None = None,
    scalar: str | dict[str, str] | None = None,
    linear: bool = False,
    repeats: bool = False,
    followed: bool = False,
    host: bool | Callable[[Sequence[TensorType]], bool] = False,
    effect: bool = False,
) -> Callable[[Callable[..., Any]], Op]:
    """An op whose function body is its type rule: it is called with `TensorType`s and attributes and returns a type.

    A `host` op has no kernel, or none for operands of such types: a run calls its reference back, on its own thread. One with an
    `effect` does more than compute its result, so it is called for each node that is run: it is never folded into a constant.
    """

    def decorate(rule: Callable[..., Any]) -> Op:
        operands, variadic, attributes = _parameters(rule)
        return _register(
            Op(
                rule.__name__.rstrip("_"),
                rule,
                access=access,
                reference=reference,
                operands=operands,
                variadic=variadic,
                attributes=attributes,
                common=common,
                doc=inspect.getdoc(rule) or "",
                cost=cost,
                differentiable=differentiable,
                combine=combine,
                fails=fails or host is True,
                scalar=scalar,
                linear=linear or access is Access.MOVEMENT,
                repeats=repeats,
                followed=followed,
                host=host,
                effect=effect,
            )
        )

    return decorate


def elementwise(
    *,
    scalar: str | dict[str, str],
    reference: Callable[..., Any],
    domain: tuple[float, float] = (-2.0, 2.0),
    kinds: str = "int uint float complex",
    result: Callable[[DType], DType] | DType | None = None,
    common: tuple[str, ...] | None = None,
    differentiable: bool = True,
    cost: float = 1.0,
    linear: bool = False,
    host: str = "",
) -> Callable[[Callable[..., Any]], Op]:
    """An op of the elementwise family: operands broadcast and share a dtype of one of `kinds`; the body is the docstring.

    `scalar` is the spelling of one element in a kernel: `{0}`, `{1}` are the operands, `{t}` is the suffix of their dtype
    (f32, i64, u8, c64 ...) as in the helpers of `codegen.vector_math`, `{T}` its constructor; a dict gives a spelling per kind.
    `result` is the dtype of the result (that of the operands unless given), `domain` the range samples are drawn from, `common`
    the operands that share a dtype (all unless given), `cost` its price in additions. No kernel computes the kinds in `host`:
    a run calls the reference back.
    """

    def decorate(function: Callable[..., Any]) -> Op:
        operands, variadic, attributes = _parameters(function)
        assert not variadic
        shared = operands if common is None else common

        def rule(*types: TensorType, **attrs: Any) -> TensorType:
            by_name = dict(zip(operands, types, strict=True))
            dtypes = {by_name[name].dtype for name in shared}
            if len(dtypes) > 1:
                raise DTypeError(
                    f"dtypes differ, {' and '.join(sorted(str(by_name[n].dtype) for n in shared))}",
                    rule="Operands share one dtype; use gf.cast(x, dtype) on one of them.",
                )
            dtype = dtypes.pop()
            if dtype.kind not in kinds.split():
                raise DTypeError(
                    f"no {function.__name__.rstrip('_')} of {dtype}",
                    rule=f"It takes {_kinds_text(kinds)}; use gf.cast(x, dtype).",
                )
            shape = broadcast_type_shapes(*(t.shape for t in types))
            out = dtype if result is None else result if isinstance(result, DType) else result(dtype)
            return TensorType(shape, out)

        made = Op(
            function.__name__.rstrip("_"),
            rule,
            access=Access.ELEMENTWISE,
            reference=reference,
            operands=operands,
            attributes=attributes,
            common=shared,
            doc=inspect.getdoc(function) or "",
            cost=cost,
            domain=domain,
            differentiable=differentiable,
            scalar=scalar,
            linear=linear,
            host=(lambda types: types[0].dtype.kind in host.split()) if host else False,
        )
        made.kinds = tuple(kinds.split())  # type: ignore[attr-defined]
        return _register(made)

    return decorate


def composition(function: Callable[..., Any]) -> Callable[..., Any]:
    """A public function made of ops: its nodes are named below `name` (by default its own), and its errors name it."""
    title = function.__name__.rstrip("_")
    signature = inspect.signature(function)

    def scoped(*args: Any, name: str | None = None, **settings: Any) -> Any:
        with name_scope(name or title):
            return function(*args, **settings)

    keyword = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)
    scoped.__name__ = scoped.__qualname__ = title
    scoped.__doc__ = function.__doc__
    scoped.__module__ = function.__module__
    scoped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), keyword])  # type: ignore[attr-defined]
    return public(scoped)


def public(function: Callable[..., Any]) -> Callable[..., Any]:
    """A public function that prepares the operands of an op: its errors name it and its operands, as those of ops do."""
    title = function.__name__.rstrip("_")
    signature = inspect.signature(function)

    @remembered
    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        try:
            return function(*args, **settings)
        except TypeRuleError as error:
            named = _NAMED.match(error.headline) is not None
            if error.operands and named:
                raise
            given = signature.bind_partial(*args, **settings).arguments
            operands = error.operands or {label: value for label, value in given.items() if hasattr(value, "type")}
            headline = error.headline if named else f"{title}: {error.headline}"
            raise type(error)(headline, operands=operands, rule=error.rule) from None

    call.__name__ = call.__qualname__ = title
    COMPOSITIONS[title] = call
    return call


def _kinds_text(kinds: str) -> str:
    words = {
        "bool": "bool",
        "int": "signed integers",
        "uint": "unsigned integers",
        "float": "floats",
        "complex": "complex numbers",
    }
    return ", ".join(words[k] for k in kinds.split())


def broadcast_type_shapes(*shapes: Shape) -> Shape:
    """The broadcast shape inside a type rule; what only a run can check is noted as a constraint."""
    shape = broadcast_shapes(*shapes)
    for given in shapes:
        for size, out in zip(given, shape[len(shape) - len(given) :], strict=True):
            if size != out and size != 1:
                require("broadcast", size, out, f"sizes {size} and {out} must be equal, or one of them 1")
    return shape


def require_equal(a: AnySize, b: AnySize, what: str) -> AnySize:
    """`a`, which must equal `b`; a ShapeError now where both are known, a check at run time where not."""
    if a == b:
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeError(f"{what}, {a} and {b}")
    require("equal", a, b, what)
    return a if isinstance(a, int) else b if isinstance(b, int) else a


def check_axis(axis: int, rank: int, what: str = "axis") -> int:
    """`axis` counted from the front; ShapeError when it is outside -rank..rank-1."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise DTypeError(f"{what} {axis!r} is no whole number")
    axis = axis.__index__()
    if not -rank <= axis < rank:
        raise ShapeError(
            f"{what} {axis} is outside a tensor of rank {rank}",
            rule=f"{what} counts from {-rank} to {rank - 1}." if rank else None,
        )
    return axis % rank


def axis_tuple(axis: Any, rank: int) -> tuple[int, ...]:
    """Axes as a sorted tuple counted from the front; all of them for None."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    found = tuple(sorted(check_axis(a, rank) for a in axes))
    if len(set(found)) != len(found):
        raise ShapeError(f"axis {list(axes)} names an axis twice")
    return found


def check_size(size: Any, what: str = "size") -> AnySize:
    """A non-negative size, or a symbolic one."""
    if hasattr(size, "dims") and dims_of(size):
        return size
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        raise DTypeError(f"{what} {size!r} is no whole number")
    number = size.__index__()
    if number < 0:
        raise ShapeError(f"{what} {number} is negative")
    return number


def broadcast_index(index: tuple[s.Expr, ...], shape: Shape, out_shape: Shape) -> tuple[s.Expr, ...]:
    """Where an operand of `shape` is read for the element `index` of a result of `out_shape`."""
    offset = len(out_shape) - len(shape)
    read: list[s.Expr] = []
    for axis, size in enumerate(shape):
        i = index[offset + axis]
        if size == out_shape[offset + axis]:
            read.append(i)
        elif size == 1:
            read.append(s.as_index(0))
        else:  # 1 or the full size: only a run knows
            read.append(s.index_mul(i, nonunit(size)))
    return tuple(read)


def float_result(dtype: DType) -> DType:
    """Integers divide to float64; other dtypes stay."""
    return float64 if dtype.is_integer or dtype.is_bool else dtype


def real_result(dtype: DType) -> DType:
    return dtype.real


def truth(_: DType) -> DType:
    return bool_


def shape_text(shape: Shape) -> str:
    return format_shape(shape)
