"""Numerical stability: forms that overflow, underflow or cancel, replaced by equal ones that do not.

Here a value may change by more than rounding, towards the true one: log(softmax(x)) of a far loser is no longer -inf. The ops
are matched as they stand in canonical form, constants on the right. Gradients were built before: they divide by what the
forward value underflows to, and `stability_products` cancels that.

Limits, on purpose: a product that cancels loses the NaN of the factor that is gone; log(x * x), sqrt(x * x), tanh written with
exponentials and log(sum(w * exp(x))) with weights stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from graphflow.ir.program import Program
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, divide_, multiply, negative, subtract
from graphflow.ops.elementary import erf, erfc, exp, expm1, log, log1p, sigmoid, softplus
from graphflow.ops.movement import reshape_
from graphflow.ops.reductions import finite_maximum, reduce_sum_
from graphflow.passes import stability_products
from graphflow.passes.constants import is_uniform
from graphflow.passes.rewrite import MAX_REWRITES, Fired, Rule, rewrite, rule

# --- near zero ------------------------------------------------------------------------------------------------------------


@rule(log)
def log_of_one_plus(t: Tensor) -> Tensor | None:
    """log(x + 1) -> log1p(x), and log(1 - x) -> log1p(-x)"""
    (x,) = t.inputs
    if x.op is add and is_uniform(x.inputs[1], 1) and x.inputs[0].type == t.type:
        return log1p(x.inputs[0])
    if x.op is subtract and is_uniform(x.inputs[0], 1) and x.inputs[1].type == t.type:
        return log1p(negative(x.inputs[1]))
    return None


@rule(add)
def exp_minus_one(t: Tensor) -> Tensor | None:
    """exp(x) - 1 -> expm1(x), for real x"""
    x, c = t.inputs
    if x.op is not exp or not t.dtype.is_floating or not is_uniform(c, -1) or x.type != t.type:
        return None
    return expm1(x.inputs[0])


@rule(subtract)
def one_minus(t: Tensor) -> Tensor | None:
    """1 - exp(x) -> -expm1(x), and 1 - erf(x) -> erfc(x), for real x"""
    one, x = t.inputs
    if not t.dtype.is_floating or not is_uniform(one, 1) or x.type != t.type:
        return None
    if x.op is exp:
        return negative(expm1(x.inputs[0]))
    return erfc(x.inputs[0]) if x.op is erf else None


@rule(add)
def expm1_plus_one(t: Tensor) -> Tensor | None:
    """expm1(x) + 1 -> exp(x)"""
    x, one = t.inputs
    return exp(x.inputs[0]) if x.op is expm1 and is_uniform(one, 1) and x.type == t.type else None


# --- logarithms of exponentials -------------------------------------------------------------------------------------------


@rule(log)
def log_of_exp(t: Tensor) -> Tensor | None:
    """log(exp(x)) -> x"""
    (x,) = t.inputs
    return x.inputs[0] if x.op is exp else None


@rule(log1p)
def log1p_of_expm1(t: Tensor) -> Tensor | None:
    """log1p(expm1(x)) -> x"""
    (x,) = t.inputs
    return x.inputs[0] if x.op is expm1 else None


@rule(log1p)
def log1p_of_exp(t: Tensor) -> Tensor | None:
    """log(1 + exp(x)) -> softplus(x)"""
    (x,) = t.inputs
    return softplus(x.inputs[0]) if x.op is exp else None


@rule(log)
def log_of_quotient(t: Tensor) -> Tensor | None:
    """log(exp(x) / b) -> x - log(b); of a softmax this is the log_softmax"""
    (quotient,) = t.inputs
    if quotient.op is not divide_ or quotient.inputs[0].op is not exp:
        return None
    a, b = quotient.inputs
    return subtract(a.inputs[0], log(b))


@rule(log)
def log_of_scaled_exp(t: Tensor) -> Tensor | None:
    """log(exp(x) * b) -> x + log(b)"""
    (product,) = t.inputs
    if product.op is not multiply:
        return None
    a, b = product.inputs if product.inputs[0].op is exp else product.inputs[::-1]
    return add(a.inputs[0], log(b)) if a.op is exp else None


@rule(log)
def log_of_sigmoid(t: Tensor) -> Tensor | None:
    """log(sigmoid(x)) -> -softplus(-x)"""
    (x,) = t.inputs
    return negative(softplus(negative(x.inputs[0]))) if x.op is sigmoid else None


@rule(log1p)
def log_of_one_minus_sigmoid(t: Tensor) -> Tensor | None:
    """log(1 - sigmoid(x)) -> -softplus(x)"""
    (x,) = t.inputs
    if x.op is not negative or x.inputs[0].op is not sigmoid:
        return None
    return negative(softplus(x.inputs[0].inputs[0]))


@rule(log)
def log_of_sum_of_exp(t: Tensor) -> Tensor | None:
    """log(sum(exp(x))) -> log(sum(exp(x - max(x)))) + max(x), where x is not shifted already"""
    (total,) = t.inputs
    if not stability_products.is_sum_of_exp(total):
        return None
    (x,), axis = total.inputs[0].inputs, total.attrs["axis"]
    if stability_products.is_shifted(x, axis):
        return None
    largest = finite_maximum(x, axis)
    result = add(log(reduce_sum_(exp(subtract(x, largest)), axis=axis, keepdims=True)), largest)
    return result if total.attrs["keepdims"] else reshape_(result, shape=t.shape)


def of_reals(rule: Rule) -> Rule:
    """The rule, for tensors that are not complex: there logarithms and roots have branches."""
    return replace(rule, function=lambda t: None if t.dtype.is_complex else rule.function(t))


_RULES = (
    log_of_exp,
    log_of_quotient,
    log_of_scaled_exp,
    log_of_sigmoid,
    log_of_one_plus,
    log_of_sum_of_exp,
    log1p_of_exp,
    log1p_of_expm1,
    log_of_one_minus_sigmoid,
    exp_minus_one,
    one_minus,
    expm1_plus_one,
    *stability_products.RULES,  # last: gradients of what the rules above replace
)

RULES = tuple(map(of_reals, _RULES))


def stability(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with numerically safe forms of logarithms, exponentials, softmax, sigmoid, and of their gradients."""
    return rewrite(program, RULES, limit=limit, fired=fired)
