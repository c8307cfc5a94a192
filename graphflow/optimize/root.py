"""`root`: Newton's and Broyden's methods, with steps that are halved until they help, as a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphflow.autodiff.jacobian import jacobian
from graphflow.eager.whole import whole
from graphflow.errors import GraphflowError, ShapeError
from graphflow.ir.graph import name_scope
from graphflow.ir.op import literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute
from graphflow.ops.control import cond, while_loop
from graphflow.ops.elementary import sqrt
from graphflow.ops.elimination import LARGEST, factored, inverse
from graphflow.ops.logic import logical_and, logical_not, logical_or, where
from graphflow.ops.movement import reshape
from graphflow.ops.ravel import Raveled
from graphflow.ops.reductions import reduce_max, reduce_sum
from graphflow.optimize.directions import outer, times
from graphflow.optimize.implicit import implicit
from graphflow.optimize.traced import Traced
from graphflow.types import int32

HALVINGS = 30
DECREASE = 1e-4  # of the residual, for a step of 1


class RootResult(NamedTuple):
    """What `root` found."""

    x: Any  # the root, a nest like x0
    fun: Any  # func there, a nest like x0
    converged: Tensor  # bool: is no element of fun larger than tol?
    iterations: Tensor  # int32: steps that were made


class _Iterate(NamedTuple):
    x: Tensor
    value: Tensor
    going: Tensor  # did the last step help, or is there another to try?
    iterations: Tensor
    inverse: Any = ()  # Broyden's matrix
    fresh: Any = ()  # is it the inverse of the Jacobian matrix here?


@whole
def root(
    func: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "newton",
    tol: float | None = None,
    maximum_iterations: int = 100,
    name: str = "root",
) -> RootResult:
    """A zero of `func(x, *args)`, which returns a nest like `x`, near `x0`: a tensor of floats or a nest of them.

    `method` is "newton" (a Jacobian matrix for each step) or "broyden" (one at `x0`, improved by each step, and another where
    none helps). Both solve linear equations by elimination, so there are 32 unknowns at most. A step is halved until the residual
    decreases. It ends where no element of the residual is larger than `tol`, by default the square root of the dtype's
    precision, where no step helps, or after `maximum_iterations`.

    `x` is differentiable by `args` and by any other tensor that `func` reads: by the implicit function theorem at the
    solution, so the derivative is as exact as that, and wrong where `converged` is False. No gradient flows to `x0`.

    Sources: Nocedal and Wright, "Numerical Optimization", chapter 11; Broyden, "A class of methods for solving nonlinear
    simultaneous equations", 1965.
    """
    if method not in ("newton", "broyden"):
        raise GraphflowError(f"root: method {method!r}", rule="It is 'newton' or 'broyden'.")
    with name_scope(name):
        nest = Raveled(x0, "x0")
        if not isinstance(nest.size, int) or nest.size > LARGEST:
            raise ShapeError(f"root: {nest.size} unknowns", operands={"x0": nest.leaves[0]}, rule=f"{LARGEST} at most.")
        tolerance = nest.dtype.epsilon**0.5 if tol is None else tol

        residual = Traced(lambda x: [nest.ravel(func(nest.unravel(x), *args), "root: the residual")], nest.vector)
        find = newton if method == "newton" else broyden
        end = find(residual, nest.vector, tolerance, maximum_iterations)
        x = implicit(residual, end.x)
        converged = largest(end.value) <= tolerance
        return RootResult(nest.unravel(x), nest.unravel(residual(x)[0]), converged, end.iterations)


def newton(residual: Traced, x: Tensor, tolerance: float, most: int) -> _Iterate:
    """The end of Newton's iteration from `x`."""

    def step(state: _Iterate) -> tuple[_Iterate]:
        (matrix,) = jacobian(residual(state.x)[0], [state.x])
        x, value, helped = shortened(residual, state, -factored(matrix)(state.value))
        return (_Iterate(x, value, helped, state.iterations + 1),)

    return iterate(step, _Iterate(x, residual(x)[0], literal(True, None), literal(0, int32)), tolerance, most)


def broyden(residual: Traced, x: Tensor, tolerance: float, most: int) -> _Iterate:
    """The end of Broyden's iteration from `x`: his "good" method, for the inverse of the matrix."""

    def inverse_jacobian(x: Tensor) -> Tensor:
        (matrix,) = jacobian(residual(x)[0], [x])
        return inverse(matrix)

    def step(state: _Iterate) -> tuple[_Iterate]:
        x, value, helped = shortened(residual, state, -times(state.inverse, state.value))
        s = x - state.x
        image = times(state.inverse, value - state.value)
        row = reduce_sum(reshape(s, (-1, 1)) * state.inverse, 0)
        better = lambda: state.inverse + outer(s - image, row) / reduce_sum(s * image)  # noqa: E731
        inverse = cond(helped, better, lambda: inverse_jacobian(x))
        going = logical_or(helped, logical_not(state.fresh))
        return (_Iterate(x, value, going, state.iterations + 1, inverse, logical_not(helped)),)

    true = literal(True, None)
    return iterate(step, _Iterate(x, residual(x)[0], true, literal(0, int32), inverse_jacobian(x), true), tolerance, most)


def iterate(step: Callable[[_Iterate], tuple[_Iterate]], start: _Iterate, tolerance: float, most: int) -> _Iterate:
    return while_loop(lambda s: logical_and(largest(s.value) > tolerance, s.going), step, (start,), most)[0]


def shortened(residual: Traced, state: _Iterate, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(x, residual, whether it is better than before) after the longest step that helps, of 1, 1/2, 1/4, ..."""
    before = norm(state.value)

    def helps(length: Tensor, value: Tensor) -> Tensor:
        return norm(value) <= (1.0 - DECREASE * length) * before

    def halve(length: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * length, residual(state.x + 0.5 * length * direction)[0]

    one = literal(1, state.x.dtype)
    start = (one, residual(state.x + direction)[0])
    length, value = while_loop(lambda length, value: logical_not(helps(length, value)), halve, start, HALVINGS)
    helped = helps(length, value)
    return where(helped, state.x + length * direction, state.x), where(helped, value, state.value), helped


def norm(vector: Tensor) -> Tensor:
    return sqrt(reduce_sum(vector * vector))


def largest(vector: Tensor) -> Tensor:
    return reduce_max(absolute(vector))
