"""What each change of ownership makes a node do, and in which order. Pure.

The order is the rule (docs/PROTOCOL.md tells why):
- Journalling comes before everything that only the new state allows.
- A guest that the source still owns goes on before the peer is told anything.
- What was kept is dropped only after the state that makes it worthless is journalled.
- A change whose steps were cut off by a crash is pending in the journal; the rest is done after
  the restart. So every step may be done twice.

tests/sim explores these same tables exhaustively.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from bmigd.migration.handoff import DestinationEvent, DestinationState, SourceEvent, SourceState

END = "end"  # the point after the last step


class Step(Enum):
    """One thing to do."""

    JOURNAL = "journal the new state"
    BRING_BACK = "the guest goes on here: it runs on, or from what was kept, or else afresh"
    START = "the guest is started here from its firmware, unless it runs"
    EXECUTE = "execute the hypervisor on what was received"
    KEEP = "the guest is defined here"
    TELL = "tell the peer"
    DROP = "drop what is here of the guest"
    CLOSE = "journal that nothing is left to do"


SOURCE_STEPS: Mapping[SourceEvent, tuple[Step, ...]] = {
    SourceEvent.PEER_READY: (Step.JOURNAL,),
    SourceEvent.FAILED: (Step.BRING_BACK, Step.JOURNAL, Step.TELL, Step.CLOSE),
    SourceEvent.RESTARTED: (Step.BRING_BACK, Step.JOURNAL, Step.TELL, Step.CLOSE),
    SourceEvent.PEER_RUNS_IT: (Step.JOURNAL, Step.DROP, Step.CLOSE),
    SourceEvent.PEER_GAVE_IT_BACK: (Step.JOURNAL, Step.BRING_BACK, Step.CLOSE),
    # The other host may have run it: its disk may be newer than the memory that was kept.
    SourceEvent.RESOLVED: (Step.JOURNAL, Step.DROP, Step.START, Step.CLOSE),
}

DESTINATION_STEPS: Mapping[DestinationEvent, tuple[Step, ...]] = {
    DestinationEvent.CHECKED: (Step.JOURNAL,),
    DestinationEvent.COMMITTED: (Step.JOURNAL,),
    DestinationEvent.EXECUTING: (Step.JOURNAL, Step.EXECUTE),
    DestinationEvent.GUEST_RUNS: (Step.KEEP, Step.JOURNAL, Step.START, Step.CLOSE),
    # Dropped last: with the supervisor goes the proof that the guest never ran.
    DestinationEvent.NEVER_RAN: (Step.JOURNAL, Step.DROP, Step.CLOSE),
    DestinationEvent.WITHDRAWN: (Step.JOURNAL, Step.DROP, Step.CLOSE),
}


# What ended a destination's migration that is in this state.
ENDED_BY: Mapping[DestinationState, DestinationEvent] = {
    DestinationState.RUNNING: DestinationEvent.GUEST_RUNS,
    DestinationState.REFUSED: DestinationEvent.WITHDRAWN,
    DestinationState.RETURNED: DestinationEvent.NEVER_RAN,
}


def left(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What is left of a change that was journalled."""
    return steps[steps.index(Step.JOURNAL) + 1 :]


def crash_points() -> Iterator[str]:
    """The name of every point before a step, and after the last of its event.

    Nothing lies between a step and the next, so after one is before the other.
    """
    for side, table in (("source", SOURCE_STEPS), ("destination", DESTINATION_STEPS)):
        for event, steps in table.items():
            yield from (f"{side}.{event.name}.{step.name}" for step in steps)
            yield f"{side}.{event.name}.{END}"


def source_after_restart(state: SourceState) -> SourceEvent | None:
    """What a restarted source decides by itself: only what it still owns goes on here."""
    return SourceEvent.RESTARTED if state is SourceState.MIGRATING else None
