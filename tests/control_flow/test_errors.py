"""What users get wrong in loops and branches, and what they are told."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GradientError, GraphError, IndexOutOfRangeError, ModeError, ShapeError, TypeRuleError
from graphflow.ir.evaluate import evaluate

F = gf.float64


def x():
    return gf.placeholder(F, [], name="x")


def v(n=3):
    return gf.placeholder(F, [n], name="v")


def test_a_carried_value_that_changes_its_type_names_both_lines():
    state, rows = x(), v()
    with pytest.raises(TypeRuleError) as error:
        gf.scan(lambda c, r: gf.cast(c, gf.float32), rows, state)
    text = str(error.value)
    assert "scan: the state: a value of type float64[] becomes float32[]" in text
    assert text.count("test_errors.py:") == 2 and "gf.cast" in text


WRONG = {
    "a shape that grows": (lambda: gf.scan(lambda c, r: c * v(), v(), x()), r"float64\[\] becomes float64\[3\]"),
    "an integer that is divided": (
        lambda: gf.while_loop(lambda a: a < 10, lambda a: a / 2, (gf.constant(7),)),
        r"int32\[\] becomes float",
    ),
    "a value too few": (
        lambda: gf.while_loop(lambda a, b: a < 1, lambda a, b: a, (x(), x())),
        r"what the body returns is \*, where it was tuple\(\*, \*\)",
    ),
    "another key": (
        lambda: gf.while_loop(lambda a, b: a < 1, lambda a, b: {"a": a, "c": b}, {"a": x(), "b": x()}),
        r"\{'a': \*, 'c': \*\}, where it was \{'a': \*, 'b': \*\}",
    ),
    "nothing": (lambda: gf.while_loop(lambda a: a < 1, lambda a: None, (x(),)), "returns is None"),
    "a number for a condition": (lambda: gf.while_loop(lambda a: a, lambda a: a - 1, (x(),)), r"the condition is float64\[\]"),
    "many bools for a condition": (lambda: gf.while_loop(lambda a: a > 0, lambda a: a - 1, (v(),)), "gf.reduce_any"),
    "no condition": (lambda: gf.while_loop(lambda a: None, lambda a: a - 1, (x(),)), "the condition is None"),
    "a predicate that is no bool": (lambda: gf.cond(x(), lambda: 1.0, lambda: 2.0), r"cond: pred is float64\[\]"),
    "branches of two structures": (lambda: gf.cond(x() > 0, lambda: (x(), x()), x), "All branches return one structure"),
    "branches of two dtypes": (lambda: gf.cond(x() > 0, x, lambda: gf.cast(x(), gf.float32)), "gf.cast or gf.reshape"),
    "branches of two shapes": (lambda: gf.cond(x() > 0, x, v), r"float64\[\], where another branch gives float64\[3\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_types_and_structures(name):
    function, message = WRONG[name]
    with pytest.raises(TypeRuleError, match=message):
        function()


def test_elements_of_different_lengths():
    with pytest.raises(ShapeError, match="scan: 3 and 4 rows"):
        gf.scan(lambda c, r: c, (v(), v(4)), x())
    a, b, start = gf.placeholder(F, [None]), gf.placeholder(F, [None]), x()
    y = gf.scan(lambda c, r: c + r[0] * r[1], (a, b), start)[1]
    with gf.Session() as session, pytest.raises(ShapeError, match="numbers of rows differ: 4 and 3"):
        session.run(y, {a: np.ones(3), b: np.ones(4), start: 1.0})


@pytest.mark.parametrize("where", ["a loop", "a branch"])
def test_an_assignment_inside_a_body(where):
    w = gf.Variable(np.float64(1.0), name="w")
    with pytest.raises(GraphError, match=rf"assign_add of w inside (the body of )?{where}"):
        if where == "a loop":
            gf.while_loop(lambda a: a < 1, lambda a: a + gf.assign_add(w, 1.0), (x(),))
        else:
            gf.cond(x() > 0, lambda: gf.assign_add(w, 1.0), lambda: w + 0.0)


def test_pythons_if_in_a_body():
    with pytest.raises(ModeError, match=r"Write gf\.cond"):
        gf.scan(lambda c, r: c if r > 0 else -c, v(), x())


def test_a_value_of_a_body_has_none_outside():
    """Neither does a fetch read it, nor another loop."""
    leaked = []
    start, rows = x(), v()
    gf.scan(lambda c, r: leaked.append(c * r) or c, rows, start)
    other = gf.scan(lambda c, r: c + leaked[0], rows, start)[1]
    with gf.Session() as session:
        for fetch in (leaked[0], other):
            with pytest.raises(GraphError, match="is part of the body of a loop: outside of it, it has no value"):
                session.run(fetch, {start: 1.0, rows: np.ones(3)})


def test_an_index_out_of_range_says_in_which_step():
    rows, start = v(), x()
    y = gf.while_loop(lambda k, a: k < 9, lambda k, a: (k + 1, a + rows[k]), (0, start))[1]
    with gf.Session() as session, pytest.raises(IndexOutOfRangeError, match="index 3 is outside axis 0 of size 3, in step 3"):
        session.run(y, {rows: np.ones(3), start: 1.0})


def test_a_path_that_ends_inside_a_loop_is_an_error_that_names_it():
    a = x()
    stopped = gf.scan(lambda c, r: gf.stop_gradient(c) * 2.0, None, a, length=3)[1]
    bound = gf.while_loop(lambda i, y: i < a, lambda i, y: (i + 1.0, y * 2.0), (gf.constant(0.0, F), gf.constant(1.0, F)))[1]
    for y, loop in ((stopped, "scan"), (bound, "while")):
        with pytest.raises(GradientError, match=f"the path from x to {loop}/loop:. breaks at {loop}/loop: no path through its"):
            gf.gradients(y, a)
        assert gf.gradients(y, a, unconnected_gradients="none") == [None]


def test_no_gradient_passes_steps_that_let_none_through():
    """Where there is no step, the final value is the initial one, and its derivative 1; else 0."""
    a, rows = x(), gf.placeholder(F, [None])
    g = gf.gradients(gf.scan(lambda c, r: gf.stop_gradient(c) * 2.0, rows, a)[1], a)[0]
    with gf.Session() as session:
        for count, wanted in ((3, 0.0), (0, 1.0)):
            feeds = {a: np.float64(1.0), rows: np.ones(count)}
            assert session.run(g, feeds) == evaluate([g], feeds)[0] == wanted


def test_only_the_branch_that_runs_asks_whether_sizes_fit():
    """Where data decide which one runs: alone, in lanes, in a loop, and for gradients."""
    x, p = gf.placeholder(gf.float32, [None, None]), gf.placeholder(gf.float32, [])

    def value(q):
        return gf.cond(q > 0, lambda: gf.reduce_sum(gf.matmul(x, x)), lambda: gf.reduce_sum(x))

    both = gf.stack([p, p])
    found = [value(p), gf.gradients(value(p), x)[0], gf.vmap(value)(both), gf.foldl(lambda s, q: s + value(q), both, 0.0)]
    wide, square = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    with gf.Session() as session:
        for fetch, one, other in zip(found, (6, np.ones((2, 3)), [6, 6], 12), (8, np.full((2, 2), 4), [8, 8], 16), strict=True):
            np.testing.assert_array_equal(session.run(fetch, {x: wide, p: -1}), one)
            np.testing.assert_array_equal(session.run(fetch, {x: square, p: 1}), other)
            with pytest.raises(ShapeError, match="inner dimensions differ: 3 and 2"):
                session.run(fetch, {x: wide, p: 1})


def test_a_gradient_alone_asks_what_its_function_asks():
    x = gf.placeholder(gf.float32, [None, None])
    g = gf.gradients(gf.reduce_sum(gf.matmul(x, x)), x)[0]
    with gf.Session() as session, pytest.raises(ShapeError, match="inner dimensions differ: 3 and 2"):
        session.run(g, {x: np.ones((2, 3))})
