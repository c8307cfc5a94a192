"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.graph import Graph
from graphflow.ir.tensor import Tensor
from graphflow.ops.math import sqrt
from graphflow.ops.state import Variable
from graphflow.train.optimizer import Optimizer, fraction, hyperparameter, in_dtype
from graphflow.types import DType, float64


class AdamOptimizer(Optimizer):
    """Adam: D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, with the bias correction of the
    paper's section 2, as in TensorFlow 1. In step t:

        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        variable -= learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)

    The powers beta1**t and beta2**t are float64 variables: in float32, 1 - 0.999**t has three digits in the first steps.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: Any = 0.9,
        beta2: Any = 0.999,
        epsilon: Any = 1e-8,
        name: str = "Adam",
    ) -> None:
        super().__init__(name)
        self.learning_rate = hyperparameter(learning_rate, "learning_rate", name)
        self.beta1 = fraction(beta1, "beta1", name)
        self.beta2 = fraction(beta2, "beta2", name)
        self.epsilon = hyperparameter(epsilon, "epsilon", name)
        self._rates: dict[tuple[Graph, DType], Tensor] = {}
        self._advances: list[Tensor] = []

    def prepare(self, variables: Sequence[Variable]) -> None:
        self._rates, self._advances = {}, []
        for graph in dict.fromkeys(v.graph for v in variables):
            beta1, beta2, learning_rate = (in_dtype(x, float64) for x in (self.beta1, self.beta2, self.learning_rate))
            power1 = self.shared("beta1_power", 1.0, graph)
            power2 = self.shared("beta2_power", 1.0, graph)
            new_power1, new_power2 = power1 * beta1, power2 * beta2
            rate = learning_rate * (sqrt(1 - new_power2) / (1 - new_power1))
            self._rates.update({(graph, dtype): in_dtype(rate, dtype) for dtype in dict.fromkeys(v.dtype for v in variables)})
            self._advances += [power1.assign(new_power1), power2.assign(new_power2)]

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        beta1, beta2, epsilon = (in_dtype(x, variable.dtype) for x in (self.beta1, self.beta2, self.epsilon))
        m, v = self.slot(variable, "m"), self.slot(variable, "v")
        new_m = beta1 * m + (1 - beta1) * gradient
        new_v = beta2 * v + (1 - beta2) * (gradient * gradient)
        step = self._rates[variable.graph, variable.dtype] * new_m / (sqrt(new_v) + epsilon)
        return m.assign(new_m), v.assign(new_v), variable.assign_sub(step)

    def finish(self) -> Sequence[Tensor]:
        return self._advances
