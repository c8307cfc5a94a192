"""Going through a program op by op: how many digits are right, and stopping in the debugger."""

import io

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def session():
    with gf.Session() as found:
        yield found


def rows_of(audit):
    return {row.name: row for row in audit.rows}


def test_cancellation_is_where_the_digits_are_lost(session):
    x = gf.placeholder(gf.float32, [None], name="x")
    difference = gf.subtract(gf.reduce_sum(x * x), 3.0, name="difference")
    audit = gf.precision_audit(difference * 2, {x: [1, np.float32(np.sqrt(2))]})
    worst = audit.rows[0]
    assert worst.name == "difference" and worst.lost > 6 and worst.line == str(difference.location)
    assert rows_of(audit)["multiply_1"].lost == 0, "what only passes an error on has lost nothing"
    assert rows_of(audit)["reduce_sum"].digits > 6
    assert "digits right" in str(audit) and "difference" in str(audit)
    exact = gf.precision_audit(gf.reduce_sum(x), {x: [1, 2]})
    assert all(row.lost == 0 for row in exact.rows) and "all" in str(exact)


def test_loops_branches_and_updates_are_audited(session):
    x = gf.placeholder(gf.float32, [None], name="x")
    v = gf.Variable(np.float32(0.1), name="v")
    session.run(v.initializer)
    total, _ = gf.scan(lambda h, r: (gf.cond(r > 0, lambda: h + gf.sqrt(r + 1) - 1, lambda: h),) * 2, x, v)
    feed = np.full(20, 1.0, np.float32)
    feed[7] = 1e-5
    audit = gf.precision_audit([v.assign_add(total[-1])], {x: feed})
    assert all(row.digits > 5 for row in audit.rows) and not audit.diverged
    assert session.run(v) == np.float32(0.1), "no variable is changed"
    root, _ = gf.scan(lambda h, r: (gf.sqrt(r + 1) - 1,) * 2, x, 0.0)
    worst = gf.precision_audit(root, {x: feed}).rows[0]
    assert worst.op == "subtract" and worst.iterations == (7,) and worst.lost > 3


def test_another_way_in_float64_is_said(session):
    x = gf.placeholder(gf.float32, [], name="x")
    found = gf.cond(x + 1 > 1, lambda: x * 3, lambda: x * 2)
    audit = gf.precision_audit(found, {x: 1e-9})
    assert audit.diverged and "goes another way" in str(audit)
    assert any(row.differs for row in audit.rows)


def test_a_breakpoint_steps_through_the_rest(session, monkeypatch, capsys):
    x = gf.placeholder(gf.float32, [2], name="x")
    v = gf.Variable(1.0)
    session.run(v.initializer)
    with gf.control_dependencies([gf.debug.breakpoint(x)]):
        update = v.assign(gf.reduce_sum(gf.exp(x)) + v)
    monkeypatch.setattr("sys.stdin", io.StringIO("c\np values['exp']\np node.op.name\nself.finish()\nc\n"))
    assert session.run(update, {x: [0, 0]}) == 3
    out = capsys.readouterr().out
    assert "exp = exp(x)" in out and "array([1., 1.], dtype=float32)" in out and "'exp'" in out and "reduce_sum =" not in out
    assert session.run(v) == 3
