"""What a run gives: nests of fetches, feeds of any tensor, state, control dependencies."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import graphflow as gf

Pair = namedtuple("Pair", "first second")


@pytest.fixture
def sess():
    with gf.Session() as session:
        yield session


def test_fetches_nest(sess):
    x = gf.placeholder(gf.float32, [None], name="x")
    y, v = x * 2.0, gf.Variable([1.0, 2.0], name="v")
    sess.run(gf.global_variables_initializer())
    got = sess.run(
        {"list": [x, y, y], "tuple": (y,), "pair": Pair(x, {"deep": [y]}), "v": v, "op": gf.group(y), "none": []}, {x: [1.0, 2.0]}
    )
    assert list(got) == ["list", "tuple", "pair", "v", "op", "none"]
    assert np.array_equal(got["list"][0], [1, 2]) and np.array_equal(got["list"][1], [2, 4])
    assert np.array_equal(got["list"][2], [2, 4])
    assert isinstance(got["tuple"], tuple) and isinstance(got["pair"], Pair) and got["op"] is None and got["none"] == []
    assert np.array_equal(got["pair"].second["deep"][0], [2, 4])
    assert type(sess.run(OrderedDict(a=y), {x: [1.0]})) is OrderedDict


def test_scalars_come_back_as_numpy_scalars(sess):
    value = sess.run(gf.reduce_sum(gf.constant([1.0, 2.0])))
    assert type(value) is np.float32 and value == 3


def test_results_belong_to_the_caller(sess):
    x = gf.placeholder(gf.float32, [None], name="x")
    for n in (3, 3000):
        data = np.ones(n, np.float32)
        v = gf.Variable(np.zeros(n, np.float32))
        sess.run(v.initializer)
        first = sess.run([x, x + 1.0, v], {x: data})
        kept = [a.copy() for a in first]
        sess.run([x, x + 1.0, v.assign_add(x)], {x: data * 5})
        for a, b in zip(first, kept, strict=True):
            assert np.array_equal(a, b) and a.flags.writeable
        first[0][:] = -1
        assert (data == 1).all()


@pytest.mark.parametrize("kept", [lambda a: a, lambda a: a[::2], lambda a: memoryview(a), lambda a: a.reshape(-1, 2).T])
def test_results_survive_later_runs(sess, kept):
    """A run takes over the memory of an earlier result only if nobody has it, or a view of it."""
    x = gf.placeholder(gf.float32, [None], name="x")
    flat = x + 1.0
    call = sess.make_callable([flat, gf.reshape(flat, [2, -1])], [x])
    for fetch in (0, 1):
        results = [kept(call(np.full(4000, k, np.float32))[fetch]) for k in range(4)]
        for k, result in enumerate(results):
            assert (np.asarray(result) == k + 1).all()


def test_memory_of_results_that_were_let_go_is_used_again(sess):
    x = gf.placeholder(gf.float32, [None], name="x")
    call = sess.make_callable([x + 1.0], [x])
    data = np.ones(4000, np.float32)
    assert len({call(data)[0].ctypes.data for _ in range(5)}) == 1


def test_any_tensor_can_be_fed(sess):
    x = gf.placeholder(gf.float32, [None, 2], name="x")
    h = gf.exp(x)
    y = gf.reduce_sum(h, axis=1)
    assert np.array_equal(sess.run(y, {h: [[1.0, 2.0], [3.0, 4.0]]}), [3, 7])
    scalar = gf.constant(2.0) * 3.0
    assert sess.run(scalar + 1.0, {scalar: 10.0}) == 11


@pytest.mark.parametrize("n", [3, 90])
def test_feeds_of_any_layout(sess, n):
    """Small feeds are copied, large ones read where they are: neither needs to be contiguous or aligned."""
    x = gf.placeholder(gf.float32, [None, None], name="x")
    call = sess.make_callable([x + 1.0, x, gf.reduce_sum(x, axis=1)], [x])
    data = np.arange(4 * n * n, dtype=np.float32).reshape(2 * n, 2 * n)
    unaligned = np.frombuffer(bytes(1) + data.tobytes(), np.uint8)[1:].view(np.float32).reshape(data.shape)
    for value in (data.T, data[::2, 1::2], np.asfortranarray(data), unaligned, data[:, ::-1]):
        plus, same, total = call(value)
        assert np.array_equal(plus, value + 1) and np.array_equal(same, value) and same.flags.c_contiguous
        assert np.allclose(total, value.sum(1))


def test_extra_feeds_are_allowed(sess):
    x, y = gf.placeholder(gf.float32, [], name="x"), gf.placeholder(gf.float32, [None], name="y")
    assert sess.run(x + 1.0, {x: 1.0, y: [1.0, 2.0]}) == 2


def test_a_new_batch_size_compiles_nothing(sess, rng):
    x = gf.placeholder(gf.float32, [None, 20], name="x")
    w = gf.Variable(rng.standard_normal((20, 7)).astype(np.float32))
    loss = gf.reduce_mean(gf.square(gf.tanh(x @ w)))
    step = gf.train.GradientDescentOptimizer(0.1).minimize(loss)
    sess.run(gf.global_variables_initializer())
    call = sess.make_callable([step, loss], [x])
    call(np.ones((1, 20), np.float32))
    before = gf.cache.stats()
    for n in (7, 64, 1797, 0, 1):
        call(np.ones((n, 20), np.float32))
    after = gf.cache.stats()
    assert (after.compiled, after.loaded) == (before.compiled, before.loaded)


def test_empty_batches(sess):
    x = gf.placeholder(gf.float32, [None, 3], name="x")
    fetches = [gf.exp(x), gf.reduce_sum(x), gf.reduce_max(x, axis=1), x @ gf.ones([3, 2]), gf.nn.softmax(x)]
    shapes = [v.shape for v in sess.run(fetches, {x: np.zeros((0, 3), np.float32)})]
    assert shapes == [(0, 3), (), (0,), (0, 2), (0, 3)]


def test_empty_axes_inside_reshapes(sess):
    x = gf.placeholder(gf.float32, [None, None, None], name="x")
    flat = gf.reshape(gf.exp(x), [-1])
    back = gf.reshape(gf.transpose(gf.reshape(flat, [gf.shape(x)[0], -1])), [-1, gf.shape(x)[0]])
    fetches = [flat * 2.0, back, gf.reduce_sum(back, axis=0), gf.reduce_sum(gf.reshape(x, [gf.shape(x)[0], -1]), axis=1)]
    for shape in ((2, 3, 4), (0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)):
        data = np.ones(shape, np.float32)
        values = sess.run(fetches, {x: data})
        assert [v.size for v in values] == [data.size, data.size, shape[0], shape[0]]


def test_unknown_sizes_broadcast_when_they_turn_out_to_be_one(sess):
    a, b = gf.placeholder(gf.float32, [None, None], name="a"), gf.placeholder(gf.float32, [None, None], name="b")
    y, total = a + b, gf.reduce_sum(a * b, axis=0)
    for sa, sb in [((3, 4), (3, 4)), ((1, 4), (3, 4)), ((3, 1), (1, 4)), ((1, 1), (1, 1)), ((3, 4), (1, 1))]:
        u, v = np.random.default_rng(0).random(sa, np.float32), np.random.default_rng(1).random(sb, np.float32)
        assert np.allclose(sess.run(y, {a: u, b: v}), u + v)
        assert np.allclose(sess.run(total, {a: u, b: v}), (u * v).sum(0), rtol=1e-5)
    with pytest.raises(gf.errors.ShapeError, match="must be equal, or one of them 1: 2 and 3"):
        sess.run(y, {a: np.ones((3, 1), np.float32), b: np.ones((2, 1), np.float32)})


def test_named_sizes_are_one_size(sess):
    a, b = gf.placeholder(gf.float32, ["batch", 2], name="a"), gf.placeholder(gf.float32, ["batch"], name="b")
    assert str(a.type) == "float32[batch, 2]"
    with pytest.raises(gf.errors.FeedError, match="size batch is 3 in a and 4 in b"):
        sess.run(gf.reduce_sum(a, axis=1) + b, {a: np.ones((3, 2), np.float32), b: np.ones(4, np.float32)})


def test_updates_read_old_values_and_commit_together(sess):
    a, b = gf.Variable(1.0, name="a"), gf.Variable(10.0, name="b")
    sess.run(gf.global_variables_initializer())
    sess.run([a.assign(b), b.assign(a)])
    assert sess.run([a, b]) == [10, 1]


def test_updates_of_one_variable_apply_in_order(sess):
    a = gf.Variable(1.0, name="a")
    first, second = a.assign_add(2.0), a.assign_sub(0.5)
    sess.run(a.initializer)
    assert sess.run([second, first, a]) == [2.5, 3.0, 1.0]
    assert sess.run(a) == 2.5


def test_a_read_after_an_assignment_is_the_assigned_value(sess):
    a = gf.Variable(1.0, name="a")
    update = a.assign(a * 5.0)
    with gf.control_dependencies([update]):
        after, used = a.read_value(), a + 1.0
    sess.run(a.initializer)
    assert sess.run([a, after, used]) == [1, 5, 6]
    assert sess.run(a) == 5


def test_control_dependencies_run_updates(sess):
    a = gf.Variable(0.0, name="a")
    with gf.control_dependencies([gf.group(a.assign_add(1.0))]):
        value = gf.identity(gf.constant(3.0))
    sess.run(a.initializer)
    assert sess.run(value) == 3
    assert sess.run(a) == 1


def test_sessions_and_graphs_are_isolated():
    a = gf.Variable(1.0, name="a")
    one, two = gf.Session(), gf.Session()
    one.run(a.initializer)
    two.run(a.assign(7.0))
    assert (one.run(a), two.run(a)) == (1, 7)
    other = gf.Graph()
    with other.as_default():
        b = gf.Variable(2.0, name="a")
        assert b.name == "a"
    with gf.Session(other) as sess:
        sess.run(b.initializer)
        assert sess.run(b) == 2
        with pytest.raises(gf.errors.FetchError, match="another graph"):
            sess.run(a)


def test_name_scopes():
    with gf.name_scope("outer"), gf.name_scope("inner") as scope:
        x = gf.placeholder(gf.float32, [], name="x")
    with gf.name_scope("outer"):
        y = gf.placeholder(gf.float32, [], name="x")
    assert (scope, x.name, y.name) == ("outer/inner/", "outer/inner/x", "outer_1/x")
    assert gf.get_default_graph().get_tensor_by_name("outer/inner/x") is x


def test_a_failed_run_leaves_variables_as_they_were(sess):
    table = gf.Variable(np.zeros((4, 3), np.float32), name="table")
    counter = gf.Variable(0.0, name="counter")
    index = gf.placeholder(gf.int32, [None], name="index")
    gathered = gf.gather(table, index)
    updates = [counter.assign_add(1.0), table.assign(table + gf.reduce_sum(gathered) + 1.0)]
    sess.run(gf.global_variables_initializer())
    for bad in (4, -1, 2**31 - 1):
        with pytest.raises(gf.errors.IndexOutOfRangeError, match=f"index {bad} is outside"):
            sess.run(updates, {index: [0, bad]})
        assert sess.run(counter) == 0 and not sess.run(table).any()
    sess.run(updates, {index: [0, 3]})
    assert sess.run(counter) == 1 and (sess.run(table) == 1).all()


def test_in_place_updates_are_invisible(sess, rng):
    w = gf.Variable(rng.standard_normal((50, 30)).astype(np.float32), name="w")
    x = gf.placeholder(gf.float32, [None, 50], name="x")
    y = x @ w
    update = w.assign_sub(0.1 * gf.matmul(x, y, transpose_a=True))
    sess.run(w.initializer)
    data = rng.standard_normal((8, 50)).astype(np.float32)
    for _ in range(3):
        old = sess.run(w)
        seen, _, product = sess.run([w, gf.group(update), y], {x: data})
        assert np.array_equal(seen, old)
        assert np.allclose(product, data @ old, atol=1e-4)
        assert np.allclose(sess.run(w), old - 0.1 * data.T @ (data @ old), atol=1e-2)


def test_random_numbers_depend_on_seed_and_run_only(sess):
    a = gf.random.normal([4], seed=3)
    first = sess.run(a)
    gf.random.uniform([7])
    gf.exp(a)
    second = sess.run(a)
    assert not np.array_equal(first, second)
    sess.run_counter = 0
    assert np.array_equal(sess.run(a), first)


def test_explain_names_every_stage(sess):
    x = gf.placeholder(gf.float32, [None, 4], name="x")
    text = sess.explain(gf.nn.softmax(x))
    for part in (
        "# as built",
        "# after canonicalize",
        "# fusion groups",
        "def kernel(",
        "# launch program",
        "# memory",
        "test_run.py:",
    ):
        assert part in text


def test_options_leave_passes_out(sess):
    x = gf.placeholder(gf.float32, [None], name="x")
    y = gf.reduce_sum(gf.exp(x) * 1.0)
    with gf.options(disable="fusion,canonicalize,cse,constant_folding,stability,inplace"):
        plain = sess.executable(y)
    assert len(plain.groups) > len(sess.executable(y).groups)
    with pytest.raises(gf.errors.OptionError, match="cannot disable"), gf.options(disable="speed"):
        pass


def test_dump_writes_every_stage(sess, tmp_path):
    x = gf.placeholder(gf.float32, [None], name="x")
    with gf.options(dump=str(tmp_path)):
        sess.run(gf.exp(x), {x: [1.0]})
    assert next(p.name for p in sorted(tmp_path.iterdir())) == "00_built.txt"
    assert any(p.suffix == ".py" for p in tmp_path.iterdir())


def test_the_same_fetches_under_other_options_are_compiled_anew(sess):
    x = gf.placeholder(gf.float32, [None], name="x")
    y = gf.reduce_sum(gf.exp(x) * 1.0)
    plans = set()
    for _ in range(3):
        for names in ("", "fusion", "canonicalize", "cse,fusion"):
            with gf.options(disable=names):
                sess.run(y, {x: [0.0, 1.0]})
                plans.add((names, len(sess.executable(y, [x]).groups)))
    assert len(plans) == 4 and len({count for _, count in plans}) > 1
