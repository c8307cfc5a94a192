"""`gf.function`: what is traced when, what a run sees and leaves behind."""

import dataclasses
import gc
import threading
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GraphError, GraphflowError, ModeError


@pytest.fixture(autouse=True)
def eager():
    with gf.eager():
        yield


def ones(*shape):
    return gf.constant(np.ones(shape, np.float32))


# --- signatures -------------------------------------------------------------------------------------------------------------


def test_a_new_batch_size_is_not_traced_again():
    seen = []

    @gf.function
    def f(x, y):
        seen.append(gf.executing_eagerly())
        return gf.reduce_sum(gf.matmul(x, gf.ones([3, 2])), 1) - y

    for n in (4, 7, 1, 0, 4):
        found = f(ones(n, 3), ones(n))
        np.testing.assert_array_equal(found.numpy(), np.full(n, 5, np.float32))
    assert seen == [False] and len(f.traces) == 1


def test_a_size_becomes_a_symbol_when_it_changes_and_stays_one():
    f = gf.function(lambda x: gf.reduce_sum(x * x))
    for n in (2, 3, 4, 5):
        assert float(f(ones(n)).numpy()) == n
    for shape in ((4, 4), (4, 5), (4, 6), (9, 9)):
        f(ones(*shape))
    assert [t.terms[0] for t in f.traces[:2]] == [(2,), f.traces[1].terms[0]]
    assert len(f.traces) == 5  # [2], [s], [4, 4], [4, s], [s, s]
    assert "argument `x` had the sizes [2], now [s0]" in f.explain_traces()


def test_sizes_that_were_equal_are_one_symbol_until_they_differ():
    f = gf.function(lambda x, y: x + y)
    f(ones(3, 2), ones(3, 2))
    f(ones(5, 2), ones(5, 2))
    assert len(f.traces) == 1 and f.traces[0].outputs[0].shape[0] == f.traces[0].arguments[1].shape[0]
    assert f(ones(5, 2), ones(1, 2)).shape == (5, 2)
    assert f(ones(4, 2), ones(1, 2)).shape == f(ones(4, 2), ones(4, 2)).shape == (4, 2)
    assert len(f.traces) == 2


def test_a_size_that_python_uses_is_a_number():
    @gf.function
    def f(x):
        total = gf.zeros(x.shape[1:])
        for row in x:
            total = total + row
        return total

    assert list(f(ones(3, 2)).numpy()) == [3, 3]
    assert list(f(ones(4, 2)).numpy()) == [4, 4]
    assert len(f.traces) == 2 and "Python uses size 0 of `x` as a number" in f.explain_traces()
    g = gf.function(lambda x: [x[k] for k in range(x.shape[0])])
    assert len(g(ones(3, 2))) == 3


def test_reasons_of_traces():
    f = gf.function(lambda x, n=3: x * n)
    f(ones(2, 2)), f(ones(2, 2), n=3), f(ones(2, 2), 4), f(gf.cast(ones(2, 2), gf.float64), 4), f((ones(2)[0]), 4)
    text = f.explain_traces()
    assert "argument `n` was the Python int 3, then the Python int 4" in text
    assert "argument `x` was a tensor of float32 and rank 2, then a tensor of float64 and rank 2" in text
    assert len(f.traces) == 4
    one = gf.function(lambda x: x + 1)
    assert [one(v).dtype for v in (np.float32(1), np.float64(1))] == [gf.float32, gf.float64]
    assert one(True) == 2 and one(1) == 2 and one(1.0) == 2.0 and len(one.traces) == 5  # True, 1 and 1.0 are not one


def test_many_traces_are_warned_of():
    f = gf.function(lambda n: n)
    with pytest.warns(RuntimeWarning, match="f? ?.*20 times; this time because argument `n` was the Python int 18, then .* 19"):
        for n in range(20):
            f(n)


def test_without_reduce_retracing_every_size_counts():
    f = gf.function(lambda x: x + 1, reduce_retracing=False)
    f(ones(2, 3)), f(ones(3, 3)), f(ones(2, 3))
    assert [t.terms[0] for t in f.traces] == [(2, 3), (3, 3)]


class Pair(NamedTuple):
    a: object
    b: object


@dataclasses.dataclass
class State:
    position: object
    step: int = 1


def test_nested_arguments_and_results():
    @gf.function
    def f(pair, *more, state, **named):
        total = pair.a + pair.b["x"] + sum(more) + named["z"][0]
        return {"total": total, "state": State(state.position + total, state.step + 1), "n": None}

    found = f(Pair(ones(2), {"x": ones(2)}), ones(2), ones(2), state=State(ones(2)), z=[ones(2)])
    assert list(found["total"].numpy()) == [5, 5] and found["n"] is None
    assert list(found["state"].position.numpy()) == [6, 6] and found["state"].step == 2
    assert f.traces[0].paths == ("pair.a", "pair.b['x']", "more[0]", "more[1]", "state.position", "named['z'][0]")


def test_calls_that_are_alike_run_at_once_whatever_their_form():
    one = gf.constant(1.0)
    f = gf.function(lambda a, b, c=one, **more: (a["x"] - 2 * b) * c + sum(more.values()))
    g = gf.function(lambda a, b=2, *, c: a * b - c)
    for _ in range(3):
        assert float(f({"x": gf.constant(5.0)}, gf.constant(1.0)).numpy()) == 3
        assert float(f(b=gf.constant(1.0), a={"x": gf.constant(5.0)}).numpy()) == 3
        assert float(f({"x": gf.constant(5.0)}, d=gf.constant(4.0), b=gf.constant(1.0)).numpy()) == 7
        assert float(g(c=gf.constant(1.0), a=gf.constant(3.0)).numpy()) == 5
        assert float(g(c=gf.constant(1.0), b=gf.constant(4.0), a=gf.constant(3.0)).numpy()) == 11
        assert float(g(gf.constant(3.0), c=gf.constant(1.0), b=4).numpy()) == 11
    assert len(f.traces) == 2 and len(g.traces) == 3 and len(g._calls) == 3


def test_sizes_and_dtypes_are_values():
    f = gf.function(lambda x, dtype: (gf.cast(x, dtype), x.shape[0]))
    found, size = f(ones(3, 2), gf.float64)
    assert found.dtype is gf.float64 and int(size.numpy()) == 3 and int(f(ones(5, 2), gf.float64)[1].numpy()) == 5
    assert len(f.traces) == 1


def test_input_signature():
    @gf.function(input_signature=[gf.TensorSpec(["n", 2]), gf.TensorSpec([None], gf.int32)])
    def f(x, y):
        return gf.reduce_sum(x) + gf.cast(gf.reduce_sum(y), gf.float32)

    assert float(f([[1, 2], [3, 4]], [1, 2, 3]).numpy()) == 16
    f(ones(5, 2), np.ones(1, np.int32))
    assert len(f.traces) == 1 and f.get_concrete_function() is f.traces[0]
    with pytest.raises(GraphflowError, match=r"argument `x` has the shape \[5, 3\]"):
        f(ones(5, 3), [1])
    with pytest.raises(GraphflowError, match="argument `y` is float32"):
        f(ones(5, 2), ones(5))


def test_concrete_functions():
    f = gf.function(lambda x, n: x * n)
    trace = f.get_concrete_function(gf.TensorSpec([None, 2]), 3)
    assert trace(ones(4, 2), 3).shape == (4, 2) and f(ones(5, 2), 3).shape == (5, 2) and len(f.traces) == 1
    assert "x: float32[s0, 2]" in trace.pretty_printed_signature and "n: 3" in trace.pretty_printed_signature
    with pytest.raises(TypeError, match="the Python int 3, then the Python int 4"):
        trace(ones(4, 2), 4)
    assert "multiply" in f.explain() and trace.graph is f.graph and trace.executable is f.executable(ones(1, 2), 3)


# --- state ------------------------------------------------------------------------------------------------------------------


def test_variables_have_their_values_at_the_call_and_are_updated_at_its_end():
    v, w = gf.Variable(1.0), gf.Variable(np.zeros(1000, np.float32))

    @gf.function
    def f(x):
        before = v.read_value()
        v.assign_add(x)
        w.assign(w + v)
        return before, v * 10

    assert [float(t.numpy()) for t in f(gf.constant(2.0))] == [1, 30]
    v.assign(5.0)
    assert [float(t.numpy()) for t in f(gf.constant(1.0))] == [5, 60]
    assert float(v.numpy()) == 6 and w.numpy()[999] == 9


@pytest.mark.parametrize("size", [3, 2000])
def test_an_update_in_place_is_invisible(size):
    v = gf.Variable(np.zeros(size, np.float32))
    step = gf.function(lambda: v.assign_add(gf.ones([size])))
    other = gf.Variable(v)
    seen = [v.read_value()]
    for _ in range(3):
        step()
        seen.append(v.read_value())
    part = v.numpy()[1:]
    step(), step()
    assert [float(t.numpy()[1]) for t in seen] == [0, 1, 2, 3] and part[0] == 3 and float(v.numpy()[0]) == 5
    assert float(other.numpy()[0]) == 0
    step()
    address = v.address
    step(), step()
    assert v.address == address or size == 3  # written in place where nobody looks


def test_a_failed_run_changes_nothing():
    v = gf.Variable(np.zeros(5, np.float32))

    @gf.function
    def f(k):
        v.assign_add(gf.ones([5]))
        return gf.gather(v, k)

    f(np.int32(4))
    with pytest.raises(gf.errors.IndexOutOfRangeError):
        f(np.int32(5))
    assert float(v.numpy()[0]) == 1


def test_variables_are_made_once():
    class Dense:
        w = None

        @gf.function
        def __call__(self, x):
            if self.w is None:
                self.w = gf.Variable(gf.random.uniform([x.shape[1], 2], seed=1), name="w")
            return gf.matmul(x, self.w)

    layer = Dense()
    a = layer(ones(4, 3))
    assert np.array_equal(a.numpy()[0], layer(gf.cast(ones(2, 3), gf.float32)).numpy()[0])
    assert layer.w.shape == (3, 2)

    @gf.function
    def wrong(x):
        return gf.Variable(1.0) * x

    wrong(gf.constant(1.0))
    with pytest.raises(GraphError, match=r"makes a variable each time it is traced, at .*test_function.py"):
        wrong(gf.constant([1.0]))
    with pytest.raises(ModeError, match="initial value of a variable depends on an argument"):
        gf.function(lambda x: gf.Variable(x) + 1)(ones(1))


def test_captured_tensors_are_inputs():
    table = gf.constant(np.ones(3, np.float32)) * 2
    f = gf.function(lambda x: x * (table + 1))
    assert list(f(ones(3)).numpy()) == [3, 3, 3]
    assert f.traces[0].captured == (table,)


def test_random_numbers_differ_from_call_to_call():
    f = gf.function(lambda: gf.random.uniform([2]))
    gf.random.set_seed(3)
    a, b = f().numpy(), f().numpy()
    gf.random.set_seed(3)
    assert not np.array_equal(a, b) and np.array_equal(f().numpy(), a)
    gf.random.set_seed(0)


# --- where it is called -----------------------------------------------------------------------------------------------------


def test_methods_are_bound_without_leaking():
    class Model:
        def __init__(self, k):
            self.k = k

        @gf.function
        def scale(self, x):
            return x * self.k

    a, b = Model(2.0), Model(3.0)
    assert float(a.scale(ones(1)).numpy()[0]) == 2 and float(b.scale(ones(1)).numpy()[0]) == 3
    assert a.scale is a.scale and len(a.scale.traces) == 1
    reference = weakref.ref(a)
    del a
    gc.collect()
    assert reference() is None and len(Model.scale._bound) == 1


def test_calls_in_functions_and_graphs_are_inlined():
    square = gf.function(lambda x: x * x)
    outer = gf.function(lambda x: square(x) + square(x + 1))
    assert float(outer(gf.constant(2.0)).numpy()) == 13 and square.traces == ()
    with gf.Graph().as_default(), gf.Session() as session:
        x = gf.placeholder(gf.float32, [])
        assert session.run(square(x), {x: 3.0}) == 9
    assert list(gf.map_fn(square, ones(3)).numpy()) == [1, 1, 1]


def test_recursion():
    @gf.function
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    assert float(power(gf.constant(2.0), 5).numpy()) == 32

    @gf.function
    def endless(x):
        return endless(x + 1)

    with pytest.raises(GraphError, match="endless calls itself without end"):
        endless(gf.constant(1.0))


def test_an_exception_in_a_trace_leaves_nothing_behind():
    fail = [True]

    @gf.function
    def f(x):
        v.assign_add(x)
        if fail:
            raise KeyError("no")
        return x

    v = gf.Variable(1.0)
    with pytest.raises(KeyError):
        f(gf.constant(1.0))
    assert gf.executing_eagerly() and f.traces == () and float(v.numpy()) == 1
    fail.clear()
    f(gf.constant(1.0))
    assert float(v.numpy()) == 2


def test_effects_run_at_each_call():
    seen = []

    @gf.function
    def f(x):
        gf.py_function(lambda a: seen.append(float(a)) or a, [x], gf.float32)
        return x + 1

    f(gf.constant(1.0)), f(gf.constant(2.0))
    assert seen == [1, 2] and len(f.traces) == 1


def test_threads_share_a_function():
    v = gf.Variable(np.zeros(5000, np.float32))
    step = gf.function(lambda x: v.assign_add(x * gf.ones([5000])))

    def work():
        with gf.eager():
            for _ in range(50):
                step(gf.constant(1.0))

    threads = [threading.Thread(target=work) for _ in range(2)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert np.array_equal(v.numpy(), np.full(5000, 100, np.float32)) and len(step.traces) == 1


# --- derivatives ------------------------------------------------------------------------------------------------------------


def test_a_tape_differentiates_a_call():
    w = gf.Variable(np.full((3, 2), 0.5, np.float32))
    scale = gf.constant(2.0) * 1

    def plain(x, y):
        h = gf.tanh(gf.matmul(x, w)) * scale
        return gf.reduce_mean(gf.nn.softmax(h) * y), {"h": h}

    compiled = gf.function(plain)
    x, y = gf.constant(np.arange(12, dtype=np.float32).reshape(4, 3) / 9), ones(4, 2) * gf.constant([1.0, 3.0])
    found = []
    for f in (plain, compiled):
        with gf.GradientTape() as tape:
            tape.watch([x, scale])
            loss, more = f(x, y)
            total = loss * 3 + gf.reduce_sum(more["h"] ** 2)
        found.append([loss, *tape.gradient(total, [x, w, scale])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


def test_higher_derivatives_and_forward_mode():
    f = gf.function(lambda x: gf.sin(x) * x**2)
    x = gf.constant(np.array([0.3, 1.2], np.float64)) * 1
    with gf.GradientTape() as third:
        third.watch(x)
        with gf.GradientTape() as second:
            second.watch(x)
            with gf.GradientTape() as first:
                first.watch(x)
                y = f(x)
            d1 = first.gradient(y, x)
        d2 = second.gradient(d1, x)
    a = x.numpy()
    np.testing.assert_allclose(d2.numpy(), (2 - a**2) * np.sin(a) + 4 * a * np.cos(a))
    np.testing.assert_allclose(third.gradient(d2, x).numpy(), (6 - a**2) * np.cos(a) - 6 * a * np.sin(a))
    with gf.ForwardAccumulator(x, gf.constant(np.array([1.0, 2.0]))) as acc:
        y = f(x)
    np.testing.assert_allclose(acc.jvp(y).numpy(), [1, 2] * (np.cos(a) * a**2 + 2 * a * np.sin(a)))


def scanned(x, a):
    ys, last = gf.scan(lambda s, r: (gf.tanh(s * a + r), s), x, gf.zeros([3], gf.float64))
    return gf.reduce_sum(ys * ys) + gf.reduce_sum(last)


def looped(x, a):
    return gf.reduce_sum(gf.while_loop(lambda k, v: k < 3, lambda k, v: (k + 1, gf.sin(v) * a), (gf.constant(0), x))[1])


def branched(x, a):
    return gf.reduce_sum(gf.cond(gf.reduce_sum(x) > 0, lambda: x * a, lambda: x - a * a))


@pytest.mark.parametrize("plain", [scanned, looped, branched])
def test_tapes_go_through_control_flow_in_a_call(plain, rng):
    compiled = gf.function(plain)
    for n in (4, 7):
        x, a = (gf.constant(rng.normal(size=shape)) * 1.0 for shape in ((n, 3), (3,)))
        found = []
        for f in (plain, compiled):
            with gf.GradientTape() as second:
                second.watch([x, a])
                with gf.GradientTape() as first:
                    first.watch([x, a])
                    y = f(x, a)
                gx, ga = first.gradient(y, [x, a])
                z = gf.reduce_sum(gx**2) + gf.reduce_sum(gf.sin(ga))
            found.append([y, gx, ga, *second.gradient(z, [x, a], unconnected_gradients="zero")])
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)
    assert len(compiled.traces) == 1


def test_a_gradient_sees_the_random_numbers_of_its_call():
    @gf.function
    def f(x):
        return x * gf.random.uniform([4])

    x = ones(4) * 1
    with gf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    f(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), y.numpy())


def test_tapes_inside():
    w = gf.Variable([1.0, 2.0])
    optimizer = gf.train.AdamOptimizer(0.1)
    plain, compiled = [], []
    for losses, wrap in ((plain, lambda f: f), (compiled, gf.function)):
        w.assign([1.0, 2.0])
        optimizer = gf.train.AdamOptimizer(0.1)

        @wrap
        def step(x, optimizer=optimizer):
            with gf.GradientTape() as tape:
                tape.watch(x)
                loss = gf.reduce_sum((x * w) ** 2)
            g, gx = tape.gradient(loss, [w, x])
            optimizer.apply_gradients([(g, w)])
            return loss + gf.reduce_sum(gx)

        losses += [float(step(gf.constant([[1.0, 1.0], [0.5, 2.0]])).numpy()) for _ in range(4)]
    np.testing.assert_allclose(plain, compiled, rtol=1e-5)
    assert len(optimizer.variables()) == 4


def test_updates_under_a_tape():
    v = gf.Variable(3.0)

    @gf.function
    def f(x):
        v.assign_add(1.0)
        gf.py_function(lambda a: a, [x], gf.float32)
        return x * v, x

    x = gf.constant(2.0) * 1
    with gf.GradientTape() as tape:
        tape.watch(x)
        y, _ = f(x)
    assert float(y.numpy()) == 8 and float(v.numpy()) == 4 and float(tape.gradient(y, x).numpy()) == 4


def test_minimize_a_function():
    w = gf.Variable([3.0, -2.0])
    optimizer = gf.train.GradientDescentOptimizer(0.1)
    optimizer.minimize(lambda: gf.reduce_sum(w * w), [w])
    gf.function(lambda: optimizer.minimize(lambda: gf.reduce_sum(w * w)))()
    np.testing.assert_allclose(w.numpy(), np.array([3, -2]) * 0.64, rtol=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------------------------


def refused_if(x):
    if x > 0:
        return x
    return -x


def refused_while(x):
    while gf.reduce_sum(x) < 3:
        x = x + 1
    return x


REFUSED = {
    "gf.cond(x > 0, lambda: ..., lambda: ...)": refused_if,
    "gf.while_loop(lambda *state: gf.reduce_sum(x) < 3, lambda *state: next_state, state)": refused_while,
    "gf.logical_and(x > 0, x < 1)": lambda x: x > 0 and x < 1,
    "gf.logical_and(0 < x, x < 1)": lambda x: 0 < x < 1,
    "gf.logical_not(x > 0)": lambda x: not x > 0,
    "gf.cond(x < 0, ": lambda x: x if x < 0 else 0,
}


@pytest.mark.parametrize("form", REFUSED)
def test_python_control_flow_over_values_says_what_to_write(form):
    function = REFUSED[form]
    line = function.__code__.co_firstlineno + (function.__name__ != "<lambda>")
    with pytest.raises(ModeError) as error:
        gf.function(function)(gf.constant(1.0))
    text = str(error.value)
    assert form in text and f"test_function.py:{line}: " in text and f"while {function.__name__} is traced" in text


def test_a_nan_is_found_in_a_function():
    v = gf.Variable([0.0, 1.0])
    f = gf.function(lambda x: gf.log(x * v) * x)
    with gf.debug.nan_check(), pytest.raises(GraphflowError, match="log"):
        f(gf.constant([1.0, -1.0]))
