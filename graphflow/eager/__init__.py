"""Eager mode: ops run as they are called, and a tape of what ran gives gradients."""

from graphflow.eager.forward import ForwardAccumulator
from graphflow.eager.modes import eager, enable_eager, executing_eagerly, no_gradient
from graphflow.eager.native import native_run
from graphflow.eager.tape import GradientTape
from graphflow.ir.eager import set_native

set_native(native_run)

__all__ = ["ForwardAccumulator", "GradientTape", "eager", "enable_eager", "executing_eagerly", "no_gradient"]
