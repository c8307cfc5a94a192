"""The memory plan: buffers that live at the same time never overlap."""

from hypothesis import given
from hypothesis import strategies as st

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
