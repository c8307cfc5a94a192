"""A step of the heat equation on a grid."""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Step, Workload


@dataclass(frozen=True)
class Heat(Workload):
    """u + 0.2 (sum of the four neighbours - 4 u) inside; the border stays cold."""

    size: int = 1024
    state = ("u",)

    def data(self, random):
        u = np.zeros((self.size, self.size), np.float32)
        u[1:-1, 1:-1] = random.uniform(0, 1, (self.size - 2, self.size - 2))
        return {"u": u}

    @staticmethod
    def inside(u):
        """The next values of the points that have four neighbours."""
        centre = u[1:-1, 1:-1]
        return centre + 0.2 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * centre)

    def graphflow(self, gf, p):
        return Step({}, {"u": gf.pad(self.inside(p["u"]), [[1, 1], [1, 1]])})

    def jax(self, jax, p):
        return Step({}, {"u": jax.numpy.pad(self.inside(p["u"]), 1)})

    def torch(self, torch, p):
        return Step({}, {"u": torch.nn.functional.pad(self.inside(p["u"]), (1, 1, 1, 1))})

    def tensorflow(self, tf, p):
        return Step({}, {"u": tf.pad(self.inside(p["u"]), [[1, 1], [1, 1]])})

    def pytensor(self, pt, p):
        u = p["u"]
        return Step({}, {"u": pt.set_subtensor(u[1:-1, 1:-1], self.inside(u))})


WORKLOADS = (Heat("heat", "step of the heat equation on a grid of 1024 x 1024"),)
