"""`fixed_point`: iteration of a contraction, as a loop; its gradient is a fixed point too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphflow.autodiff.gradients import gradients
from graphflow.eager.whole import whole
from graphflow.ir.graph import name_scope
from graphflow.ir.op import literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, maximum
from graphflow.ops.control import while_loop
from graphflow.ops.ravel import Raveled
from graphflow.ops.reductions import reduce_max
from graphflow.optimize.implicit import implicit
from graphflow.optimize.traced import Traced
from graphflow.types import int32


class FixedPointResult(NamedTuple):
    """What `fixed_point` found."""

    x: Any  # the fixed point, a nest like x0
    converged: Tensor  # bool: was the last change no larger than tol?
    iterations: Tensor  # int32: steps that were made


@whole
def fixed_point(
    func: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    tol: float | None = None,
    maximum_iterations: int = 1000,
    name: str = "fixed_point",
) -> FixedPointResult:
    """The x with `func(x, *args)` = x to which iteration from `x0` leads: a tensor of floats or a nest of them, of any shapes.

    It ends where no element changes by more than `tol`, by default the square root of the dtype's precision, times 1 or the
    largest element, or after `maximum_iterations`.

    `x` is differentiable by `args` and by any other tensor that `func` reads: by the implicit function theorem at the
    solution. A cotangent g of x is v for func, where v = g + transpose(dfunc/dx) v, which is iterated as x is. So no matrix is
    formed, and no step is kept. The derivative is as exact as the solution, and wrong where `converged` is False. No gradient
    flows to `x0`.
    """
    with name_scope(name):
        nest = Raveled(x0, "x0")
        tolerance = nest.dtype.epsilon**0.5 if tol is None else tol

        def change(x: Tensor) -> Sequence[Tensor]:
            following = nest.ravel(func(nest.unravel(x), *args), "fixed_point: the result")
            return following, following - x

        step = Traced(change, nest.vector)

        def adjoint(x: Tensor, value: Tensor, g: Tensor) -> Tensor:
            """v with transpose(dF/dx) v = g for F(x) = func(x) - x."""
            found = iterate(lambda v: v - g + gradients(value, [x], v, unconnected_gradients="zero")[0], -g)
            return found[0]

        def iterate(step: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """(the end of an iteration, its last change, how many steps were made)."""

            def following(x: Tensor, _: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                new = step(x)
                size = maximum(reduce_max(absolute(new)), 1.0)
                return new, reduce_max(absolute(new - x)) / size, count + 1

            initial = (start, literal(float("inf"), nest.dtype), literal(0, int32))
            return while_loop(lambda x, change, _: change > tolerance, following, initial, maximum_iterations)

        x, last, count = iterate(lambda x: step(x)[0], nest.vector)
        x = implicit(step, x, adjoint)
        return FixedPointResult(nest.unravel(x), last <= tolerance, count)
