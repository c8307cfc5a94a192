"""`GradientTape`: remembers which ops ran on what it watches, and differentiates along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from graphflow.autodiff.backward import backward
from graphflow.autodiff.gradients import convert_weight, gradients, require_derivative
from graphflow.errors import GradientError, ModeError, ShapeError
from graphflow.ir.eager import Application, EagerTensor, as_eager
from graphflow.ir.graph import BodyGraph, change_state, changed_state, state
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.array import stack
from graphflow.ops.movement import broadcast_to, reshape
from graphflow.ops.state import Variable
from graphflow.ops.structure import flatten, pack
from graphflow.types import DType


class GradientTape:
    """A record of what ran while it was open: `with gf.GradientTape() as tape:`, then `tape.gradient(target, sources)`.

    It watches the trainable variables that are read, unless `watch_accessed_variables` is False, and the tensors given to
    `watch`. One gradient is taken of it, then what it holds is freed; any number if it is `persistent`. Tapes nest: what a
    gradient computes is recorded by the tapes outside. A variable that changes changes nothing that was recorded. Two threads
    do not see each other's tapes.

    In graph mode, and in a function that is traced, its gradients are symbolic, the same as those of `gf.gradients`.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = persistent
        self.watch_accessed_variables = watch_accessed_variables
        self.watched: set[Tensor] = set()
        self.applications: list[Application] = []
        self._reads: dict[Variable, dict[Tensor, None]] = {}  # the values of each variable that were read
        self._asked: set[Variable] = set()  # variables given to `watch`
        self._used = False

    # --- recording --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> GradientTape:
        if self in state().recorders:
            raise GradientError("the tape is open already", rule="Enter a tape once; nest another one for higher derivatives.")
        change_state(recorders=(*state().recorders, self))
        return self

    def __exit__(self, *exc: object) -> None:
        change_state(recorders=tuple([r for r in state().recorders if r is not self]))
        if exc[0] is not None:
            self.reset()

    def record(self, application: Application) -> None:
        """Note an op that ran on something watched: its results are watched, too."""
        self.applications.append(application)
        self.watched.update(application.outputs)

    def read(self, variable: Variable, tensor: Tensor) -> None:
        """Note that a variable was read, which had this value."""
        if variable in self._asked or (self.watch_accessed_variables and variable.trainable and variable.dtype.is_differentiable):
            self._reads.setdefault(variable, {})[tensor] = None
            self.watched.add(tensor)

    def watch(self, tensor: Any) -> None:
        """Record what is computed from `tensor`: a tensor, a variable, or a nest of them."""
        for leaf in flatten(tensor):
            if isinstance(leaf, Variable):
                self._asked.add(leaf)
                continue
            leaf = getattr(leaf, "tensor", leaf)
            if not isinstance(leaf, Tensor):
                raise GradientError(f"cannot watch {leaf!r:.60}", rule="A tape watches tensors and variables.")
            if not leaf.dtype.is_differentiable:
                raise GradientError(
                    f"cannot watch {leaf.dtype}",
                    operands={"tensor": leaf},
                    rule="Derivatives are by floats or complex numbers; use gf.cast(x, gf.float32) before watching.",
                )
            self.watched.add(leaf)

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that were read and are watched, in the order of reading."""
        return tuple(self._reads)

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """A context in which this tape sees nothing."""
        with changed_state(recorders=tuple([r for r in state().recorders if r is not self])):
            yield

    def reset(self) -> None:
        """Forget all that was recorded and watched."""
        self.watched = set()
        self.applications = []
        self._reads = {}
        self._used = False

    def drawn_as(self) -> Any:
        """What `gf.viz` draws of it: the ops that it has recorded."""
        return import_module("graphflow.viz.tape").tape_picture(self)

    # --- derivatives -------------------------------------------------------------------------------------------------------

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: str = "raise") -> Any:
        """The derivatives of the sum of `target` by each of `sources`, in a nest like `sources`.

        `target` and `sources` are tensors, variables, or nests of them; `output_gradients`, in a nest like `target`, weighs the
        elements. Where the target does not depend on a source, the entry is an error that says so ("raise"), None ("none") or
        zeros ("zero").
        """
        self._use(unconnected_gradients)
        targets = [self._target(y) for y in flatten(target)]
        weights = [None] * len(targets) if output_gradients is None else flatten(output_gradients)
        if len(weights) != len(targets):
            raise GradientError(f"gradient: {len(weights)} output_gradients for {len(targets)} targets")
        found = self._derivatives(targets, weights, flatten(sources), unconnected_gradients)
        self._free()
        return pack(sources, found)

    def jacobian(self, target: Any, sources: Any, unconnected_gradients: str = "raise") -> Any:
        """The derivatives of each element of the tensor `target` by each of `sources`: shape `target.shape + source.shape`."""
        self._use(unconnected_gradients)
        y = self._target(target)
        if any(not isinstance(size, int) for size in y.shape):
            raise ShapeError("jacobian: the target's sizes are not known", operands={"target": y})
        leaves = flatten(sources)
        units = _units(y.shape, y.dtype)
        rows = [self._derivatives([y], [convert_to_tensor(unit)], leaves, unconnected_gradients) for unit in units]
        found = [_stacked(list(column), y.shape, leaf, 0) for column, leaf in zip(_columns(rows, leaves), leaves, strict=True)]
        self._free()
        return pack(sources, found)

    def batch_jacobian(self, target: Any, source: Any, unconnected_gradients: str = "raise") -> Any:
        """The Jacobian of each row of `target` by that of `source`: shape `[batch, *target.shape[1:], *source.shape[1:]]`.

        Row i of the target must depend on row i of the source alone.
        """
        self._use(unconnected_gradients)
        y, x = self._target(target), convert_to_tensor(source)
        if y.rank < 2 or x.rank < 2 or y.shape[0] != x.shape[0]:
            raise ShapeError("batch_jacobian: target and source have no common first axis", operands={"target": y, "source": x})
        units = [convert_to_tensor(unit) for unit in _units(y.shape[1:], y.dtype)]
        rows = [self._derivatives([y], [broadcast_to(unit, y.shape)], [source], unconnected_gradients) for unit in units]
        found = _stacked([row[0] for row in rows], y.shape[1:], source, 1)
        self._free()
        return found

    def _use(self, unconnected: str) -> None:
        if unconnected not in ("raise", "none", "zero"):
            raise GradientError(f"unconnected_gradients={unconnected!r}", rule="It is 'raise', 'none' or 'zero'.")
        if self._used:
            raise GradientError(
                "the tape has given its one gradient",
                rule="Ask for all sources in one call, or make it gf.GradientTape(persistent=True).",
            )

    def _free(self) -> None:
        """Let go of what is recorded, unless more gradients may be asked for."""
        if not self.persistent:
            self.reset()
            self._used = True

    def _target(self, value: Any) -> Tensor:
        tensor = value.read_value() if isinstance(value, Variable) else convert_to_tensor(value)
        require_derivative(tensor, "gradient")
        return tensor

    def _sources(self, source: Any) -> list[Tensor]:
        """The tensors that a source is on this tape: itself, or the values of a variable that were read."""
        if isinstance(source, Variable):
            return list(self._reads.get(source, ())) or [source.value]
        tensor = getattr(source, "tensor", source)
        if not isinstance(tensor, Tensor):
            raise GradientError(f"gradient: {source!r:.60} is no tensor", rule="Sources are tensors and variables.")
        return [tensor]

    def _derivatives(
        self, targets: Sequence[Tensor], weights: Sequence[Any], sources: Sequence[Any], unconnected: str
    ) -> list[Tensor | None]:
        groups = [self._sources(source) for source in sources]
        tensors = [tensor for group in groups for tensor in group]
        if all(isinstance(t, EagerTensor) or t.op.name == "constant" for t in targets):
            found = self._along([as_eager(t) for t in targets], weights, tensors)
            # What was computed from a tensor that is not watched is recorded in part: its gradient would be a part of the truth.
            found = [gradient if tensor in self.watched else None for gradient, tensor in zip(found, tensors, strict=True)]
        else:
            found = gradients(list(targets), tensors, list(weights), "none")
        remaining = iter(found)
        result = []
        for source, group in zip(sources, groups, strict=True):
            parts = [part for part in (next(remaining) for _ in group) if part is not None]
            total = parts[0] if parts else None
            for part in parts[1:]:
                total = add(total, part)
            if total is None and unconnected == "raise":
                raise self._unconnected(source, group, targets)
            if total is None and unconnected == "zero":
                with changed_state(recorders=()):
                    total = convert_to_tensor(np.zeros(group[0].shape, group[0].dtype.numpy))
            result.append(total)
        return result

    def _along(self, targets: Sequence[EagerTensor], weights: Sequence[Any], sources: Sequence[Tensor]) -> list[Tensor | None]:
        """The cotangents of `sources`, back along what was recorded."""
        with changed_state(eager=True, graph=BodyGraph(), body=None):
            seeds: dict[Tensor, Tensor] = {}
            for target, weight in zip(targets, weights, strict=True):
                if weight is None:
                    seed: Tensor = EagerTensor(np.ones(target.shape, target.dtype.numpy), target.dtype)
                else:
                    seed = convert_weight(weight, target, "output_gradient", "target", "gradient")
                seeds[target] = add(seeds[target], seed) if target in seeds else seed
            return backward(self._between(sources), seeds, sources)  # type: ignore[arg-type]

    def _between(self, sources: Sequence[Tensor]) -> list[Application]:
        """What was recorded that depends on `sources`."""
        reached = set(sources)
        kept = []
        for application in self.applications:
            if not reached.isdisjoint(application.inputs):
                reached.update(application.outputs)
                kept.append(application)
        return kept

    def _unconnected(self, source: Any, group: Sequence[Tensor], targets: Sequence[Tensor]) -> GradientError:
        watched = any(t in self.watched for t in group)
        if not isinstance(group[0], EagerTensor):
            what, rule = "the target does not depend on it", ""
        elif not watched:
            what = "it was not watched"
            rule = "Call tape.watch(x) before x is used; trainable variables are watched by themselves. "
        else:
            what = "no path of differentiable ops leads from it to the target"
            rule = "A cast to integers, stop_gradient, .numpy(), and what ran outside the tape end a path. "
        return GradientError(
            f"gradient: no derivative by {getattr(source, 'name', 'the source')}: {what}",
            operands={"source": source, "target": targets[0]},
            rule=rule + 'Pass unconnected_gradients="none" or "zero" to allow it.',
        )


def _units(shape: Sequence[Any], dtype: DType) -> np.ndarray:
    """Arrays of `shape`, stacked, each of which is 1 at one element and 0 elsewhere."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.eye(count, dtype=dtype.numpy).reshape(count, *shape)


def _columns(rows: Sequence[Sequence[Any]], leaves: Sequence[Any]) -> list[list[Any]]:
    return [[row[k] for row in rows] for k in range(len(leaves))]


def _stacked(parts: list[Any], shape: Sequence[Any], source: Any, axis: int) -> Any:
    """The rows of a Jacobian as one tensor; None where nothing depends on the source."""
    if any(part is None for part in parts):
        return None
    if not parts:
        inner = source.shape[axis:]
        return convert_to_tensor(np.zeros((*source.shape[:axis], *shape, *inner), source.dtype.numpy))
    whole = stack(parts, axis=axis)
    return reshape(whole, (*source.shape[:axis], *shape, *source.shape[axis:]))


Between = Callable[[Sequence[Tensor], Sequence[Tensor]], list[Any]]


@contextmanager
def between_on_tape(given: Sequence[Tensor]) -> Iterator[Between]:
    """A context that records what depends on `given`, and gives it back."""
    tape = GradientTape()
    tape.watched.update(given)
    with tape:
        yield lambda sources, targets: tape._between(sources)


def check_eager(tensor: Tensor, what: str) -> EagerTensor:
    """An eager tensor; ModeError for a symbolic one."""
    if isinstance(tensor, EagerTensor) or tensor.op.name == "constant":
        return as_eager(tensor)
    raise ModeError(f"{what}: {tensor.name} is symbolic", operands={"tensor": tensor}, rule="Use gf.jvp in a graph.")
