"""AdaGrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.errors import OptionError
from graphflow.ir.tensor import Tensor
from graphflow.ops.math import sqrt
from graphflow.ops.state import Variable
from graphflow.train.optimizer import Optimizer, hyperparameter, in_dtype


class AdagradOptimizer(Optimizer):
    """AdaGrad: J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 12, 2011.

        accumulator += gradient**2
        variable -= learning_rate * gradient / sqrt(accumulator)

    The accumulator begins at `initial_accumulator_value`, which must be positive.
    """

    def __init__(self, learning_rate: Any, initial_accumulator_value: float = 0.1, name: str = "Adagrad") -> None:
        super().__init__(name)
        self.learning_rate = hyperparameter(learning_rate, "learning_rate", name)
        self.initial_accumulator_value = float(initial_accumulator_value)
        if not self.initial_accumulator_value > 0:
            raise OptionError(f"{name}: initial_accumulator_value is {initial_accumulator_value}", rule="It must be positive.")

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        accumulator = self.slot(variable, "accumulator", self.initial_accumulator_value)
        total = accumulator + gradient * gradient
        step = in_dtype(self.learning_rate, variable.dtype) * gradient / sqrt(total)
        return accumulator.assign(total), variable.assign_sub(step)
