"""Eager ops and the tape: what runs at once, what is recorded, what the derivatives are."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import DTypeError, GradientError, ModeError, ShapeError


@pytest.fixture(autouse=True)
def eagerly():
    with gf.eager():
        yield


def close(tensor, expected):
    np.testing.assert_allclose(np.asarray(tensor), expected, rtol=1e-6, atol=1e-12)


# --- modes -----------------------------------------------------------------------------------------------------------


def test_ops_run_at_once_and_the_mode_is_per_thread():
    assert gf.executing_eagerly()
    close(gf.constant([1.0, 2.0]) * 2.0 + 1, [3.0, 5.0])
    seen = []
    thread = threading.Thread(target=lambda: seen.append(gf.executing_eagerly()))
    thread.start()
    thread.join()
    assert seen == [False]


def test_placeholders_are_symbolic_and_what_is_computed_from_them_as_well():
    with gf.Graph().as_default():
        assert not gf.executing_eagerly()
        x = gf.placeholder(gf.float32, [])
    y = gf.exp(x) * gf.constant(2.0)
    with pytest.raises(ModeError, match="has no value before a run"):
        y.numpy()
    close(gf.Session(x.graph).run(y, {x: 0.0}), 2.0)


def test_an_eager_tensor_does_not_mix_with_a_symbolic_one():
    value = gf.constant(1.0) + 1.0
    with gf.Graph().as_default():
        x = gf.placeholder(gf.float32, [], name="x")
        with pytest.raises(ModeError, match="multiply of a symbolic and an eager tensor") as error:
            x * value
        assert "gf.constant" in str(error.value)
        close(gf.Session().run(x * gf.constant(3.0), {x: 2.0}), 6.0)  # a constant is one in both modes


def test_errors_are_those_of_the_graph():
    with pytest.raises(DTypeError, match="add: dtypes differ, float32 and int32"):
        gf.constant(1.0) + gf.constant(1)
    for _ in range(2):  # the second time by what is remembered of the first
        with pytest.raises(ShapeError, match=r"add: shapes \[2\] and \[3\] do not broadcast"):
            gf.constant([1.0, 2.0]) + gf.constant([1.0, 2.0, 3.0])
    with pytest.raises(IndexError):
        gf.gather(gf.constant([1.0, 2.0]), 2)


def test_gradients_of_what_no_tape_saw():
    x = gf.constant(1.0)
    with pytest.raises(ModeError, match="GradientTape"):
        gf.gradients(x * 2.0, [x])


def test_infinities_and_nans_are_silent(recwarn):
    zero = gf.constant([0.0])
    close(1.0 / zero, [np.inf])
    assert np.isnan(gf.log(-1.0 - zero).numpy()).all()
    assert not recwarn.list


def test_a_value_never_changes():
    array = np.ones(2, np.float32)
    tensor = gf.constant(array)
    array[0] = 5
    close(tensor, [1, 1])
    view = (tensor + 1).numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 3


def test_half_precision_is_computed_in_float32():
    x = gf.constant(np.full(1000, 0.1), gf.float16)
    assert gf.reduce_sum(x).dtype == gf.float16
    close(gf.reduce_sum(x), np.float16(np.float16(0.1).astype(np.float32) * 1000))


def test_a_composition_by_its_recipe_gives_the_same_value_and_gradient():
    x = gf.constant(np.linspace(-1, 2, 12).reshape(3, 4))
    found = []
    for _ in range(3):  # by its ops, traced, by its recipe
        with gf.GradientTape() as tape:
            tape.watch(x)
            y = gf.nn.softmax(x)[1:, ::-1]
        found.append((y.numpy(), tape.gradient(y, x, output_gradients=y).numpy()))
    for value, gradient in found[1:]:
        assert np.array_equal(value, found[0][0])
        assert np.array_equal(gradient, found[0][1])


def test_minus_zero_is_not_mistaken_for_zero():
    x = gf.constant([1.0])
    for zero, expected in ((0.0, np.inf), (-0.0, -np.inf)) * 2:
        close(x / zero, [expected])
        close(gf.pad(x, [[0, 1]], constant_values=zero)[1:] * 0 + 1 / gf.pad(x, [[0, 1]], constant_values=zero)[1:], [expected])


# --- derivatives -------------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_regression():
    x, y = gf.constant([[1.0, 2.0], [3.0, 4.0]]), gf.constant([[1.0], [0.0]])
    w = gf.Variable([[1.0], [2.0]])
    with gf.GradientTape() as tape:
        loss = gf.reduce_mean(gf.square(gf.matmul(x, w) - y))
    assert tape.watched_variables() == (w,)
    close(tape.gradient(loss, {"w": [w]})["w"][0], [[37.0], [52.0]])


def test_three_nested_tapes_give_the_third_derivative():
    x = gf.constant(2.0, gf.float64)
    with gf.GradientTape() as third:
        third.watch(x)
        with gf.GradientTape() as second:
            second.watch(x)
            with gf.GradientTape() as first:
                first.watch(x)
                y = gf.sin(x) * x**2
            dy = first.gradient(y, x)
        ddy = second.gradient(dy, x)
    s, c = np.sin(2.0), np.cos(2.0)
    close(dy, 4 * s + 4 * c)
    close(ddy, 2 * s + 8 * c - 4 * s)
    close(third.gradient(ddy, x), 6 * c - 12 * s - 4 * c)


def test_a_persistent_tape_differentiates_what_ran_whatever_a_variable_becomes():
    w = gf.Variable(3.0)
    with gf.GradientTape(persistent=True) as tape:
        y = w * w
        kept = w.read_value()
    w.assign(10.0)
    close(tape.gradient(y, w), 6.0)
    close(kept, 3.0)
    with gf.GradientTape() as again:
        z = w * w
        w.assign_add(1.0)
        z = z + w
    close(again.gradient(z, w), 21.0)  # by the value that was read first and by the one read after
    close(w, 11.0)


def test_one_gradient_unless_persistent():
    x = gf.constant(1.0)
    with gf.GradientTape() as tape:
        tape.watch(x)
        y = x * 2.0
    close(tape.gradient(y, x), 2.0)
    with pytest.raises(GradientError, match="persistent=True"):
        tape.gradient(y, x)


def test_a_missing_gradient_says_why():
    x, z = gf.constant(1.0), gf.constant(1.0)
    with gf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * z
        cut = gf.cast(gf.cast(y, gf.int32), gf.float32)
        with tape.stop_recording():
            unseen = y * 2.0
    with pytest.raises(GradientError, match="it was not watched"):
        tape.gradient(y, z)
    with pytest.raises(GradientError, match="no path of differentiable ops"):
        tape.gradient(cut, x)
    assert tape.gradient(unseen, x, unconnected_gradients="none") is None
    close(tape.gradient(cut, [x], unconnected_gradients="zero")[0], 0.0)
    with gf.no_gradient(), gf.GradientTape() as inner:
        inner.watch(x)
        close(inner.gradient(x * 3.0, x), 3.0)


def test_jacobians():
    x = gf.constant([[1.0, 2.0], [3.0, 4.0]], gf.float64)
    with gf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = gf.square(x) * x[:, :1]
    whole = tape.jacobian(y, x).numpy()
    assert whole.shape == (2, 2, 2, 2)
    close(whole[1, 1], [[0, 0], [16, 24]])
    rows = tape.batch_jacobian(y, x).numpy()
    close(rows, np.stack([whole[k, :, k] for k in range(2)]))


def test_forward_mode_and_its_mixtures():
    x = gf.constant([1.0, 2.0], gf.float64)
    v = gf.constant([1.0, -1.0], gf.float64)
    w = gf.Variable([3.0, 4.0], dtype=gf.float64)
    with gf.ForwardAccumulator((x, w), (v, v)) as accumulator:
        y = gf.exp(x) * w
        with gf.GradientTape() as tape:
            tape.watch(x)
            z = gf.reduce_sum(gf.sin(x) * x)
        g = tape.gradient(z, x)
    e = np.exp([1.0, 2.0])
    close(accumulator.jvp(y), e * [3, -4] + e * [1, -1])
    n = np.array([1.0, 2.0])
    close(accumulator.jvp(g), (2 * np.cos(n) - n * np.sin(n)) * [1, -1])  # the Hessian times v
    close(accumulator.jvp(gf.constant(1.0)), 0.0)
    assert accumulator.jvp(gf.constant(1.0), unconnected_gradients="none") is None


def test_complex_numbers_and_custom_gradients():
    @gf.custom_gradient
    def clipped(x):
        return x * x, lambda g: gf.clip_by_value(g, -1.0, 1.0)

    x = gf.constant([3.0, -4.0])
    with gf.GradientTape() as tape:
        tape.watch(x)
        y = gf.reduce_sum(5.0 * clipped(x))
    close(tape.gradient(y, x), [1.0, 1.0])


# --- control flow -------------------------------------------------------------------------------------------------------


def test_loops_and_branches():
    e, k = gf.constant(np.linspace(0, 1, 5)), gf.constant(3.0, gf.float64) * 1.0
    with gf.GradientTape(persistent=True) as tape, gf.ForwardAccumulator(k, gf.constant(1.0, gf.float64)) as accumulator:
        tape.watch([e, k])
        _, final = gf.scan(lambda s, v: (s * 0.5 + v * k, s), e, gf.constant(0.0, gf.float64))
        branch = gf.cond(final > 1.0, lambda: final * final, lambda: final / 0.0)
        _, power = gf.while_loop(lambda i, p: i < 3, lambda i, p: (i + 1, p * k), (gf.constant(0), k))
    weights = 0.5 ** np.arange(4, -1, -1)
    value = 3 * (weights @ np.linspace(0, 1, 5))
    close(tape.gradient(branch, e), 2 * value * 3 * weights)
    close(tape.gradient(branch, k), 2 * value * value / 3)
    close(tape.gradient(power, k), 4 * 27.0)
    close(gf.stack(accumulator.jvp([branch, power])), [2 * value * value / 3, 4 * 27.0])


def test_lanes():
    x = gf.constant(np.arange(6.0).reshape(3, 2))
    with gf.GradientTape() as tape:
        tape.watch(x)
        y = gf.vmap(lambda row: gf.foldl(lambda s, v: s * v + 1.0, row, gf.constant(1.0, gf.float64)))(x)
    close(y, [(0 + 1) * 1 + 1, (2 + 1) * 3 + 1, (4 + 1) * 5 + 1])
    close(tape.gradient(y, x), [[1, 1], [3, 3], [5, 5]])


# --- state, threads, memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["GradientDescentOptimizer", "MomentumOptimizer", "AdamOptimizer", "RMSPropOptimizer", "AdagradOptimizer"]
)
def test_optimizers_step_as_in_a_session(name):
    settings = {"momentum": 0.9} if name == "MomentumOptimizer" else {}
    w, optimizer = gf.Variable([1.0, -2.0]), getattr(gf.train, name)(0.1, **settings)
    for _ in range(3):
        with gf.GradientTape() as tape:
            loss = gf.reduce_sum(gf.square(w))
        optimizer.apply_gradients(zip(tape.gradient(loss, [w]), [w], strict=True))
    with gf.Graph().as_default():
        v = gf.Variable([1.0, -2.0])
        step = getattr(gf.train, name)(0.1, **settings).minimize(gf.reduce_sum(gf.square(v)))
        with gf.Session() as session:
            session.run(gf.global_variables_initializer())
            for _ in range(3):
                session.run(step)
            close(w, session.run(v))


def test_random_numbers_differ_from_draw_to_draw_and_follow_the_seed():
    gf.set_random_seed(3)
    first = [gf.random.normal([2]).numpy() for _ in range(2)]
    assert not np.array_equal(*first)
    gf.set_random_seed(3)
    assert np.array_equal([gf.random.normal([2]).numpy() for _ in range(2)], first)
    gf.set_random_seed(0)


def test_an_exception_in_a_tape_leaves_nothing_behind():
    x = gf.constant(1.0)
    with pytest.raises(RuntimeError, match="mine"), gf.GradientTape() as tape:
        tape.watch(x)
        y = x * 2.0
        raise RuntimeError("mine")
    assert not tape.applications
    with gf.GradientTape() as other:
        other.watch(x)
        y = x * 3.0
    close(other.gradient(y, x), 3.0)


def test_threads_do_not_see_each_others_tapes():
    barrier = threading.Barrier(2)
    found = {}

    def work(factor):
        with gf.eager():
            x = gf.constant(2.0)
            with gf.GradientTape() as tape:
                tape.watch(x)
                barrier.wait()
                y = x
                for _ in range(50):
                    y = y * factor
                barrier.wait()
                found[factor] = len(tape.applications), tape.gradient(y, x).numpy()

    threads = [threading.Thread(target=work, args=(f,)) for f in (1.0, 1.01)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found[1.0][0] == found[1.01][0] == 50
    close(found[1.01][1], np.float32(1.01) ** 50)


def test_a_long_loop_of_eager_steps_holds_memory_flat():
    w = gf.Variable(np.ones(8, np.float32))
    optimizer = gf.train.AdamOptimizer(1e-3)

    def steps(count):
        for _ in range(count):
            with gf.GradientTape() as tape:
                loss = gf.reduce_mean(gf.nn.softmax(w * 2.0))
            optimizer.apply_gradients([(tape.gradient(loss, w), w)])

    steps(20)
    gc.collect()
    tracemalloc.start()
    try:
        steps(20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        steps(200)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4096, f"200 steps kept {grown} bytes"


def test_recorders_inside_one_another_do_not_see_each_others_tangents():
    x, v = gf.constant(0.7, gf.float64), gf.constant(1.0, gf.float64)
    with gf.ForwardAccumulator(x, v) as outer, gf.GradientTape() as tape:
        tape.watch(x)
        y = gf.exp(x) * x
    assert len(tape.applications) == 2
    close(outer.jvp(tape.gradient(y, x)), 0.0)  # the tape is read outside of the accumulator
    with gf.GradientTape() as tape:
        tape.watch(x)
        with gf.ForwardAccumulator(x, v) as inner, gf.ForwardAccumulator(x, v) as innermost:
            y = gf.exp(x) * x
            first, again = inner.jvp(y), innermost.jvp(y)
        second = inner.jvp(again)
    e = np.exp(0.7)
    close(first, e * 1.7)
    close(second, e * 2.7)
    close(tape.gradient(second, x), e * 3.7)


def test_no_gradient_hides_nothing_from_later_calls():
    x = gf.constant([1.0, 2.0])
    for _ in range(4):
        with gf.GradientTape() as tape:
            tape.watch(x)
            with gf.no_gradient():
                scale = gf.reduce_sum(x)
            loss = gf.reduce_sum(x * scale)
        close(tape.gradient(loss, x), [3.0, 3.0])


def test_a_body_reads_constants_that_a_tape_watches():
    rate = gf.constant(3.0, gf.float64)
    with gf.GradientTape() as tape:
        tape.watch(rate)
        _, last = gf.scan(lambda s, _: rate * s, None, gf.constant(1.0, gf.float64), length=3)
    close(tape.gradient(last, rate), 27.0)


def test_the_derivatives_of_the_tutorial():
    """Those of examples/derivatives_by_hand.py."""

    def derivative(function, at):
        x = gf.constant(at)
        with gf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    a = gf.constant(5.0)

    def z(x):
        y = 2 * x**2 + 3 * a
        return y * y + 1 / (6 * x * a * y)

    close(derivative(lambda x: x**2 + 3 * x + 1, 2.0), 7.0)
    with gf.GradientTape() as tape:
        x = gf.constant(2.0)
        tape.watch(x)
        with gf.GradientTape() as inner:
            inner.watch(x)
            y = x**2 + 3 * x + 1
        slope = inner.gradient(y, x)
    close(tape.gradient(slope, x), 2.0)
    close(derivative(lambda x: 5 * (2 * x**2 + 3) + 6, 10.0), 200.0)
    close(derivative(z, 10.0), 17200.0)


def test_large_tensors_run_as_native_code():
    array = np.linspace(-2, 2, 2 * 80 * 60).reshape(2, 80, 60)
    x = gf.constant(array)
    close(gf.tanh(gf.transpose(x)), np.tanh(array.T))  # a view
    close(gf.exp(x[:, ::2, ::-1]), np.exp(array[:, ::2, ::-1]))
    half = gf.sigmoid(gf.cast(x, gf.float16))
    assert half.dtype == gf.float16
    np.testing.assert_allclose(half, 1 / (1 + np.exp(-array)), atol=2e-3)
    assert gf.random.normal([100, 100]).shape == (100, 100)


def test_solvers():
    x = gf.constant(2.0, gf.float64)
    with gf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        root = gf.optimize.root(lambda z: z * z - x, gf.constant(1.0, gf.float64)).x
        start, times = gf.constant([1.0], gf.float64), gf.constant([0.0, 1.0], gf.float64)
        final = gf.integrate.odeint(lambda y, t: -x * y, start, times, method="rk4", steps=20)[-1, 0]
    close(tape.gradient(root, x), 0.5 / np.sqrt(2))
    np.testing.assert_allclose(tape.gradient(final, x), -np.exp(-2), rtol=1e-5)
