"""Every optimizer against the equations of its docstring, computed by NumPy in float64."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import DTypeError, GradientError, OptionError, ShapeError

STEPS = 5
START = np.array([0.5, -1.0, 2.0])
CURVE = np.array([1.0, 3.0, 0.5])


def slope(x):
    """The gradient of sum(CURVE * x**2 / 2)."""
    return CURVE * x


def gradient_descent(x, state, t):
    return x - 0.1 * slope(x)


def momentum(x, state, t):
    state["velocity"] = 0.9 * state.get("velocity", 0) + slope(x)
    return x - 0.1 * state["velocity"]


def nesterov(x, state, t):
    state["velocity"] = 0.9 * state.get("velocity", 0) + slope(x)
    return x - 0.1 * (slope(x) + 0.9 * state["velocity"])


def adam(x, state, t):
    g = slope(x)
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
    rate = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return x - rate * state["m"] / (np.sqrt(state["v"]) + 1e-8)


def rmsprop(x, state, t):
    g = slope(x)
    state["s"] = 0.9 * state.get("s", 1) + 0.1 * g * g
    return x - 0.1 * g / np.sqrt(state["s"] + 1e-10)


def rmsprop_centered(x, state, t):
    g = slope(x)
    state["s"] = 0.9 * state.get("s", 1) + 0.1 * g * g
    state["g"] = 0.9 * state.get("g", 0) + 0.1 * g
    state["velocity"] = 0.5 * state.get("velocity", 0) + 0.1 * g / np.sqrt(state["s"] - state["g"] ** 2 + 1e-10)
    return x - state["velocity"]


def adagrad(x, state, t):
    g = slope(x)
    state["a"] = state.get("a", 0.1) + g * g
    return x - 0.1 * g / np.sqrt(state["a"])


CASES = {
    "gradient descent": (lambda rate: gf.train.GradientDescentOptimizer(rate), gradient_descent),
    "momentum": (lambda rate: gf.train.MomentumOptimizer(rate, 0.9), momentum),
    "nesterov": (lambda rate: gf.train.MomentumOptimizer(rate, 0.9, use_nesterov=True), nesterov),
    "adam": (lambda rate: gf.train.AdamOptimizer(rate), adam),
    "rmsprop": (lambda rate: gf.train.RMSPropOptimizer(rate), rmsprop),
    "rmsprop, centered, with momentum": (
        lambda rate: gf.train.RMSPropOptimizer(rate, momentum=0.5, centered=True),
        rmsprop_centered,
    ),
    "adagrad": (lambda rate: gf.train.AdagradOptimizer(rate), adagrad),
}


def expected(rule):
    x, state = START.copy(), {}
    for t in range(1, STEPS + 1):
        x = rule(x, state, t)
    return x


def loss_of(w):
    return gf.reduce_sum(gf.constant(CURVE, dtype=w.dtype) * w * w) * 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_steps_follow_the_equations(name, dtype):
    make, rule = CASES[name]
    w = gf.Variable(START.astype(dtype), name="w")
    train = make(0.1).minimize(loss_of(w))
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        for _ in range(STEPS):
            assert session.run(train) is None
        np.testing.assert_allclose(session.run(w), expected(rule), rtol=1e-12 if dtype == "float64" else 3e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_learning_rate_can_be_fed(name):
    make, rule = CASES[name]
    w = gf.Variable(START, name="w")
    rate = gf.placeholder(gf.float32, [], name="rate")
    train = make(rate).minimize(loss_of(w))
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        for _ in range(STEPS):
            session.run(train, {rate: 0.1})
        np.testing.assert_allclose(session.run(w), expected(rule), rtol=1e-6)


def test_the_learning_rate_can_be_a_variable():
    w, rate = gf.Variable(1.0, name="w"), gf.Variable(0.5, trainable=False, name="rate")
    train = gf.train.GradientDescentOptimizer(rate).minimize(w * w)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        session.run(train)
        assert session.run(w) == 0.0
        session.run([w.assign(1.0), rate.assign(0.25)])
        session.run(train)
        assert session.run(w) == 0.5


def test_gradient_descent_is_one_assign_sub():
    w = gf.Variable(START, name="w")
    train = gf.train.GradientDescentOptimizer(0.1).minimize(loss_of(w))
    (update,) = train.node.control
    assert update.op.name == "assign_sub"
    assert update.inputs[0].op.name == "multiply"


def test_the_gradient_is_that_before_the_step():
    """All of a run reads the values before it: the loss fetched with a step is the loss before the step."""
    w = gf.Variable(2.0, name="w")
    loss = w * w
    train = gf.train.GradientDescentOptimizer(0.25).minimize(loss)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        assert session.run([train, loss, w]) == [None, 4.0, 2.0]
        assert session.run(w) == 1.0


def test_global_step_counts():
    w = gf.Variable(1.0, name="w")
    step = gf.train.get_or_create_global_step()
    assert gf.train.get_or_create_global_step() is step
    assert gf.train.get_global_step() is step
    train = gf.train.AdamOptimizer().minimize(w * w, global_step=step)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        for _ in range(3):
            session.run(train)
        assert session.run(step) == 3
    assert not step.trainable


def test_no_global_step():
    assert gf.train.get_global_step() is None


def test_only_the_named_variables_change():
    a, b = gf.Variable(1.0, name="a"), gf.Variable(1.0, name="b")
    train = gf.train.GradientDescentOptimizer(0.1).minimize(a * b, var_list=[a])
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        session.run(train)
        assert session.run([a, b]) == [np.float32(0.9), 1.0]


def test_variables_without_gradient_are_left_alone():
    a = gf.Variable(1.0, name="a")
    other, fixed = gf.Variable(1.0, name="other"), gf.Variable(1.0, trainable=False, name="fixed")
    counter = gf.Variable(0, name="counter")
    pairs = gf.train.GradientDescentOptimizer(0.1).compute_gradients(a * fixed)
    assert [variable for _, variable in pairs] == [a, other]
    assert pairs[0][0] is not None and pairs[1][0] is None
    assert counter not in [variable for _, variable in pairs]


def test_slots():
    w = gf.Variable(START, name="w")
    optimizer = gf.train.AdamOptimizer()
    assert optimizer.get_slot(w, "m") is None
    optimizer.minimize(loss_of(w))
    assert optimizer.get_slot_names() == ["m", "v"]
    m = optimizer.get_slot(w, "m")
    assert m.name == "w/Adam/m" and m.type == w.type and not m.trainable
    assert len(optimizer.variables()) == 4
    assert gf.trainable_variables() == [w]


def test_minimize_in_another_default_graph():
    w = gf.Variable(1.0, name="w")
    loss = w * w
    with gf.Graph().as_default():
        train = gf.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
    assert train.node.graph is w.graph
    assert len(w.graph.variables) == 2


def test_minimize_after_updates():
    """Batch statistics and the like: the step comes after, and sees, the updates it depends on."""
    w, scale = gf.Variable(1.0, name="w"), gf.Variable(1.0, trainable=False, name="scale")
    with gf.control_dependencies([scale.assign(3.0)]):
        loss = w * scale
        train = gf.train.MomentumOptimizer(0.1, 0.0).minimize(loss)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        session.run(train)
        assert session.run(w) == pytest.approx(0.7)


def test_adam_with_two_dtypes():
    a, b = gf.Variable(1.0, name="a"), gf.Variable(1.0, dtype=gf.float64, name="b")
    loss = gf.cast(a * a, gf.float64) + b * b
    train = gf.train.AdamOptimizer(0.1).minimize(loss)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        session.run(train)
        assert session.run([a, b]) == pytest.approx([0.9, 0.9], rel=1e-6)


def adam_minimize(loss, **settings):
    return gf.train.AdamOptimizer().minimize(loss, **settings)


def adam_apply(*pairs):
    return gf.train.AdamOptimizer().apply_gradients(pairs)


def fed():
    return gf.placeholder(gf.float32, []) * 2


def variable(value=1.0):
    return gf.Variable(value, name="w")


ERRORS = {
    "no trainable variables": (lambda: adam_minimize(fed()), GradientError, "no trainable variables"),
    "loss without variables": (lambda: (variable(), adam_minimize(fed())), GradientError, "depends on no trainable variable"),
    "a variable without gradient": (
        lambda: adam_minimize(variable() * 2, var_list=[gf.Variable(1.0, name="lonely")]),
        GradientError, "does not depend on lonely",
    ),
    "integer loss": (lambda: adam_minimize(variable(1) * 2), GradientError, "int32 has no gradient"),
    "empty var_list": (lambda: adam_minimize(variable() * 2, var_list=[]), GradientError, "var_list is empty"),
    "var_list of texts": (lambda: adam_minimize(variable() * 2, var_list=["w"]), GradientError, "no Variable"),
    "only None": (lambda: adam_apply((None, variable())), GradientError, "no variable has a gradient"),
    "nothing": (lambda: adam_apply(), GradientError, "the list is empty"),
    "no pair": (lambda: adam_apply(3), GradientError, "not a pair"),
    "no variable": (lambda: adam_apply((1.0, "w")), GradientError, "is no Variable"),
    "rank of gradient": (lambda: adam_apply(([1.0], variable())), ShapeError, "differ in type"),
    "dtype of gradient": (lambda: adam_apply((np.ones(()), variable())), DTypeError, "differ in type"),
    "text as rate": (lambda: gf.train.GradientDescentOptimizer("0.1"), DTypeError, "learning_rate"),
    "bool as rate": (lambda: gf.train.GradientDescentOptimizer(True), DTypeError, "learning_rate"),
    "vector as rate": (lambda: gf.train.GradientDescentOptimizer([0.1, 0.2]), ShapeError, "learning_rate must be a scalar"),
    "beta of 1": (lambda: gf.train.AdamOptimizer(beta1=1), OptionError, "beta1 is 1"),
    "accumulator of 0": (lambda: gf.train.AdagradOptimizer(0.1, 0), OptionError, "must be positive"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    action, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        action()
