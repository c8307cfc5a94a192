"""The memory plan: buffers that live at the same time never overlap, and a run takes what the plan says."""

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.runtime.memory import ALIGNMENT, LiveRange, overlaps, plan_memory

ranges = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 30), st.integers(0, 10)).map(
        lambda t: LiveRange("b", t[0], t[1], t[1] + t[2])
    ),
    max_size=40,
)


@given(ranges)
def test_live_buffers_do_not_overlap(found):
    plan = plan_memory(found)
    for i, a in enumerate(plan.ranges):
        assert plan.offsets[i] % ALIGNMENT == 0
        assert plan.offsets[i] + a.size <= plan.arena_bytes
        for j, b in enumerate(plan.ranges[:i]):
            if overlaps(a, b):
                apart = plan.offsets[i] + a.size <= plan.offsets[j] or plan.offsets[j] + b.size <= plan.offsets[i]
                assert apart, f"{a} at {plan.offsets[i]} and {b} at {plan.offsets[j]}"


def test_memory_of_dead_buffers_is_used_again():
    plan = plan_memory([LiveRange("a", 640, 0, 1), LiveRange("b", 640, 2, 3), LiveRange("c", 64, 1, 2)])
    assert plan.arena_bytes == 704


def test_no_buffers_need_no_arena():
    assert plan_memory([]).arena_bytes == 0


def layers():
    """A training step whose buffers are a few megabytes for a batch of thousands."""
    x, y = gf.placeholder(gf.float32, [None, 64], name="x"), gf.placeholder(gf.float32, [None, 256], name="y")
    w = gf.Variable(np.full((64, 256), 0.01, np.float32), name="w")
    hidden = gf.tanh(x @ w)
    loss = gf.reduce_mean(gf.square(gf.nn.softmax(hidden) - y))
    return x, y, hidden, loss, gf.train.MomentumOptimizer(0.1, 0.9).minimize(loss)


def test_the_plan_is_printed_before_a_run():
    x, y, hidden, loss, step = layers()
    with gf.Session() as sess:
        found = sess.memory_plan([step, loss, hidden], {x: (4096, 64), y: np.zeros((4096, 256), np.float32)})
        assert found.feeds == 4096 * (64 + 256) * 4 and found.variables >= 2 * 64 * 256 * 4
        assert 4096 * 256 * 4 <= found.results <= 4096 * 256 * 4 + 64
        assert found.run == found.plan.arena_bytes + found.results + found.next_values < found.total
        text = str(found)
        assert "a run allocates" in text and "launches" in text and f"{found.total:,} bytes" in text
        assert any(r.name.startswith("gradients/") for r in found.plan.ranges)
        with pytest.raises(gf.errors.FeedError, match="the shape of y is not known"):
            sess.memory_plan(loss, {x: (4096, 64)})


def test_what_is_written_in_place_is_said():
    v = gf.Variable(np.zeros((300, 30), np.float32), name="v")
    with gf.Session() as sess:
        found = sess.memory_plan(gf.group(v.assign_add(gf.ones([300, 30]))))
        assert found.next_values == 0 and any("is written over v (launch" in line for line in found.in_place)


def test_what_follows_a_product_is_written_in_place(rng):
    """Adam's moments and weights are updated on the tile of the gradient just computed: the product has one buffer, no more."""
    x, start = gf.placeholder(gf.float32, [None, 40], name="x"), rng.standard_normal((40, 60)).astype(np.float32)
    w = gf.Variable(start, name="w")
    step = gf.train.AdamOptimizer(0.1).minimize(gf.reduce_sum(gf.square(gf.tanh(x @ w))))
    data, values = rng.standard_normal((30, 40)).astype(np.float32), []
    for names in ("", "inplace"):
        with gf.options(disable=names), gf.Session() as sess:
            sess.run(gf.global_variables_initializer())
            for _ in range(4):
                sess.run(step, {x: data})
            values.append(sess.run(gf.global_variables()))
            plan = sess.memory_plan(step, {x: (30, 40)})
            assert (plan.next_values <= start.nbytes + 64) == (names == "")
    for one, other in zip(*values, strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5)


PEAK = textwrap.dedent(
    """
    import re
    import numpy as np
    import graphflow as gf
    from pathlib import Path
    from tests.runtime.test_memory import layers

    def status(name):
        return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

    gf.set_num_threads(1)
    x, y, hidden, loss, step = layers()
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        call = sess.make_callable([step, loss, hidden], [x, y])
        call(np.zeros((8, 64), np.float32), np.zeros((8, 256), np.float32))
        feeds = np.ones((20_000, 64), np.float32), np.ones((20_000, 256), np.float32)
        planned = sess.memory_plan([step, loss, hidden], {x: feeds[0], y: feeds[1]}).run
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = status("VmRSS")
        call(*feeds)
        print(planned, status("VmHWM") - before)
    """
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_run_takes_the_memory_that_is_planned():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    planned, measured = map(int, done.stdout.split())
    assert planned > 30_000_000
    assert abs(measured - planned) < 0.1 * planned, f"planned {planned:,}, measured {measured:,}"


def test_a_call_allocates_nothing_but_its_results():
    x, y, hidden, loss, step = layers()
    feeds = np.ones((500, 64), np.float32), np.ones((500, 256), np.float32)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        for fetches, results in (([step, loss], 0), ([step, loss, hidden], 500 * 256 * 4)):
            call = sess.make_callable(fetches, [x, y])
            kept = [call(*feeds) for _ in range(3)]  # noqa: F841  # what the caller keeps cannot be used again
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            value = call(*feeds)  # noqa: F841
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert results <= peak - before < results + 8192


def test_a_caller_that_has_each_result_until_the_next_makes_no_call_allocate():
    x, *_ = layers()
    large = [gf.matmul(x, x, transpose_b=True) + float(k) for k in range(3)]
    feed = np.ones((500, 64), np.float32)
    with gf.Session() as sess:
        call = sess.make_callable(large, [x])
        value = call(feed)
        for _ in range(3):
            value = call(feed)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        value = call(feed)  # noqa: F841
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - before < 8192
