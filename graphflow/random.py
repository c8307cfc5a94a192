"""`gf.random`: random tensors and initial values. Every run draws new numbers; a seed makes them the same in every process."""

from graphflow.ops.random import (
    glorot_normal,
    glorot_normal_initializer,
    glorot_uniform,
    glorot_uniform_initializer,
    he_normal,
    he_normal_initializer,
    he_uniform,
    he_uniform_initializer,
    normal,
    set_seed,
    truncated_normal,
    uniform,
)

set_random_seed = set_seed

__all__ = [
    "glorot_normal", "glorot_normal_initializer", "glorot_uniform", "glorot_uniform_initializer", "he_normal",
    "he_normal_initializer", "he_uniform", "he_uniform_initializer", "normal", "set_random_seed", "set_seed",
    "truncated_normal", "uniform",
]  # fmt: skip
