"""Reverse-mode differentiation of graphs."""

from graphflow.autodiff import control  # the gradients of loops and branches
from graphflow.autodiff.gradients import gradients

__all__ = ["control", "gradients"]
