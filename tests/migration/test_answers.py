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
)
from bmigd.migration.picture import Failure

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


def test_only_of_a_guest_that_runs_it_is_told_for_how_long() -> None:
    assert answer_of(replace(RECORD, state="RUNNING"), None, (), 5).running_for_us == 5
    assert answer_of(replace(RECORD, state="RETURNED"), None, (), 5).running_for_us == 0
