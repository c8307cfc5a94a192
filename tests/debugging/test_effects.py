"""Printing and asserting: each happens once a run, or once a step, in order, whatever is done to the graph around it."""

import numpy as np
import pytest

import graphflow as gf
from graphflow import debugging
from graphflow.errors import DTypeError, InvalidArgumentError, NumericsError, ShapeError


@pytest.fixture
def session():
    with gf.Session() as found:
        yield found


def test_printing_belongs_to_what_waits_for_it(session, capsys):
    x = gf.placeholder(gf.float32, [None, 2], name="x")
    shown = gf.print("x =", x, {"rows": gf.shape(x)[0]}, [x[0, 0], "a"], 3, output_stream="stdout")
    with gf.control_dependencies([shown]):
        double = x * 2
    feed = {x: [[1, 2], [3, 4]]}
    session.run(x + 1, feed)
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(session.run(double, feed), [[2, 4], [6, 8]])
    expected = "x = [[1. 2.]\n [3. 4.]] {'rows': 2} [1.0, a] 3\n"
    assert capsys.readouterr().out == expected
    assert session.run(shown, feed) is None
    assert capsys.readouterr().out == expected
    session.run(gf.print(gf.range(10), summarize=2), feed)
    assert capsys.readouterr().err == "[0 1 ... 8 9]\n"


def test_print_passes_its_operand_on(session, capsys):
    x = gf.placeholder(gf.float32, [2])
    y = gf.Print(x, [x, gf.reduce_sum(x)], "x and its sum: ", first_n=2)
    (dx,) = gf.gradients(gf.reduce_sum(y * y), [x])
    for _ in range(3):
        np.testing.assert_array_equal(session.run(dx, {x: [1, 2]}), [2, 4])
    assert capsys.readouterr().err == "x and its sum: [1. 2.] 3.0\n" * 2


@pytest.mark.parametrize("disable", ["", "fusion,inplace,sequential"])
def test_in_bodies_it_happens_in_each_step(session, capsys, disable):
    x = gf.placeholder(gf.float32, [None])

    def step(total, value):
        gf.print("step", value, output_stream="stdout")
        gf.print("same", output_stream="stdout")
        gf.scan(lambda n, _: (gf.print("inner", n, output_stream="stdout"), (n + 1, n))[1], None, 0, length=2)
        side = gf.cond(value > 1, lambda: said("large", value), lambda: said("small", value))
        return total + value * side, total

    def said(text, value):
        gf.print(text, output_stream="stdout")
        return value

    _, total = gf.scan(step, x, 0.0)
    with gf.options(disable=disable):
        assert session.run(total, {x: [1, 2]}) == 5
    lines = [["step 1.0", "same", "inner 0", "inner 1", "small"], ["step 2.0", "same", "inner 0", "inner 1", "large"]]
    assert capsys.readouterr().out.splitlines() == lines[0] + lines[1]


def test_a_gradient_prints_what_the_loop_prints_once(session, capsys):
    x = gf.placeholder(gf.float32, [None])
    root = gf.foldl(lambda h, row: (gf.print("step", row, output_stream="stdout"), gf.sqrt(h + row))[1], x, 0.0)
    (dx,) = gf.gradients(root, [x])
    session.run([root, dx], {x: [1, 3]})
    session.run(dx, {x: [1, 3]})
    assert capsys.readouterr().out.splitlines() == ["step 1.0", "step 3.0"] * 2


def test_while_and_vmap_print_too(session, capsys):
    condition = lambda n: (gf.print("while", n, output_stream="stdout"), n < 2)[1]
    (last,) = gf.while_loop(condition, lambda n: [n + 1], [gf.constant(0)])
    rows = gf.vmap(lambda r: (gf.print("lane", r, output_stream="stdout"), r * 2)[1])(gf.constant([[1.0], [2.0]]))
    assert session.run(last) == 2
    session.run(rows)
    assert capsys.readouterr().out.splitlines() == ["while 0", "while 1", "while 2", "lane [1.]", "lane [2.]"]


def test_a_failed_assertion_names_step_and_values_and_changes_nothing(session):
    x = gf.placeholder(gf.float32, [None], name="x")
    v = gf.Variable(1.0)

    def step(total, value):
        gf.Assert(value < 3, ["too large:", value, "after", total])
        return total + value, total

    update = v.assign(gf.scan(step, x, 0.0)[1])
    session.run(v.initializer)
    assert session.run(update, {x: [1, 2]}) == 3
    with pytest.raises(
        InvalidArgumentError, match=r"in step 2 of scan/loop: assertion failed: too large: 5.0 after 3.0"
    ) as error:
        session.run(update, {x: [1, 2, 5]})
    assert "test_effects.py:" in str(error.value)
    assert session.run(v) == 3
    with pytest.raises(InvalidArgumentError, match="assertion failed: no"):
        gf.Assert(gf.constant(False), ["no"])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("equal", ([1.0, 3.0],), r"x\[1\] = 2.0 is not equal to y\[1\] = 3.0"),
        ("none_equal", ([0.0, 2.0],), r"x\[1\] = 2.0 is equal to y\[1\] = 2.0"),
        ("less", (2.0,), r"x\[1\] = 2.0 is not less than"),
        ("less_equal", (1.0,), "is greater than"),
        ("greater", (1.0,), r"x\[0\] = 1.0 is not greater than"),
        ("greater_equal", (2.0,), "is less than"),
        ("near", ([1.0, 2.01],), "is not near"),
        ("negative", (), "and 1 more elements of 2"),
        ("non_positive", (), r"x\[0\] = 1.0 is greater than"),
    ],
)
def test_each_assertion_says_which_element(session, name, arguments, message):
    check = getattr(debugging, f"assert_{name}")
    x = gf.placeholder(gf.float32, [2])
    with pytest.raises(InvalidArgumentError, match=f"mine: .*{message}"):
        session.run(check(x, *arguments, message="mine"), {x: [1, 2]})
    with pytest.raises(InvalidArgumentError, match=message):
        check(gf.constant([1.0, 2.0]), *arguments)
    for positive in (debugging.assert_positive, debugging.assert_non_negative):
        session.run(positive(x), {x: [1, 2]})


def test_shapes_and_dtypes(session):
    x, y = gf.placeholder(gf.float32, [None, 3], name="x"), gf.placeholder(gf.float32, [None])
    check = debugging.assert_shapes([(x, ("n", 3)), (y, ("n",)), (gf.shape(x), None)])
    session.run(check, {x: np.ones((2, 3)), y: np.ones(2)})
    with pytest.raises(InvalidArgumentError, match=r"x = \d is not equal to y = \d"):
        session.run(check, {x: np.ones((2, 3)), y: np.ones(4)})
    with pytest.raises(ShapeError, match="the shape"):
        debugging.assert_shapes({x: (None, 4)})
    with pytest.raises(ShapeError, match="rank 1"):
        debugging.assert_rank(x, 1)
    with pytest.raises(DTypeError, match="int32"):
        debugging.assert_type(x, gf.int32)
    assert debugging.assert_same_float_dtype([x, y]) == gf.float32


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64"])
def test_check_numerics_names_the_element(session, dtype):
    x = gf.placeholder(dtype, [None, 3], name="x")
    checked = gf.reduce_sum(debugging.check_numerics(x * 2, "twice x"))
    (dx,) = gf.gradients(checked * 0.5, [x])
    values = np.ones((5, 3))
    assert session.run(checked, {x: values}) == 30
    assert np.all(session.run(dx, {x: values}) == 1)
    for bad, word in ((np.nan, "NaN"), (np.inf, "NaN" if dtype == "complex64" else "infinite"), (-np.inf, "")):
        values[3, 1] = bad
        with pytest.raises(NumericsError, match=rf"twice x: element \[3, 1\] of multiply is .*{word}"):
            session.run(checked, {x: values})
    with pytest.raises(DTypeError):
        debugging.check_numerics(gf.constant([1]))


def test_check_numerics_names_the_step_of_one_kernel_and_of_rows(session):
    x = gf.placeholder(gf.float32, [None, 3])
    for disable in ("", "sequential"):
        with gf.options(disable=disable):
            last = gf.foldl(lambda h, row: debugging.assert_all_finite(gf.sqrt(h + row), "root"), x, gf.zeros([3]))
            values = np.ones((900, 3), np.float32)
            values[731, 2] = -9
            with pytest.raises(NumericsError, match=r"root: element \[2\] of foldl\S*/sqrt is NaN, in step 731"):
                session.run(last, {x: values})


def test_eager_assertions_raise_at_once(capsys):
    with gf.eager():
        gf.print("now", gf.constant([1, 2]), output_stream="stdout")
        assert capsys.readouterr().out == "now [1 2]\n"
        with pytest.raises(InvalidArgumentError, match="is not less"):
            debugging.assert_less(gf.constant([1.0]) + 1, 2.0)
        with pytest.raises(NumericsError):
            debugging.check_numerics(gf.log(gf.constant([0.0])), "log")


def test_in_a_function_it_happens_in_each_call(capsys):
    @gf.function
    def f(x):
        gf.print("x", x, output_stream="stdout")
        gf.Assert(x < 3, ["too large", x])
        return x + 1

    with gf.eager():
        assert float(f(1.0)) == 2 and float(f(2.0)) == 3
        assert capsys.readouterr().out == "x 1.0\nx 2.0\n"
        with pytest.raises(InvalidArgumentError, match=r"too large 4\.0"):
            f(4.0)
