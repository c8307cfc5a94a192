"""Stability rules one by one; then values and gradients of naive formulas at arguments where they overflow as written."""

import numpy as np
import pytest

from graphflow.autodiff.gradients import gradients
from graphflow.ir.evaluate import evaluate
from graphflow.ops import arithmetic as a
from graphflow.ops import elementary as e
from graphflow.ops import math, nn
from graphflow.ops import reductions as r
from graphflow.ops.source import make_placeholder
from graphflow.options import Options
from graphflow.passes import run_passes
from graphflow.passes.canonicalize_logic import marker
from graphflow.passes.rewrite import rewrite
from graphflow.passes.stability import RULES

BY_NAME = {rule.name: rule for rule in RULES}


@pytest.fixture
def x():
    return make_placeholder("float32", [4, 3], name="x")


@pytest.fixture
def g():
    return make_placeholder("float32", [4, 3], name="g")


def total(x):
    return r.reduce_sum_(x, axis=(1,), keepdims=True)


def shifted(x):
    return a.subtract(x, r.finite_maximum(x, (1,)))


def naive_softmax_product(x, g):
    weights = e.exp(x)
    return a.multiply(a.divide(g, total(weights)), weights)


def cancelled_in_sum(x, g):
    weights = e.exp(x)
    return a.multiply(a.subtract(a.divide(g, weights), g), weights)


def one_minus_sigmoid_cancelled(x, g):
    rest = a.subtract(1.0, e.sigmoid(x))
    return a.multiply(a.divide(g, rest), rest)


def sum_over_sum(x, g):
    return total(a.divide(g, total(e.exp(x))))


REWRITTEN = {
    "log_of_exp": [(lambda x, g: e.log(e.exp(x)), lambda x, g: x)],
    "log_of_quotient": [(lambda x, g: e.log(a.divide(e.exp(x), g)), lambda x, g: a.subtract(x, e.log(g)))],
    "log_of_scaled_exp": [
        (lambda x, g: e.log(a.multiply(e.exp(x), g)), lambda x, g: a.add(x, e.log(g))),
        (lambda x, g: e.log(a.multiply(g, e.exp(x))), lambda x, g: a.add(x, e.log(g))),
    ],
    "log_of_sigmoid": [(lambda x, g: e.log(e.sigmoid(x)), lambda x, g: a.negative(e.softplus(a.negative(x))))],
    "log_of_one_plus": [
        (lambda x, g: e.log(a.add(x, 1.0)), lambda x, g: e.log1p(x)),
        (lambda x, g: e.log(a.subtract(1.0, x)), lambda x, g: e.log1p(a.negative(x))),
    ],
    "log_of_sum_of_exp": [(lambda x, g: e.log(total(e.exp(x))), lambda x, g: r.logsumexp(x, 1, keepdims=True))],
    "log1p_of_exp": [(lambda x, g: e.log1p(e.exp(x)), lambda x, g: e.softplus(x))],
    "log1p_of_expm1": [(lambda x, g: e.log1p(e.expm1(x)), lambda x, g: x)],
    "log_of_one_minus_sigmoid": [(lambda x, g: e.log1p(a.negative(e.sigmoid(x))), lambda x, g: a.negative(e.softplus(x)))],
    "exp_minus_one": [(lambda x, g: a.add(e.exp(x), -1.0), lambda x, g: e.expm1(x))],
    "one_minus": [
        (lambda x, g: a.subtract(1.0, e.exp(x)), lambda x, g: a.negative(e.expm1(x))),
        (lambda x, g: a.subtract(1.0, e.erf(x)), lambda x, g: e.erfc(x)),
    ],
    "expm1_plus_one": [(lambda x, g: a.add(e.expm1(x), 1.0), lambda x, g: e.exp(x))],
    "positive_factor_cancels": [
        (lambda x, g: a.multiply(a.divide(g, e.sigmoid(x)), e.sigmoid(x)), lambda x, g: g),
        (one_minus_sigmoid_cancelled, lambda x, g: g),
        (lambda x, g: a.divide(1.0, a.add(e.exp(x), 1.0)), lambda x, g: e.sigmoid(a.negative(x))),
        (
            lambda x, g: a.multiply(a.divide(g, a.add(e.exp(x), 1.0)), g),
            lambda x, g: a.multiply(a.multiply(g, e.sigmoid(a.negative(x))), g),
        ),
        (naive_softmax_product, lambda x, g: a.multiply(a.divide(g, total(e.exp(shifted(x)))), e.exp(shifted(x)))),
    ],
    "positive_factor_cancels_in_sum": [(cancelled_in_sum, lambda x, g: a.subtract(g, a.multiply(g, e.exp(x))))],
    "sum_of_quotient": [(sum_over_sum, lambda x, g: a.divide(total(g), total(e.exp(x))))],
}  # fmt: skip

REFUSED = {
    "log_of_one_plus": [lambda x, g: e.log(a.add(x, 2.0)), lambda x, g: e.log(a.add(r.reduce_sum(x), np.ones(3, np.float32)))],
    "log_of_quotient": [lambda x, g: e.log(a.divide(g, e.exp(x)))],
    "log_of_sum_of_exp": [lambda x, g: e.log(total(e.exp(shifted(x)))), lambda x, g: e.log(total(x))],
    "exp_minus_one": [lambda x, g: a.add(e.exp(x), 1.0)],
    "positive_factor_cancels": [
        lambda x, g: a.multiply(a.divide(g, x), x),
        lambda x, g: a.divide(e.exp(shifted(x)), total(e.exp(shifted(x)))),
        lambda x, g: a.divide(1.0, a.add(e.exp(x), 2.0)),
    ],
    "positive_factor_cancels_in_sum": [lambda x, g: a.multiply(a.subtract(a.divide(g, x), g), x)],
    "sum_of_quotient": [
        lambda x, g: total(a.divide(g, x)),
        lambda x, g: r.reduce_sum_(a.divide(g, total(e.exp(x))), axis=(0,), keepdims=True),
    ],
}  # fmt: skip


def cases(table):
    return [pytest.param(name, case, id=f"{name}-{k}") for name, rows in table.items() for k, case in enumerate(rows)]


def plain(program):
    """Without identities and stop_gradients, equal nodes merged."""
    return rewrite(program, [marker], merge=True)


@pytest.mark.parametrize(("name", "case"), cases(REWRITTEN))
def test_rule(name, case, x, g, program_of, assert_same_program):
    build, expected = case
    before = program_of(build(x, g), inputs=(x, g))
    after = rewrite(rewrite(before, [], merge=True), [BY_NAME[name]])
    expected = expected(x, g)
    assert_same_program(plain(after), plain(program_of(expected, inputs=(x, g))))


@pytest.mark.parametrize(("name", "case"), cases(REFUSED))
def test_rule_refuses(name, case, x, g, program_of):
    before = rewrite(program_of(case(x, g), inputs=(x, g)), [], merge=True)
    assert rewrite(before, [BY_NAME[name]]) is before


def test_every_rule_has_a_case():
    assert set(REWRITTEN) == set(BY_NAME)


# --- values ---------------------------------------------------------------------------------------------------------------

ROWS = np.array([[0, 200, -200], [1, 2, 3], [-300, -300, -300], [88, 89, 90]], np.float32)
POINTS = np.array([-200, -20, -1, -1e-4, 0, 1e-4, 1, 20, 200], np.float32)
HOT = [1.0, 0.0, 0.0]  # lists adopt the dtype beside them


def softmax(x):
    weights = math.exp(x)
    return weights / r.reduce_sum(weights, 1, keepdims=True)


FORMULAS = {
    "log(softmax)": (lambda x: math.log(nn.softmax(x)) * HOT, ROWS),
    "log(naive softmax)": (lambda x: math.log(softmax(x)) * HOT, ROWS),
    "cross entropy": (lambda x: -r.reduce_sum(HOT * math.log(nn.softmax(x)), 1), ROWS),
    "naive softmax": (lambda x: softmax(x) * [1.0, 2.0, 0.0], ROWS),
    "log(sum(exp))": (lambda x: math.log(r.reduce_sum(math.exp(x), 1)), ROWS),
    "log(sigmoid)": (lambda x: math.log(math.sigmoid(x)), POINTS),
    "log(1 - sigmoid)": (lambda x: math.log(1 - math.sigmoid(x)), POINTS),
    "binary cross entropy": (lambda x: -(0.25 * math.log(math.sigmoid(x)) + 0.75 * math.log(1 - math.sigmoid(x))), POINTS),
    "naive sigmoid": (lambda x: 1 / (1 + math.exp(-x)), POINTS),
    "naive sigmoid of two": (lambda x: math.exp(x) / (1 + math.exp(x)), POINTS),
    "log(naive sigmoid)": (lambda x: math.log(1 / (1 + math.exp(-x))), POINTS),
    "softplus": (lambda x: math.log(1 + math.exp(x)), POINTS),
    "log(exp)": (lambda x: math.log(math.exp(x)), POINTS),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_naive_formulas_and_their_gradients_are_stable(name, program_of):
    """float32 after the passes agrees with float64 as written, wherever that is finite, and is finite everywhere."""
    formula, value = FORMULAS[name]
    narrow, wide = (make_placeholder(dtype, value.shape, name="x") for dtype in ("float32", "float64"))
    y = formula(narrow)
    program = program_of(y, *gradients([y], [narrow]))
    after, _ = run_passes(program, Options(verify=True))
    found = evaluate(after, {narrow: value})
    assert all(np.isfinite(v).all() for v in found)

    z = formula(wide)
    reference = evaluate([z, *gradients([z], [wide])], {wide: value.astype(np.float64)})
    for got, want in zip(found, reference, strict=True):
        sure = np.isfinite(want)
        np.testing.assert_allclose(got[sure], want[sure], rtol=2e-5, atol=1e-6)
