"""A graph of two thousand small ops: what a framework costs for each node."""

import operator
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Step, Workload, normal

UNARY = ("tanh", "sigmoid", "sin")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


@dataclass(frozen=True)
class SmallOps(Workload):
    """Ops drawn at random, each on two of the eight latest values of [8, 16]; every fiftieth is a matrix product."""

    nodes: int
    tolerance = 1e-3

    def data(self, random):
        return {"x": normal(random, 8, 16), "w": normal(random, 16, 16, scale=0.2)}

    def plan(self):
        """(op, its operands as positions from the end) for each node."""
        random = np.random.default_rng(1)
        for k in range(self.nodes):
            first, second = (int(i) for i in random.integers(1, min(8, k + 1) + 1, 2))
            if k % 50 == 49:
                yield "matmul", first, second
            elif k % 3 == 0:
                yield UNARY[int(random.integers(len(UNARY)))], first, second
            else:
                yield BINARY[int(random.integers(len(BINARY)))], first, second

    def run(self, functions, p, total):
        """The sum of the last eight values; `functions` are those that are no operators."""
        arithmetic = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}
        values = [p["x"]]
        for name, first, second in self.plan():
            a, b = values[-first], values[-second]
            if name in UNARY:
                value = functions[name](a)
            elif name == "matmul":
                value = functions["matmul"](a, p["w"])
            else:
                value = arithmetic.get(name, functions.get(name))(a, b)
            values.append(value)
        result = values[-1]
        for value in values[-8:-1]:
            result = result + value
        return Step({"total": total(result), "last": result}, {})

    def graphflow(self, gf, p):
        return self.run(vars(gf), p, gf.reduce_sum)

    def jax(self, jax, p):
        return self.run({**vars(jax.numpy), "sigmoid": jax.nn.sigmoid}, p, jax.numpy.sum)

    def torch(self, torch, p):
        return self.run(vars(torch), p, torch.sum)

    def tensorflow(self, tf, p):
        names = (*UNARY, "maximum", "minimum", "matmul")
        return self.run({name: getattr(tf, name) for name in names}, p, tf.reduce_sum)

    def pytensor(self, pt, p):
        names = (*UNARY, "maximum", "minimum", "matmul")
        return self.run({name: getattr(pt, name) for name in names}, p, pt.sum)


WORKLOADS = (SmallOps("small_ops", "a graph of 2,000 ops on [8, 16], forward only", nodes=2000),)
