"""Reverse-mode differentiation of graphs."""

from graphflow.autodiff.gradients import gradients

__all__ = ["gradients"]
