"""A graph of two thousand small ops: what a framework costs for each node."""

import operator
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Step, Workload, normal

UNARY = ("tanh", "sigmoid", "sin")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


@dataclass(frozen=True)
class SmallOps(Workload):
    """Ops drawn at random, each on the latest value and an earlier one, of [8, 16]; every fiftieth is a matrix product.

    As each reads the latest value, none is dead.
    """

    nodes: int
    tolerance = 1e-3

    def data(self, random):
        return {"x": normal(random, 8, 16), "w": normal(random, 16, 16, scale=0.2)}

    def plan(self):
        """(op, how far back its second operand lies) for each node."""
        random = np.random.default_rng(1)
        for k in range(self.nodes):
            back = int(random.integers(2, 9)) if k >= 8 else k + 1
            if k % 50 == 49:
                yield "matmul", back
            elif k % 3 == 0:
                yield UNARY[int(random.integers(len(UNARY)))], back
            else:
                yield BINARY[int(random.integers(len(BINARY)))], back

    def run(self, functions, p, total):
        """The sum of the latest eight values; `functions` are those that are no operators."""
        arithmetic = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}
        values = [p["x"]]
        for name, back in self.plan():
            a, b = values[-1], values[-back]
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
