"""The order in which a change of ownership is carried out, in the words of docs/PROTOCOL.md.

tests/sim shows what goes wrong in another order.
"""

import pytest

from bmigd.migration.handoff import DestinationEvent, SourceEvent, SourceState
from bmigd.migration.steps import (
    DESTINATION_STEPS,
    SOURCE_STEPS,
    Step,
    left,
    source_after_restart,
)

ALL = [*SOURCE_STEPS.items(), *DESTINATION_STEPS.items()]


def test_every_event_has_its_steps() -> None:
    assert set(SOURCE_STEPS) == set(SourceEvent)
    assert set(DESTINATION_STEPS) == set(DestinationEvent)


@pytest.mark.parametrize(("event", "steps"), ALL)
def test_a_change_is_journalled_once_and_closed_last(
    event: SourceEvent | DestinationEvent, steps: tuple[Step, ...]
) -> None:
    assert steps.count(Step.JOURNAL) == 1
    if Step.CLOSE in steps:
        assert steps[-1] is Step.CLOSE


@pytest.mark.parametrize("event", [SourceEvent.FAILED, SourceEvent.RESTARTED])
def test_a_guest_that_was_not_let_go_goes_on_before_anybody_is_told(event: SourceEvent) -> None:
    steps = SOURCE_STEPS[event]
    assert steps.index(Step.BRING_BACK) < steps.index(Step.JOURNAL) < steps.index(Step.TELL)


@pytest.mark.parametrize(("event", "steps"), ALL)
def test_nothing_is_dropped_before_it_is_journalled_that_it_may_be(
    event: SourceEvent | DestinationEvent, steps: tuple[Step, ...]
) -> None:
    assert Step.DROP not in steps[: steps.index(Step.JOURNAL)]
    assert Step.EXECUTE not in steps[: steps.index(Step.JOURNAL)]
    assert Step.START not in steps[: steps.index(Step.JOURNAL)]


def test_an_operator_never_gets_the_memory_that_was_kept() -> None:
    assert Step.BRING_BACK not in SOURCE_STEPS[SourceEvent.RESOLVED]
    assert Step.START in SOURCE_STEPS[SourceEvent.RESOLVED]


def test_after_a_crash_what_comes_after_the_journal_is_left() -> None:
    assert left(SOURCE_STEPS[SourceEvent.PEER_GAVE_IT_BACK]) == (Step.BRING_BACK, Step.CLOSE)
    assert left(DESTINATION_STEPS[DestinationEvent.CHECKED]) == ()


def test_a_restarted_source_decides_only_about_a_guest_that_it_still_owns() -> None:
    decides = {state for state in SourceState if source_after_restart(state)}
    assert decides == {SourceState.MIGRATING}
