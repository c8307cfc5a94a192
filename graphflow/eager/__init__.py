"""Eager mode: ops run as they are called, and a tape of what ran gives gradients."""

from importlib import import_module

from graphflow.eager.exchange import from_dlpack
from graphflow.eager.forward import ForwardAccumulator
from graphflow.eager.function import function
from graphflow.eager.modes import eager, enable_eager, executing_eagerly, no_gradient
from graphflow.eager.native import native_run
from graphflow.eager.signature import TensorSpec
from graphflow.eager.tape import GradientTape
from graphflow.ir.eager import set_native
from graphflow.ir.tensor import set_operators

set_native(native_run)
set_operators({"array_namespace": lambda version: import_module("graphflow.array_api").namespace(version)})

__all__ = [
    "ForwardAccumulator",
    "GradientTape",
    "TensorSpec",
    "eager",
    "enable_eager",
    "executing_eagerly",
    "from_dlpack",
    "function",
    "no_gradient",
]
