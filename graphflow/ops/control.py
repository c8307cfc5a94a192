"""Control flow: `loop` and `branch`, two ops whose attributes are programs, and the functions made of them.

A loop has carried values, which each step receives and returns; elements, of which each step receives a row; captured values,
which every step receives; and stacked results, to which each step adds a row. `scan`, `map_fn`, `while_loop` and `vmap` are
loops; `cond`, `case` and `switch_case` are branches. What the body of a loop computes without its own inputs is computed
before the loop; what a branch computes is computed in the branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError, TypeRuleError
from graphflow.ir.eager import EagerTensor, is_watched
from graphflow.ir.evaluate import evaluate
from graphflow.ir.graph import (
    changed_state,
    current_body,
    current_effects,
    for_bodies,
    get_default_graph,
    in_each_lane,
    is_eager,
    name_scope,
    next_node_number,
)
from graphflow.ir.op import Access, as_tensor_or_none, bind_attributes, convert_to_tensor
from graphflow.ir.program import Program, substituted, toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.array import moveaxis
from graphflow.ops.declare import op, public, require_equal
from graphflow.ops.effects import has_effect, noted, with_effects
from graphflow.ops.logic import cast, logical_and, where
from graphflow.ops.random import iteration_counter
from graphflow.ops.source import parameter
from graphflow.ops.structure import flatten, like, outline, pack
from graphflow.types import AnySize, Size, TensorType, int32, int64
from graphflow.types import evaluate as size_number

# --- the ops --------------------------------------------------------------------------------------------------------------


def _loop_reference(*operands, body, condition, carried, elements, length, reverse, counted, tape_bytes, sizes, observer=None):  # type: ignore[no-untyped-def]
    count, operands = (operands[0], operands[1:]) if counted else (None, operands)
    state, rows, captured = operands[:carried], operands[carried : carried + elements], operands[carried + elements :]
    limit = None if length is None else size_number(length, sizes)
    trips = limit if count is None else int(count)
    types = [t.type for t in body.outputs[carried:]]
    stacked = [np.zeros((limit, *(size_number(d, sizes) for d in t.shape)), t.dtype.numpy) for t in types]
    step = 0
    while trips is None or step < trips:
        if condition is not None:
            if observer is not None:
                observer.at(step)
            go = evaluate(
                condition, dict(zip(condition.inputs, (np.int64(step), *state, *captured), strict=True)), sizes, observer
            )
            if not go[0]:
                break
        at = trips - 1 - step if reverse else step
        if observer is not None:
            observer.at(at)
        feeds = dict(zip(body.inputs, (np.int64(at), *state, *(r[at] for r in rows), *captured), strict=True))
        found = evaluate(body, feeds, sizes, observer)
        state = found[:carried]
        for stack, row in zip(stacked, found[carried:], strict=True):
            stack[at] = row
        step += 1
    return (*state, *stacked, np.int64(step))


@op(access=Access.CONTROL, reference=_loop_reference)
def loop(*operands, body, condition, carried, elements, length, reverse, counted, tape_bytes=None):
    """The carried values after the last step, the stacked results, and the number of steps.

    Operands are the number of steps, if `counted`; `carried` initial values; `elements` stacks of rows; captured values.
    `body(index, *carried, *rows, *captured)` gives the next carried values and a row of each stacked result; the loop goes on
    while `condition(index, *carried, *captured)` holds, if there is one, for `length` steps at most. Steps take rows from
    first to last, or from last to first if `reverse`; `index` is the row. `tape_bytes` is for a loop that goes through another
    one backwards: the bytes that the stacks which it reads of that one may take (`autodiff.tapes`).
    """
    start = 1 if counted else 0
    finals = operands[start : start + carried]
    for stack in operands[start + carried : start + carried + elements]:
        require_equal(stack.shape[0], length, "numbers of rows differ")
    for initial, following in zip(finals, body.outputs[:carried], strict=True):
        assert initial.dtype == following.dtype, f"a carried value changes from {initial} to {following.type}"
        for a, b in zip(initial.shape, following.shape, strict=True):
            require_equal(a, b, "the size of a carried value changes")
    stacked = [t.type.with_shape((length, *t.shape)) for t in body.outputs[carried:]]
    return (*finals, *stacked, TensorType((), int64))


def _branch_reference(index, *captured, branches, sizes, observer=None):  # type: ignore[no-untyped-def]
    number = int(index) if 0 <= int(index) < len(branches) else len(branches) - 1
    if observer is not None:
        observer.at(number)
    found = evaluate(branches[number], dict(zip(branches[number].inputs, captured, strict=True)), sizes, observer)
    return tuple(found) if len(found) > 1 else found[0]


@op(access=Access.CONTROL, reference=_branch_reference)
def branch(*operands, branches):
    """The results of the branch whose number the first operand is, an int32; of the last one where there is none of that number.

    Only that branch is computed. The other operands are the inputs of each branch.
    """
    first, *others = branches
    for other in others:
        for a, b in zip(first.outputs, other.outputs, strict=True):
            assert a.dtype == b.dtype, f"branches give {a.type} and {b.type}"
            for size, other_size in zip(a.shape, b.shape, strict=True):
                require_equal(size, other_size, "the results of branches differ in size")
    return tuple(t.type for t in first.outputs)


# --- bodies ---------------------------------------------------------------------------------------------------------------


def parameter_like(tensor: Tensor, shape: Sequence[AnySize] | None = None, name: str | None = None) -> Tensor:
    """An input of a body, of the type of `tensor` or of another shape."""
    return make_parameter(tensor.type if shape is None else tensor.type.with_shape(tuple(shape)), name or tensor.name)


def make_parameter(type_: TensorType, name: str) -> Tensor:
    attributes = bind_attributes(parameter, {"dtype": type_.dtype, "shape": type_.shape})
    return get_default_graph().add(parameter, (), attributes, (type_,), (), name.split("/")[-1].split(":")[0]).output


def close(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    captured: dict[Tensor, Tensor],
    name: str,
    inside: Callable[[Node], bool] | None = None,
) -> Program:
    """The program of `outputs` in terms of `inputs`; other tensors it reads become parameters, which `captured` maps them to.

    What does not depend on `inputs`, and is not `inside`, is not part of it; nor is a source, wherever it was made. In the body
    of a loop, `inside` is what has an effect.
    """
    own = {t.node for t in inputs}
    for node in toposort(outputs):
        if node.op.access is Access.SOURCE:
            continue
        if any(t.node in own for t in node.inputs) or (inside is not None and inside(node)):
            own.add(node)

    for tensor in (*(t for node in toposort(outputs) if node in own for t in node.inputs), *outputs):
        fixed = tensor.op.name == "constant" and not is_watched(tensor)
        if tensor.node not in own and not fixed and tensor not in captured:
            captured[tensor] = parameter_like(tensor)
    return Program((*inputs, *captured.values()), tuple(substituted(outputs, captured)), (), name)


def with_inputs(program: Program, captured: dict[Tensor, Tensor]) -> Program:
    """The program with all of `captured` as inputs, those that another body captured included."""
    own = set(program.inputs)
    return Program((*program.inputs, *(p for p in captured.values() if p not in own)), program.outputs, (), program.name)


@contextmanager
def body_of(what: str, index: Tensor | None = None) -> Iterator[Callable[[Node], bool]]:
    """A context in which a function of the user is called; gives the test of whether a node was built in it."""
    first = next_node_number()
    changes: dict[str, Any] = {"control": (), "body": what, "effects": []}
    if index is not None:
        changes["counter"] = iteration_counter(index)
    with changed_state(**changes):
        yield lambda node: node.number > first


def effects(inside: Callable[[Node], bool]) -> Callable[[Node], bool]:
    """The test of whether a node was built in a body and has an effect."""
    return lambda node: inside(node) and has_effect(node)


def with_noted(results: Any) -> Any:
    """The results of a loop or a branch; one with effects is an effect of the body that is being built, if one is."""
    first = results[0] if isinstance(results, tuple) else results
    if isinstance(first, Tensor) and current_effects() is not None and has_effect(first.node):
        noted(first)
    return results


def tensors_of(nest: Any, what: str) -> list[Tensor]:
    """The leaves of a nest as tensors."""
    try:
        return [convert_to_tensor(leaf) for leaf in flatten(nest)]
    except DTypeError as error:
        raise DTypeError(f"{what}: {error.headline}", operands=error.operands, rule=error.rule) from None


def returned(value: Any, wanted: Any, types: Sequence[TensorType], origins: Sequence[Tensor], what: str) -> list[Tensor]:
    """What a function returned, as tensors like `wanted`; TypeRuleError where structure, dtype or shape is another."""
    if outline(value) != outline(wanted):
        if len(flatten(wanted)) == 1 and len(flatten(value)) == 1:
            value = pack(wanted, flatten(value))  # [x] for x
        elif flatten(value) and len(flatten(value)) == len(flatten(wanted)) and not isinstance(value, Mapping):
            value = pack(wanted, flatten(value))
        else:
            raise TypeRuleError(
                f"{what} is {shown(value)}, where it was {shown(wanted)} before",
                operands={f"before {k}": t for k, t in enumerate(origins[:4])},
                rule="A step returns what it is given: the same structure of as many values.",
            )
    found = []
    for leaf, type_, origin in zip(like(wanted, value), types, origins, strict=True):
        tensor = as_tensor_or_none(leaf)
        if tensor is None:
            tensor = convert_to_tensor(leaf, type_.dtype)
        fits = tensor.rank == type_.rank and not any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(tensor.shape, type_.shape, strict=True)
        )
        if tensor.dtype != type_.dtype or not fits:
            raise TypeRuleError(
                f"{what}: a value of type {type_} becomes {tensor.type}",
                operands={"before": origin, "after": tensor},
                rule="It keeps dtype and shape from step to step: use gf.cast or gf.reshape, or start with a value of that type.",
            )
        found.append(tensor)
    return found


def shown(nest: Any) -> str:
    """The structure of a nest as text."""
    if isinstance(nest, Mapping):
        return "{" + ", ".join(f"{key!r}: {shown(value)}" for key, value in nest.items()) + "}"
    if isinstance(nest, list | tuple):
        return f"{type(nest).__name__}({', '.join(map(shown, nest))})"
    return "None" if nest is None else "*"


def build_loop(
    body: Program,
    captured: dict[Tensor, Tensor],
    initial: Sequence[Tensor],
    stacks: Sequence[Tensor],
    *,
    length: AnySize | None,
    condition: Program | None = None,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """The results of a loop whose body and condition take `captured` as their last inputs."""
    body = with_inputs(body, captured)
    condition = None if condition is None else with_inputs(condition, captured)
    results = loop(
        *initial, *stacks, *captured, body=body, condition=condition, carried=len(initial), elements=len(stacks), length=length,
        reverse=reverse, counted=False,
    )  # fmt: skip
    return with_noted(results)


# --- loops over elements ---------------------------------------------------------------------------------------------------


def _rows(stacks: Sequence[Tensor], what: str) -> AnySize:
    """The common number of rows of the elements."""
    for stack in stacks:
        if stack.rank == 0:
            raise ShapeError(
                f"{what}: an element is a scalar", operands={"elems": stack}, rule="Rows are taken along the first axis."
            )
    length = stacks[0].shape[0]
    for stack in stacks[1:]:
        if isinstance(length, int) and isinstance(stack.shape[0], int) and stack.shape[0] != length:
            raise ShapeError(
                f"{what}: {length} and {stack.shape[0]} rows",
                operands={"elems": stacks[0], "others": stack},
                rule="All elements have the same number of rows.",
            )
        if isinstance(stack.shape[0], int):
            length = stack.shape[0]
    return length


@public
def scan(
    fn: Callable[..., Any],
    elems: Any = None,
    initializer: Any = None,
    length: int | None = None,
    reverse: bool = False,
    name: str | None = None,
) -> tuple[Any, Any]:
    """(stacked outputs, final state) of `fn(state, row) -> (new state, output)`, called for each row of `elems` in turn.

    `elems`, `initializer`, the state and the output are tensors or nests of them; rows are taken along the first axis of each
    of `elems`, whose number may be known only to a run. Where `fn` returns a new state alone, that is the output as well. With
    no `elems`, `fn(state, None)` is called `length` times. Without an `initializer` the first row is the initial state.
    `reverse` goes from the last row to the first; the outputs stand at their rows.
    """
    stacks = tensors_of(elems, "scan")
    if initializer is None:
        if not stacks:
            raise ShapeError("scan: neither elems nor an initializer", rule="Give one of them.")
        first, rest = (-1, slice(None, -1)) if reverse else (0, slice(1, None))
        initializer = pack(elems, [stack[first] for stack in stacks])
        stacks = [stack[rest] for stack in stacks]
    initial = tensors_of(initializer, "scan")
    if not stacks and length is None:
        raise ShapeError("scan: no elems and no length", rule="Say how many steps: length=100.")
    rows: AnySize = _rows(stacks, "scan") if stacks else length  # type: ignore[assignment]
    if stacks and length is not None and isinstance(rows, int) and length != rows:
        raise ShapeError(f"scan: a length of {length}, and elems of {rows} rows", operands={"elems": stacks[0]})
    if isinstance(rows, int) and rows < 0:
        raise ShapeError(f"scan: a length of {rows}")
    with name_scope(name or "scan"), for_bodies():
        index = make_parameter(TensorType((), int64), "index")
        state = [parameter_like(t, name="state") for t in initial]
        row = [parameter_like(t, t.shape[1:], "row") for t in stacks]
        with body_of("the body of a loop", index) as inside:
            value = fn(pack(initializer, state), pack(elems, row) if stacks else None)
            following, output = _state_and_output(value, initializer)
            following = returned(following, initializer, [t.type for t in initial], initial, "scan: the state")
            outputs = with_effects([*following, *tensors_of(output, "scan")])
        captured: dict[Tensor, Tensor] = {}
        body = close(outputs, [index, *state, *row], captured, "body", effects(inside))
        results = build_loop(body, captured, initial, stacks, length=rows, reverse=reverse)
    finals, stacked = results[: len(initial)], results[len(initial) : -1]
    return pack(output, stacked), pack(initializer, finals)


def _state_and_output(value: Any, initializer: Any) -> tuple[Any, Any]:
    """(new state, output) of what a step returned: a pair, or a new state that is the output as well."""
    if outline(value) == outline(initializer):
        return value, value
    if isinstance(value, tuple) and len(value) == 2:
        return value
    return value, value


@public
def foldl(fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """The final state of `fn(state, row) -> state`, called for each row of `elems` from first to last.

    Without an `initializer` the first row is the initial state.
    """
    return scan(lambda state, row: (fn(state, row), None), elems, initializer, name=name or "foldl")[1]


@public
def foldr(fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """The final state of `fn(state, row) -> state`, called for each row of `elems` from last to first.

    Without an `initializer` the last row is the initial state.
    """
    return scan(lambda state, row: (fn(state, row), None), elems, initializer, reverse=True, name=name or "foldr")[1]


@public
def map_fn(fn: Callable[[Any], Any], elems: Any, name: str | None = None) -> Any:
    """The stacked results of `fn(row)` for each row of `elems`, a tensor or a nest of them. Rows are computed in parallel."""
    stacks = tensors_of(elems, "map_fn")
    if not stacks:
        raise ShapeError("map_fn: no elems")
    rows = _rows(stacks, "map_fn")
    with name_scope(name or "map_fn"), for_bodies():
        index = make_parameter(TensorType((), int64), "index")
        row = [parameter_like(t, t.shape[1:], "row") for t in stacks]
        with body_of("the body of a loop", index) as inside, in_each_lane(rows):
            output = fn(pack(elems, row))
            outputs = with_effects(tensors_of(output, "map_fn"))
        captured: dict[Tensor, Tensor] = {}
        body = close(outputs, [index, *row], captured, "body", effects(inside))
        results = build_loop(body, captured, (), stacks, length=rows)
    return pack(output, results[:-1])


# --- loops under a condition -----------------------------------------------------------------------------------------------


@public
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: Any = None,
    name: str | None = None,
) -> Any:
    """The values of `loop_vars` after `body(*loop_vars) -> loop_vars` has been applied as long as `cond(*loop_vars)` holds.

    `loop_vars` is a list, a tuple or a dict of tensors or nests of them (a dict is passed by keywords); the result has its
    structure. `maximum_iterations`, a number or a size, bounds the steps; a gradient needs no bound.
    """
    initial = tensors_of(loop_vars, "while_loop")
    if not initial:
        raise ShapeError("while_loop: no loop_vars", rule="A loop needs a value that changes.")
    length = maximum_iterations
    if length is not None and not isinstance(length, int | np.integer | Size):
        raise DTypeError(f"while_loop: maximum_iterations={length!r}", rule="It is a whole number, or a size of a tensor.")
    if isinstance(length, int | np.integer):
        length = max(0, int(length))
    if runs_now(initial):
        return _repeated(cond, body, loop_vars, initial, length)
    with name_scope(name or "while"), for_bodies():
        index = make_parameter(TensorType((), int64), "index")
        state = [parameter_like(t, name="state") for t in initial]
        variables = pack(loop_vars, state)
        with body_of("the body of a loop", index) as inside:
            following = returned(
                _call(body, variables), loop_vars, [t.type for t in initial], initial, "while_loop: what the body returns"
            )
            following = with_effects(following)
        own_index = make_parameter(TensorType((), int64), "index")
        own_state = [parameter_like(t, name="state") for t in initial]
        with body_of("the condition of a loop", own_index) as inside_condition:
            go = _truth(_call(cond, pack(loop_vars, own_state)), "while_loop: the condition")
            (go,) = with_effects([go])
        captured: dict[Tensor, Tensor] = {}
        inner = close(following, [index, *state], captured, "body", effects(inside))
        condition = close([go], [own_index, *own_state], captured, "condition", effects(inside_condition))
        results = build_loop(inner, captured, initial, (), length=length, condition=condition)
    return pack(loop_vars, results[: len(initial)])


def runs_now(operands: Sequence[Tensor]) -> bool:
    """Does control flow steered by `operands` happen at once: in eager mode, outside of what is being traced?"""
    return is_eager() and current_body() is None and all(isinstance(t, EagerTensor) for t in operands)


def _repeated(cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, initial: list[Tensor], length: Any) -> Any:
    """The values of `loop_vars` after the steps, each of which runs at once."""
    types = [t.type for t in initial]
    values, step = initial, 0
    while length is None or step < length:
        variables = pack(loop_vars, values)
        if not _truth(_call(cond, variables), "while_loop: the condition"):
            break
        values = returned(_call(body, variables), loop_vars, types, values, "while_loop: what the body returns")
        step += 1
    return pack(loop_vars, values)


def _call(function: Callable[..., Any], variables: Any) -> Any:
    if isinstance(variables, Mapping):
        return function(**variables)
    return function(*variables) if isinstance(variables, list | tuple) else function(variables)


def _truth(value: Any, what: str) -> Tensor:
    if value is None or flatten(value) != [value]:
        raise TypeRuleError(f"{what} is {shown(value)}", rule="It is one bool.")
    tensor = convert_to_tensor(value)
    if not tensor.dtype.is_bool or tensor.rank:
        rule = "It is one bool: reduce it, by gf.reduce_all or gf.reduce_any." if tensor.rank else "It is one bool: compare it."
        raise TypeRuleError(f"{what} is {tensor.type}", operands={"condition": tensor}, rule=rule)
    return tensor


# --- branches --------------------------------------------------------------------------------------------------------------


@public
def switch_case(branch_index: Any, branch_fns: Any, default: Callable[[], Any] | None = None, name: str | None = None) -> Any:
    """The result of `branch_fns[branch_index]()`, of which alone is computed; of `default`, or the last, for other numbers.

    `branch_fns` is a list of functions without parameters, a list of (number, function) or a dict from numbers to functions.
    Their results have one structure, and the same dtypes and shapes.
    """
    number = convert_to_tensor(branch_index)
    if not number.dtype.is_integer or number.rank:
        raise TypeRuleError(
            f"switch_case: the index is {number.type}", operands={"branch_index": number}, rule="It is one integer."
        )
    functions: list[Any] = list(branch_fns.items()) if isinstance(branch_fns, Mapping) else list(branch_fns)
    if functions and isinstance(functions[0], list | tuple):
        table = dict(functions)
        if not all(isinstance(k, int) and k >= 0 for k in table):
            raise DTypeError("switch_case: a branch's number is no integer from 0 on")
        last = default or table[max(table)]
        functions = [table.get(k, last) for k in range(max(table) + 1)]
    if default is not None:
        functions.append(default)
    if not functions:
        raise ShapeError("switch_case: no branches")
    clipped = cast(number, int32) if number.dtype.bits <= 32 and number.dtype.kind == "int" else _small(number)
    return _branch(clipped, functions, name or "switch_case")


def _small(number: Tensor) -> Tensor:
    """An index as an int32, where one that does not fit is outside all branches."""
    wide = cast(number, int64)
    fits = logical_and(wide >= 0, wide < 2**31 - 1)
    return cast(where(fits, wide, -1), int32)


@public
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any], name: str | None = None) -> Any:
    """The result of `true_fn()` where `pred` holds, else of `false_fn()`; only that one is computed.

    The results of the functions have one structure, and the same dtypes and shapes.
    """
    return _branch(cast(_truth(pred, "cond: pred"), int32), [false_fn, true_fn], name or "cond", ("false_fn", "true_fn"))


@public
def case(
    pred_fn_pairs: Any, default: Callable[[], Any] | None = None, exclusive: bool = False, strict: bool = False,
    name: str | None = None,
) -> Any:  # fmt: skip
    """The result of the first function whose predicate holds, of `default` or the last function where none does.

    `pred_fn_pairs` is a list of (bool tensor, function without parameters). Only the function taken is computed. `exclusive`
    says that at most one predicate holds; it changes nothing, as `strict`.
    """
    pairs = list(pred_fn_pairs.items()) if isinstance(pred_fn_pairs, Mapping) else list(pred_fn_pairs)
    if not pairs:
        raise ShapeError("case: no branches")
    number: Any = convert_to_tensor(len(pairs), int32)
    for k in reversed(range(len(pairs))):
        number = where(_truth(pairs[k][0], "case: a predicate"), convert_to_tensor(k, int32), number)
    functions = [function for _, function in pairs]
    return _branch(number, functions if default is None else [*functions, default], name or "case")


def _branch(number: Tensor, functions: Sequence[Callable[[], Any]], name: str, labels: Sequence[str] = ()) -> Any:
    if runs_now([number]):
        index = int(number.numpy())
        value = functions[index if 0 <= index < len(functions) else -1]()
        return pack(value, tensors_of(value, name))
    captured: dict[Tensor, Tensor] = {}
    bodies = []
    wanted: Any = None
    first: list[Tensor] = []
    with name_scope(name), for_bodies():
        for k, function in enumerate(functions):
            label = labels[k] if labels else f"branch {k}"
            with body_of("a branch") as inside:
                value = function()
                if k == 0:
                    wanted, first = value, tensors_of(value, name)
                    outputs = first
                else:
                    if outline(value) != outline(wanted):
                        raise TypeRuleError(
                            f"{name}: {labels[0] if labels else 'branch 0'} returns {shown(wanted)}, {label} {shown(value)}",
                            operands={"one": first[0]} if first else {},
                            rule="All branches return one structure.",
                        )
                    outputs = _matching(value, wanted, first, f"{name}: {label}")
                outputs = with_effects(outputs)
            bodies.append(close(outputs, (), captured, label, inside))
        if not first:
            return wanted
        results = branch(number, *captured, branches=tuple(with_inputs(body, captured) for body in bodies))
        with_noted(results)
    return pack(wanted, [results] if isinstance(results, Tensor) else results)


def _matching(value: Any, wanted: Any, first: Sequence[Tensor], what: str) -> list[Tensor]:
    """A branch's results in the types of the first branch's."""
    found = []
    for leaf, other in zip(like(wanted, value), first, strict=True):
        tensor = as_tensor_or_none(leaf)
        if tensor is None:
            tensor = convert_to_tensor(leaf, other.dtype)
        differ = tensor.rank != other.rank or any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(tensor.shape, other.shape, strict=True)
        )
        if tensor.dtype != other.dtype or differ:
            raise TypeRuleError(
                f"{what} gives {tensor.type}, where another branch gives {other.type}",
                operands={"one": other, "other": tensor},
                rule="All branches give the same dtypes and shapes; use gf.cast or gf.reshape.",
            )
        found.append(tensor)
    return found


# --- lanes ------------------------------------------------------------------------------------------------------------------


def vmap(fn: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0, name: str | None = None) -> Callable[..., Any]:
    """The function that applies `fn` to each lane of its arguments: rows along axis `in_axes`, one lane independent of another.

    `in_axes` is an axis, or a tuple with an axis or None for each argument; None means that all lanes get the whole argument.
    Results are stacked along `out_axes`. Loops in `fn` run as often in each lane as that lane needs, and the results are
    those of the lanes one by one, up to the rounding of sums and products.
    """

    def lanes(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, list | tuple) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ShapeError(f"vmap: {len(axes)} in_axes for {len(args)} arguments")
        mapped = [k for k, axis in enumerate(axes) if axis is not None]
        if not mapped:
            raise ShapeError("vmap: no argument has lanes", rule="One of in_axes is an axis.")
        moved = [pack(args[k], [moveaxis(t, axes[k], 0) if axes[k] else t for t in tensors_of(args[k], "vmap")]) for k in mapped]

        def one(rows: Any) -> Any:
            given = list(args)
            for k, row in zip(mapped, rows, strict=True):
                given[k] = row
            return fn(*given)

        found = map_fn(one, moved, name=name or "vmap")
        if not out_axes:
            return found
        return pack(found, [moveaxis(t, 0, out_axes) for t in flatten(found)])

    return lanes


__all__ = ["case", "cond", "foldl", "foldr", "map_fn", "scan", "switch_case", "vmap", "while_loop"]
