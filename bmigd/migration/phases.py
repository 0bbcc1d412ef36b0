"""The phases of a migration as people see them, and the table that joins them. Pure.

Phases are for showing; who owns the guest is decided by the states of handoff.py alone.
"""

from enum import IntEnum


class Phase(IntEnum):
    """Where a migration stands, numbered as in the contract."""

    CHECKING = 1
    PREPARING = 2
    PRECOPY = 3
    SWITCHOVER = 4
    HANDOFF = 5
    COMPLETED = 6
    ABORTED = 7
    ABORTING = 8


ENDED = frozenset({Phase.COMPLETED, Phase.ABORTED})

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.CHECKING: frozenset({Phase.PREPARING, Phase.ABORTING}),
    Phase.PREPARING: frozenset({Phase.PRECOPY, Phase.ABORTING}),
    Phase.PRECOPY: frozenset({Phase.SWITCHOVER, Phase.ABORTING}),
    Phase.SWITCHOVER: frozenset({Phase.HANDOFF, Phase.ABORTING}),
    # From here on there is no way back by our own decision.
    Phase.HANDOFF: frozenset({Phase.COMPLETED, Phase.ABORTING}),
    Phase.ABORTING: frozenset({Phase.ABORTED}),
    Phase.COMPLETED: frozenset(),
    Phase.ABORTED: frozenset(),
}


def advance(phase: Phase, to: Phase) -> Phase:
    """The next phase; an illegal one is a bug."""
    assert to in TRANSITIONS[phase], f"{phase.name} -> {to.name}"
    return to


# Where each phase begins and ends on a scale of 100; only COMPLETED reaches it.
_SPAN = {
    Phase.CHECKING: (0, 1),
    Phase.PREPARING: (1, 2),
    Phase.PRECOPY: (2, 92),
    Phase.SWITCHOVER: (92, 98),
    Phase.HANDOFF: (98, 99),
    Phase.COMPLETED: (100, 100),
}


def percent(phase: Phase, fraction: float, before: int) -> int:
    """Progress of 100 for a fraction of a phase; never below what was shown before."""
    low, high = _SPAN.get(phase, (before, before))
    return max(before, int(low + (high - low) * min(max(fraction, 0.0), 1.0)))
