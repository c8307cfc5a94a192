"""The chain from one step's state to the next is short; what is computed stays what it was."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.scalar import Call
from graphflow.loop.ir import children, walk
from graphflow.loop.statements import Repeat


def chain(session, fetches):
    """The functions on the longest way from the first carried value of the only loop to what it is in the next step."""
    (block,) = next(k for k in session.executable(fetches).kernels if k.form == "sequential").statements
    (loop,) = (s for s in block.statements if isinstance(s, Repeat))
    longest = {id(loop.carried[0].now): []}
    for e in walk([loop.carried[0].following]):
        ways = [longest[id(c)] for c in children(e) if id(c) in longest]
        if ways:
            longest[id(e)] = max(ways, key=len) + ([e.fn] if isinstance(e, Call) else [])
    return longest[id(loop.carried[0].following)]


def scalars(count, dtype=gf.float64):
    return [gf.placeholder(dtype, []) for _ in range(count)]


@pytest.mark.parametrize(
    "step, expected",
    [
        (lambda s, a, b, c: s + a + b + c, ["add"]),
        (lambda s, a, b, c: a - ((b - s) - c), ["add"]),
        (lambda s, a, b, c: s * a * b * c, ["multiply"]),
        (lambda s, a, b, c: b + (s * a) * c, ["multiply_add"]),
        (lambda s, a, b, c: a - (b * s) / c, ["multiply", "quotient", "subtract"]),
        (lambda s, a, b, c: s / a, ["divide"]),  # what is carried may be seen: it is the quotient
        (lambda s, a, b, c: b + a / (s * c), ["multiply", "divide", "add"]),  # the divisor is the late one
    ],
)
def test_what_the_last_step_leaves_is_combined_last(step, expected):
    operands = start, *others = scalars(4)
    _, last = gf.scan(lambda s, _: (step(s, *others), None), None, start, length=3)
    with gf.Session() as session:
        assert chain(session, last) == expected
        feeds = dict(zip(operands, (0.7, 1.1, 0.3, 1.7), strict=True))
        s = 0.7
        for _ in range(3):
            s = step(s, 1.1, 0.3, 1.7)
        np.testing.assert_allclose(session.run(last, feeds), s, rtol=1e-14)


def test_a_value_that_waits_for_another_one_is_combined_before_it():
    """y is what x was a step before, so it is there a step before x."""
    a, b, start = scalars(3)
    _, (last, _) = gf.scan(lambda s, _: ((s[0] * a + s[1] * b, s[0]), None), None, (start, start), length=3)
    with gf.Session() as session:
        assert chain(session, last) == ["multiply_add"]


def test_a_loop_with_more_operations_than_its_chain_has_time_for_stays_as_it_is():
    starts = scalars(30)
    _, last = gf.scan(
        lambda state, _: ([s + a + s * a for s, a in zip(state, starts, strict=True)], None), None, starts, length=3
    )
    with gf.Session() as session:
        assert chain(session, last) == ["add", "add"]


@pytest.mark.parametrize("dtype", [gf.float32, gf.float64])
def test_a_quotient_is_that_of_a_division_for_every_divisor(dtype):
    info = np.finfo(dtype.numpy)
    least, most = info.smallest_subnormal, info.max
    values = np.array([0.0, 1.0, -3.0, least, -info.tiny / 3, info.tiny, 1e-30, 1e30, most / 2, -most, np.inf, -np.inf, np.nan])
    x, d = (v.ravel().astype(dtype.numpy) for v in np.meshgrid(values, values))
    x_, d_ = gf.placeholder(dtype, [None]), gf.placeholder(dtype, [None])
    nothing = gf.placeholder(dtype, [])

    def lane(x, d):
        return gf.scan(lambda s, _: (s / d + nothing, None), None, x, length=1)[1]

    y = gf.vmap(lane)(x_, d_)
    with gf.Session() as session:
        assert "quotient_f" in session.explain(y)
        with np.errstate(all="ignore"):
            bounds = {"rtol": 3 * info.eps, "atol": 2 * least}
            np.testing.assert_allclose(session.run(y, {x_: x, d_: d, nothing: 0.0}), x / d, **bounds)


def test_a_quotient_that_is_rounded_or_stored_is_exact():
    """49 * (1 / 49) is less than 1."""
    count = gf.placeholder(gf.float64, [None])

    def lane(n):
        return gf.scan(lambda s, _: (s / n + n - 1.0, (gf.floor(s / n), s / n)), None, n, length=2)[0]

    with gf.Session() as session:
        floors, quotients = session.run(gf.vmap(lane)(count), {count: np.arange(1.0, 400.0)})
    assert (floors == 1).all() and (quotients == 1).all()
