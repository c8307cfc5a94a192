"""Profiles: what was run is counted exactly, in all its forms, and nothing of it stays behind."""

import json
import xml.etree.ElementTree as xml

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def model():
    """(session, fetches, feed): a product, a long reduction that threads share, and a loop of rows."""
    x = gf.placeholder(gf.float32, [None, 64], name="x")
    with gf.name_scope("dense"):
        w = gf.Variable(np.full((64, 64), 0.01, np.float32), name="w")
        y = gf.tanh(gf.matmul(x, w))
    last, _ = gf.scan(lambda h, row: (h * 0.9 + gf.reduce_max(row),) * 2, y, gf.zeros([64]))
    loss = gf.reduce_mean(y * y) + gf.reduce_sum(last)
    train = gf.train.GradientDescentOptimizer(0.01).minimize(loss)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        yield session, [train, loss], x


def test_launches_are_counted_where_they_belong(model):
    session, fetches, x = model
    rows = np.ones((50, 64), np.float32)
    step = session.make_callable(fetches, [x])
    before = step(rows)  # a callable of before the block is measured too
    binding = session.executable(fetches, [x]).bind(((50, 64),))
    with gf.profile() as found:
        for _ in range(3):
            step(rows)
    assert session.executable(fetches, [x]).bind(((50, 64),)) is binding, "the bindings are back"
    assert found.runs == 3
    assert np.all(np.isfinite(before[1]))
    program = binding.program
    inside = {k for cycle in program.cycles for k in range(cycle.head, cycle.last)}
    for kernel in found.kernels:
        assert kernel.launches == 3 * (50 if kernel.number in inside else 1), kernel.name
        assert kernel.seconds > 0 and kernel.bytes > 0
    assert {k.number for k in found.kernels} == {k for k, row in enumerate(program.rows) if hasattr(row, "key")}
    product = next(k for k in found.kernels if k.name.startswith("matmul_tanh"))
    assert product.operations >= 3 * 2 * 50 * 64 * 64
    assert product.bytes == 3 * 4 * (50 * 64 * 2 + 64 * 64)


def test_shares_sum_up_and_name_lines_and_scopes(model):
    session, fetches, x = model
    (_, loss), found = session.run(fetches, {x: np.ones((50, 64), np.float32)}, profile=True)
    assert np.isfinite(loss)
    for shares in (found.lines, found.scopes, found.ops):
        assert sum(s.seconds for s in shares) == pytest.approx(found.kernel_seconds)
    assert all("test_profile.py:" in s.name for s in found.lines)
    assert "dense" in {s.name for s in found.scopes}
    text = str(found)
    assert text.startswith("1 runs took") and "matmul" in text and "test_profile.py" in text and "arena" in text


def test_every_file_is_well_formed(model, tmp_path):
    session, fetches, x = model
    with gf.profile(tmp_path) as found:
        session.run(fetches, {x: np.ones((20, 64), np.float32)})
    events = [e for e in json.loads((tmp_path / "trace.json").read_text())["traceEvents"] if e["ph"] == "X"]
    (run,) = [e for e in events if e["cat"] == "run"]
    kernels = [e for e in events if e["cat"] == "kernel"]
    assert len(kernels) == sum(k.launches for k in found.kernels)
    assert all(run["ts"] <= e["ts"] and e["ts"] + e["dur"] <= run["ts"] + run["dur"] for e in kernels), "kernels run in the run"
    stacks = [line.rpartition(" ")[0] for line in (tmp_path / "stacks.txt").read_text().splitlines()]
    assert any(s.startswith("forward;dense;") and s.endswith(";tanh") for s in stacks)
    assert any(s.startswith("gradient;") for s in stacks)
    speedscope = json.loads((tmp_path / "speedscope.json").read_text())
    assert len(speedscope["profiles"][0]["samples"]) == len(stacks)
    assert xml.parse(tmp_path / "flame.svg").getroot().tag.endswith("svg")
    assert json.loads((tmp_path / "profile.json").read_text())["kernels"][0]["launches"] >= 1


def test_a_profile_that_fails_leaves_nothing_behind(model):
    session, fetches, x = model
    with pytest.raises(ZeroDivisionError), gf.profile():
        raise ZeroDivisionError
    with gf.profile(), pytest.raises(gf.errors.SessionError, match="being taken already"), gf.profile():
        pass
    with gf.profile() as found, pytest.raises(gf.errors.FeedError):
        session.run(fetches, {x: np.ones((2, 3), np.float32)})
    assert found.runs == 0 and "0 runs" in str(found)


def test_lookups_count_the_rows_they_read():
    table = gf.Variable(np.ones((1000, 16), np.float32))
    found = gf.reduce_sum(gf.gather(table, gf.constant([3, 5])))
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        _, profile = session.run(found, profile=True)
    assert sum(k.bytes for k in profile.kernels) < 1000


def test_functions_and_eager_programs_are_measured():
    with gf.eager():
        double = gf.function(lambda x: gf.exp(x) * 2)
        value = gf.constant(np.ones(1000, np.float32))
        double(value)
        double(value)
        with gf.profile() as found:
            double(value)
            double(value)
        double(value)
    assert found.runs == 2
    assert [k.launches for k in found.kernels if k.name.startswith("exp")] == [2]


def test_calls_of_python_are_measured(tmp_path):
    x = gf.placeholder(gf.float32, [None, 3])

    def step(total, row):
        return total + gf.py_function(np.sort, [row], gf.float32), total

    last = gf.scan(step, x, gf.zeros([3]))[1]
    with gf.Session() as session, gf.profile(tmp_path) as found:
        session.run(last, {x: np.ones((5, 3))})
    (call,) = [k for k in found.kernels if k.name.endswith("in Python")]
    assert call.launches == 5 and call.seconds > 0 and call.bytes == 5 * 24 and call.operations is None
    assert "?" in str(found) and "test_profile.py" in call.lines[0]
