"""Products and quotients in which what overflows or underflows cancels: the gradients of log(softmax(x)), log(1 - sigmoid(x)), ...

The gradient of a logarithm divides by its operand, and the gradient of the operand multiplies by it again:

    log(exp(s) / t)      (g / (exp(s) / t)) / t * exp(s)      ->  g
    log(1 - p)           g / (1 - p) * p * (1 - p)            ->  g * p          with p = sigmoid(x)
    1 / (1 + exp(x))     g / (1 + exp(x)) * exp(x)            ->  g * sigmoid(x)

A tree of products, quotients and signs is read as one fraction. What stands above and below the line is crossed out if it is
positive in exact arithmetic (an exponential, a sigmoid, a sum of exponentials), though it may underflow or overflow here.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, divide_, multiply, negative, subtract
from graphflow.ops.elementary import exp, sigmoid
from graphflow.ops.movement import broadcast_to_
from graphflow.ops.reductions import reduce_sum_
from graphflow.passes.constants import is_uniform, scalar_like
from graphflow.passes.rewrite import rule

MAX_FACTORS = 12  # of one fraction; longer products are left alone, so that reading them all costs little


@dataclass
class Fraction:
    """(-1 if minus) * product of `above` / product of `below`."""

    minus: bool
    above: list[Tensor]
    below: list[Tensor]


def fraction_of(*products: Tensor) -> Fraction | None:
    """The product of tensors as one fraction; None where it has too many factors."""
    fraction = Fraction(False, [], [])
    stack = [(tensor, False) for tensor in reversed(products)]
    while stack:
        tensor, inverse = stack.pop()
        if tensor.op is multiply:
            stack += [(tensor.inputs[1], inverse), (tensor.inputs[0], inverse)]
        elif tensor.op is divide_:
            stack += [(tensor.inputs[1], not inverse), (tensor.inputs[0], inverse)]
        elif tensor.op is negative:
            fraction.minus = not fraction.minus
            stack.append((tensor.inputs[0], inverse))
        elif not is_uniform(tensor, 1) or tensor.shape:
            (fraction.below if inverse else fraction.above).append(tensor)
        if len(fraction.above) + len(fraction.below) > MAX_FACTORS:
            return None
    return fraction


def is_positive(x: Tensor) -> bool:
    """Is x positive in exact arithmetic, whatever its operands are: may it be crossed out?"""
    if x.op in (exp, sigmoid):
        return True
    if x.op is subtract:
        return is_uniform(x.inputs[0], 1) and x.inputs[1].op is sigmoid
    return x.op is reduce_sum_ and x.inputs[0].op is exp


def exponent_beside_one(x: Tensor) -> Tensor | None:
    """exp(z), if x is exp(z) + 1."""
    return x.inputs[0] if x.op is add and x.inputs[0].op is exp and is_uniform(x.inputs[1], 1) else None


def reduced(fraction: Fraction) -> bool:
    """Cross out what is above and below; True if anything was."""
    found = False
    for factor in [f for f in fraction.below if is_positive(f)]:
        if factor in fraction.above:
            fraction.above.remove(factor)
            fraction.below.remove(factor)
            found = True
    for factor in list(fraction.below):
        e = exponent_beside_one(factor)
        if e is None or e.type != factor.type or not e.dtype.is_floating:
            continue
        fraction.below.remove(factor)
        if e in fraction.above:
            fraction.above.remove(e)
            fraction.above.append(sigmoid(e.inputs[0]))
        else:
            fraction.above.append(sigmoid(negative(e.inputs[0])))
        found = True
    return found


def product_of(fraction: Fraction, like: Tensor) -> Tensor:
    """The tensor of a fraction, broadcast to the type of `like`; dividing between multiplying keeps it in range."""
    above, below = list(fraction.above), list(fraction.below)
    result = above.pop(0) if above else scalar_like(1, like)
    while above or below:
        if below:
            result = divide_(result, below.pop(0))
        if above:
            result = multiply(result, above.pop(0))
    result = negative(result) if fraction.minus else result
    return result if result.type == like.type else broadcast_to_(result, shape=like.shape)


@rule(multiply, divide_)
def positive_factor_cancels(t: Tensor) -> Tensor | None:
    """a / p * p -> a for p = exp(x), sigmoid(x), 1 - sigmoid(x), sum(exp(x)), and a / (exp(x) + 1) -> a * sigmoid(-x)"""
    if not t.dtype.is_floating:
        return None
    fraction = fraction_of(t)
    if fraction is None or not fraction.below or not reduced(fraction):
        return None
    return product_of(fraction, t)


@rule(multiply)
def positive_factor_cancels_in_sum(t: Tensor) -> Tensor | None:
    """(a / p + b) * p -> a + b * p for p = exp(x) and so on, and so for a difference"""
    if not t.dtype.is_floating:
        return None
    for total, factor in (t.inputs, t.inputs[::-1]):
        if total.op not in (add, subtract) or not is_positive(factor):
            continue
        fractions = [fraction_of(term, factor) for term in total.inputs]
        if not any(f is not None and factor in f.below for f in fractions):
            continue
        terms = [
            product_of(f, t) if f is not None and reduced(f) else multiply(term, factor)
            for f, term in zip(fractions, total.inputs, strict=True)
        ]
        result = total.op(*terms)
        return result if result.type == t.type else broadcast_to_(result, shape=t.shape)
    return None


@rule(reduce_sum_)
def sum_of_quotient(t: Tensor) -> Tensor | None:
    """sum(a / p) -> sum(a) / p, for p = sum(exp(x)) over the same axes, so that p can cancel"""
    (x,) = t.inputs
    fraction = fraction_of(x) if x.op in (multiply, divide_) else None
    if fraction is None:
        return None
    axes = t.attrs["axis"]
    outside = [f for f in fraction.below if is_positive(f) and f.op is reduce_sum_ and f.rank == x.rank and all(f.shape[a] == 1 for a in axes)]
    if not outside or not t.attrs["keepdims"]:
        return None
    for factor in outside:
        fraction.below.remove(factor)
    result = reduce_sum_(product_of(fraction, x), **t.attrs)
    for factor in outside:
        result = divide_(result, factor)
    return result if result.type == t.type else None


RULES = (positive_factor_cancels, positive_factor_cancels_in_sum, sum_of_quotient)
