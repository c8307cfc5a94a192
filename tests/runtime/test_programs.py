"""Stored programs: a second process runs no pass; whatever differs is told apart; errors name this process' lines."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import graphflow as gf
from graphflow.capture import capture
from graphflow.options import current as current_options
from graphflow.runtime import programs
from graphflow.types import evaluate

PROGRAM = textwrap.dedent(
    """
    import sys
    import numpy as np
    import graphflow as gf
    {lines}
    x = gf.placeholder(gf.float32, [{size}], name="{name}")
    index = gf.placeholder(gf.int32, [None], name="index")
    w = gf.Variable(np.linspace(-1, 1, 24).reshape(8, 3).astype(np.float32), name="{name}_w")
    table = np.arange(300, dtype=np.float32).reshape(100, 3)
    folded = gf.constant(table) * {factor}
    hidden = gf.tanh(x @ w)
    loss = gf.reduce_sum(hidden{operation}hidden + 1.5) + gf.reduce_sum(gf.gather(folded, index))
    step = gf.train.AdamOptimizer(0.1).minimize(loss)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        feeds = {{x: np.ones((5, 8), np.float32), index: [1, 99]}}
        values = [sess.run([loss, step], feeds)[0] for _ in range(3)]
        try:
            sess.run([loss, step], {{**feeds, index: [1, 100]}})
        except gf.errors.IndexOutOfRangeError as error:
            message = str(error)
        passed = "graphflow.passes" in sys.modules
        stats = gf.cache.stats()
        print(stats.compiled, stats.programs_built, stats.programs_loaded, passed, *[v.tobytes().hex() for v in values])
        print(message)
        print(gf.cache.explain())
    """
)
DEFAULT = {"lines": "", "size": "None, 8", "name": "x", "factor": "2.0", "operation": " * "}


def run(folder, environment=(), **changes):
    """(compiled, programs built, programs loaded, passes imported, values, the error's text, explain()) of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(**{**DEFAULT, **changes})],
        env={**os.environ, "GRAPHFLOW_CACHE": str(folder), **dict(environment)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n", 1)
    compiled, built, loaded, passed, *values = first.split()
    message, explained = rest.split("No variable was changed.\n")
    return int(compiled), int(built), int(loaded), passed == "True", values, message, explained


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """(a cache in which the program has been run once, its values)."""
    folder = tmp_path_factory.mktemp("programs")
    compiled, built, _, passed, values, _, _ = run(folder)
    assert compiled > 0 and built == 2 and passed
    return folder, values


def test_a_second_process_runs_no_pass(warm):
    folder, expected = warm
    compiled, built, loaded, passed, values, _, explained = run(folder)
    assert (compiled, built, loaded, passed) == (0, 0, 2, False)
    assert values == expected
    assert "compiled" not in explained and "built" not in explained


def test_names_and_lines_are_those_of_the_process(warm):
    folder, expected = warm
    _, built, _, _, values, message, _ = run(folder, lines="\n\n", name="other")
    assert built == 0 and values == expected
    assert message.startswith("gather (gather): index 100 is outside axis 0 of size 100")
    assert "built at <string>:14" in message and "from <string>:12" in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"factor": "3.0"}, "attributes and constants differs"),
        ({"size": "5, 8"}, "types differs"),
        ({"operation": " + "}, "no stored program has its operations"),
        ({"environment": [("GRAPHFLOW_MAX_GROUP", "50")]}, "options"),
        ({"environment": [("GRAPHFLOW_DISABLE", "cse")]}, "options"),
    ],
    ids=["constant", "type", "operation", "option", "pass left out"],
)
def test_what_differs_is_a_miss_that_is_explained(warm, change, told):
    folder, expected = warm
    _, built, _, passed, values, _, explained = run(folder, **change)
    assert built >= 1 and passed
    assert told in explained
    assert (values == expected) == ("factor" not in change and "operation" not in change)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"?" + b[-8:]])
def test_a_damaged_program_is_built_anew(warm, damage):
    folder, expected = warm
    for path in folder.rglob("p_*.program"):
        path.write_bytes(damage(path.read_bytes()))
    compiled, built, loaded, _, values, _, explained = run(folder)
    assert (compiled, built, loaded) == (0, 2, 0) and values == expected
    assert "the file was damaged" in explained
    assert run(folder)[1] == 0


def test_a_missing_kernel_is_compiled_anew(warm):
    folder, expected = warm
    for path in folder.rglob("k_*.o"):
        path.unlink()
    compiled, built, _, _, values, _, _ = run(folder)
    assert compiled > 0 and built == 2 and values == expected


def test_a_stored_program_is_the_same_value(rng):
    """Symbols, constants, launches: what is read back is what was written."""
    x = gf.placeholder(gf.float32, [None, None], name="x")
    y = gf.reduce_sum(gf.concat([x, gf.tanh(x) * gf.constant(rng.random((1, 7), np.float32))], axis=0), axis=1)
    with gf.Session() as sess:
        launches = sess.executable([y, x], [x]).launch_program
    program = capture([y, x], [], [x], gf.get_default_graph())
    entry = programs.entry_of(program, current_options())
    programs.store(entry, launches)
    found, problem = programs.load(entry, program)
    assert problem is None
    assert (found.slots, found.launches, found.results, found.updates) == (
        launches.slots, launches.launches, launches.results, launches.updates
    )  # fmt: skip
    assert all(np.array_equal(a, b) for a, b in zip(found.constants, launches.constants, strict=True))
    (rows, columns) = (next(iter(d.dims)) for d in x.shape)
    assert evaluate(found.slots[0].shape[0], {rows: 4, columns: 7}) in (4, 8)


def test_the_key_knows_wiring_and_order_of_symbols():
    a, b = gf.placeholder(gf.float32, [None, None], name="a"), gf.placeholder(gf.float32, [None, None], name="b")
    square = gf.placeholder(gf.float32, ["n", "n"], name="square")

    def name(fetches, feeds):
        return programs.entry_of(capture(fetches, [], feeds, gf.get_default_graph()), current_options()).name

    names = [
        name([a - b], [a, b]), name([b - a], [a, b]), name([a - b], [b, a]), name([a - a], [a, b]), name([a - b, a], [a, b]),
        name([gf.transpose(a)], [a]), name([gf.transpose(square)], [square]), name([gf.cast(a, gf.float64)], [a]),
        name([a * 0.0], [a]), name([a * -0.0], [a]),
    ]  # fmt: skip
    assert names[1] == names[2] and len(set(names)) == len(names) - 1
    assert name([a - b], [a, b]) == names[0]
