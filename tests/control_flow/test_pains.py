"""What users of compiled loops suffer from, each as a small program: none of it hurts here.

The sections: gradients of loops whose length the data decide; loops over small states; branches; carried arrays; memory.
"""

import numpy as np
import pytest

import graphflow as gf


def run(fetches, feeds=None):
    """The values of `fetches` in a session of their own."""
    with gf.Session() as session:
        return session.run(fetches, feeds)


def fed(array, name=None):
    """A placeholder for an array, with all sizes left to the run."""
    array = np.asarray(array)
    return gf.placeholder(gf.as_dtype(array.dtype), [None] * array.ndim, name=name)


def check_gradients(build, *arrays, rtol=1e-6, h=1e-6):
    """The gradients of the scalar `build(*placeholders)` are central differences; gives its value."""
    arrays = [np.asarray(a, np.float64) for a in arrays]
    places = [gf.placeholder(gf.float64, a.shape) for a in arrays]
    loss = build(*places)
    gradients = gf.gradients(loss, places)
    with gf.Session() as session:
        value, *found = session.run([loss, *gradients], dict(zip(places, arrays, strict=True)))
        loss_of = session.make_callable(loss, feed_list=places)
        for k, gradient in enumerate(found):
            expected = np.zeros_like(arrays[k])
            for index in np.ndindex(expected.shape):
                ends = []
                for step in (h, -h):
                    moved = [a.copy() for a in arrays]
                    moved[k][index] += step
                    ends.append(loss_of(*(m[()] for m in moved)))
                expected[index] = (ends[0] - ends[1]) / (2 * h)
            np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol * max(1.0, np.abs(expected).max()))
    return value


def set_row(array, k, row):
    """`array` with `row` in the place of its row k."""
    return gf.tensor_scatter_nd_update(array, [[k]], gf.expand_dims(row, 0))


# --- gradients where the data decide how often a loop runs -----------------------------------------------------------------


def test_a_solver_that_stops_when_it_has_converged_is_differentiated(rng):
    """One step of a simulation: velocities under contact forces that a loop finds, until they hardly change."""
    stiff = np.array([[3.0, 0.4, 0.1], [0.4, 2.0, 0.3], [0.1, 0.3, 1.5]])

    def step(velocity, push):
        def moves(force, change, n):
            return gf.logical_and(change > 1e-13, n < 200)

        def relax(force, change, n):
            residual = velocity + push - gf.squeeze(gf.matmul(gf.constant(stiff), gf.expand_dims(force, 1)), [1])
            following = gf.maximum(force + 0.25 * residual, 0.0)
            return following, gf.reduce_max(gf.abs(following - force)), n + 1

        force, _, n = gf.while_loop(moves, relax, [gf.zeros_like(velocity), gf.constant(1.0, gf.float64), 0])
        return gf.reduce_sum(gf.square(velocity - 0.1 * force)), n

    value = check_gradients(lambda v, p: step(v, p)[0], [1.0, -0.5, 0.3], [0.2, 0.1, 0.9])
    assert value > 0
    v, p = fed([1.0]), fed([1.0])
    assert 5 < run(step(v, p)[1], {v: [1.0, -0.5, 0.3], p: [0.2, 0.1, 0.9]}) < 200


def test_dilation_until_nothing_changes_is_differentiated():
    """Morphological reconstruction: a marker grows under a mask; how far is seen only when it stands still."""
    mask = np.array([0.9, 0.8, 0.7, 0.1, 0.6, 0.5, 0.95, 0.2])
    marker = np.array([0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.3, 0.0])

    def reconstruct(marker, mask):
        def grows(marker, before):
            return gf.reduce_any(gf.not_equal(marker, before))

        def grow(marker, _):
            wide = gf.pad(marker, [[1, 1]])
            return gf.minimum(gf.maximum(gf.maximum(wide[:-2], wide[2:]), marker), mask), marker

        grown, _ = gf.while_loop(grows, grow, [marker, marker - 1])
        return gf.reduce_sum(grown * gf.constant(np.arange(1.0, 9.0)))

    check_gradients(reconstruct, marker, mask)


def test_gram_schmidt_in_a_loop_over_columns_is_differentiated(rng):
    """The loop indexes and replaces rows of what it carries."""
    matrix = rng.standard_normal((4, 4)) + 2 * np.eye(4)

    def orthogonal(a):
        def step(rows, k):
            row = gf.gather(rows, k)
            row = row / gf.sqrt(gf.reduce_sum(row * row))
            others = rows - gf.expand_dims(gf.reduce_sum(rows * row, axis=1), 1) * row
            later = gf.expand_dims(gf.range(4) > k, 1)
            return set_row(gf.where(later, others, rows), k, row)

        return gf.foldl(step, gf.range(4), a)

    a = fed(matrix)
    q = run(orthogonal(a), {a: matrix})
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-12)
    weights = rng.standard_normal((4, 4))
    check_gradients(lambda a: gf.reduce_sum(orthogonal(a) * gf.constant(weights)), matrix)


def test_a_loose_bound_costs_nothing():
    """A loop that may take a billion steps and takes three: so does its derivative."""

    def power(x):
        return gf.while_loop(lambda y: y < 20.0, lambda y: y * x, [x], maximum_iterations=10**9)[0]

    assert check_gradients(power, 2.5, rtol=1e-5) == pytest.approx(2.5**4)


def test_the_end_of_an_integration_is_fed():
    """Euler's method until a time that is fed, with gradients by the parameters: compiled once for all times."""
    end, rates = gf.placeholder(gf.float64, [], name="end"), gf.placeholder(gf.float64, [2], name="rates")

    def go_on(t, x):
        return t < end - 1e-9

    def step(t, x):
        return t + 0.1, x + 0.1 * (rates[0] - rates[1] * x)

    _, x = gf.while_loop(go_on, step, [gf.constant(0.0, gf.float64), gf.constant(1.0, gf.float64)])
    (slope,) = gf.gradients(x, [rates])
    with gf.Session() as session:
        call = session.make_callable([x, slope], feed_list=[end, rates])
        call(0.1, np.array([1.0, 0.5]))
        compiled = gf.cache.stats().compiled
        for n in (0, 1, 7, 50):
            value, gradient = call(n / 10, np.array([1.0, 0.5]))
            decay = 0.95**n
            assert value == pytest.approx(2 - decay, rel=1e-12)
            by_rate = (0.05 * n * 0.95 ** (n - 1) if n else 0.0) * 2
            assert gradient[0] == pytest.approx(2 * (1 - decay), rel=1e-9, abs=1e-15)
            assert gradient[1] == pytest.approx(-4 * (1 - decay) + by_rate, rel=1e-9, abs=1e-12)
        assert gf.cache.stats().compiled == compiled


def test_a_counted_loop_that_fills_an_array_has_gradients_by_every_argument(rng):
    """A linear system driven by inputs: by the start, the inputs, and both matrices."""

    def rollout(x, us, a, b):
        def step(t, outs, x):
            x = gf.matmul(a, x) + gf.matmul(b, gf.expand_dims(gf.gather(us, t), 1))
            return t + 1, set_row(outs, t, gf.squeeze(x, [1])), x

        _, outs, _ = gf.while_loop(lambda t, *_: t < 4, step, [gf.constant(0), gf.zeros([4, 2], gf.float64), x])
        return gf.reduce_sum(gf.square(outs))

    arrays = [rng.standard_normal(shape) for shape in ((2, 1), (4, 2), (2, 2), (2, 2))]
    check_gradients(rollout, *arrays)


# --- loops over small states -----------------------------------------------------------------------------------------------


def test_a_membrane_with_gates(rng):
    """A neuron after Hodgkin and Huxley: many small operations in each step."""
    current = np.r_[np.zeros(3), np.full(12, 12.0), np.zeros(5)]

    def peak(conductances, current):
        def step(state, i):
            v, m, h, n = state
            am, bm = 0.1 * (v + 40.3) / (1 - gf.exp(-(v + 40.3) / 10)), 4 * gf.exp(-(v + 65) / 18)
            ah, bh = 0.07 * gf.exp(-(v + 65) / 20), 1 / (1 + gf.exp(-(v + 35) / 10))
            an, bn = 0.01 * (v + 55.3) / (1 - gf.exp(-(v + 55.3) / 10)), 0.125 * gf.exp(-(v + 65) / 80)
            leak = conductances[0] * m**3 * h * (v - 50) + conductances[1] * n**4 * (v + 77) + conductances[2] * (v + 54.4)
            dt = 0.05
            m, h, n = m + dt * (am * (1 - m) - bm * m), h + dt * (ah * (1 - h) - bh * h), n + dt * (an * (1 - n) - bn * n)
            return (v + dt * (i - leak), m, h, n), v

        start = tuple(gf.constant(x, gf.float64) for x in (-65.0, 0.05, 0.6, 0.32))
        trace, _ = gf.scan(step, elems=current, initializer=start)
        return gf.reduce_mean(gf.square(trace + 60))

    check_gradients(peak, [120.0, 36.0, 0.3], current, rtol=1e-5)


def test_two_bodies_in_orbit():
    """Leapfrog steps of gravity, differentiated through the whole orbit."""

    def distance(start, mass):
        def step(state, _):
            place, speed = state
            place = place + 0.05 * speed
            speed = speed - 0.1 * mass * place / gf.reduce_sum(place * place) ** 1.5
            return (place + 0.05 * speed, speed), None

        _, (place, _) = gf.scan(step, initializer=(start[0], start[1]), length=30)
        return gf.reduce_sum(place * place)

    check_gradients(distance, [[1.0, 0.0], [0.1, 1.1]], 1.0)


def test_a_chain_of_joints(rng):
    """Products of 4 x 4 transforms along an arm."""
    offset = np.eye(4)
    offset[:3, 3] = 0.1, 0.2, 0.3

    def reach(angles):
        def step(frame, angle):
            c, s, zero, one = gf.cos(angle), gf.sin(angle), gf.zeros_like(angle), gf.ones_like(angle)
            turn = gf.stack([[c, -s, zero, zero], [s, c, zero, zero], [zero, zero, one, zero], [zero, zero, zero, one]])
            frame = gf.matmul(frame, gf.matmul(turn, gf.constant(offset)))
            return frame, frame[:3, 3]

        places, _ = gf.scan(step, elems=angles, initializer=gf.constant(np.eye(4)))
        return gf.reduce_sum(gf.square(places - 0.5))

    check_gradients(reach, rng.uniform(-1, 1, 6))


def test_many_scalars_in_a_dict_are_carried(rng):
    """Sixty leaves with names of their own; the result has their structure."""
    names = [f"node_{k}" for k in range(60)]

    def total(u, weight):
        def step(state, u):
            moved = {name: 0.9 * state[name] + 0.1 * gf.tanh(weight * state[names[k - 1]] + u) for k, name in enumerate(names)}
            return moved, moved["node_0"] * moved["node_59"]

        start = {name: gf.constant(0.01 * k, gf.float64) for k, name in enumerate(names)}
        products, last = gf.scan(step, elems=u, initializer=start)
        assert list(last) == names
        return gf.reduce_sum(products) + last["node_7"]

    check_gradients(total, rng.standard_normal(8), 0.7)


def test_a_loop_that_only_looks_things_up():
    """The largest so far of a table, until it is the largest of all."""
    table = gf.placeholder(gf.int32, [None])

    def step(largest, k):
        return gf.maximum(largest, gf.gather(table, k)), k + 1

    end = gf.reduce_max(table)
    _, count = gf.while_loop(lambda largest, k: largest < end, step, [gf.constant(-1), gf.constant(0)])
    with gf.Session() as session:
        for n in (1, 5, 4097):
            assert session.run(count, {table: np.arange(n, dtype=np.int32)}) == n


def test_rewards_to_go():
    """A discounted sum from the end, as a scan in reverse."""
    rewards = np.array([1.0, 0.0, 2.0, -1.0, 0.5])

    def weighted(rewards, discount):
        def step(ahead, reward):
            ahead = reward + discount * ahead
            return ahead, ahead

        togo, _ = gf.scan(step, elems=rewards, initializer=gf.constant(0.0, gf.float64), reverse=True)
        return togo

    r = fed(rewards)
    found = run(weighted(r, 0.9), {r: rewards})
    assert found == pytest.approx([sum(0.9**j * rewards[k + j] for j in range(5 - k)) for k in range(5)])
    check_gradients(lambda r, d: gf.reduce_sum(weighted(r, d) * gf.constant(np.arange(1.0, 6.0))), rewards, 0.9)


def adaptive(slope, start, end, tolerance):
    """(state at `end`, steps taken, steps refused) of Heun's method with steps of the size that the error allows."""

    def go_on(t, h, y, taken, refused):
        return t < end

    def step(t, h, y, taken, refused):
        h = gf.minimum(h, end - t)
        k1 = slope(t, y)
        k2 = slope(t + h, y + h * k1)
        error = gf.reduce_max(gf.abs(0.5 * h * (k2 - k1))) / tolerance
        fits = error <= 1.0
        t, y = gf.cond(fits, lambda: (t + h, y + 0.5 * h * (k1 + k2)), lambda: (t, y))
        factor = gf.clip_by_value(0.9 / gf.sqrt(gf.stop_gradient(error) + 1e-10), 0.2, 5.0)
        one = gf.cast(fits, gf.int32)
        return t, gf.stop_gradient(h * factor), y, taken + one, refused + 1 - one

    zero = gf.constant(0.0, gf.float64)
    found = gf.while_loop(go_on, step, (zero, zero + 0.5, start, gf.constant(0), gf.constant(0)), maximum_iterations=100_000)
    return found[2], found[3], found[4]


def test_steps_of_adaptive_size():
    """The size of a step, and whether it counts, follow from the data; stiff or not."""
    rate = gf.placeholder(gf.float64, [])

    def decay(t, y):
        return -rate * (y - gf.cos(t))

    y, taken, refused = adaptive(decay, gf.constant([0.0], gf.float64), 1.0, 1e-6)
    with gf.Session() as session:
        few, many = (session.run([y, taken, refused], {rate: r}) for r in (1.0, 50.0))
    assert few[0][0] == pytest.approx((np.cos(1) + np.sin(1) - np.exp(-1)) / 2, abs=1e-4)
    assert many[1] > few[1] > 10 and many[2] > 0


def test_a_switched_system_is_differentiated():
    """Pendulums whose force changes at a time of its own, by a branch in the loop; gradients by all parameters."""

    def energy(stiffness, start):
        def slope(t, y):
            return gf.cond(t < 0.3, lambda: gf.stack([y[1], -stiffness * y[0]]), lambda: gf.stack([y[1], stiffness - y[1]]))

        def step(t, y):
            return t + 0.05, y + 0.05 * slope(t, y)

        _, y = gf.while_loop(lambda t, y: t < 0.99, step, [gf.constant(0.0, gf.float64), start])
        return gf.reduce_sum(y * y)

    check_gradients(energy, 2.0, [1.0, 0.1])


def test_a_stiff_reaction_with_a_lane_for_each_tolerance():
    """Three rates over decades, solved with tolerances of their own side by side."""

    def slope(t, y):
        forth, back, rest = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] * y[1]
        return gf.stack([back - forth, forth - back - rest, rest])

    def solve(tolerance):
        start = gf.constant([1.0, 0.0, 0.0], gf.float64)
        y, taken, _ = adaptive(slope, start, 0.01, tolerance)
        return y, taken

    tolerances = np.array([1e-4, 1e-6, 1e-8])
    t = fed(tolerances)
    ys, taken = run(gf.vmap(solve)(t), {t: tolerances})
    assert taken[0] < taken[1] < taken[2], "each lane takes the steps it needs"
    np.testing.assert_allclose(ys.sum(1), 1.0, rtol=1e-9)
    one = gf.placeholder(gf.float64, [])
    with gf.Session() as session:
        alone = [session.run(solve(one), {one: tolerance}) for tolerance in tolerances]
    assert all(np.array_equal(ys[k], alone[k][0]) and taken[k] == alone[k][1] for k in range(3))


def test_a_random_walk_of_a_length_that_is_fed(rng):
    steps = gf.placeholder(gf.float64, [None])
    walk, last = gf.scan(lambda at, step: at + step, elems=steps, initializer=gf.constant(0.0, gf.float64))
    with gf.Session() as session:
        for n in (0, 1, 100):
            drawn = rng.standard_normal(n)
            found, end = session.run([walk, last], {steps: drawn})
            np.testing.assert_allclose(found, np.cumsum(drawn), rtol=1e-12, atol=1e-12)
            assert end == pytest.approx(drawn.sum())


def test_the_path_of_an_online_regression(rng):
    """E -= a X <E, X> for a batch, with the squared norm of each step."""
    x = rng.standard_normal((10, 3, 4))

    def norms(errors, x, rate):
        def step(errors, x):
            losses = gf.reduce_sum(errors * x, axis=1)
            errors = errors - rate * x * gf.expand_dims(losses, 1)
            return errors, gf.reduce_sum(errors * errors, axis=1)

        return gf.scan(step, elems=x, initializer=errors)[0]

    errors, expected = np.ones((3, 4)), []
    for k in range(10):
        errors = errors - 0.05 * x[k] * np.sum(errors * x[k], 1, keepdims=True)
        expected.append(np.sum(errors**2, 1))
    fx = fed(x)
    np.testing.assert_allclose(run(norms(gf.ones([3, 4], gf.float64), fx, 0.05), {fx: x}), expected, rtol=1e-12)
    check_gradients(lambda e, r: gf.reduce_mean(norms(e, gf.constant(x[:4]), r)), np.ones((3, 4)), 0.05)


def test_a_recurrent_network_is_one_graph_for_all_lengths(rng, graph):
    """A gated cell with relu: as many nodes for five steps as for five hundred, compiled once."""
    w, u = rng.standard_normal((3, 8)) * 0.5, rng.standard_normal((4, 8)) * 0.4

    def last(x, w, u):
        def cell(h, x):
            gates = gf.matmul(x, w) + gf.matmul(h, u)
            keep = gf.sigmoid(gates[:, :4])
            return keep * h + (1 - keep) * gf.nn.relu(gates[:, 4:]), None

        return gf.scan(cell, elems=x, initializer=gf.zeros([2, 4], gf.float64))[1]

    x = gf.placeholder(gf.float64, [None, 2, 3])
    h = last(x, gf.constant(w), gf.constant(u))
    with gf.Session() as session:
        call = session.make_callable(h, feed_list=[x])
        call(np.zeros((5, 2, 3)))
        compiled = gf.cache.stats().compiled
        for n in (0, 1, 500):
            assert call(rng.standard_normal((n, 2, 3))).shape == (2, 4)
        assert gf.cache.stats().compiled == compiled
    values = rng.standard_normal((3, 2, 3))
    check_gradients(lambda w, u: gf.reduce_sum(gf.square(last(gf.constant(values), w, u))), w, u)


def test_differences_along_each_axis(rng):
    """No loop, but as slow elsewhere: the sum of squares of the differences of neighbours, with its gradient."""

    def roughness(x):
        return sum(
            gf.reduce_sum(gf.square(a - b)) for a, b in ((x[1:], x[:-1]), (x[:, 1:], x[:, :-1]), (x[:, :, 1:], x[:, :, :-1]))
        )

    check_gradients(roughness, rng.standard_normal((3, 4, 2)))


# --- branches --------------------------------------------------------------------------------------------------------------


def test_only_the_branch_taken_is_computed():
    """The other one looks up what is not there, and is not asked."""
    x, k = gf.placeholder(gf.float32, [None]), gf.placeholder(gf.int32, [])
    y = gf.cond(k < gf.shape(x)[0], lambda: gf.gather(x, k) * 2, lambda: gf.constant(-1.0))
    with gf.Session() as session:
        assert session.run(y, {x: [1, 2, 3], k: 2}) == 6
        assert session.run(y, {x: [1, 2, 3], k: 3}) == -1
        assert session.run(y, {x: [], k: 0}) == -1


def test_lanes_of_which_only_some_end_in_a_branch():
    """A loop that would never end for negative numbers stands in the branch for positive ones."""

    def shrink(x):
        positive = lambda: gf.while_loop(lambda y: gf.logical_or(y <= 0, y > 1e-2), lambda y: y * 0.1, [x])[0]
        negative = lambda: gf.while_loop(lambda y: y < -1e-2, lambda y: y * 0.1, [x])[0]
        return gf.cond(x >= 0, positive, negative)

    values = np.array([3.0, -2.0, 0.5, -0.001])
    x = fed(values)
    found = run(gf.vmap(shrink)(x), {x: values})
    assert found == pytest.approx([3e-3, -2e-3, 5e-3, -1e-3])


def test_lanes_compute_only_their_branch():
    """Out of range in one branch, for lanes that take the other: no error, and each its own."""
    table = np.array([10.0, 20.0, 30.0])

    def look_up(k):
        return gf.cond(k < 3, lambda: gf.gather(gf.constant(table), k), lambda: gf.constant(0.0, gf.float64))

    k = gf.placeholder(gf.int32, [None])
    lanes = gf.vmap(look_up)(k)
    with gf.Session() as session:
        assert session.run(lanes, {k: [2, 7, 0, 1000]}).tolist() == [30, 0, 10, 0]


def test_a_fast_path_with_a_slow_exception():
    """Newton's method only where the approximation is not good enough; the count says who took it."""

    def root(x):
        def slow():
            return gf.while_loop(
                lambda y, n: gf.abs(y * y - x) > 1e-12 * x, lambda y, n: (0.5 * (y + x / y), n + 1), [x, gf.constant(0)]
            )

        return gf.cond(gf.abs(x - 1) < 1e-3, lambda: [1 + 0.5 * (x - 1), gf.constant(0)], slow)

    values = np.array([1.0, 1.0001, 9.0, 1e6])
    x = fed(values)
    roots, counts = run(gf.vmap(root)(x), {x: values})
    np.testing.assert_allclose(roots, np.sqrt(values), rtol=1e-7)
    assert counts[0] == counts[1] == 0 < counts[2] < counts[3]


def test_a_branch_gives_several_results_of_several_types(rng):
    """A large array, a number and integers: kept as they are, or begun anew."""
    graph_, index, counts = gf.placeholder(gf.float32, [None, 4]), gf.placeholder(gf.int32, []), gf.placeholder(gf.int32, [None])
    kept = gf.cond(
        index > 5,
        lambda: (gf.zeros_like(graph_), gf.constant(0), gf.zeros_like(counts)),
        lambda: (graph_, index, counts),
    )
    values = rng.standard_normal((3, 4)).astype(np.float32)
    with gf.Session() as session:
        a, k, c = session.run(kept, {graph_: values, index: 5, counts: [1, 2]})
        assert np.array_equal(a, values) and k == 5 and c.tolist() == [1, 2]
        a, k, c = session.run(kept, {graph_: values, index: 6, counts: [1, 2]})
        assert not a.any() and k == 0 and c.tolist() == [0, 0]


def test_the_branch_not_taken_sends_no_nan_back():
    x = gf.placeholder(gf.float64, [None])
    y = gf.vmap(lambda x: gf.cond(x > 0, lambda: gf.sqrt(x), lambda: 2 * x))(x)
    (gradient,) = gf.gradients(gf.reduce_sum(y), [x])
    assert run(gradient, {x: [4.0, 0.0, -1.0]}).tolist() == [0.25, 2.0, 2.0]


# --- arrays that are carried -------------------------------------------------------------------------------------------------


def planned(fetches, feeds):
    """Bytes of the arena that a run will need."""
    with gf.Session() as session:
        return session.memory_plan(fetches, feeds).plan.arena_bytes


def test_taking_elements_out_of_a_carried_array(rng):
    """Each step takes one element and closes the gap; how many steps there are, the memory does not say."""
    places, array = gf.placeholder(gf.int32, [None]), gf.placeholder(gf.float32, [None])
    count = gf.shape(array)[0]

    def pop(array, place):
        there = gf.range(count)
        source = gf.minimum(there + gf.cast(there >= place, gf.int32), count - 1)
        return gf.gather(array, source), gf.gather(array, place)

    taken, left = gf.scan(pop, elems=places, initializer=array)
    values, order = np.arange(6, dtype=np.float32), np.array([2, 0, 3], np.int32)
    found, rest = run([taken, left], {array: values, places: order})
    assert found.tolist() == [2, 0, 5] and rest[:3].tolist() == [1, 3, 4]
    few, many = (planned(gf.reduce_sum(left), {array: (10_000,), places: (n,)}) for n in (4, 400))
    assert many <= few + 4096 and few <= 5 * 40_000


def test_rows_of_a_carried_array_that_follow_from_earlier_rows(rng):
    """P[i] is P[i-1] P[i-2], scaled; value and gradient, and the memory of the value."""
    p0, p1 = rng.uniform(0.1, 1, (2, 3, 3))

    def build(p0, p1, n=6):
        def step(rows, i):
            row = gf.matmul(gf.gather(rows, i - 1), gf.gather(rows, i - 2))
            return set_row(rows, i, row / gf.reduce_sum(row, axis=1, keepdims=True))

        start = gf.concat([gf.stack([p0, p1]), gf.zeros([n - 2, 3, 3], gf.float64)], axis=0)
        return gf.foldl(step, gf.range(2, n), start)[n - 1, 0, 0]

    expected = [p0, p1]
    for _ in range(4):
        row = expected[-1] @ expected[-2]
        expected.append(row / row.sum(1, keepdims=True))
    assert check_gradients(build, p0, p1) == pytest.approx(expected[-1][0, 0])


def test_a_guarded_update_of_a_carried_array():
    """Rows beyond a limit that is fed stay as they are."""
    limit = gf.placeholder(gf.int32, [])

    def step(rows, i):
        return gf.cond(i < limit, lambda: set_row(rows, i, gf.gather(rows, i - 1) + 1), lambda: rows)

    rows = gf.foldl(step, gf.range(1, 6), gf.zeros([6, 2]))
    with gf.Session() as session:
        assert session.run(rows, {limit: 4})[:, 0].tolist() == [0, 1, 2, 3, 0, 0]
        assert session.run(rows, {limit: 0}).any() == np.False_


def test_parameters_that_are_learned_in_some_steps_only(rng):
    """A training loop in the graph: where the error is small, the parameters pass through the branch as they are."""
    x, y = rng.standard_normal((40, 3)), rng.standard_normal(40)

    def step(state, pair):
        w, updates = state
        row, target = pair
        error = gf.reduce_sum(w * row) - target

        return gf.cond(gf.abs(error) > 0.5, lambda: (w - 0.05 * error * row, updates + 1), lambda: (w, updates)), None

    fx, fy = fed(x), fed(y)
    _, (w, updates) = gf.scan(step, elems=(fx, fy), initializer=(gf.zeros([3], gf.float64), gf.constant(0)))
    expected, count = np.zeros(3), 0
    for row, target in zip(x, y, strict=True):
        error = expected @ row - target
        if abs(error) > 0.5:
            expected, count = expected - 0.05 * error * row, count + 1
    found, counted = run([w, updates], {fx: x, fy: y})
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert counted == count > 0


def test_many_large_intermediates_one_after_the_other():
    """A hundred histograms of pairs: no more of their large operands are alive than a few."""
    n = 100_000
    data = [gf.placeholder(gf.int32, [None]) for _ in range(5)]
    counts = [gf.reduce_sum(gf.cast(gf.equal(a * 7 + b, 3), gf.int32)) for a in data for b in data]
    assert planned(counts, {d: (n,) for d in data}) <= 3 * 4 * n


def test_parameters_are_updated_where_they_are():
    """No second copy of what is learned, nor of its gradient."""
    w = gf.Variable(gf.zeros([500, 200]), name="w")
    x = gf.placeholder(gf.float32, [None, 500])
    loss = gf.reduce_mean(gf.square(gf.matmul(x, w) - 1))
    train = gf.train.GradientDescentOptimizer(0.1).minimize(loss)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        report = session.memory_plan([train, loss], {x: (16, 500)})
        assert report.plan.arena_bytes + report.next_values < 500 * 200 * 4 / 2


# --- the memory of a gradient ------------------------------------------------------------------------------------------------


def test_what_is_cheap_to_compute_again_is_not_kept():
    """The sum over y of x (y + z) for large matrices: its gradient by x does not keep y + z of every step."""
    size = 64
    x, ys = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [None])
    z = gf.ones([size, size], gf.float64) * gf.reduce_sum(ys)

    total = gf.foldl(lambda carry, y: carry + x * (y + z), ys, gf.zeros([size, size], gf.float64))
    (gradient,) = gf.gradients(gf.reduce_mean(total), [x])
    assert run(gradient, {x: 2.0, ys: [1.0, 2.0]}) == pytest.approx(9.0)
    few, many = (planned(gradient, {x: (), ys: (n,)}) for n in (5, 45))
    assert many - few < 40 * size * size * 8 / 4


def test_a_long_loop_keeps_little_of_each_step(rng):
    """Of a step of nine operations on vectors, of which one is dear, two vectors at most are kept, beside the gradient."""
    x = gf.placeholder(gf.float64, [None, 100])

    def step(h, x):
        return gf.tanh((1 - gf.square(h)) * gf.square(x) + 0.5 * (h * x - h)), None

    _, h = gf.scan(step, elems=x, initializer=gf.zeros([100], gf.float64))
    (gradient,) = gf.gradients(gf.reduce_sum(h), [x])
    few, many = (planned(gf.reduce_sum(gradient), {x: (n, 100)}) for n in (10, 1010))
    assert many - few < 3.5 * 1000 * 100 * 8


def test_layers_of_one_shape_in_a_loop(rng):
    """Deep networks as a scan over their layers' weights; the gradient has the shape of the weights."""
    weights, x = rng.standard_normal((6, 4, 4)) * 0.5, rng.standard_normal((3, 4))

    def deep(weights, x):
        return gf.reduce_sum(gf.square(gf.foldl(lambda h, w: h + gf.tanh(gf.matmul(h, w)), weights, x)))

    check_gradients(deep, weights, x)


def test_the_gradient_of_a_long_loop_fits_a_budget(rng):
    """Beyond it, checkpoints are kept and steps are run again: the same numbers in a fraction of the memory."""
    x, w = gf.placeholder(gf.float64, [400, 50]), gf.placeholder(gf.float64, [50])
    feeds = {x: rng.standard_normal((400, 50)), w: rng.standard_normal(50)}

    def gradient():
        _, h = gf.scan(lambda h, x: (gf.tanh(h * w + x), None), elems=x, initializer=gf.zeros([50], gf.float64))
        return gf.gradients(gf.reduce_sum(h), [w])[0]

    free = gradient()
    with gf.options(tape_bytes=1 << 14):
        bounded = gradient()
        value, bytes_ = run(bounded, feeds), planned(bounded, feeds)
    np.testing.assert_allclose(value, run(free, feeds), rtol=1e-12)
    assert bytes_ <= 1 << 14 and planned(free, feeds) > 1 << 18


def test_a_branch_that_cannot_run_is_not_run_where_both_share_what_they_read():
    """One branch needs a shape that the operand does not have; what both read is computed once."""
    x = gf.placeholder(gf.float32, [None, None])
    doubled = x * 2
    square = gf.equal(gf.shape(x)[0], gf.shape(x)[1])
    y = gf.cond(square, lambda: gf.reduce_sum(gf.matmul(doubled, doubled)), lambda: gf.reduce_sum(doubled))
    with gf.Session() as session:
        assert session.run(y, {x: np.ones((2, 2), np.float32)}) == 32
        assert session.run(y, {x: np.ones((2, 3), np.float32)}) == 12
