"""Many independent loops in one call: fits by Newton's method, the Mandelbrot set, a Monte Carlo price. All in float64.

graphflow and JAX map one lane's loop over all (`vmap`); the others repeat the body for all lanes until the last one is done.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tests.benchmarks.workload import Step, Workload
from tests.benchmarks.workloads.filters import COMPILED
from tests.benchmarks.workloads.loops import Loop


@dataclass(frozen=True)
class Fits(Workload):
    """Logistic regressions of two coefficients with a weak prior, each fitted by Newton's method until it stands still."""

    lanes: int = 1000
    points: int = 30
    outputs = ("coefficients", "losses")
    tolerance = 1e-8
    left_out: ClassVar = {"torch-compile": "the number of steps depends on the data, which breaks the graph in each"}
    prior = 0.1
    enough = 1e-8  # length of a step after which a fit is done
    most = 50

    def data(self, random):
        x = random.normal(0, 1, (self.lanes, self.points))
        a, b = random.normal(0, 1, (2, self.lanes, 1)) * [[[1.0]], [[2.0]]]
        return {"x": x, "y": (random.uniform(0, 1, x.shape) < 1 / (1 + np.exp(-a - b * x))).astype(np.float64)}

    def newton(self, exp, total, x, y, a, b, ones):
        """(next coefficients, largest change); `ones` makes an axis of points for a number of a lane."""
        expected = 1 / (1 + exp(-ones(a) - ones(b) * x))
        weight, error = expected * (1 - expected), y - expected
        h11, h12, h22 = total(weight) + self.prior, total(weight * x), total(weight * x * x) + self.prior
        g1, g2 = total(error) - self.prior * a, total(error * x) - self.prior * b
        determinant = h11 * h22 - h12 * h12
        return (h22 * g1 - h12 * g2) / determinant, (h11 * g2 - h12 * g1) / determinant

    def value(self, exp, log, total, x, y, a, b, ones):
        """The negative logarithm of the posterior."""
        score = ones(a) + ones(b) * x
        return total(log(1 + exp(score)) - y * score) + 0.5 * self.prior * (a * a + b * b)

    def graphflow(self, gf, p):
        def fit(x, y):
            def body(a, b, change, n):
                da, db = self.newton(gf.exp, gf.reduce_sum, x, y, a, b, lambda v: v)
                return a + da, b + db, gf.maximum(gf.abs(da), gf.abs(db)), n + 1

            def goes_on(a, b, change, n):
                return gf.logical_and(change > self.enough, n < self.most)

            zero = gf.zeros([], gf.float64)
            a, b, _, _ = gf.while_loop(goes_on, body, (zero, zero, zero + 1, gf.constant(0)))
            return gf.stack([a, b]), self.value(gf.exp, gf.log, gf.reduce_sum, x, y, a, b, lambda v: v)

        coefficients, losses = gf.vmap(fit)(p["x"], p["y"])
        return Step({"coefficients": coefficients, "losses": losses}, {})

    def jax(self, jax, p):
        n = jax.numpy

        def fit(x, y):
            def body(state):
                a, b, _, count = state
                da, db = self.newton(n.exp, n.sum, x, y, a, b, lambda v: v)
                return a + da, b + db, n.maximum(n.abs(da), n.abs(db)), count + 1

            def goes_on(state):
                return (state[2] > self.enough) & (state[3] < self.most)

            a, b, _, _ = jax.lax.while_loop(goes_on, body, (0.0, 0.0, 1.0, 0))
            return n.stack([a, b]), self.value(n.exp, n.log, n.sum, x, y, a, b, lambda v: v)

        coefficients, losses = jax.vmap(fit)(p["x"], p["y"])
        return Step({"coefficients": coefficients, "losses": losses}, {})

    def torch(self, torch, p):
        x, y = p["x"], p["y"]
        a = b = torch.zeros_like(x[:, 0])

        def ones(v):
            return v[:, None]

        def total(v):
            return v.sum(1)

        for _ in range(self.most):
            da, db = self.newton(torch.exp, total, x, y, a, b, ones)
            a, b = a + da, b + db
            if max(da.abs().max(), db.abs().max()) <= self.enough:
                break
        return Step(
            {"coefficients": torch.stack([a, b], 1), "losses": self.value(torch.exp, torch.log, total, x, y, a, b, ones)}, {}
        )

    def tensorflow(self, tf, p):
        x, y = p["x"], p["y"]

        def ones(v):
            return v[:, None]

        def total(v):
            return tf.reduce_sum(v, 1)

        def body(a, b, _):
            da, db = self.newton(tf.exp, total, x, y, a, b, ones)
            return a + da, b + db, tf.maximum(tf.reduce_max(tf.abs(da)), tf.reduce_max(tf.abs(db)))

        zero = tf.zeros_like(x[:, 0])
        start = (zero, zero, tf.ones([], tf.float64))
        a, b, _ = tf.while_loop(lambda a, b, change: change > self.enough, body, start, maximum_iterations=self.most)
        losses = self.value(tf.exp, tf.math.log, total, x, y, a, b, ones)
        return Step({"coefficients": tf.stack([a, b], 1), "losses": losses}, {})

    def pytensor(self, pt, p):
        from pytensor import scan
        from pytensor.scan.utils import until

        x, y = p["x"], p["y"]

        def ones(v):
            return v[:, None]

        def total(v):
            return pt.sum(v, axis=1)

        def body(a, b):
            da, db = self.newton(pt.exp, total, x, y, a, b, ones)
            return [a + da, b + db], until(pt.maximum(pt.max(pt.abs(da)), pt.max(pt.abs(db))) <= self.enough)

        zero = pt.zeros_like(x[:, 0])
        a, b = (v[-1] for v in scan(body, None, [zero, zero], n_steps=self.most, return_updates=False))
        losses = self.value(pt.exp, pt.log, total, x, y, a, b, ones)
        return Step({"coefficients": pt.stack([a, b], axis=1), "losses": losses}, {})

    def numba(self, numba):
        from tests.benchmarks.by_hand import lanes

        return lanes.fits


@dataclass(frozen=True)
class Mandelbrot(Workload):
    """How many steps of z^2 + c each of many points takes to leave the circle of radius 2."""

    rows: int = 200
    columns: int = 300
    most: int = 100
    outputs = ("counts",)
    tolerance = 0.01  # at the rim, rounding decides
    left_out: ClassVar = {"torch-compile": COMPILED}

    def data(self, random):
        x, y = np.meshgrid(np.linspace(-2.0, 0.7, self.columns), np.linspace(-1.2, 1.2, self.rows))
        return {"x": x.ravel(), "y": y.ravel()}

    def together(self, p, loop, where, count):
        """All points in step: those that have left stay where they are. `loop(body, state)` repeats."""

        def body(zx, zy, counts):
            inside = zx * zx + zy * zy <= 4
            moved = zx * zx - zy * zy + p["x"], 2 * zx * zy + p["y"]
            return where(inside, moved[0], zx), where(inside, moved[1], zy), counts + count(inside)

        return Step({"counts": loop(body)[2]}, {})

    def graphflow(self, gf, p):
        def count(x, y):
            def body(zx, zy, n):
                return zx * zx - zy * zy + x, 2 * zx * zy + y, n + 1

            def inside(zx, zy, n):
                return gf.logical_and(zx * zx + zy * zy <= 4, n < self.most)

            zero = gf.zeros([], gf.float64)
            return gf.while_loop(inside, body, (zero, zero, gf.constant(0)))[2]

        return Step({"counts": gf.vmap(count)(p["x"], p["y"])}, {})

    def jax(self, jax, p):
        def count(x, y):
            def body(state):
                zx, zy, n = state
                return zx * zx - zy * zy + x, 2 * zx * zy + y, n + 1

            def inside(state):
                zx, zy, n = state
                return (zx * zx + zy * zy <= 4) & (n < self.most)

            return jax.lax.while_loop(inside, body, (0.0, 0.0, 0))[2]

        return Step({"counts": jax.vmap(count)(p["x"], p["y"])}, {})

    def torch(self, torch, p):
        def loop(body):
            zx = zy = torch.zeros_like(p["x"])
            state = zx, zy, torch.zeros_like(zx, dtype=torch.int32)
            for _ in range(self.most):
                state = body(*state)
            return state

        return self.together(p, loop, torch.where, lambda inside: inside)

    def tensorflow(self, tf, p):
        def loop(body):
            zero = tf.zeros_like(p["x"])
            start = (zero, zero, tf.zeros_like(zero, tf.int32))
            return tf.while_loop(lambda *_: True, body, start, maximum_iterations=self.most)

        return self.together(p, loop, tf.where, lambda inside: tf.cast(inside, tf.int32))

    def pytensor(self, pt, p):
        def loop(body):
            from pytensor import scan

            zero = pt.zeros_like(p["x"])
            start = [zero, zero, pt.zeros_like(zero, dtype="int32")]
            return [v[-1] for v in scan(body, None, start, n_steps=self.most, return_updates=False)]

        return self.together(p, loop, pt.where, lambda inside: pt.cast(inside, "int32"))

    def numba(self, numba):
        from tests.benchmarks.by_hand import lanes

        return lanes.mandelbrot


@dataclass(frozen=True)
class Bridge(Loop):
    """The price of a down-and-out call by simulation, with derivatives by the spot price and the volatility.

    Between two points of a path a Brownian bridge says how likely the barrier was not touched.
    """

    paths: int = 20_000
    steps: int = 64
    parameters = ("theta",)
    tolerance = 1e-8
    left_out: ClassVar = {"torch-compile": COMPILED}
    strike = 100.0
    barrier = 90.0
    rate = 0.03

    def data(self, random):
        return {"z": random.normal(0, 1, (self.steps, self.paths)), "theta": np.array([101.0, 0.2])}

    def loss(self, m, p):
        spot, volatility = p["theta"][0], p["theta"][1]
        dt = 1 / self.steps
        drift = (self.rate - 0.5 * volatility * volatility) * dt
        spread = volatility * math.sqrt(dt)
        sharpness = 2 / (volatility * volatility * dt)

        def body(state, elem):
            x, alive = state
            moved = x + drift + spread * elem[0]
            touched = m.exp(-sharpness * (m.maximum(x, 0.0) * m.maximum(moved, 0.0)))
            return (moved, alive * (1 - touched)), ()

        zero = m.zeros_like(p["z"][0])
        _, (x, alive) = m.scan(body, (p["z"],), (zero + m.log(spot / self.barrier), zero + 1))
        payoff = m.maximum(self.barrier * m.exp(x) - self.strike, 0.0)
        return math.exp(-self.rate) * m.mean(payoff * alive)

    def numba(self, numba):
        from tests.benchmarks.by_hand import lanes

        return lanes.bridge


WORKLOADS = (
    Fits("fits", "1,000 logistic regressions by Newton's method in one call, each until it stands still"),
    Mandelbrot("mandelbrot", "steps of z^2 + c for 60,000 points, at most 100 each"),
    Bridge("bridge", "a barrier option by 20,000 paths of 64 steps with Brownian bridges, with gradients"),
)
