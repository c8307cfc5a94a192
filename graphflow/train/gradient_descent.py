"""Gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.tensor import Tensor
from graphflow.ops.state import Variable
from graphflow.train.optimizer import Optimizer, hyperparameter, in_dtype


class GradientDescentOptimizer(Optimizer):
    """Steps against the gradient: variable -= learning_rate * gradient.

    `learning_rate` is a number, a scalar tensor (a placeholder for a schedule) or a scalar variable.
    """

    def __init__(self, learning_rate: Any, name: str = "GradientDescent") -> None:
        super().__init__(name)
        self.learning_rate = hyperparameter(learning_rate, "learning_rate", name)

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        # In this form, so that the compiler can fold it into the matrix product that makes the gradient.
        return (variable.assign_sub(in_dtype(self.learning_rate, variable.dtype) * gradient),)
