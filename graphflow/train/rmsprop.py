"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.tensor import Tensor
from graphflow.ops.math import sqrt
from graphflow.ops.state import Variable
from graphflow.train.optimizer import Optimizer, fraction, hyperparameter, in_dtype


class RMSPropOptimizer(Optimizer):
    """RMSProp: T. Tieleman, G. Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012, with momentum as in
    TensorFlow 1.

        mean_square = decay * mean_square + (1 - decay) * gradient**2
        velocity = momentum * velocity + learning_rate * gradient / sqrt(mean_square + epsilon)
        variable -= velocity

    `mean_square` begins at 1. With `centered` the square of a running mean of the gradient is taken off the mean square.
    """

    def __init__(
        self,
        learning_rate: Any,
        decay: Any = 0.9,
        momentum: Any = 0.0,
        epsilon: Any = 1e-10,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        super().__init__(name)
        self.learning_rate = hyperparameter(learning_rate, "learning_rate", name)
        self.decay = fraction(decay, "decay", name)
        self.momentum = hyperparameter(momentum, "momentum", name)
        self.epsilon = hyperparameter(epsilon, "epsilon", name)
        self.centered = bool(centered)

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        learning_rate, decay, momentum, epsilon = (
            in_dtype(x, variable.dtype) for x in (self.learning_rate, self.decay, self.momentum, self.epsilon)
        )
        mean_square = self.slot(variable, "mean_square", 1.0)
        new_mean_square = decay * mean_square + (1 - decay) * (gradient * gradient)
        updates = [mean_square.assign(new_mean_square)]
        spread = new_mean_square
        if self.centered:
            mean = self.slot(variable, "mean_gradient")
            new_mean = decay * mean + (1 - decay) * gradient
            updates.append(mean.assign(new_mean))
            spread = new_mean_square - new_mean * new_mean
        step = learning_rate * gradient / sqrt(spread + epsilon)
        if self.momentum != 0.0:
            velocity = self.slot(variable, "velocity")
            step = momentum * velocity + step
            updates.append(velocity.assign(step))
        return [*updates, variable.assign_sub(step)]
