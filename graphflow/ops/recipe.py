"""What a function made of ops comes down to for operands of certain types: the NumPy calls of its ops, one after another.

In eager mode most of the time of such a function is Python that decides what to do: axes, sizes, casts. It decides the same for
operands of the same types. So the function is traced when it meets them for the second time, and what the trace holds is run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.errors import GraphflowError
from graphflow.ir.eager import EagerTensor, Run, run_of, show
from graphflow.ir.graph import Graph, changed_state, local
from graphflow.ir.op import Access, Op
from graphflow.ir.program import toposort
from graphflow.ir.tensor import Tensor
from graphflow.ops.structure import flatten, pack
from graphflow.types import DType

REMEMBERED = 1024  # sets of types that one function is remembered for; then all are forgotten


class _Unknown(Exception):  # never seen by a user
    """An argument that nothing can be remembered by, or a function that does more than call ops."""


class Step:
    """An op of a recipe: how it runs, and the places of its operands among the values so far."""

    __slots__ = ("attrs", "dtypes", "op", "places", "run")

    def __init__(self, op: Op, run: Run, places: list[int], attrs: Mapping[str, Any], dtypes: list[DType]) -> None:
        self.op, self.run, self.places, self.attrs, self.dtypes = op, run, places, attrs, dtypes


class Recipe:
    """Steps from operands to results."""

    def __init__(self, constants: list[EagerTensor], steps: list[Step], results: list[int], nest: Any) -> None:
        self.constants = constants
        self.steps = steps
        self.results = results
        self.nest = nest
        self.rows = [(step.run, step.places, len(step.dtypes) > 1) for step in steps]
        self.fixed = [t.array for t in constants]
        self.dtypes = [d for step in steps for d in step.dtypes]
        self.single = isinstance(nest, Tensor)
        self.direct: Run | None = None  # where there is one op, of the operands in their order
        if self.single and not constants and len(steps) == 1 and len(steps[0].dtypes) == 1 and results == [len(steps[0].places)]:
            step = steps[0]
            if step.places == list(range(len(step.places))):
                self.direct = step.run if step.op.silent else np.errstate(all="ignore")(step.run)

    def run(self, operands: list[EagerTensor]) -> Any:
        """The function's result; recorders that watch an operand see each op."""
        recorders = local.state.recorders
        if recorders and not all(r.watched.isdisjoint(operands) for r in recorders):
            return self._shown(operands, recorders)
        if self.direct is not None:
            found: Any = self.direct(*[t.array for t in operands])
            return EagerTensor(found if type(found) is np.ndarray else np.asarray(found), self.dtypes[0])
        values = self._values([t.array for t in operands])
        first = len(operands) + len(self.fixed)
        found = [
            EagerTensor(values[k], self.dtypes[k - first]) if k >= first else (operands + self.constants)[k] for k in self.results
        ]
        return found[0] if self.single else pack(self.nest, found)

    @np.errstate(all="ignore")
    def _values(self, values: list[Any]) -> list[Any]:
        values += self.fixed
        for run, places, several in self.rows:
            found = run(*[values[k] for k in places])
            if several:
                values += [np.asarray(x) for x in found]
            else:
                values.append(found if type(found) is np.ndarray else np.asarray(found))
        return values

    def _shown(self, operands: list[EagerTensor], recorders: Sequence[Any]) -> Any:
        tensors = [*operands, *self.constants]
        for step in self.steps:
            given = tuple([tensors[k] for k in step.places])
            with np.errstate(all="ignore"):
                found = step.run(*[t.array for t in given])
            several = found if len(step.dtypes) > 1 else (found,)
            outputs = tuple([EagerTensor(np.asarray(x), d) for x, d in zip(several, step.dtypes, strict=True)])
            if step.op.differentiable:
                show(recorders, step.op, given, step.attrs, outputs)
            tensors.extend(outputs)
        results = [tensors[k] for k in self.results]
        return results[0] if self.single else pack(self.nest, results)


class Recipes:
    """The recipes of one function, by the types of its arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._known: dict[Any, Recipe | None] = {}  # None: there is no recipe
        self._met: set[Any] = set()  # met once, and not yet known

    def run(self, args: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
        """The function's result by a recipe; NotImplemented where there is none."""
        operands: list[EagerTensor] = []
        key: Any
        try:
            key = tuple([_key(arg, operands) for arg in args])
            if settings:
                key = key, tuple([(name, _key(arg, operands)) for name, arg in settings.items()])
        except _Unknown:
            return NotImplemented
        recipe = self._known.get(key)
        if recipe is None:
            if key in self._known or not self._again(key):
                return NotImplemented
            recipe = self._known[key] = traced(self._function, args, settings, operands)
        return NotImplemented if recipe is None else recipe.run(operands)

    def _again(self, key: Any) -> bool:
        """Has the key been met before?"""
        if key in self._met:
            self._met.discard(key)
            return True
        if len(self._known) + len(self._met) >= REMEMBERED:
            self._known.clear()
            self._met.clear()
        self._met.add(key)
        return False


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which in eager mode runs a recipe for arguments of types that it has met."""
    recipes = Recipes(function)

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        now = local.state
        if now.eager and now.body is None:
            found = recipes.run(args, settings)
            if found is not NotImplemented:
                return found
        return function(*args, **settings)

    return call


def _key(value: Any, operands: list[EagerTensor]) -> Any:
    """What an argument is remembered by: a tensor's type, any other value itself; tensors are added to `operands`."""
    kind = type(value)
    if kind is EagerTensor:
        operands.append(value)
        return value.dtype.name, value.array.shape
    if value is None or kind is str or value is Ellipsis:
        return value
    if kind is int or kind is bool or kind is DType:
        return kind, value
    if kind is float:
        return kind, repr(value)
    if kind is tuple or kind is list:
        return kind, *[_key(item, operands) for item in value]
    if kind is slice:
        return kind, _key(value.start, operands), _key(value.stop, operands), _key(value.step, operands)
    read = getattr(value, "read_value", None)
    if read is not None:
        return _key(read(), operands)
    raise _Unknown


def traced(
    function: Callable[..., Any], args: Sequence[Any], settings: Mapping[str, Any], operands: Sequence[EagerTensor]
) -> Recipe | None:
    """The recipe of a call; None where values of operands, or more than its ops, have a part in what it does."""
    from graphflow.ops.source import make_placeholder

    try:
        with Graph().as_default(), changed_state(recorders=(), detached=False):
            feeds = [make_placeholder(t.dtype, t.shape) for t in operands]
            remaining = iter(feeds)
            result = function(
                *[_replaced(a, remaining) for a in args], **{k: _replaced(a, remaining) for k, a in settings.items()}
            )
            return _recipe(result, feeds)
    except (GraphflowError, _Unknown):
        return None


def _replaced(value: Any, feeds: Any) -> Any:
    """An argument with placeholders for its tensors."""
    if type(value) is tuple or type(value) is list:
        return type(value)(_replaced(item, feeds) for item in value)
    if type(value) is slice:
        return slice(*(_replaced(item, feeds) for item in (value.start, value.stop, value.step)))
    return next(feeds) if type(value) is EagerTensor or hasattr(value, "read_value") else value


def _recipe(result: Any, feeds: Sequence[Tensor]) -> Recipe:
    leaves = flatten(result)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise _Unknown
    nodes = toposort(leaves)
    constants = [node.output for node in nodes if node.op.name == "constant"]
    place = {tensor: k for k, tensor in enumerate([*feeds, *constants])}
    steps = []
    for node in nodes:
        if node.output in place:
            continue
        if node.op.access in (Access.SOURCE, Access.CONTROL, Access.STATE):
            raise _Unknown
        run = run_of(node.op, node.attrs, node.inputs, node.types)
        steps.append(Step(node.op, run, [place[t] for t in node.inputs], node.attrs, [t.dtype for t in node.types]))
        for tensor in node.outputs:
            place[tensor] = len(place)
    values = [EagerTensor(t.numpy(), t.dtype, constant=True) for t in constants]
    return Recipe(values, steps, [place[leaf] for leaf in leaves], result)
