"""Whom a destination answers, and what it says of what is over."""

from dataclasses import replace

import pytest

from bmigd.errors import Busy, Denied, Invalid
from bmigd.journal import Record
from bmigd.migration.answers import (
    REMEMBERED,
    Refusals,
    answer_of,
    over,
    require_owner,
    running_us,
)
from bmigd.migration.blackout import AFRESH, TAKE_OVER
from bmigd.migration.picture import DESTINATION, Failure, Part
from bmigd.migration.recorder import now_ms

RECORD = Record("m1", "destination", "web1", "host1", 3, "RECEIVING")
FAILURE = Failure("CHUNK_INVALID", "a chunk is not one", "destination", "", "report it")


def test_only_the_source_of_this_epoch_is_answered() -> None:
    require_owner(RECORD, 3, "host1")
    with pytest.raises(Denied, match="WRONG_PEER"):
        require_owner(RECORD, 3, "host2")


def test_a_message_of_another_epoch_is_not_worth_another_try() -> None:
    with pytest.raises(Invalid, match="STALE_EPOCH") as refused:
        require_owner(RECORD, 2, "host1")
    assert refused.value.advice.startswith("nothing: ")


def why(refusals: Refusals, source: str, migration_id: str = "m1") -> Busy:
    """What a source is told."""
    return refusals.why_over(migration_id, source)


def test_a_source_learns_why_its_own_was_refused_and_of_no_other() -> None:
    refusals = Refusals()
    refusals.note(RECORD, FAILURE)
    assert why(refusals, "host1").reason == "CHUNK_INVALID"
    assert why(refusals, "host2").reason == "MIGRATION_OVER"
    for number in range(REMEMBERED):
        refusals.note(Record(f"n{number}", *("destination", "x", "host1", 1, "REFUSED")), FAILURE)
    assert why(refusals, "host1").reason == "MIGRATION_OVER"


def test_who_invites_a_guest_again_is_told_why_it_was_refused() -> None:
    record = replace(RECORD, why="DESTINATION_RESTARTED: bmigd was restarted")
    told = over(record, "host2")
    assert (told.reason, told.message) == ("DESTINATION_RESTARTED", "bmigd was restarted")
    assert over(replace(RECORD, why=""), "host2").reason == "MIGRATION_OVER"


def test_a_guest_has_run_since_before_it_was_taken_over_but_not_while_it_was_started() -> None:
    start, take_over = Part("start", DESTINATION, 200_000), Part(TAKE_OVER, DESTINATION, 300_000)
    assert running_us([start, take_over], 5_000, 6_001) == 300_000 + 1_000_000
    assert running_us([Part(AFRESH, DESTINATION, 200_000)], 5_000, 6_001) == 1_000_000


def test_a_clock_that_was_set_back_makes_no_time_in_which_a_guest_ran() -> None:
    assert running_us([], 5_000, 4_000) == 0


def test_only_of_a_guest_that_runs_it_is_told_for_how_long() -> None:
    ended_at_ms = now_ms() - 60_000
    running = answer_of(replace(RECORD, state="RUNNING"), None, (), ended_at_ms)
    assert 59_000_000 < running.running_for_us < 90_000_000
    assert answer_of(replace(RECORD, state="RETURNED"), None, (), ended_at_ms).running_for_us == 0
    assert answer_of(replace(RECORD, state="RUNNING"), None).running_for_us == 0
