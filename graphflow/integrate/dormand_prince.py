"""The method of Dormand and Prince of order 5 with an estimate of order 4 and dense output of order 4."""

from __future__ import annotations

from functools import reduce

from graphflow.integrate.adaptive import Attempt, Rhs
from graphflow.ir.tensor import Tensor

NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
DENSE = (
    -12715105075 / 11282082432, 0.0, 87487479700 / 32700410799, -10690763975 / 1880347072,
    701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
)  # fmt: skip


class DormandPrince:
    """Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", table II.5.2 and section II.6, "Dense output"."""

    order = 5

    def start(self, slope: Tensor) -> Tensor:
        return slope

    def attempt(self, rhs: Rhs, t: Tensor, y: Tensor, h: Tensor, memory: Tensor) -> Attempt:
        slopes = [memory]  # the last slope of a step is the first of the next
        for node, row in zip(NODES, STAGES, strict=True):
            end = y + h * combined(row, slopes)
            slopes.append(rhs(end, t + node * h))
        change = end - y
        bend = h * slopes[0] - change
        dense = (y, change, bend, change - h * slopes[-1] - bend, h * combined(DENSE, slopes))
        return Attempt(end, h * combined(ERROR, slopes), slopes[-1], dense)

    def between(self, dense: tuple[Tensor, ...], s: Tensor) -> Tensor:
        a, b, c, d, e = dense
        return a + s * (b + (1.0 - s) * (c + s * (d + (1.0 - s) * e)))

    def at_rest(self, y: Tensor) -> tuple[Tensor, ...]:
        none = y * 0.0
        return y, none, none, none, none


def combined(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """The sum of slopes times weights."""
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]
    return reduce(lambda a, b: a + b, terms)
