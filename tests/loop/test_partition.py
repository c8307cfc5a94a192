"""Fusion: what shares a kernel, what does not, and the reason that is recorded."""

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def groups():
    def partition(fetches, **options):
        with gf.options(**options), gf.Session() as sess:
            return sess.executable(fetches).groups

    return partition


def test_an_elementwise_chain_is_one_kernel(groups):
    x = gf.placeholder(gf.float32, [None, 8], name="x")
    (group,) = groups(gf.tanh(gf.exp(x) + 1.0) * gf.sigmoid(x))
    assert group.kind == "loop" and len(group.outputs) == 1 and [t.name for t in group.reads] == ["x"]


def test_softmax_is_one_kernel_of_three_stages(groups):
    x = gf.placeholder(gf.float32, [None, 8], name="x")
    with gf.Session() as sess:
        executable = sess.executable(gf.nn.softmax(x))
    (kernel,) = executable.kernels
    assert kernel.form == "row" and len(kernel.stages) == 3


def test_cross_entropy_and_its_gradient_are_one_kernel(groups):
    x, y = gf.placeholder(gf.float32, [None, 8], name="x"), gf.placeholder(gf.int32, [None], name="y")
    losses = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x)
    assert len(groups([losses, *gf.gradients(losses, [x])])) == 1


def test_layer_norm_forward_and_backward_share_a_row_kernel(groups):
    x = gf.placeholder(gf.float32, [None, 32], name="x")
    mean, variance = gf.moments(x, axes=[1], keepdims=True)
    y = (x - mean) * gf.rsqrt(variance + 1e-5)
    assert len(groups([y, *gf.gradients(y * y * y, [x])])) == 1


def test_what_follows_a_matrix_product_runs_in_its_kernel(groups):
    x, w = gf.placeholder(gf.float32, [None, 8], name="x"), gf.placeholder(gf.float32, [8, 4], name="w")
    (group,) = groups(gf.nn.relu(x @ w + 1.0))
    assert group.kind == "library" and [n.op.name for n in group.members] == ["matmul", "add", "relu"]


@pytest.mark.parametrize("shape", [[3, 4, 8], [None, 4, 8], [2, None, 3, 8], [8, 8, 8]])
def test_what_follows_a_product_of_many_axes_runs_in_its_kernel(groups, rng, shape):
    x, w = gf.placeholder(gf.float32, shape, name="x"), gf.placeholder(gf.float32, [8, 8], name="w")
    b = gf.placeholder(gf.float32, shape[1:-1] + [1] if None not in shape[1:] else [1], name="b")
    y = gf.tanh(x @ w + b)
    (group,) = groups([y, y * 2.0])
    assert group.kind == "library"
    sizes = [5 if size is None else size for size in shape]
    feeds = {t: rng.standard_normal(s).astype(np.float32) for t, s in ((x, sizes), (w, (8, 8)), (b, b.shape))}
    with gf.Session() as sess:
        found, double = sess.run([y, y * 2.0], feeds)
    np.testing.assert_allclose(found, np.tanh(feeds[x] @ feeds[w] + feeds[b]), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(double, 2 * found)


def test_a_lookup_that_follows_a_product_checks_its_index(groups, rng):
    x, w = gf.placeholder(gf.float32, [6, 8]), gf.placeholder(gf.float32, [8, 4])
    table, row = gf.placeholder(gf.float32, [3, 6, 4]), gf.placeholder(gf.int64, [])
    y = gf.tanh(x @ w + table[row])
    assert len(groups(y)) == 1
    feeds = {t: rng.standard_normal(t.shape).astype(np.float32) for t in (x, w, table)}
    with gf.Session() as sess:
        np.testing.assert_allclose(
            sess.run(y, {**feeds, row: 1}), np.tanh(feeds[x] @ feeds[w] + feeds[table][1]), rtol=1e-5, atol=1e-6
        )
        with pytest.raises(gf.errors.IndexOutOfRangeError, match="index 3 is outside"):
            sess.run(y, {**feeds, row: 3})


def test_an_update_is_folded_into_the_product(groups):
    x, w = gf.placeholder(gf.float32, [8, 8], name="x"), gf.Variable(np.zeros((8, 8), np.float32), name="w")
    with gf.Session() as sess:
        (source,) = sess.executable(gf.group(w.assign_sub(0.5 * (x @ x)))).sources
    assert "float32(-0.5)" in source.text and "for i in" not in source.text


def test_a_sum_of_products_is_added_up_in_place():
    xs = [gf.placeholder(gf.float32, [4, 8], name=f"x{k}") for k in range(3)]
    first, *others = (gf.matmul(x, x, transpose_a=True) for x in xs)
    total = first
    for product in others:
        total = total + product
    with gf.Session() as sess:
        executable = sess.executable(gf.exp(total))
        rng = np.random.default_rng(0)
        values = [rng.standard_normal((4, 8)).astype(np.float32) / 4 for _ in xs]
        found = sess.run(gf.exp(total), dict(zip(xs, values, strict=True)))
    np.testing.assert_allclose(found, np.exp(sum(v.T @ v for v in values)), rtol=1e-5)
    middle = executable.sources[1].text  # a call that adds, and no loop behind it
    assert "float32(1.0), a," in middle and "float32(1.0), c," in middle and "for i in" not in middle


def test_results_that_nobody_asks_for_have_memory_of_their_own(rng):
    q, k, v = (gf.placeholder(gf.float32, [2, 5, 4], name=name) for name in "qkv")
    loss = gf.reduce_sum(gf.square(gf.nn.scaled_dot_product_attention(q, k, v)))
    gradients = gf.gradients(loss, [q, k, v])
    feeds = {x: rng.standard_normal((2, 5, 4)).astype(np.float32) for x in (q, k, v)}
    with gf.Session() as sess:
        together = sess.run(gradients, feeds)
        for gradient, value in zip(gradients, together, strict=True):
            np.testing.assert_array_equal(sess.run(gradient, feeds), value)


def test_reductions_over_different_axes_part_with_a_reason(groups):
    x = gf.placeholder(gf.float32, [6, 8], name="x")
    y = gf.exp(x)
    found = groups([gf.reduce_sum(y, axis=0), gf.reduce_sum(y, axis=1)])
    assert len(found) == 2
    assert any("it reduces axes [1], the group reduces [0]" in remark for group in found for remark in group.remarks)


def test_reading_at_another_index_parts_with_a_reason(groups):
    x = gf.placeholder(gf.float32, [8, 8], name="x")
    y = gf.exp(x)
    found = groups([y, y + gf.transpose(y)])
    assert len(found) == 2 and any("at another index" in remark for group in found for remark in group.remarks)


def test_a_cycle_of_groups_is_refused(groups):
    x = gf.placeholder(gf.float32, [8, 8], name="x")
    y = gf.exp(x)
    z = gf.matmul(y, y)
    found = groups([y * gf.exp(z), gf.exp(y)])
    order = {t: k for k, group in enumerate(found) for t in group.outputs}
    for k, group in enumerate(found):
        assert all(order[t] < k for t in group.reads if t in order)


def test_dear_work_is_not_repeated_for_every_element(groups):
    x = gf.placeholder(gf.float32, [None], name="x")
    y = gf.placeholder(gf.float32, [None, None], name="y")
    found = groups(gf.expand_dims(gf.exp(x), 1) * y)
    assert [len(g.outputs) for g in found] == [1, 1]


def test_large_groups_are_cut(groups):
    x = gf.placeholder(gf.float32, [None], name="x")
    y = x
    for _ in range(60):
        y = gf.tanh(y) + x
    found = groups(y, max_group=20)
    assert len(found) >= 3 and all(len(group.members) <= 70 for group in found)


def test_long_chains_compile(groups):
    x = gf.placeholder(gf.float32, [None], name="x")
    y = x
    for k in range(3000):
        y = y * 1.0001 if k % 2 else gf.abs(y - 0.001)
    with gf.options(max_group=40):
        assert len(groups(y)) >= 1


def test_fusion_can_be_switched_off(groups):
    x = gf.placeholder(gf.float32, [None, 8], name="x")
    assert len(groups(gf.nn.softmax(x), disable="fusion")) >= 5
