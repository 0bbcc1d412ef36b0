"""A peer gets so much at once; others get theirs."""

import pytest

from bmigd.errors import Busy
from bmigd.migration.quota import MOST_RECEPTIONS, Moderation, Quota


def test_a_peer_gets_so_much_at_once_and_another_its_own() -> None:
    quota = Quota("TOO_MANY_QUESTIONS", 3, 0.0)
    for _ in range(3):
        quota.take("evil")
    with pytest.raises(Busy) as refused:
        quota.take("evil")
    assert refused.value.reason == "TOO_MANY_QUESTIONS"
    quota.take("host1")


def test_as_time_goes_by_a_peer_gets_more() -> None:
    quota = Quota("TOO_MANY_QUESTIONS", 1, 1e9)
    for _ in range(10):
        quota.take("host1")


def test_a_source_has_so_many_guests_on_their_way() -> None:
    moderation = Moderation()
    moderation.require_few("host1", MOST_RECEPTIONS - 1)
    with pytest.raises(Busy) as refused:
        moderation.require_few("host1", MOST_RECEPTIONS)
    assert refused.value.reason == "TOO_MANY_RECEPTIONS"
