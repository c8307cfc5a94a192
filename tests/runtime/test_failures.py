"""Planted failures: what went wrong in native code is told with op, line, types and shapes; no compiler speaks for itself."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen import cache
from graphflow.errors import CompileError, IndexOutOfRangeError


@pytest.mark.parametrize("disable", ["", "sequential"])
def test_an_index_names_op_line_types_shapes_and_all_steps(disable):
    table = gf.placeholder(gf.float32, [None, 2], name="table")
    rows = gf.placeholder(gf.int32, [None, 3], name="rows")

    def inner(total, index):
        lines.append(gf.gather(table, index))
        return total + lines[0], total

    lines = []
    _, total = gf.scan(lambda h, row: (gf.scan(inner, row, h)[1],) * 2, rows, gf.zeros([2]))
    feed = np.zeros((9, 3), np.int32)
    feed[7, 1] = 4
    with gf.options(disable=disable), gf.Session() as session:
        with pytest.raises(IndexOutOfRangeError, match=r"index 4 is outside axis 0 of size 4, in step 1 of .*step 7") as error:
            session.run(total, {table: np.ones((4, 2)), rows: feed})
        assert str(lines[0].location) in str(error.value)
        session.run(total, {table: np.ones((5, 2)), rows: feed})
        feed[2] = 9
        with pytest.raises(IndexOutOfRangeError, match=r"in step 0 of .*step 2\b"):
            session.run(total, {table: np.ones((5, 2)), rows: feed})


def test_operands_have_the_shapes_of_the_run():
    x, i = gf.placeholder(gf.float32, [None, 2], name="x"), gf.placeholder(gf.int32, [None], name="i")
    with gf.Session() as session, pytest.raises(IndexOutOfRangeError) as error:
        session.run(gf.gather(x, i), {x: np.ones((3, 2)), i: [0, 5]})
    assert "float32[x.0, 2] = [3, 2]" in str(error.value) and "int32[i.0] = [2]" in str(error.value)


HEAD = "def kernel(buffers, dims, begin, end):\n"


@pytest.mark.parametrize(
    ("text", "compiler", "options"),
    [
        (HEAD + "    unknown_function(1)\n", "", "llvm"),
        (HEAD + "    unknown_function(1)\n", "", "numba"),
        (HEAD + "    unknown_function(1)\n", "direct", "llvm"),
        (HEAD + "    x = dims['a' + 1\n", "", "llvm"),
        (HEAD + "    begin.y.z = [*dims]\n", "", "llvm"),
        ("define void @kernel(i64 %a) { call void @nothing_here( }", "assembly", "llvm"),
    ],
)
def test_what_does_not_compile_is_a_compile_error(tmp_path, text, compiler, options):
    with gf.options(cache=str(tmp_path), compiler=options):
        for look in (cache.begin, cache.load):
            if look is cache.begin:
                look(text, "group 3: exp, model.py:7", compiler)
                continue
            with pytest.raises(CompileError, match=r"the kernel of group 3: exp, model.py:7 could not be compiled") as error:
                look(text, "group 3: exp, model.py:7", compiler)
    assert "Its source is" in str(error.value) and "Please report" in str(error.value)
