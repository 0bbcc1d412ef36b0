"""A certificate that ends is told of in time, once a day, and at the moment when it ends."""

import pytest

from bmigd.security.expiry import DAY_S, SOON_S, pause_s, told_as


@pytest.mark.parametrize(
    ("left_s", "urgency"),
    [
        (400 * DAY_S, ""),
        (SOON_S + 1, ""),
        (SOON_S, "warning"),
        (1, "warning"),
        (0, "error"),
        (-9e9, "error"),
    ],
)
def test_it_becomes_more_urgent(left_s: float, urgency: str) -> None:
    assert told_as(left_s) == urgency


@pytest.mark.parametrize(
    ("left_s", "wait_s"),
    [
        (400 * DAY_S, DAY_S),
        (SOON_S + 60, 61),
        (SOON_S, DAY_S),
        (60, 61),
        (0, DAY_S),
        (-60, DAY_S),
    ],
)
def test_it_is_told_again_a_day_later_or_when_it_ends(left_s: float, wait_s: float) -> None:
    assert pause_s(left_s) == wait_s
