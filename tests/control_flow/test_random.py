"""Random ops in bodies: other numbers in every step, the same in a session that does the same."""

import numpy as np
import pytest

import graphflow as gf

DRAWS = {
    "scan": lambda: gf.scan(lambda c, _: (c, gf.random.normal([2], dtype=gf.float64)), None, 0.0, length=50)[0],
    "map_fn": lambda: gf.map_fn(lambda r: r + gf.random.normal([2], dtype=gf.float64), gf.zeros([50, 1], gf.float64)),
    "scan in scan": lambda: gf.reshape(
        gf.scan(
            lambda c, _: (c, gf.scan(lambda d, _: (d, gf.random.normal([2], dtype=gf.float64)), None, 0.0, length=5)[0]),
            None,
            0.0,
            length=10,
        )[0],
        [50, 2],
    ),
    "a branch in a scan": lambda: gf.scan(
        lambda c, _: (
            c + 1,
            gf.cond(c < 25, lambda: gf.random.normal([2], dtype=gf.float64), lambda: gf.random.normal([2], dtype=gf.float64)),
        ),
        None,
        0,
        length=50,
    )[0],
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_step_draws_other_numbers_and_every_session_the_same(name):
    gf.set_random_seed(7)
    y = DRAWS[name]()
    with gf.Session() as session:
        first, second = session.run(y), session.run(y)
    with gf.Session() as session:
        np.testing.assert_array_equal(session.run(y), first)
        np.testing.assert_array_equal(session.run(y), second)
    drawn = np.concatenate([first.ravel(), second.ravel()])
    assert len(np.unique(drawn)) == 200
    assert abs(drawn.mean()) < 0.3 and abs(drawn.std() - 1) < 0.2


def test_two_ops_of_a_body_and_two_loops_draw_apart():
    def step(c, _):
        return c, (gf.random.uniform([]), gf.random.uniform([]))

    one, other = (gf.scan(step, None, 0.0, length=20)[0] for _ in range(2))
    with gf.Session() as session:
        drawn = np.array(session.run([one, other]))
    assert len(np.unique(drawn)) == 80


def test_a_gradient_sees_the_numbers_that_were_drawn():
    """The reverse loop draws those of the forward one again, whether it kept them, drew them again, or ran from checkpoints."""
    a = gf.placeholder(gf.float64, [])
    y, noise = gf.scan(lambda c, _: (c + a * (z := gf.random.normal([], dtype=gf.float64)), z), None, a, length=40)[::-1]
    g = gf.gradients(y, a)[0]
    u, noise_of_while = gf.while_loop(
        lambda k, c, s: k < 40,
        lambda k, c, s: (k + 1, gf.sin(c) + a * (z := gf.random.normal([], dtype=gf.float64)), s + z),
        (0, a, gf.constant(0.0, gf.float64)),
    )[1:]
    with gf.options(tape_bytes=64):
        h = gf.gradients(u, a)[0]
    with gf.Session() as session:
        drawn, found = session.run([noise, g], {a: 2.0})
        np.testing.assert_allclose(found, 1 + drawn.sum(), rtol=1e-12)
    step = 1e-6
    values = []
    for at in (2.0 - step, 2.0, 2.0 + step):
        with gf.Session() as session:  # the first run of a session draws the same each time
            values.append(session.run([u, h, noise_of_while], {a: at}))
    np.testing.assert_allclose(values[1][1], (values[2][0] - values[0][0]) / (2 * step), rtol=1e-6)
