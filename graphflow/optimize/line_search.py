"""A step along a direction of descent that satisfies the strong Wolfe conditions."""

from __future__ import annotations

from typing import NamedTuple

from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, maximum, minimum
from graphflow.ops.control import while_loop
from graphflow.ops.elementary import sqrt
from graphflow.ops.logic import logical_and, logical_not, logical_or, where
from graphflow.ops.math import is_finite, is_inf
from graphflow.ops.reductions import reduce_sum
from graphflow.optimize.traced import Traced

SUFFICIENT = 1e-4  # of the decrease that the slope promises
LONGER = 2.0  # a step that is still downhill is followed by one so many times as long
MARGIN = 0.1  # of an interval, at its ends, where no step is tried
ROUNDING = 1e-6  # of the objective: where values differ by less, slopes say whether a step is a good one
MOST_TRIALS = 30


class Point(NamedTuple):
    """The objective at a step along the line: its value, and its gradient by all variables and along the line."""

    step: Tensor
    value: Tensor
    gradient: Tensor
    slope: Tensor


class _Search(NamedTuple):
    low: Point  # the best point so far
    high: Point  # the other end of an interval with a step that is wanted in it; infinite as long as there is none
    step: Tensor  # to try next
    done: Tensor


def wolfe(
    objective: Traced,
    x: Tensor,
    start: Point,
    direction: Tensor,
    step: Tensor,
    curvature: float,
) -> Point:
    """A point x + step * direction that satisfies the strong Wolfe conditions; the best one found if none does, or `start`.

    Nocedal and Wright, "Numerical Optimization", algorithms 3.5 and 3.6, which are one loop: the first, which looks for an
    interval, does what the second does with an interval that reaches to infinity. Near a minimum, where the objective changes by
    less than its rounding errors, a decrease is what the slope says: Hager and Zhang, "A new conjugate gradient method with
    guaranteed descent and an efficient line search", 2005, equation 4.1.
    """
    slack = ROUNDING * absolute(start.value)

    def trial(search: _Search) -> tuple[_Search]:
        low, high = search.low, search.high
        value, gradient = objective(x + search.step * direction)
        here = Point(search.step, value, gradient, reduce_sum(gradient * direction))
        enough = logical_and(value <= start.value + SUFFICIENT * here.step * start.slope, value <= low.value)
        likely = logical_and(value <= start.value + slack, here.slope <= (2.0 * SUFFICIENT - 1.0) * start.slope)
        lower = logical_and(logical_or(enough, likely), is_finite(here.slope))
        flat = logical_and(lower, absolute(here.slope) <= -curvature * start.slope)
        beyond = logical_and(lower, here.slope * (high.step - low.step) >= 0.0)  # a minimum lies between low and here
        high = choose(lower, choose(beyond, low, high), here)
        low = choose(lower, here, low)
        following = where(is_inf(high.step), LONGER * here.step, between(low, high))
        return (_Search(low, high, following, flat),)

    far = Point(start.step + float("inf"), start.value, start.gradient, start.slope)
    search = _Search(start, far, step, step < 0.0)
    return while_loop(lambda search: logical_not(search.done), trial, (search,), MOST_TRIALS)[0].low


def choose(condition: Tensor, a: Point, b: Point) -> Point:
    return Point(*(where(condition, x, y) for x, y in zip(a, b, strict=True)))


def between(low: Point, high: Point) -> Tensor:
    """The minimiser of the cubic through two points (equation 3.59), or the middle where that lies near an end."""
    width = high.step - low.step
    a = low.slope + high.slope - 3.0 * (high.value - low.value) / width
    b = sqrt(maximum(a * a - low.slope * high.slope, 0.0))
    b = where(width < 0.0, -b, b)
    cubic = high.step - width * (high.slope + b - a) / (high.slope - low.slope + 2.0 * b)
    first, last = minimum(low.step, high.step), maximum(low.step, high.step)
    margin = MARGIN * (last - first)
    inside = logical_and(cubic >= first + margin, cubic <= last - margin)
    return where(inside, cubic, 0.5 * (first + last))
