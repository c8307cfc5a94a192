"""Products and quotients in which what overflows or underflows cancels: gradients of log(softmax(x)), log(1 - sigmoid(x)), ...

The gradient of a logarithm divides by its operand, and the gradient of the operand multiplies by it again:

    log(exp(s) / t)      (g / (exp(s) / t)) / t * exp(s)      ->  g
    log(1 - p)           g / (1 - p) * p * (1 - p)            ->  g * p                with p = sigmoid(x)
    log(1 + exp(x))      g / (1 + exp(x)) * exp(x)            ->  g * sigmoid(x)
    log(sum(exp(x)))     g / sum(exp(x)) * exp(x)             ->  g * softmax(x)       shifted by max(x)

A tree of products, quotients and signs is read as one fraction. What stands above and below the line is crossed out if it is
positive in exact arithmetic (an exponential, a sigmoid, a sum of exponentials), though it may underflow or overflow here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, divide_, multiply, negative, subtract
from graphflow.ops.elementary import exp, sigmoid
from graphflow.ops.movement import broadcast_to_, reshape_
from graphflow.ops.reductions import finite_maximum, reduce_sum_, reduced_shape
from graphflow.passes.constants import is_uniform, scalar_like
from graphflow.passes.rewrite import rule
from graphflow.types import Shape

MAX_FACTORS = 12  # of one fraction; longer products are left alone, so that reading them all costs little


# --- fractions ------------------------------------------------------------------------------------------------------------


@dataclass
class Fraction:
    """(-1 if minus) * product of `above` / product of `below`."""

    minus: bool = False
    above: list[Tensor] = field(default_factory=list)
    below: list[Tensor] = field(default_factory=list)


def fraction_of(*products: Tensor) -> Fraction | None:
    """The product of tensors as one fraction; None where it has too many factors."""
    fraction = Fraction()
    stack = [(tensor, False) for tensor in reversed(products)]
    while stack:
        tensor, inverse = stack.pop()
        if tensor.op is reshape_:
            tensor = inside_reshape(tensor)
        if tensor.op is multiply:
            stack += [(tensor.inputs[1], inverse), (tensor.inputs[0], inverse)]
        elif tensor.op is divide_:
            stack += [(tensor.inputs[1], not inverse), (tensor.inputs[0], inverse)]
        elif tensor.op is negative:
            fraction.minus = not fraction.minus
            stack.append((tensor.inputs[0], inverse))
        elif tensor.shape or not is_uniform(tensor, 1):
            (fraction.below if inverse else fraction.above).append(tensor)
        if len(fraction.above) + len(fraction.below) > MAX_FACTORS:
            return None
    return fraction


def inside_reshape(t: Tensor) -> Tensor:
    """A reshape that adds axes of size 1, done to the factors of what it reshapes, or to a sum as its `keepdims`; else `t`."""
    (x,) = t.inputs
    if x.op in (multiply, divide_, negative) and without_ones(x.shape) == without_ones(t.shape):
        if all(operand.shape in ((), x.shape) for operand in x.inputs):
            return x.op(*(reshape_(operand, shape=t.shape) if operand.shape else operand for operand in x.inputs))
    if x.op is reduce_sum_ and reduced_shape(x.inputs[0].shape, x.attrs["axis"], True) == t.shape:
        return reduce_sum_(x.inputs[0], axis=x.attrs["axis"], keepdims=True)
    return t


def without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


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


# --- what cancels ---------------------------------------------------------------------------------------------------------


def is_positive(x: Tensor) -> bool:
    """Is x positive in exact arithmetic, whatever its operands are: may it be crossed out?"""
    if x.op in (exp, sigmoid):
        return True
    if x.op is subtract:
        return is_uniform(x.inputs[0], 1) and x.inputs[1].op is sigmoid
    return is_sum_of_exp(x)


def is_sum_of_exp(x: Tensor) -> bool:
    return x.op is reduce_sum_ and x.inputs[0].op is exp


def is_shifted(x: Tensor, axis: tuple[int, ...]) -> bool:
    """Is x the difference of something and what is one number along the axes: its largest element, as a rule?

    No more is asked, as canonicalization may write the largest element in several ways.
    """
    if x.op is not subtract:
        return False
    less = x.inputs[1]
    sizes = (1,) * (x.rank - less.rank) + less.shape
    return all(sizes[a] == 1 for a in axis)


def may_overflow(total: Tensor) -> bool:
    """Is it a sum of exponentials of what no largest element was taken from, which keeps its axes?"""
    if not is_sum_of_exp(total) or not total.attrs["keepdims"]:
        return False
    return not is_shifted(total.inputs[0].inputs[0], total.attrs["axis"])


def is_softmax_below(e: Tensor, fraction: Fraction) -> bool:
    """Is exp(x) divided by the sum of exp(x), which may overflow?"""
    return any(may_overflow(factor) and factor.inputs[0] is e for factor in fraction.below)


def shifted_softmax(total: Tensor) -> tuple[Tensor, Tensor]:
    """exp(x - max(x)) and its sum, for a sum of exp(x)."""
    (x,), axis = total.inputs[0].inputs, total.attrs["axis"]
    weights = exp(subtract(x, finite_maximum(x, axis)))
    return weights, reduce_sum_(weights, axis=axis, keepdims=True)


def opposite(x: Tensor) -> Tensor:
    return x.inputs[0] if x.op is negative else negative(x)


def are_opposite(x: Tensor, y: Tensor) -> bool:
    """Is one of them the negative of the other?"""
    return (x.op is negative and x.inputs[0] is y) or (y.op is negative and y.inputs[0] is x)


def reduced(fraction: Fraction) -> bool:
    """Simplify a fraction; True if anything could be."""
    found = [cross_out(fraction), shift_softmax(fraction), sigmoid_for_one_plus_exp(fraction), sigmoid_for_product(fraction)]
    return any(found)


def cross_out(fraction: Fraction) -> bool:
    """p / p -> 1 for a positive p"""
    both = [factor for factor in fraction.below if factor in fraction.above and is_positive(factor)]
    for factor in both:
        if factor in fraction.above:
            fraction.above.remove(factor)
            fraction.below.remove(factor)
    return bool(both)


def shift_softmax(fraction: Fraction) -> bool:
    """exp(x) / sum(exp(x)) -> exp(x - max(x)) / sum(exp(x - max(x)))"""
    found = False
    for total in [f for f in fraction.below if may_overflow(f)]:
        if total.inputs[0] in fraction.above:
            weights, shifted = shifted_softmax(total)
            fraction.above[fraction.above.index(total.inputs[0])] = weights
            fraction.below[fraction.below.index(total)] = shifted
            found = True
    return found


def sigmoid_for_one_plus_exp(fraction: Fraction) -> bool:
    """1 / (exp(x) + 1) -> sigmoid(-x)"""
    found = False
    for factor in list(fraction.below):
        if factor.op is add and factor.inputs[0].op is exp and is_uniform(factor.inputs[1], 1):
            if factor.inputs[0].type == factor.type:
                fraction.below.remove(factor)
                fraction.above.append(sigmoid(opposite(factor.inputs[0].inputs[0])))
                found = True
    return found


def sigmoid_for_product(fraction: Fraction) -> bool:
    """exp(x) * sigmoid(-x) -> sigmoid(x)"""
    found = False
    for e in [f for f in fraction.above if f.op is exp]:
        for s in [f for f in fraction.above if f.op is sigmoid]:
            if are_opposite(e.inputs[0], s.inputs[0]) and e in fraction.above:
                fraction.above.remove(e)
                fraction.above[fraction.above.index(s)] = sigmoid(e.inputs[0])
                found = True
                break
    return found


# --- rules ----------------------------------------------------------------------------------------------------------------


@rule(multiply, divide_)
def positive_factor_cancels(t: Tensor) -> Tensor | None:
    """a / p * p -> a for positive p; exp(x) / sum(exp(x)) shifted by max(x); a / (exp(x) + 1) -> a * sigmoid(-x)"""
    if not t.dtype.is_floating:
        return None
    fraction = fraction_of(t)
    return product_of(fraction, t) if fraction is not None and reduced(fraction) else None


@rule(multiply)
def positive_factor_cancels_in_sum(t: Tensor) -> Tensor | None:
    """(a / p + b) * p -> a + b * p for positive p; (a / s + b / s) * p -> a * (p / s) + b * (p / s) for p = exp(x), s = sum(p)"""
    if not t.dtype.is_floating:
        return None
    for total, factor in (t.inputs, t.inputs[::-1]):
        if total.op not in (add, subtract) or not is_positive(factor):
            continue
        fractions = [fraction_of(term, factor) for term in total.inputs]
        crossed = any(f is not None and factor in f.below for f in fractions)
        if not crossed and not all(f is not None and is_softmax_below(factor, f) for f in fractions):
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
    """sum(a / p) -> sum(a) / p, for p = sum(exp(x)) over the same axes, which may overflow, so that it can cancel"""
    (x,) = t.inputs
    fraction = fraction_of(x) if x.op in (multiply, divide_) and t.attrs["keepdims"] else None
    if fraction is None:
        return None
    axes = t.attrs["axis"]
    outside = [f for f in fraction.below if may_overflow(f) and f.rank == x.rank and all(f.shape[a] == 1 for a in axes)]
    if not outside:
        return None
    for factor in outside:
        fraction.below.remove(factor)
    result = reduce_sum_(product_of(fraction, x), **t.attrs)
    for factor in outside:
        result = divide_(result, factor)
    return result if result.type == t.type else None


RULES = (positive_factor_cancels, positive_factor_cancels_in_sum, sum_of_quotient)
