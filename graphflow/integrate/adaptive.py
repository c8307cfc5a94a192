"""Integration with steps that are as long as the tolerance allows, and dense output between them.

A method offers attempts at a step with an estimate of their error; the loop here accepts or rejects them and chooses the next
length. For gradients lengths count as constants: the steps that were taken are differentiated, which Hairer, Norsett, Wanner,
"Solving Ordinary Differential Equations" (HNW below), volume I, section II.6, call internal differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from graphflow.ir.op import literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, maximum, minimum
from graphflow.ops.control import while_loop
from graphflow.ops.elementary import sqrt
from graphflow.ops.logic import logical_and, logical_not, logical_or, stop_gradient, where
from graphflow.ops.math import power
from graphflow.ops.reductions import reduce_mean

SAFETY = 0.9  # of the length that the estimate promises
SHORTEST, LONGEST = 0.2, 10.0  # changes of the length from step to step
STABILISATION = 0.04  # of the controller's integral part, beta in HNW; the larger, the smoother
LAST = 1.01  # a step that would leave less than a hundredth of its length goes to the end

Rhs = Callable[[Tensor, Tensor], Tensor]  # (y, t) -> dy/dt, of a vector y


class Attempt(NamedTuple):
    """A step that is tried."""

    y: Tensor  # at its end
    error: Tensor  # an estimate of the local error
    memory: Any  # for the step that follows
    dense: tuple[Tensor, ...]  # coefficients of the solution in between


class Method(Protocol):
    """A one-step method with an error estimate and dense output."""

    order: int  # that the error estimate falls with, for shorter steps

    def start(self, slope: Tensor) -> Any:
        """The memory before the first step, given dy/dt there."""

    def attempt(self, rhs: Rhs, t: Tensor, y: Tensor, h: Tensor, memory: Any) -> Attempt:
        """A step of length `h` from `y` at `t`."""

    def between(self, dense: tuple[Tensor, ...], s: Tensor) -> Tensor:
        """The solution at a share `s` of the step, 0 to 1."""

    def at_rest(self, y: Tensor) -> tuple[Tensor, ...]:
        """The coefficients of the solution that is `y` throughout."""


class Progress(NamedTuple):
    """Where an integration stands: at the end of the last accepted step."""

    t: Tensor
    y: Tensor
    memory: Any
    h: Tensor  # length of the next attempt
    begin: Tensor  # of the last accepted step, and its length and coefficients
    length: Tensor
    dense: tuple[Tensor, ...]
    error: Tensor  # of that step, in units of the tolerance
    rejected: Tensor  # was the last attempt rejected?


class Problem(NamedTuple):
    """What is integrated, how and how far."""

    rhs: Rhs
    method: Method
    rtol: Any
    atol: Any
    end: Tensor  # beyond which the right-hand side is not evaluated
    most: int  # attempts from one time asked for to the next


def begin(problem: Problem, t: Tensor, y: Tensor, first: Any = None) -> Progress:
    """The state before the first step."""
    slope = problem.rhs(y, t)
    h = first_step(problem, t, y, slope) if first is None else first + 0.0 * t
    one = literal(1, y.dtype)
    memory = problem.method.start(slope)
    return Progress(t, y, memory, stop_gradient(h), t, one, problem.method.at_rest(y), 1e-4 * one, literal(False, None))


def advance(problem: Problem, state: Progress, target: Tensor, going: Callable[[Progress], Tensor] | None = None) -> Progress:
    """The state after the steps that reach `target`; before it, where no step is short enough or they are too many.

    `going` is another condition under which steps go on.
    """

    def wanted(state: Progress) -> Tensor:
        able = logical_and(state.t < target, state.t + state.h > state.t)
        return able if going is None else logical_and(able, going(state))

    return while_loop(wanted, lambda state: (step(problem, state),), (state,), problem.most)[0]


def step(problem: Problem, state: Progress) -> Progress:
    """The state after one attempt."""
    last = stop_gradient(state.t) + LAST * state.h >= problem.end
    h = stop_gradient(where(last, problem.end - state.t, state.h))
    found = problem.method.attempt(problem.rhs, state.t, state.y, h, state.memory)
    error = stop_gradient(scaled_norm(problem, found.error, state.y, found.y))
    accepted = error <= 1.0
    accepted_state = Progress(
        where(last, problem.end, state.t + h), found.y, found.memory, controlled(problem.method.order, h, error, state),
        state.t, h, found.dense, maximum(error, 1e-4), logical_not(accepted),
    )  # fmt: skip
    rejected_state = state._replace(h=shortened(problem.method.order, h, error), rejected=logical_not(accepted))
    return choose(accepted, accepted_state, rejected_state)


def choose(condition: Tensor, a: Any, b: Any) -> Any:
    """A nest with the leaves of `a` where `condition` holds, else of `b`."""
    if isinstance(a, tuple):
        leaves = [choose(condition, x, y) for x, y in zip(a, b, strict=True)]
        return type(a)(*leaves) if hasattr(a, "_fields") else tuple(leaves)
    return where(condition, a, b)


def solution(problem: Problem, state: Progress, t: Tensor) -> Tensor:
    """The solution at a time in the last step; NaN if the integration did not come that far."""
    y = problem.method.between(state.dense, (t - state.begin) / state.length)
    return y + where(state.t >= t, literal(0, y.dtype), float("nan"))


# --- lengths of steps -------------------------------------------------------------------------------------------------------


def controlled(order: int, h: Tensor, error: Tensor, state: Progress) -> Tensor:
    """The length after an accepted step: the PI controller of HNW, volume II, equation IV.2.43, as in DOPRI5."""
    share = power(error, 1.0 / order - 0.75 * STABILISATION) / power(state.error, STABILISATION) / SAFETY
    longer = h / maximum(1.0 / LONGEST, minimum(1.0 / SHORTEST, share))
    return where(state.rejected, minimum(h, longer), longer)


def shortened(order: int, h: Tensor, error: Tensor) -> Tensor:
    """The length after a rejected step; an error that is no number counts as a large one."""
    share = power(error, 1.0 / order) / SAFETY
    return h * where(share < 1.0 / SHORTEST, 1.0 / share, SHORTEST)


def scaled_norm(problem: Problem, error: Tensor, *ys: Tensor) -> Tensor:
    """The root mean square of errors in units of the tolerance: HNW, volume I, equations II.4.10 and 4.11."""
    size = absolute(ys[0])
    for y in ys[1:]:
        size = maximum(size, absolute(y))
    ratio = error / (problem.atol + problem.rtol * size)
    return sqrt(reduce_mean(ratio * ratio))


def first_step(problem: Problem, t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
    """The length of the first attempt: HNW, volume I, section II.4, "Starting step size"."""
    size, change = scaled_norm(problem, y, y), scaled_norm(problem, slope, y)
    small = logical_or(size < 1e-5, change < 1e-5)
    h = minimum(where(small, 1e-6, 0.01 * size / where(small, 1.0, change)), problem.end - t)
    bend = scaled_norm(problem, problem.rhs(y + h * slope, t + h) - slope, y) / h
    largest = maximum(change, bend)
    flat = largest <= 1e-15
    other = where(flat, maximum(1e-6, 1e-3 * h), power(0.01 / where(flat, 1.0, largest), 1.0 / problem.method.order))
    return minimum(100.0 * h, other)
