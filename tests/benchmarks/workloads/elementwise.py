"""Chains of elementwise ops: a scalar, the fused chain of two sizes, and option prices with their Greeks."""

import math
from dataclasses import dataclass

from tests.benchmarks.workload import Step, Workload, normal


@dataclass(frozen=True)
class Scalar(Workload):
    """x^2 + 3x + 1 and its derivative: the price of a call."""

    parameters = ("x",)

    def data(self, random):
        return {"x": normal(random, 1).reshape(())}

    def graphflow(self, gf, p):
        return p["x"] ** 2 + 3 * p["x"] + 1

    def jax(self, jax, p):
        return p["x"] ** 2 + 3 * p["x"] + 1

    def torch(self, torch, p):
        return p["x"] ** 2 + 3 * p["x"] + 1

    def tensorflow(self, tf, p):
        return p["x"] ** 2 + 3 * p["x"] + 1

    def pytensor(self, pt, p):
        return p["x"] ** 2 + 3 * p["x"] + 1


@dataclass(frozen=True)
class Chain(Workload):
    """The sum of tanh(1.5x + 0.3) sigmoid(x) + log1p(exp(-|x|)), and its gradient."""

    size: int
    parameters = ("x",)

    def data(self, random):
        return {"x": normal(random, self.size)}

    def graphflow(self, gf, p):
        x = p["x"]
        return gf.reduce_sum(gf.tanh(x * 1.5 + 0.3) * gf.sigmoid(x) + gf.log1p(gf.exp(-gf.abs(x))))

    def jax(self, jax, p):
        x, np = p["x"], jax.numpy
        return np.sum(np.tanh(x * 1.5 + 0.3) * jax.nn.sigmoid(x) + np.log1p(np.exp(-np.abs(x))))

    def torch(self, torch, p):
        x = p["x"]
        return (torch.tanh(x * 1.5 + 0.3) * torch.sigmoid(x) + torch.log1p(torch.exp(-x.abs()))).sum()

    def tensorflow(self, tf, p):
        x = p["x"]
        return tf.reduce_sum(tf.tanh(x * 1.5 + 0.3) * tf.sigmoid(x) + tf.math.log1p(tf.exp(-tf.abs(x))))

    def pytensor(self, pt, p):
        x = p["x"]
        return pt.sum(pt.tanh(x * 1.5 + 0.3) * pt.sigmoid(x) + pt.log1p(pt.exp(-pt.abs(x))))


GREEKS = ("delta", "gamma", "vega", "theta", "rho")


@dataclass(frozen=True)
class BlackScholes(Workload):
    """Prices of call options, and the derivatives that traders watch; gamma is a derivative of a derivative."""

    size: int
    tolerance = 1e-3

    def data(self, random):
        def draw(low, high):
            return random.uniform(low, high, self.size).astype("float32")

        return {
            "spot": draw(80, 120),
            "strike": draw(80, 120),
            "years": draw(0.25, 2),
            "rate": draw(0.01, 0.05),
            "volatility": draw(0.1, 0.4),
        }

    def bytes(self):
        return 4.0 * self.size * (5 + 1 + len(GREEKS))

    @staticmethod
    def price(m, spot, strike, years, rate, volatility):
        """The price of a call; `m` has log, sqrt, exp and erf."""
        spread = volatility * m.sqrt(years)
        d1 = (m.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
        d2 = d1 - spread
        below_1 = 0.5 * (1.0 + m.erf(d1 * math.sqrt(0.5)))
        below_2 = 0.5 * (1.0 + m.erf(d2 * math.sqrt(0.5)))
        return spot * below_1 - strike * m.exp(-rate * years) * below_2

    def symbolic(self, m, gradients, p):
        """Price and Greeks where gradients are graphs; `gradients(y, xs)` are those of the sum of y."""
        price = self.price(m, p["spot"], p["strike"], p["years"], p["rate"], p["volatility"])
        delta, vega, decay, rho = gradients(price, [p["spot"], p["volatility"], p["years"], p["rate"]])
        (gamma,) = gradients(delta, [p["spot"]])
        return Step({"price": price, "delta": delta, "gamma": gamma, "vega": vega, "theta": -decay, "rho": rho}, {})

    def graphflow(self, gf, p):
        return self.symbolic(gf, gf.gradients, p)

    def jax(self, jax, p):
        class functions:
            log, sqrt, exp, erf = jax.numpy.log, jax.numpy.sqrt, jax.numpy.exp, jax.lax.erf

        def price(spot, volatility, years, rate):
            return self.price(functions, spot, p["strike"], years, rate, volatility)

        def total(*arguments):
            values = price(*arguments)
            return jax.numpy.sum(values), values

        arguments = p["spot"], p["volatility"], p["years"], p["rate"]
        first = jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)
        (delta, vega, decay, rho), values = first(*arguments)
        gamma = jax.grad(lambda spot: jax.numpy.sum(first(spot, *arguments[1:])[0][0]))(arguments[0])
        return Step({"price": values, "delta": delta, "gamma": gamma, "vega": vega, "theta": -decay, "rho": rho}, {})

    def torch(self, torch, p):
        def total(spot, volatility, years, rate):
            values = self.price(torch, spot, p["strike"], years, rate, volatility)
            return values.sum(), values

        arguments = p["spot"], p["volatility"], p["years"], p["rate"]
        first = torch.func.grad(total, argnums=(0, 1, 2, 3), has_aux=True)

        def total_delta(spot):
            gradients, values = first(spot, *arguments[1:])
            return gradients[0].sum(), (gradients, values)

        gamma, ((delta, vega, decay, rho), values) = torch.func.grad(total_delta, has_aux=True)(arguments[0])
        return Step({"price": values, "delta": delta, "gamma": gamma, "vega": vega, "theta": -decay, "rho": rho}, {})

    def tensorflow(self, tf, p):
        class functions:
            log, sqrt, exp, erf = tf.math.log, tf.sqrt, tf.exp, tf.math.erf

        return self.symbolic(functions, tf.gradients, p)

    def pytensor(self, pt, p):
        return self.symbolic(pt, lambda y, xs: pt.grad(pt.sum(y), xs), p)


WORKLOADS = (
    Scalar("scalar", "x^2 + 3x + 1 and its derivative"),
    Chain("ew10k", "tanh, sigmoid, log1p, exp in a chain with its gradient, 10,000 numbers", size=10_000),
    Chain("ew1m", "the same, 1,000,000 numbers", size=1_000_000),
    BlackScholes("black_scholes", "prices of 200,000 options with five Greeks, one of second order", size=200_000),
)
