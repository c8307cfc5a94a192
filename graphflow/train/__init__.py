"""Optimizers, which turn a loss into an operation that updates variables, and helpers for gradients."""

from graphflow.train.adagrad import AdagradOptimizer
from graphflow.train.adam import AdamOptimizer
from graphflow.train.clip import clip_by_global_norm, clip_by_norm, global_norm
from graphflow.train.gradient_descent import GradientDescentOptimizer
from graphflow.train.momentum import MomentumOptimizer
from graphflow.train.optimizer import Optimizer
from graphflow.train.rmsprop import RMSPropOptimizer
from graphflow.train.step import get_global_step, get_or_create_global_step

__all__ = [
    "AdagradOptimizer",
    "AdamOptimizer",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "Optimizer",
    "RMSPropOptimizer",
    "clip_by_global_norm",
    "clip_by_norm",
    "get_global_step",
    "get_or_create_global_step",
    "global_norm",
]
