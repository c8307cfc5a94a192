"""The benchmark runs: three workloads in graphflow, one of them by hand too, and the JSON it writes. Times are not tested."""

import json

import numpy as np
import pytest

pytest.importorskip("rich")

from tests.benchmarks.__main__ import main, parse
from tests.benchmarks.agreement import disagreement
from tests.benchmarks.floor import Floor
from tests.benchmarks.measure import ROUNDS, Result, Row
from tests.benchmarks.process import ROOT
from tests.benchmarks.worker import Worker, reason
from tests.benchmarks.workloads import WORKLOADS


def test_three_workloads_without_peers(tmp_path, capsys):
    path = tmp_path / "out.json"
    chosen = ["--only", "scalar,logistic,pid", "--peers", "numba"]
    failed = main([*chosen, "--seconds", "0.03", "--threads", "1", "--json", str(path)])
    assert failed == 0, capsys.readouterr().out
    written = json.loads(path.read_text())
    assert [workload["name"] for workload in written["workloads"]] == ["scalar", "logistic", "pid"]
    for workload in written["workloads"]:
        row = workload["frameworks"]["graphflow"]
        assert len(row["samples"]) == ROUNDS
        assert 0 < row["best_seconds"] <= row["median_seconds"]
        assert row["compiled_later"] == 0
        assert row["cold_seconds"] > 0 and row["warm_seconds"] > 0
        assert row["peak_bytes"] is None or row["peak_bytes"] > 1e6
        assert workload["best_peer"] is None and workload["ratio"] is None
    assert [workload["by_hand"] is None for workload in written["workloads"]] == [True, True, False]
    assert written["versions"]["graphflow"] and written["machine"]["processors"] >= 1


def test_workloads_are_complete():
    for name, workload in WORKLOADS.items():
        arrays = workload.arrays()
        again = workload.arrays()
        assert all(np.array_equal(arrays[key], again[key]) for key in arrays), f"{name}: data differ from call to call"
        assert {*workload.parameters, *workload.state} <= arrays.keys()
        assert workload.bytes() > 0 and workload.flops() >= 0
        for key, array in arrays.items():
            if key not in ("x", "y"):
                back = workload.channels_last(key, workload.channels_first(key, array))
                assert np.array_equal(back, array), f"{name}: {key} changes its layout for good"
        assert name in (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8"), f"docs/benchmark.md does not name {name}"


def test_a_wrong_value_is_found():
    workload = WORKLOADS["ew10k"]
    right = {"loss": np.float32(1), "gradient of x": np.ones(4, np.float32)}
    close = {"loss": np.float32(1.00001), "gradient of x": np.ones(4, np.float32)}
    wrong = {"loss": np.float32(1), "gradient of x": np.float32([1, 1, 1, 1.1])}
    missing = {"loss": np.float32(np.nan), "gradient of x": np.ones(4, np.float32)}
    found = disagreement(workload, {"graphflow": right, "jax": close, "torch": right, "pytensor": close, "tf-session": wrong})
    assert found.keys() == {"tf-session"} and "gradient of x" in found["tf-session"]
    assert disagreement(workload, {"graphflow": missing}).keys() == {"graphflow"}
    assert disagreement(workload, {"graphflow": right, "jax": right, "torch": {"loss": right["loss"]}}).keys() == {"torch"}


def test_an_update_is_compared_by_its_change():
    workload = WORKLOADS["mlp4x100"]
    before = {name: value for name, value in workload.arrays().items() if name in workload.kept}
    moved = {name: value + np.float32(1e-3) for name, value in before.items()}
    other = {name: value + np.float32(1.1e-3) for name, value in before.items()}
    assert disagreement(workload, {"graphflow": moved, "jax": moved, "torch": other}).keys() == {"torch"}


def test_a_ratio_is_the_median_over_rounds():
    ours = Row("graphflow", rounds=[[1.0], [1.0], [2.0]])
    theirs = Row("jax", rounds=[[2.0], [3.0], [8.0]])
    result = Result(WORKLOADS["scalar"], [ours, theirs, Row("torch", problem="not installed")], 1e-9)
    assert result.best_peer == "jax" and result.ratio("jax") == 3.0 and result.ratio("torch") is None


def test_what_is_written_by_hand_is_no_peer():
    rows = [Row("graphflow", rounds=[[3.0]]), Row("jax", rounds=[[9.0]]), Row("numba", rounds=[[2.0]])]
    result = Result(WORKLOADS["seir"], rows, 1e-9)
    assert result.best_peer == "jax" and result.ratio("jax") == 3.0
    assert result.ratio("graphflow", to="numba") == 1.5


def test_a_framework_that_is_left_out_says_why():
    with pytest.raises(NotImplementedError, match="unrolls the loop") as caught:
        Worker().start("torch-compile", "seir", 1, "")
    assert reason(caught.value).startswith("left out: unrolls the loop")


def test_the_floor_is_bytes_or_operations():
    floor = Floor({1000: 100.0, 2000: 10.0}, flops=50.0)
    assert floor.seconds(500, 0) == 5.0  # fits the cache
    assert floor.seconds(5000, 0) == 500.0
    assert floor.seconds(500, 500) == 10.0


def test_unknown_names_are_errors(capsys):
    with pytest.raises(SystemExit):
        parse(["--only", "scalr"])
    assert "there are scalar, ew10k" in capsys.readouterr().err
