"""Simulations that are differentiated: an epidemic, two differential equations, a controlled plant. All in float64."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tests.benchmarks.workloads.filters import COMPILED, UNROLLED
from tests.benchmarks.workloads.loops import Loop


@dataclass(frozen=True)
class Epidemic(Loop):
    """The negative log-likelihood of reported cases under an SEIR model with a seasonal rate of contact."""

    steps: int = 1200
    parameters = ("theta",)
    tolerance = 1e-8
    left_out: ClassVar = {"torch": UNROLLED, "torch-compile": COMPILED}
    dt = 0.25  # days

    def data(self, random):
        season = np.cos(2 * np.pi * np.arange(self.steps) * self.dt / 120)
        theta = np.array([np.log(0.45), 0.2, np.log(0.25), np.log(0.2), np.log(2e4), np.log(1e-3)])
        s, e, i, r = 1 - 2 * np.exp(theta[5]), np.exp(theta[5]), np.exp(theta[5]), 0.0
        expected = np.empty(self.steps)
        for t in range(self.steps):
            infected = self.dt * np.exp(theta[0] + theta[1] * season[t]) * s * i
            ill, well = self.dt * np.exp(theta[2]) * e, self.dt * np.exp(theta[3]) * i
            s, e, i, r = s - infected, e + infected - ill, i + ill - well, r + well
            expected[t] = np.exp(theta[4]) * ill
        return {"cases": random.poisson(expected).astype(np.float64), "season": season, "theta": theta + 0.05}

    def loss(self, m, p):
        theta = p["theta"]
        incubation, recovery, reported, first = m.exp(theta[2]), m.exp(theta[3]), m.exp(theta[4]), m.exp(theta[5])

        def body(state, elem):
            (s, e, i, r), (cases, season) = state, elem
            infected = self.dt * m.exp(theta[0] + theta[1] * season) * s * i
            ill, well = self.dt * incubation * e, self.dt * recovery * i
            expected = reported * ill
            return (s - infected, e + infected - ill, i + ill - well, r + well), (expected - cases * m.log(expected),)

        start = (1 - 2 * first, first, first, m.zeros_like(first))
        (terms,), _ = m.scan(body, (p["cases"], p["season"]), start)
        return m.sum(terms)

    def numba(self, numba):
        from tests.benchmarks.by_hand import dynamics

        return dynamics.epidemic


@dataclass(frozen=True)
class Lorenz(Loop):
    """The mean square distance of a path of Lorenz's equations from another; classical Runge-Kutta."""

    steps: int = 1000
    parameters = ("theta", "start")
    tolerance = 1e-7  # rounding grows along the path
    left_out: ClassVar = {"torch": UNROLLED, "torch-compile": COMPILED}
    dt = 0.004

    def data(self, random):
        start = np.array([1.0, 1.0, 20.0])
        path = np.empty((self.steps, 3))
        y = start
        for t in range(self.steps):
            y = np.array(self.step(tuple(y), (10.2, 27.5, 2.6)))
            path[t] = y
        noise = random.normal(0, 0.1, path.shape)
        return {"path": path + noise, "theta": np.array([10.0, 28.0, 8 / 3]), "start": start}

    @staticmethod
    def slope(y, theta):
        """dy/dt."""
        (a, b, c), (sigma, rho, beta) = y, theta
        return sigma * (b - a), a * (rho - c) - b, a * b - beta * c

    def step(self, y, theta):
        """One step of the classical Runge-Kutta method."""

        def moved(k, h):
            return tuple(a + h * b for a, b in zip(y, k, strict=True))

        k1 = self.slope(y, theta)
        k2 = self.slope(moved(k1, self.dt / 2), theta)
        k3 = self.slope(moved(k2, self.dt / 2), theta)
        k4 = self.slope(moved(k3, self.dt), theta)
        return tuple(a + self.dt / 6 * (b + 2 * c + 2 * d + e) for a, b, c, d, e in zip(y, k1, k2, k3, k4, strict=True))

    def loss(self, m, p):
        theta = tuple(p["theta"][k] for k in range(3))

        def body(state, elem):
            state = self.step(state, theta)
            errors = [state[k] - elem[0][k] for k in range(3)]
            return state, (errors[0] * errors[0] + errors[1] * errors[1] + errors[2] * errors[2],)

        (errors,), _ = m.scan(body, (p["path"],), tuple(p["start"][k] for k in range(3)))
        return m.sum(errors) / (3 * self.steps)

    def numba(self, numba):
        from tests.benchmarks.by_hand import dynamics

        return dynamics.lorenz


@dataclass(frozen=True)
class Robertson(Loop):
    """The same for Robertson's stiff equations of three reactions over ten decades, by the linearly implicit Euler method."""

    steps: int = 1200
    parameters = ("theta",)
    tolerance = 1e-8
    left_out: ClassVar = {"torch": UNROLLED, "torch-compile": COMPILED}

    def data(self, random):
        times = np.concatenate([[0.0], np.logspace(-5, 5, self.steps)])
        h, rates = np.diff(times), (0.042, 2.9e7, 1.05e4)
        path = np.empty((self.steps, 3))
        y = (1.0, 0.0, 0.0)
        for t in range(self.steps):
            y = self.step(y, h[t], rates)
            path[t] = y
        path[:, 1] *= 1e4
        return {
            "h": h,
            "path": path + random.normal(0, 1e-3, path.shape),
            "theta": np.log([0.04, 3e7, 1e4]),
            "start": np.array([1.0, 0.0, 0.0]),
        }

    @staticmethod
    def step(y, h, rates):
        """y + h x, where x solves (1 - h df/dy) x = f(y)."""
        (y1, y2, y3), (k1, k2, k3) = y, rates
        forth, back, rest = k1 * y1, k3 * y2 * y3, k2 * y2 * y2
        f1, f2, f3 = back - forth, forth - back - rest, rest
        e, b, c, d = h * k1, h * k3 * y3, h * k3 * y2, 2 * h * k2 * y2
        share = e / (1 + e)
        x2 = (f2 - c * f3 + share * (f1 + c * f3)) / (1 + b + d + c * d - share * (b + c * d))
        x3 = f3 + d * x2
        x1 = (f1 + b * x2 + c * x3) / (1 + e)
        return y1 + h * x1, y2 + h * x2, y3 + h * x3

    def loss(self, m, p):
        rates = tuple(m.exp(p["theta"][k]) for k in range(3))

        def body(state, elem):
            state = self.step(state, elem[0], rates)
            errors = [scale * state[k] - elem[1][k] for k, scale in enumerate((1.0, 1e4, 1.0))]
            return state, (errors[0] * errors[0] + errors[1] * errors[1] + errors[2] * errors[2],)

        (errors,), _ = m.scan(body, (p["h"], p["path"]), tuple(p["start"][k] for k in range(3)))
        return m.sum(errors) / (3 * self.steps)

    def numba(self, numba):
        from tests.benchmarks.by_hand import dynamics

        return dynamics.robertson


@dataclass(frozen=True)
class Controlled(Loop):
    """A step of gradient descent on the gains of a PID controller, through the simulation of a mass with a weak actuator."""

    steps: int = 1000
    parameters = ("gains",)
    learning_rate = 0.5
    tolerance = 1e-7
    left_out: ClassVar = {"torch": UNROLLED, "torch-compile": COMPILED}
    dt = 0.01
    damping = 0.6
    stiffness = 1.5
    strongest = 8.0  # force of the actuator
    price = 1e-3  # of the square of a force

    def data(self, random):
        wanted = np.repeat(random.uniform(-1, 1, (self.steps + 249) // 250), 250)[: self.steps]
        return {"wanted": wanted, "gains": np.array([4.0, 1.0, 0.5]), "start": np.zeros(4)}

    def loss(self, m, p):
        gains = p["gains"]

        def body(state, elem):
            place, speed, total, before = state
            error = elem[0] - place
            total = total + self.dt * error
            change = (error - before) / self.dt
            force = self.strongest * m.tanh((gains[0] * error + gains[1] * total + gains[2] * change) / self.strongest)
            speed = speed + self.dt * (force - self.damping * speed - self.stiffness * place)
            return (place + self.dt * speed, speed, total, error), (error * error + self.price * force * force,)

        (terms,), _ = m.scan(body, (p["wanted"],), tuple(p["start"][k] for k in range(4)))
        return m.mean(terms)

    def numba(self, numba):
        from tests.benchmarks.by_hand import dynamics

        return dynamics.controlled


WORKLOADS = (
    Epidemic("seir", "log-likelihood of an SEIR model over 1,200 steps with gradients"),
    Lorenz("lorenz", "distance of a path of Lorenz's equations, 1,000 steps of Runge-Kutta, with sensitivities"),
    Robertson("robertson", "distance of a path of Robertson's stiff equations, 1,200 implicit steps, with sensitivities"),
    Controlled("pid", "a step of gradient descent on a PID controller through 1,000 steps of a plant"),
)
