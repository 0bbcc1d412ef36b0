"""Shares of a total are fair: as much for each as for any other, unless it wants less."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.transfer.pacing import shares

NO_CAP = float("inf")
CAPS = st.lists(st.one_of(st.floats(1, 1000), st.just(NO_CAP)), min_size=1, max_size=8)
TOTALS = st.floats(1, 5000)


@given(TOTALS, CAPS)
def test_nobody_gets_more_than_wanted_and_all_together_no_more_than_there_is(
    total: float, caps: list[float]
) -> None:
    parts = shares(total, caps)
    assert all(0 <= part <= cap for part, cap in zip(parts, caps, strict=True))
    assert sum(parts) == pytest.approx(min(total, sum(caps)))  # nor is anything left over


@given(TOTALS, CAPS)
def test_who_gets_less_than_another_gets_all_that_it_wants(total: float, caps: list[float]) -> None:
    parts = shares(total, caps)
    most = max(parts)
    for part, cap in zip(parts, caps, strict=True):
        assert part == pytest.approx(most) or part == cap


@given(CAPS)
def test_without_a_total_each_gets_what_it_wants(caps: list[float]) -> None:
    assert shares(NO_CAP, caps) == caps


def test_the_order_does_not_matter() -> None:
    caps = (10.0, 100.0, NO_CAP)
    for some in permutations(range(3)):
        parts = shares(120.0, [caps[one] for one in some])
        assert [parts[some.index(one)] for one in range(3)] == [10.0, 55.0, 55.0]


def test_nobody_shares_nothing() -> None:
    assert shares(100.0, []) == []
