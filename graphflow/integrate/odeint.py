"""`odeint` and `odeint_event`: initial value problems as loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphflow.eager.whole import whole
from graphflow.errors import GraphflowError, ShapeError, TypeRuleError
from graphflow.integrate.adaptive import Method, Problem, Progress, Rhs, advance, begin, solution
from graphflow.integrate.dormand_prince import DormandPrince
from graphflow.integrate.rodas import Rodas
from graphflow.ir.graph import name_scope
from graphflow.ir.op import as_tensor_or_none, convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import concat
from graphflow.ops.control import scan
from graphflow.ops.logic import equal, logical_and, logical_not, logical_or, not_equal, stop_gradient, where
from graphflow.ops.math import sign
from graphflow.ops.movement import reshape
from graphflow.ops.ravel import Raveled
from graphflow.optimize.implicit import implicit
from graphflow.optimize.traced import Traced

ADAPTIVE: dict[str, Method] = {"dopri5": DormandPrince(), "rodas": Rodas()}
BISECTIONS = 60  # of a step, in which an event is found


@whole
def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: Sequence[Any] = (),
    method: str = "dopri5",
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    first_step: Any = None,
    steps: int = 1,
    maximum_steps: int = 1000,
    name: str = "odeint",
) -> Any:
    """The solution of dy/dt = `func(y, t, *args)`, y(t[0]) = `y0`, at the times `t`: a nest like `y0`, a row for each time.

    `y0` is a tensor of floats or a nest of them, of any shapes; `func` returns one like it. `t` is a vector of the same dtype,
    rising or falling, whose length may be known only to a run. Units are those of `func`.

    * `method="dopri5"`: Dormand and Prince, order 5 (4), dense output of order 4. For most equations.
    * `method="rodas"`: Rosenbrock, order 4 (3), L-stable, dense output of order 3. For stiff equations, 32 at most, as each step
      computes a Jacobian matrix.
    * `method="rk4"`: Runge and Kutta, order 4, with `steps` steps of equal length from each time to the next.

    The first two choose their steps: the root mean square of (estimated error) / (`atol` + `rtol` |y|) is 1 at most, where `atol`
    is a number or a nest like `y0`. `first_step` is the length of the first attempt. Where more than `maximum_steps` attempts are
    needed from one time to the next, or steps become too short for the dtype, the solution is NaN from there on. The right-hand
    side is not evaluated outside of `t`.

    The solution is differentiable by `y0`, `t`, `args` and any other tensor that `func` reads, to any order: the steps
    are differentiated, whose lengths count as constants. A gradient has room for `maximum_steps` steps for each time.

    Sources: Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations", volumes I, 1993, and II, 1996.
    """
    if method != "rk4" and method not in ADAPTIVE:
        names = ", ".join(map(repr, [*ADAPTIVE, "rk4"]))
        raise GraphflowError(f"odeint: method {method!r}", rule=f"It is one of {names}.")
    with name_scope(name):
        nest = Raveled(y0, "y0")
        times = times_of(t, nest)
        first = reshape(nest.vector, (1, nest.size))
        if method == "rk4":
            rows = fixed(right_hand_side(func, nest, args), nest.vector, times, steps)
            return nest.unravel(concat([first, rows]))
        rhs, forward = one_way(func, nest, args, times[0], times[-1])
        ahead = forward * times
        problem = Problem(rhs, ADAPTIVE[method], rtol, tolerance(atol, nest), ahead[-1], maximum_steps)

        def interval(state: Progress, target: Tensor) -> tuple[Progress, Tensor]:
            state = advance(problem, state, target)
            given_up = state.t < target  # and so at all later times
            return state._replace(h=where(given_up, 0.0, state.h)), solution(problem, state, target)

        rows, _ = scan(interval, ahead[1:], begin(problem, ahead[0], nest.vector, first_step))
        return nest.unravel(concat([first, rows]))


def fixed(rhs: Rhs, y: Tensor, times: Tensor, steps: int) -> Tensor:
    """The solution at all times but the first, by the classical method of order 4: HNW, volume I, table II.1.2."""

    def interval(y: Tensor, ends: Any) -> Tensor:
        h = (ends[1] - ends[0]) / float(steps)

        def step(state: tuple[Tensor, Tensor], _: Any) -> tuple[tuple[Tensor, Tensor], None]:
            t, y = state
            a = rhs(y, t)
            b = rhs(y + 0.5 * h * a, t + 0.5 * h)
            c = rhs(y + 0.5 * h * b, t + 0.5 * h)
            d = rhs(y + h * c, t + h)
            return (t + h, y + h / 6.0 * (a + 2.0 * (b + c) + d)), None

        if steps == 1:
            return step((ends[0], y), None)[0][1]
        return scan(step, None, (ends[0], y), length=steps)[1][1]

    return scan(interval, (times[:-1], times[1:]), y)[0]


class EventResult(NamedTuple):
    """What `odeint_event` found."""

    t: Tensor  # the time of the event; t1 where there is none, NaN where the integration came neither to it nor to t1
    y: Any  # the solution there, a nest like y0
    found: Tensor  # bool: is there an event?


@whole
def odeint_event(
    func: Callable[..., Any],
    y0: Any,
    t0: Any,
    t1: Any,
    event: Callable[..., Any],
    args: Sequence[Any] = (),
    method: str = "dopri5",
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    first_step: Any = None,
    maximum_steps: int = 10_000,
    name: str = "odeint_event",
) -> EventResult:
    """The solution of dy/dt = `func(y, t, *args)` with y(t0) = `y0` at the first event before `t1`, and its time.

    An event is a change of the sign of `event(y, t, *args)`, a scalar, from one step to the next, located on the dense output
    between; a zero at `t0` is none. Methods and tolerances are those of `odeint`, `maximum_steps` bounds the attempts in all.

    Time and solution are differentiable by `y0`, `t0`, `t1`, `args` and whatever `func` and `event` read, to any order: the
    time by the implicit function theorem, as a zero of the event along the solution.
    """
    if method not in ADAPTIVE:
        raise GraphflowError(f"odeint_event: method {method!r}", rule=f"It is one of {', '.join(map(repr, ADAPTIVE))}.")
    with name_scope(name):
        nest = Raveled(y0, "y0")
        begin_at, end_at = (time_of(value, nest, what) for value, what in ((t0, "t0"), (t1, "t1")))
        rhs, forward = one_way(func, nest, args, begin_at, end_at)
        problem = Problem(rhs, ADAPTIVE[method], rtol, tolerance(atol, nest), forward * end_at, maximum_steps)

        def measured(y: Tensor, t: Tensor) -> Tensor:
            value = convert_to_tensor(event(nest.unravel(y), forward * t, *args))
            if value.rank or value.dtype != nest.dtype:
                raise TypeRuleError(f"odeint_event: the event is {value.type}", operands={"event": value}, rule="It is a number.")
            return value

        def seen(state: Progress) -> Tensor:
            """Does the event change its sign in the last step?"""
            before = sign(measured(first_of(state), state.begin))
            return logical_and(not_equal(before, 0.0), not_equal(sign(measured(state.y, state.t)), before))

        def first_of(state: Progress) -> Tensor:
            return problem.method.between(state.dense, literal(0, nest.dtype))

        start = begin(problem, forward * begin_at, nest.vector, first_step)
        state = advance(problem, start, problem.end, lambda state: logical_not(seen(state)))
        found = seen(state)

        def along(share: Tensor) -> Tensor:
            """The event at a share of the last step."""
            return measured(problem.method.between(state.dense, share), state.begin + share * state.length)

        zero = reshape(zero_between(along, nest), (1,))
        share = implicit(Traced(lambda s: [reshape(along(s[0]), (1,))], zero), zero)[0]
        share = where(found, share, (problem.end - state.begin) / state.length)
        reached = logical_or(found, state.t >= problem.end)
        nan = where(reached, literal(0, nest.dtype), float("nan"))
        t = state.begin + share * state.length + nan
        y = problem.method.between(state.dense, share) + nan
        return EventResult(forward * t, nest.unravel(y), found)


def zero_between(function: Callable[[Tensor], Tensor], nest: Raveled) -> Tensor:
    """Where a function of the numbers from 0 to 1 changes its sign, by bisection."""
    before = sign(function(literal(0, nest.dtype)))

    def halve(ends: tuple[Tensor, Tensor], _: Any) -> tuple[tuple[Tensor, Tensor], None]:
        low, high = ends
        middle = 0.5 * (low + high)
        same = equal(sign(function(middle)), before)
        return (where(same, middle, low), where(same, high, middle)), None

    return scan(halve, None, (literal(0, nest.dtype), literal(1, nest.dtype)), length=BISECTIONS)[1][1]


# --- what a problem is given by ---------------------------------------------------------------------------------------------


def right_hand_side(func: Callable[..., Any], nest: Raveled, args: Sequence[Any]) -> Rhs:
    """`func` on vectors."""
    return lambda y, t: nest.ravel(func(nest.unravel(y), t, *args), "odeint: func")


def one_way(func: Callable[..., Any], nest: Raveled, args: Sequence[Any], begin: Tensor, end: Tensor) -> tuple[Rhs, Tensor]:
    """(the right-hand side in a time that rises, that time for each unit of `t`: 1 or -1)."""
    forward = stop_gradient(where(end < begin, literal(-1, nest.dtype), 1.0))
    rhs = right_hand_side(func, nest, args)
    return lambda y, t: forward * rhs(y, forward * t), forward


def times_of(t: Any, nest: Raveled) -> Tensor:
    """The times that are asked for, a vector of the dtype of `y0`."""
    return typed(t, nest, "t", 1, "It is a vector of the dtype of y0: t[0] is where y is y0.")


def time_of(t: Any, nest: Raveled, what: str) -> Tensor:
    return typed(t, nest, what, 0, "It is a number of the dtype of y0.")


def typed(value: Any, nest: Raveled, what: str, rank: int, rule: str) -> Tensor:
    tensor = as_tensor_or_none(value)
    if tensor is None:
        tensor = convert_to_tensor(value, nest.dtype)
    if tensor.rank != rank or tensor.dtype != nest.dtype:
        raise TypeRuleError(f"{what} is {tensor.type}", operands={what: tensor, "y0": nest.leaves[0]}, rule=rule)
    return tensor


def tolerance(atol: Any, nest: Raveled) -> Any:
    """`atol` as a number or a vector."""
    if isinstance(atol, int | float):
        return float(atol)
    given = Raveled(atol, "atol", nest.dtype)
    if given.size not in (1, nest.size):
        raise ShapeError(f"atol has {given.size} elements, y0 {nest.size}", operands={"atol": given.vector, "y0": nest.leaves[0]})
    return given.vector
