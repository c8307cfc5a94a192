"""The layered layout: boxes do not overlap, arrows lead downwards."""

import doctest
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.viz import layout
from graphflow.viz.layout import layered, settle


def test_doctests():
    assert doctest.testmod(layout).failed == 0


def overlaps(a, size_a, b, size_b):
    return all(a[k] < b[k] + size_b[k] - 1e-6 and b[k] < a[k] + size_a[k] - 1e-6 for k in range(2))


def check(sizes, edges):
    found = layered(sizes, edges)
    assert found.corners.keys() == sizes.keys()
    for a, b in itertools.combinations(sizes, 2):
        assert not overlaps(found.corners[a], sizes[a], found.corners[b], sizes[b]), (a, b)
    for key, (x, y) in found.corners.items():
        assert -1e-6 <= x <= found.width - sizes[key][0] + 1e-6
        assert -1e-6 <= y <= found.height - sizes[key][1] + 1e-6
    return found


@given(st.data())
def test_random_graphs(data):
    count = data.draw(st.integers(0, 12))
    sizes = {k: (data.draw(st.integers(10, 200)), data.draw(st.integers(10, 90))) for k in range(count)}
    pairs = st.tuples(st.integers(0, max(count - 1, 0)), st.integers(0, max(count - 1, 0)))
    edges = [(min(p), max(p)) for p in data.draw(st.lists(pairs, max_size=30 if count else 0))]
    found = check(sizes, edges)
    for a, b in edges:
        if a != b:
            assert found.corners[a][1] + sizes[a][1] < found.corners[b][1], "arrows lead downwards"
            assert [y for _, y in found.bends[a, b]] == sorted(y for _, y in found.bends[a, b])


def test_a_cycle_is_drawn():
    check(dict.fromkeys("abc", (10.0, 10.0)), [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")])


def test_a_long_chain_needs_no_recursion():
    check(dict.fromkeys(range(400), (10.0, 10.0)), [(k, k + 1) for k in range(399)])


def test_an_order_without_crossings_is_found():
    found = check(dict.fromkeys("abcxyz", (20.0, 20.0)), [("a", "z"), ("b", "y"), ("c", "x")])
    x = {key: corner[0] for key, corner in found.corners.items()}
    assert sorted("abc", key=x.get) == [{"z": "a", "y": "b", "x": "c"}[k] for k in sorted("xyz", key=x.get)]


@pytest.mark.parametrize("wanted", [[0.0, 0.0, 0.0], [9.0, 1.0, 5.0], [0.0, 100.0, 200.0]])
def test_settle_keeps_order_and_distance(wanted):
    found = settle(wanted, [1.0] * 3, [4.0, 6.0, 8.0], 2.0)
    assert found[1] - found[0] >= 7 - 1e-9 and found[2] - found[1] >= 9 - 1e-9
