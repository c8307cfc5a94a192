"""Differentiation of graphs: reverse mode, `gradients`, and forward mode, `jvp`."""

from graphflow.autodiff import control, custom_gradient  # the gradients of loops and branches, and stated ones
from graphflow.autodiff.forward import jvp
from graphflow.autodiff.gradients import gradients

__all__ = ["control", "custom_gradient", "gradients", "jvp"]
