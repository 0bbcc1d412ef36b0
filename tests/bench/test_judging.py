"""What figures are held to is worked out right."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.judging import Tally, is_near, jain, percentile, tally

RATES = some.lists(some.floats(0.001, 1e6), min_size=1, max_size=20)


def test_equal_rates_are_perfectly_fair() -> None:
    assert jain([3.0] * 16) == pytest.approx(1.0)


def test_one_that_has_all_is_as_unfair_as_can_be() -> None:
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


def test_the_index_is_that_of_jains_paper() -> None:
    assert jain([1.0, 2.0, 3.0]) == pytest.approx(36 / (3 * 14))


def test_nobody_having_anything_is_fair() -> None:
    assert jain([0.0, 0.0]) == 1.0


@given(RATES, some.floats(0.1, 10))
def test_fairness_is_between_one_of_n_and_one_and_knows_no_unit(
    rates: list[float], unit: float
) -> None:
    found = jain(rates)
    assert 1 / len(rates) - 1e-9 <= found <= 1 + 1e-9
    assert jain([unit * rate for rate in rates]) == pytest.approx(found)


@pytest.mark.parametrize(
    ("estimated", "is_good"), [(70, True), (130, True), (69, False), (131, False), (0, False)]
)
def test_an_estimate_may_be_thirty_percent_of_the_measured_value_away(
    estimated: float, is_good: bool
) -> None:
    assert is_near(estimated, 100) is is_good


def test_eight_of_ten_is_enough_and_seven_is_not() -> None:
    good, bad = (100.0, 100.0), (10.0, 100.0)
    assert tally([good] * 8 + [bad] * 2).is_met
    assert not tally([good] * 7 + [bad] * 3).is_met
    assert str(tally([good, bad])) == "1 of 2 within 30%"
    assert tally([good]) + tally([bad]) == Tally(1, 2)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7.0], 0.99) == 7
