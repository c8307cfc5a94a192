"""An optimizer by itself: Adam's update of a million parameters whose gradient is given."""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Workload, normal


@dataclass(frozen=True)
class Adam(Workload):
    """Adam as each framework has it; JAX has none, its formula is written out in the adapter."""

    size: int
    parameters = ("w",)
    learning_rate = 1e-3
    optimizer = "adam"
    given_gradients = {"w": "g"}

    def data(self, random):
        signs = np.where(random.integers(0, 2, self.size) > 0, 1, -1)
        magnitudes = random.uniform(0.1, 1, self.size)  # away from 0, where the versions' epsilons differ
        return {"w": normal(random, self.size), "g": (signs * magnitudes).astype(np.float32)}


WORKLOADS = (Adam("adam1m", "Adam's update of 1,000,000 parameters", size=1_000_000),)
