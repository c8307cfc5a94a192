"""The kernel cache: a second process compiles nothing; races and damage are harmless."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

PROGRAM = textwrap.dedent(
    """
    import sys
    import numpy as np
    import graphflow as gf
    x = gf.placeholder(gf.float32, [None, 5], name="x")
    y = gf.reduce_sum(gf.tanh(x * 2.5 + 1.25), axis=1)
    with gf.Session() as sess:
        value = sess.run(y, {x: np.ones((3, 5), np.float32)})
    assert np.allclose(value, 5 * np.tanh(3.75), rtol=1e-6), value
    stats = gf.cache.stats()
    print(stats.compiled, stats.loaded, stats.rebuilt, "numba" in sys.modules)
    """
)


def run_program(folder):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(folder), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    compiled, loaded, rebuilt, numba = done.stdout.split()
    return int(compiled), int(loaded), int(rebuilt), numba == "True"


def environment(folder):
    import os

    return {**os.environ, "GRAPHFLOW_CACHE": str(folder)}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache in which the program has been compiled once."""
    folder = tmp_path_factory.mktemp("cache")
    compiled, _, _, numba = run_program(folder)
    assert compiled > 0 and not numba  # our own compiler knows the driver, too
    return folder


def test_second_process_compiles_nothing_and_needs_no_numba(warm):
    compiled, loaded, rebuilt, numba = run_program(warm)
    assert (compiled, rebuilt) == (0, 0)
    assert loaded > 0
    assert not numba


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"junk"]
)
def test_damaged_entry_is_rebuilt(warm, damage):
    path = sorted(warm.rglob("k_*.o"))[0]
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    compiled, _, rebuilt, _ = run_program(warm)
    assert (compiled, rebuilt) == (1, 1)
    assert len(path.read_bytes()) > len(whole) // 2
    assert run_program(warm)[0] == 0


def test_eight_processes_compile_the_same_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: run_program(tmp_path), range(8)))
    assert all(rebuilt == 0 for _, _, rebuilt, _ in results)
    assert not list(tmp_path.rglob("*.tmp"))
    assert run_program(tmp_path)[0] == 0


def test_cache_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    compiled, _, _, _ = run_program(blocked)
    assert compiled > 0
