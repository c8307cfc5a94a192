"""Time series, state after state: a volatility filter of many scalars, a Kalman filter, an AR(2) recursion. All in float64."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tests.benchmarks.workloads.loops import Loop

UNROLLED = "a loop of Python dispatches every operation: ten thousand times as long as the loop by hand"
COMPILED = "unrolls the loop and compiles for many minutes"


@dataclass(frozen=True)
class Leaves(Loop):
    """Surprise of a series under independent volatility filters (Mathys et al. 2011, two levels), four scalars of state each.

    A node has a mean and a precision, and those of its logarithmic volatility; each is a scalar of its own in the state.
    """

    steps: int = 614
    nodes: int = 15
    parameters = ("tonic", "coupling")
    tolerance = 1e-8
    left_out: ClassVar = {
        "torch": UNROLLED,
        "torch-compile": COMPILED,
        "pytensor": "a loop of sixty states and its gradient compile for more than five minutes",
    }
    drift = 0.05  # added to the variance of the volatility in each step
    precision = 4.0  # of an observation

    def data(self, random):
        volatility = np.exp(0.5 * np.cumsum(random.normal(0, 0.1, (self.steps, self.nodes)), 0) - 2)
        walk = np.cumsum(volatility * random.normal(0, 1, (self.steps, self.nodes)), 0)
        return {
            "u": walk + random.normal(0, self.precision**-0.5, (self.steps, self.nodes)),
            "tonic": random.uniform(-3, -2, self.nodes),
            "coupling": random.uniform(0.5, 1.0, self.nodes),
            "start": np.stack([np.zeros(self.nodes), np.ones(self.nodes), np.zeros(self.nodes), np.ones(self.nodes)], 1),
        }

    def loss(self, m, p):
        nodes = range(self.nodes)
        tonic, coupling = [p["tonic"][k] for k in nodes], [p["coupling"][k] for k in nodes]

        def body(state, elem):
            pairs = [self.node(m, state[k], elem[0][k], tonic[k], coupling[k]) for k in nodes]
            return tuple(state for state, _ in pairs), (sum(surprise for _, surprise in pairs),)

        (surprises,), _ = m.scan(body, (p["u"],), tuple(tuple(p["start"][k, j] for j in range(4)) for k in nodes))
        return m.sum(surprises)

    def node(self, m, state, u, tonic, coupling):
        """(next state, surprise at `u`)."""
        mean, precision, mean2, precision2 = state
        volatility = m.exp(coupling * mean2 + tonic)
        expected = 1 / (1 / precision + volatility)
        spread = 1 / expected + 1 / self.precision
        error = u - mean
        next_precision = expected + self.precision
        moved = self.precision / next_precision * error
        expected2 = 1 / (1 / precision2 + self.drift)
        weight = volatility * expected
        surplus = (1 / next_precision + moved * moved) * expected - 1
        next_precision2 = expected2 + 0.5 * (coupling * weight) * (coupling * weight)
        next_mean2 = mean2 + 0.5 * coupling * weight * surplus / next_precision2
        surprise = 0.5 * (m.log(2 * math.pi * spread) + error * error / spread)
        return (mean + moved, next_precision, next_mean2, next_precision2), surprise

    def numba(self, numba):
        from tests.benchmarks.by_hand import filters

        return filters.leaves


@dataclass(frozen=True)
class Kalman(Loop):
    """The negative log-likelihood of a series with level, slope and a cycle: a state of 4 with its covariance."""

    steps: int = 500
    parameters = ("theta", "mean")
    tolerance = 1e-8
    left_out: ClassVar = {"torch": UNROLLED, "torch-compile": COMPILED}
    angle = 2 * math.pi / 12

    def data(self, random):
        t = np.arange(self.steps)
        c, s = 0.98 * math.cos(self.angle), 0.98 * math.sin(self.angle)
        level = np.cumsum(0.02 + random.normal(0, 0.1, self.steps))
        return {
            "y": level + np.sin(self.angle * t) + random.normal(0, 0.3, self.steps),
            "theta": np.log([0.02, 0.001, 0.05, 0.05, 0.1]),  # variances: of the four states' noise, of an observation
            "mean": np.array([[0.0], [0.02], [0.0], [1.0]]),
            "covariance": np.diag([1.0, 0.1, 0.5, 0.5]),
            "f": np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, c, s], [0, 0, -s, c]]),
            "h": np.array([[1.0], [0.0], [1.0], [0.0]]),
            "unit": np.eye(4),
        }

    def loss(self, m, p):
        f, h = p["f"], p["h"]
        variances = m.exp(p["theta"])
        noise, r = p["unit"] * variances[:4], variances[4]

        def body(state, elem):
            mean, covariance = state
            mean = m.matmul(f, mean)
            covariance = m.matmul(m.matmul(f, covariance), m.transpose(f)) + noise
            g = m.matmul(covariance, h)
            s = m.matmul(m.transpose(h), g) + r
            error = elem[0] - m.matmul(m.transpose(h), mean)
            gain = g / s
            covariance = covariance - m.matmul(gain, m.transpose(g))
            return (mean + gain * error, covariance), (m.log(s) + error * error / s,)

        (terms,), _ = m.scan(body, (p["y"],), (p["mean"], p["covariance"]))
        return 0.5 * m.sum(terms) + 0.5 * self.steps * math.log(2 * math.pi)

    def numba(self, numba):
        from tests.benchmarks.by_hand import filters

        return filters.kalman


@dataclass(frozen=True)
class Recursion(Loop):
    """y[t] = a y[t-1] + b y[t-2] + x[t]; the loss is the mean square of y - target."""

    steps: int = 1_000_000
    parameters = ("theta",)
    tolerance = 1e-8
    left_out: ClassVar = {
        "torch": UNROLLED,
        "torch-compile": COMPILED,
        "tf-session": "its loop takes microseconds a step, so a run takes minutes",
        "tf-function": "its loop takes microseconds a step, so a run takes minutes",
    }

    def data(self, random):
        return {
            "x": random.normal(0, 1, self.steps),
            "target": random.normal(0, 1, self.steps),
            "theta": np.array([0.6, 0.3]),
            "start": np.array([0.1, -0.2]),
        }

    def loss(self, m, p):
        a, b = p["theta"][0], p["theta"][1]

        def body(state, elem):
            y = a * state[0] + b * state[1] + elem[0]
            return (y, state[0]), (y,)

        (y,), _ = m.scan(body, (p["x"],), (p["start"][0], p["start"][1]))
        error = y - p["target"]
        return m.mean(error * error)

    def numba(self, numba):
        from tests.benchmarks.by_hand import filters

        return filters.recursion


WORKLOADS = (
    Leaves("leaves60", "surprise of 15 volatility filters with gradients: 60 scalars through 614 steps"),
    Kalman("kalman", "log-likelihood of a Kalman filter over 500 steps, state 4, with gradients"),
    Recursion("ar2", "an AR(2) recursion over 1,000,000 points with gradients"),
)
