"""RODAS, a Rosenbrock method of order 4 with an estimate of order 3, for stiff equations."""

from __future__ import annotations

from functools import reduce

from graphflow.autodiff.jacobian import jacobian
from graphflow.errors import ShapeError
from graphflow.integrate.adaptive import Attempt, Rhs
from graphflow.ir.tensor import Tensor
from graphflow.ops.elimination import LARGEST, identity_matrix, inverse
from graphflow.optimize.directions import times

GAMMA = 0.25
NODES = (0.0, 0.386, 0.21, 0.63, 1.0, 1.0)
TIMES = (0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0)  # weights of the derivative by time
STAGES = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895, 1.0),
)
COUPLING = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.7089089320616),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)
DENSE = (
    (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662),
    (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872),
)


class Rodas:
    """L-stable and stiffly accurate: Hairer, Wanner, "Solving Ordinary Differential Equations II", section IV.7, code RODAS.

    Each step solves six systems of linear equations with one matrix, 1 / (gamma h) - J, in the variables of equation IV.7.25.
    """

    order = 4

    def start(self, slope: Tensor) -> tuple[()]:
        size = slope.shape[0]
        if not isinstance(size, int) or size > LARGEST:
            raise ShapeError(
                f"rodas: {size} equations",
                operands={"y0": slope},
                rule=f"Their number is known when the graph is built, and {LARGEST} at most.",
            )
        return ()

    def attempt(self, rhs: Rhs, t: Tensor, y: Tensor, h: Tensor, memory: tuple[()]) -> Attempt:
        by_y, by_t = jacobian(rhs(y, t), [y, t])
        matrix = inverse(identity_matrix(y.shape[0], y.dtype) / (GAMMA * h) - by_y)
        parts: list[Tensor] = []
        here = y
        for node, weight, stage, coupling in zip(NODES, TIMES, STAGES, COUPLING, strict=True):
            here = y + combined(stage, parts) if stage else y
            value = rhs(here, t + node * h)
            if weight:
                value = value + (h * weight) * by_t
            if coupling:
                value = value + combined(coupling, parts) / h
            parts.append(times(matrix, value))
        end = here + parts[-1]
        return Attempt(end, parts[-1], (), (y, end, *(combined(row, parts[:5]) for row in DENSE)))

    def between(self, dense: tuple[Tensor, ...], s: Tensor) -> Tensor:
        y, end, c, d = dense
        return y * (1.0 - s) + s * (end + (1.0 - s) * (c + s * d))

    def at_rest(self, y: Tensor) -> tuple[Tensor, ...]:
        none = y * 0.0
        return y, y, none, none


def combined(weights: tuple[float, ...], parts: list[Tensor]) -> Tensor:
    """The sum of parts times weights."""
    return reduce(lambda a, b: a + b, [weight * part for weight, part in zip(weights, parts, strict=True)])
