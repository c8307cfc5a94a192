"""`minimize`: descent along directions of several methods, with a line search, as a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphflow.autodiff.gradients import gradients
from graphflow.eager.whole import whole
from graphflow.errors import GraphflowError, TypeRuleError
from graphflow.ir.graph import name_scope
from graphflow.ir.op import convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, minimum
from graphflow.ops.control import while_loop
from graphflow.ops.elimination import LARGEST
from graphflow.ops.logic import equal, logical_and, where
from graphflow.ops.ravel import Raveled
from graphflow.ops.reductions import reduce_max, reduce_sum
from graphflow.optimize.directions import METHODS, Direction
from graphflow.optimize.implicit import by_conjugate_gradients, implicit
from graphflow.optimize.line_search import Point, wolfe
from graphflow.optimize.traced import Traced
from graphflow.types import int32


class MinimizeResult(NamedTuple):
    """What `minimize` found."""

    x: Any  # the minimiser, a nest like x0
    fun: Tensor  # the objective there
    gradient: Any  # its gradient there, a nest like x0
    converged: Tensor  # bool: is no element of the gradient larger than tol?
    iterations: Tensor  # int32: steps that were made


class _Descent(NamedTuple):
    x: Tensor
    value: Tensor
    gradient: Tensor
    memory: Any
    step: Tensor  # the last one; 0 where no better point was found
    iterations: Tensor


@whole
def minimize(
    func: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "bfgs",
    tol: float | None = None,
    maximum_iterations: int = 200,
    name: str = "minimize",
) -> MinimizeResult:
    """A local minimum of `func(x, *args)`, a scalar, near `x0`: a tensor of floats or a nest of them, of any shapes.

    `method` is "bfgs" (a matrix of all pairs of variables; for up to some hundreds), "l-bfgs" (the last ten steps) or
    "gradient-descent"; all with steps that satisfy the strong Wolfe conditions. It ends where no element of the gradient is
    larger than `tol`, by default the square root of the dtype's precision, where no step leads downhill, or after
    `maximum_iterations`.

    `x` is differentiable by `args` and by any other tensor that `func` reads: by the implicit function theorem at the
    solution, whatever way led there, with the Hessian matrix of up to 32 variables, and by conjugate gradients for more. So
    the derivative is as exact as the solution, and wrong where `converged` is False. No gradient flows to `x0`.

    Source: Nocedal and Wright, "Numerical Optimization", second edition, 2006, algorithms 3.5, 3.6, 6.1, 7.5.
    """
    if method not in METHODS:
        raise GraphflowError(f"minimize: method {method!r}", rule=f"It is one of {', '.join(map(repr, METHODS))}.")
    with name_scope(name):
        nest = Raveled(x0, "x0")
        tolerance = nest.dtype.epsilon**0.5 if tol is None else tol

        def value_and_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
            value = objective_of(func(nest.unravel(x), *args), nest)
            return value, gradients(value, [x], unconnected_gradients="zero")[0]

        objective = Traced(value_and_gradient, nest.vector)
        end = descend(objective, nest.vector, METHODS[method], tolerance, maximum_iterations)
        few = isinstance(nest.size, int) and nest.size <= LARGEST
        x = implicit(objective, end.x, None if few else by_conjugate_gradients)
        value, gradient = objective(x)
        converged = reduce_max(absolute(end.gradient)) <= tolerance
        return MinimizeResult(nest.unravel(x), value, nest.unravel(gradient), converged, end.iterations)


def objective_of(value: Any, nest: Raveled) -> Tensor:
    """What an objective returned, as a scalar of the dtype of its variables."""
    tensor = convert_to_tensor(value)
    if tensor.rank or tensor.dtype != nest.dtype:
        raise TypeRuleError(
            f"minimize: the objective is {tensor.type}",
            operands={"func": tensor, "x0": nest.leaves[0]},
            rule=f"It is one number, here of {nest.dtype}: use gf.reduce_sum or gf.cast.",
        )
    return tensor


def descend(objective: Traced, x: Tensor, method: Direction, tolerance: float, most: int) -> _Descent:
    """The end of the descent from `x`."""

    def go_on(state: _Descent) -> Tensor:
        return logical_and(reduce_max(absolute(state.gradient)) > tolerance, state.step > 0.0)

    def step(state: _Descent) -> tuple[_Descent]:
        g, first = state.gradient, equal(state.iterations, 0)
        direction = method.direction(state.memory, g)
        direction = where(reduce_sum(direction * g) < 0.0, direction, -g)
        start = Point(literal(0, x.dtype), state.value, g, reduce_sum(direction * g))
        later = literal(1, x.dtype) if method.newton else 2.0 * state.step
        length = where(first, minimum(1.0 / reduce_sum(absolute(g)), 1.0), later)
        end = wolfe(objective, state.x, start, direction, length, method.curvature)
        moved = end.step * direction
        memory = method.learn(state.memory, moved, end.gradient - g, first)
        return (_Descent(state.x + moved, end.value, end.gradient, memory, end.step, state.iterations + 1),)

    value, gradient = objective(x)
    start = _Descent(x, value, gradient, method.start(x), literal(1, x.dtype), literal(0, int32))
    return while_loop(go_on, step, (start,), most)[0]
