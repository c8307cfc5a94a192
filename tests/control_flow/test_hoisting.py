"""What is moved out of loops: the same values, and a body that does less."""

import numpy as np

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ops.control import loop


def inputs(rng, width=9):
    x = gf.placeholder(gf.float64, [None, 4, width], name="x")
    w = gf.placeholder(gf.float64, [width, width], name="w")
    h = gf.placeholder(gf.float64, [4, width], name="h")
    return x, w, h, {x: rng.normal(size=(5, 4, width)), w: 0.3 * rng.normal(size=(width, width)), h: rng.normal(size=(4, width))}


def bodies(fetches, feeds):
    """The ops of the bodies of the loops of the optimised program, a list for each; its values are checked as well."""
    with gf.Session() as sess:
        for value, wanted in zip(sess.run(fetches, feeds), evaluate(fetches, feeds), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)
        program = sess.executable(fetches, list(feeds)).program
    return [[n.op.name for n in node.attrs["body"].nodes] for node in program.nodes if node.op is loop]


def test_products_of_rows_are_one_before_the_loop(rng):
    x, w, h, feeds = inputs(rng)
    states, final = gf.scan(lambda s, row: gf.tanh(gf.matmul(row, w) + s), x, h)
    (ops,) = bodies([states, final], feeds)
    assert "matmul" not in ops


def test_products_of_vectors_too(rng):
    x, w, _, feeds = inputs(rng)
    states, _ = gf.scan(
        lambda s, row: s * 0.5 + gf.reshape(gf.matmul(gf.reshape(row[0], [1, 9]), w), [9]), x, gf.zeros([9], gf.float64)
    )
    bodies([states], feeds)
    flat = x[:, 0]
    states, _ = gf.scan(lambda s, row: s * 0.5 + gf.matmul(row[None, :], w)[0], flat, gf.zeros([9], gf.float64))
    (ops,) = bodies([states], feeds)
    assert "matmul" not in ops


def test_products_that_only_become_rows_are_one_behind_the_loop(rng):
    x, w, h, feeds = inputs(rng)
    outs, _ = gf.scan(lambda s, row: (gf.tanh(s + row), gf.matmul(gf.tanh(s + row), w, transpose_b=True)), x, h)
    (ops,) = bodies([outs], feeds)
    assert "matmul" not in ops


def test_a_backward_step_has_one_product(rng):
    """That of the state; those of rows and weights are before and behind the loop, and its weight is transposed once."""
    x, w, h, feeds = inputs(rng, width=20)
    u = gf.placeholder(gf.float64, [20, 20], name="u")
    _, final = gf.scan(lambda s, row: (gf.tanh(gf.matmul(row, w) + gf.matmul(s, gf.exp(u))), None), x, h)
    feeds[u] = 0.1 * rng.normal(size=(20, 20))
    forward, backward = bodies(gf.gradients(gf.reduce_sum(final * final), [x, w, u, h]), feeds)
    assert forward.count("matmul") == backward.count("matmul") == 1
    assert "transpose" not in backward and "exp" not in forward + backward


def test_results_that_are_rows_of_an_operand_are_that_operand(rng):
    x, _, h, feeds = inputs(rng)
    same, states = gf.scan(lambda s, row: (s + row, (row, s)), x, h)[0]
    with gf.Session() as sess:
        program = sess.executable([same, states], [x, h]).program
    assert program.outputs[0] is program.inputs[0]
    bodies([same, states], feeds)


def test_small_matrices_stay_in_the_loop(rng):
    """There they are in registers."""
    x, w, h, feeds = inputs(rng, width=3)
    states, _ = gf.scan(lambda s, row: gf.tanh(gf.matmul(row, w) + s), x, h)
    (ops,) = bodies([states], feeds)
    assert "matmul" in ops
