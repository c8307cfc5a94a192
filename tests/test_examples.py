"""The examples run, each in a process of its own, and end with what they promise. They share the session's kernel cache."""

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SECONDS = 240  # a slow machine with a cold cache


def run(name, *arguments, cache=None):
    """What the example prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    if cache is not None:
        environment["GRAPHFLOW_CACHE"] = str(cache)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in\n{text}"
    return float(found.group(1))


def test_every_example_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in here for path in EXAMPLES.glob("*.py"))


def test_train_digits(tmp_path):
    text = run("train_digits.py", "--picture", tmp_path / "graph.svg")
    assert number(r"test accuracy: (0\.\d+)", text) >= 0.97
    assert number(r"time per step: (\d+) us", text) > 0
    assert number(r"compile time: (\d+\.\d+) s", text) > 0
    compiled, loaded = number(r"kernels: (\d+) compiled", text), number(r"(\d+) from the cache", text)
    assert compiled + loaded > 0
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8").startswith("<svg")

    again = run("train_digits.py", "--picture", tmp_path / "graph.svg", "--epochs", 1)
    assert number(r"kernels: (\d+) compiled", again) == 0, "the second run compiles nothing"
    assert number(r"(\d+) from the cache", again) == compiled + loaded


def write_idx(path, array, compress):
    """The array as an IDX file of bytes."""
    head = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">i4").tobytes()
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)


def test_convolutions():
    assert number(r"test accuracy: ([01]\.\d+)", run("convolutions.py")) >= 0.97


@pytest.mark.parametrize("compress", [False, True], ids=["idx", "gz"])
def test_train_digits_reads_mnist_files(tmp_path, rng, compress):
    # Ten patterns with noise stand in for the digits: what is tested is the reading.
    patterns = rng.integers(0, 200, (10, 28, 28))
    for part, count in (("train", 400), ("t10k", 100)):
        labels = rng.integers(0, 10, count)
        images = patterns[labels] + rng.integers(0, 55, (count, 28, 28))
        ending = ".gz" if compress else ""
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", images, compress)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", labels, compress)
    text = run("train_digits.py", "--mnist", tmp_path, "--hidden", 32, "--picture", tmp_path / "graph.svg")
    assert number(r"test accuracy: ([01]\.\d+)", text) >= 0.97


def test_train_digits_says_which_file_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "train_digits.py"), "--mnist", str(tmp_path)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "has no file train-images-idx3-ubyte" in done.stderr


def test_linear_regression():
    text = run("linear_regression.py")
    assert number(r"w = (\d\.\d+)", text) == pytest.approx(3.0, abs=0.05)
    assert number(r"b = (\d\.\d+)", text) == pytest.approx(2.0, abs=0.05)


def test_ode_fit():
    text = run("ode_fit.py")
    rates = [number(rf"{name} = (0\.\d+)", text) for name in ("alpha", "beta", "gamma", "delta")]
    assert rates == pytest.approx([0.5402, 0.0272, 0.7964, 0.0237], abs=2e-4)
    assert number(r"logarithms' differences: (0\.\d+)", text) == pytest.approx(0.0481, abs=1e-4)
    assert number(r"found in (\d+) steps", text) < 100


def test_rnn_char():
    text = run("rnn_char.py")
    assert number(r"at last (\d\.\d+) bits", text) < 1.0
    assert len(re.search(r"it writes: (.*)", text).group(1)) == 201


def test_derivatives_by_hand():
    text = run("derivatives_by_hand.py")
    values = [float(v) for v in re.findall(r"at \d+ +=? ?= ([\d.e+]+)", text)]
    assert values == pytest.approx([7, 2, 200, 17200], rel=1e-6)


def test_visualize(tmp_path):
    text = run("visualize.py", tmp_path)
    links = re.findall(r'href="([^"]+)"', (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert len(links) == number(r"(\d+) files", text) >= 12
    assert {"ledger.html", "groups.svg", "groups.json", "built.graphml"} <= set(links)
    assert all((tmp_path / link).stat().st_size > 100 for link in links)


def test_show_the_stages():
    text = run("show_the_stages.py")
    for word in ("program ", "constant_folding", "group", "kernel", "memory", "digraph", "show_the_stages.py:"):
        assert word in text, f"no {word!r}"


def test_eager_training():
    text = run("eager_training.py")
    for way in ("ops one by one", "one program"):
        assert number(rf"{way}: test accuracy (0\.\d+)", text) >= 0.96
