"""Bad input: each kind gets its error class, with op, operands, line and remedy; the session works on afterwards."""

import numpy as np
import pytest

import graphflow as gf
from graphflow import errors


@pytest.fixture
def sess():
    with gf.Session() as session:
        yield session


@pytest.fixture
def x():
    return gf.placeholder(gf.float32, [None, 3], name="x")


def works(sess, x):
    """The session still computes."""
    return np.array_equal(sess.run(x + 1.0, {x: np.zeros((2, 3), np.float32)}), np.ones((2, 3)))


FEEDS = {
    "wrong rank": (np.zeros(3, np.float32), "rank 2"),
    "wrong size": (np.zeros((2, 4), np.float32), r"shape \[2, 4\]"),
    "text": ("hello", "is a text"),
    "list of texts": ([["1", "2", "3"]], "is a text"),
    "bytes": (b"123", "is bytes"),
    "object array": (np.array([[object()] * 3], dtype=object), "object array"),
    "None": (None, "object array"),
    "ragged list": ([[1.0, 2.0], [1.0]], "no array of numbers"),
    "complex": (np.zeros((2, 3), np.complex64), "without loss"),
    "dict": ({"a": 1}, "object array"),
    "dates": (np.zeros((2, 3), "datetime64[s]"), "dtype datetime64"),
}


@pytest.mark.parametrize("value, message", FEEDS.values(), ids=FEEDS.keys())
def test_bad_feed(sess, x, value, message):
    call = sess.make_callable(x + 1.0, [x])
    for attempt in (lambda: sess.run(x + 1.0, {x: value}), lambda: call(value)):
        with pytest.raises(errors.FeedError, match=message) as caught:
            attempt()
        assert "float32[x.0, 3]" in str(caught.value) and "test_bad_input.py:" in str(caught.value)
    assert works(sess, x)


GOOD_FEEDS = {
    "read-only": lambda a: (a.setflags(write=False), a)[1],
    "big-endian": lambda a: a.astype(">f4"),
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "column-major": np.asfortranarray,
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "misaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.float32, offset=1).reshape(a.shape),
    "float64": lambda a: a.astype(np.float64),
    "list": lambda a: a.tolist(),
    "integers": lambda a: a.astype(np.int64),
    "bool": lambda a: a.astype(bool),
}


@pytest.mark.parametrize("change", GOOD_FEEDS.values(), ids=GOOD_FEEDS.keys())
@pytest.mark.parametrize("rows", [2, 900])
def test_any_layout_and_number_can_be_fed(sess, x, change, rows):
    data = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    value = change(data.copy())
    assert np.array_equal(sess.run(x * 2.0, {x: value}), np.asarray(value, np.float32) * 2)


def test_integers_out_of_range_are_refused(sess):
    i = gf.placeholder(gf.int8, [], name="i")
    with pytest.raises(errors.FeedError, match="outside the range of int8"):
        sess.run(i + 1, {i: 300})
    with pytest.raises(errors.FeedError, match="without loss"):
        sess.run(i + 1, {i: 1.5})
    assert sess.run(i + 1, {i: 3}) == 4


def test_missing_feed(sess, x):
    with pytest.raises(errors.FeedError, match="no value for placeholder x"):
        sess.run(x + 1.0)
    with pytest.raises(errors.FeedError, match="takes 1 values"):
        sess.make_callable(x + 1.0, [x])()
    assert works(sess, x)


def test_feeds_that_are_no_tensors(sess, x):
    other = gf.Graph()
    with other.as_default():
        foreign = gf.placeholder(gf.float32, [], name="foreign")
    v = gf.Variable(1.0, name="v")
    for key, message in [("x", "no tensor"), (3, "no tensor"), (foreign, "another graph"), (v, "cannot feed variable"),
                         (gf.constant(1.0), "cannot feed constant")]:  # fmt: skip
        with pytest.raises(errors.FeedError, match=message):
            sess.run(x + 1.0, {key: 1.0})
    with pytest.raises(errors.FeedError, match="is a dict"):
        sess.run(x + 1.0, [x])
    with pytest.raises(errors.FeedError, match="symbolic tensor"):
        sess.run(x + 1.0, {x: x * 2.0})
    assert works(sess, x)


@pytest.mark.parametrize("fetch", [None, 3, "nothing", object(), gf.Graph(), [None]])
def test_unknown_fetch(sess, x, fetch):
    with pytest.raises(errors.FetchError, match="cannot fetch"):
        sess.run(fetch, {x: np.zeros((1, 3))})
    assert works(sess, x)


def test_uninitialized_variable(sess, x):
    v = gf.Variable([1.0, 2.0, 3.0], name="v")
    with pytest.raises(errors.UninitializedVariableError, match="variable v has no value") as caught:
        sess.run(x + v, {x: np.zeros((1, 3))})
    assert "global_variables_initializer" in str(caught.value) and "test_bad_input.py:" in str(caught.value)
    with pytest.raises(errors.UninitializedVariableError):
        sess.run(v)
    assert works(sess, x)


def test_closed_session(x):
    sess = gf.Session()
    call = sess.make_callable(x + 1.0, [x])
    sess.close()
    for attempt in (
        lambda: sess.run(x, {x: np.zeros((1, 3))}),
        lambda: call(np.zeros((1, 3))),
        lambda: sess.make_callable(x, [x]),
    ):
        with pytest.raises(errors.SessionError, match="closed"):
            attempt()


def test_finalized_graph_names_both_lines(sess, x):
    y = x + 1.0
    gf.get_default_graph().finalize()
    with pytest.raises(errors.GraphError, match=r"finalized at .*test_bad_input\.py"):
        x * 2.0
    assert np.array_equal(sess.run(y, {x: np.zeros((1, 3))}), np.ones((1, 3)))


def test_too_large_a_request(sess):
    n = gf.placeholder(gf.float32, [None], name="n")
    big = gf.reduce_sum(gf.exp(gf.reshape(n, [-1, 1]) + gf.reshape(n, [1, -1])), axis=1) * 2.0
    table = gf.exp(gf.reshape(n, [-1, 1]) + gf.reshape(n, [1, -1]))
    data = np.zeros(1_000_000, np.float32)
    with pytest.raises(errors.ResourceError, match="bytes") as caught:
        sess.run(table, {n: data})
    assert "float32[n.0, n.0]" in str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert sess.run(big, {n: np.zeros(3)}).tolist() == [6, 6, 6]


def test_symbolic_size_of_a_million_million(sess):
    n = gf.placeholder(gf.float32, [None], name="n")
    wide = gf.broadcast_to(gf.reshape(n, [1, -1]), [10**12, gf.shape(n)[0]])
    with pytest.raises(errors.ResourceError, match="bytes"):
        sess.run(wide + 1.0, {n: np.zeros(512)})
    assert sess.run(n + 1.0, {n: [1.0]}) == [2]


def test_building_errors_name_operands_and_lines(x):
    cases = [
        (lambda: x + gf.placeholder(gf.float32, [4], name="y"), errors.ShapeError, "add: shapes"),
        (lambda: x + gf.placeholder(gf.float64, [3], name="z"), errors.DTypeError, "add: dtypes differ"),
        (lambda: x @ gf.placeholder(gf.float32, [4, 2], name="w"), errors.ShapeError, "matmul"),
        (lambda: x + "one", errors.DTypeError, "is a text"),
        (lambda: x + np.array([object()]), errors.DTypeError, "an object"),
        (lambda: gf.placeholder("float31", [1]), errors.DTypeError, "no dtype"),
        (lambda: gf.placeholder(gf.float32, [-1]), errors.ShapeError, "negative"),
        (lambda: gf.reshape(x, [2, -1, -1]), errors.ShapeError, "reshape"),
        (lambda: gf.reduce_sum(x, axis=5), errors.ShapeError, "axis 5"),
        (lambda: bool(x), errors.ModeError, "truth"),
        (lambda: x.numpy(), errors.ModeError, "symbolic"),
    ]
    for build, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            build()
        assert isinstance(caught.value, errors.GraphflowError)


def test_operands_of_two_graphs(x):
    with gf.Graph().as_default():
        y = gf.placeholder(gf.float32, [3], name="y")
    with pytest.raises(errors.GraphError, match="different graphs"):
        x + y


def test_nan_as_an_index(x):
    with pytest.raises(errors.DTypeError, match="integer"):
        gf.gather(x, gf.constant(float("nan")))
