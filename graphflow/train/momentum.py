"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.tensor import Tensor
from graphflow.ops.state import Variable
from graphflow.train.optimizer import Optimizer, hyperparameter, in_dtype


class MomentumOptimizer(Optimizer):
    """Steps along a decaying sum of the gradients.

        velocity = momentum * velocity + gradient
        variable -= learning_rate * velocity

    With `use_nesterov` the step is learning_rate * (gradient + momentum * velocity): Nesterov's momentum in the form of
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, for the variables
    as they are after the momentum step.
    """

    def __init__(self, learning_rate: Any, momentum: Any, use_nesterov: bool = False, name: str = "Momentum") -> None:
        super().__init__(name)
        self.learning_rate = hyperparameter(learning_rate, "learning_rate", name)
        self.momentum = hyperparameter(momentum, "momentum", name)
        self.use_nesterov = bool(use_nesterov)

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        learning_rate = in_dtype(self.learning_rate, variable.dtype)
        momentum = in_dtype(self.momentum, variable.dtype)
        velocity = self.slot(variable, "velocity")
        new_velocity = momentum * velocity + gradient
        step = gradient + momentum * new_velocity if self.use_nesterov else new_velocity
        return velocity.assign(new_velocity), variable.assign_sub(learning_rate * step)
