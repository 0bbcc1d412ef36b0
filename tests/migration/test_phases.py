"""Phases follow one another as people expect, each can end, and progress never falls."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.migration.phases import ENDED, TRANSITIONS, Phase, advance, percent

STRAIGHT = [
    Phase.CHECKING,
    Phase.PREPARING,
    Phase.PRECOPY,
    Phase.SWITCHOVER,
    Phase.HANDOFF,
    Phase.COMPLETED,
]
MOVES = {
    *pairwise(STRAIGHT),
    *((phase, Phase.ABORTING) for phase in STRAIGHT[:-1]),
    (Phase.ABORTING, Phase.ABORTED),
}


@pytest.mark.parametrize(("phase", "to"), list(product(Phase, Phase)))
def test_phases_follow_one_another_or_abort_and_not_otherwise(phase: Phase, to: Phase) -> None:
    if (phase, to) in MOVES:
        assert advance(phase, to) is to
    else:
        with pytest.raises(AssertionError):
            advance(phase, to)


def test_an_ended_migration_stays_ended_and_every_other_phase_can_end() -> None:
    for phase in Phase:
        assert bool(TRANSITIONS[phase]) is (phase not in ENDED)


@given(st.sampled_from(Phase), st.floats(allow_nan=False, allow_infinity=True), st.integers(0, 100))
def test_progress_never_falls_and_stays_within_a_hundred(
    phase: Phase, fraction: float, before: int
) -> None:
    assert before <= percent(phase, fraction, before) <= 100


@given(st.floats(0, 1), st.floats(0, 1))
def test_progress_grows_with_the_fraction_of_a_phase(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert percent(Phase.PRECOPY, low, 0) <= percent(Phase.PRECOPY, high, 0)


def test_only_a_completed_migration_shows_a_hundred() -> None:
    assert percent(Phase.COMPLETED, 0.0, 0) == 100
    assert all(percent(phase, 1.0, 0) < 100 for phase in Phase if phase is not Phase.COMPLETED)


def test_an_aborted_migration_keeps_what_it_showed() -> None:
    assert percent(Phase.ABORTING, 1.0, 37) == 37
    assert percent(Phase.ABORTED, 1.0, 37) == 37
