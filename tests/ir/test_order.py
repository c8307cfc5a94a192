"""Topological order: dependencies first, stable, deep, and an assertion where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.ir.order import dependencies_first


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30))
def test_dependencies_come_first(links):
    below = {k: [d for d in found if d < k] for k, found in enumerate(links)}
    order = dependencies_first(below, below.__getitem__)
    assert sorted(order) == sorted(below)
    place = {item: k for k, item in enumerate(order)}
    assert all(place[d] < place[k] for k, found in below.items() for d in found)


def test_deep_chains_need_no_recursion():
    order = dependencies_first([100_000], lambda k: [k - 1] if k else [])
    assert order == list(range(100_001))


def test_a_cycle_is_an_assertion():
    with pytest.raises(AssertionError, match="depends on itself"):
        dependencies_first("a", {"a": "b", "b": "a"}.__getitem__)
