"""Shares of a total are fair: as much for each as for any other, unless it wants less."""

from random import Random

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


@given(TOTALS, CAPS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(total: float, caps: list[float], chance: Random) -> None:
    order = list(range(len(caps)))
    chance.shuffle(order)
    parts = shares(total, caps)
    assert shares(total, [caps[one] for one in order]) == [parts[one] for one in order]


@given(TOTALS, CAPS, st.data())
def test_who_wants_the_same_gets_the_same(
    total: float, caps: list[float], data: st.DataObject
) -> None:
    cap = data.draw(st.sampled_from(caps))
    *_, first, second = shares(total, [*caps, cap, cap])
    assert first == second


def test_what_one_leaves_is_the_others() -> None:
    assert shares(120.0, [10.0, 100.0, NO_CAP]) == [10.0, 55.0, 55.0]
    assert shares(120.0, [NO_CAP, NO_CAP, NO_CAP]) == [40.0, 40.0, 40.0]


def test_nobody_shares_nothing() -> None:
    assert shares(100.0, []) == []
