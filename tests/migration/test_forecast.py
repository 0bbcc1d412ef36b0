"""What people are told of what is to come: never a number for what is not known, and the time that
is left is the one that the decisions will take.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB
from bmigd.migration.convergence import Limits, RoundFigures
from bmigd.migration.forecast import (
    Underway,
    dirtied_bytes_per_s,
    downtime_s,
    remaining_s,
)
from bmigd.migration.throttling import Course, Strength

LIMITS = Limits(downtime_s=0.3, timeout_s=100, fixed_downtime_s=0.1)
COURSE = Course(LIMITS)
FIRST = RoundFigures(1000 * MIB, 1000 * MIB, 10.0)
ROUNDS = st.builds(
    RoundFigures,
    sent_bytes=st.integers(0, 1 << 40),
    wire_bytes=st.integers(0, 1 << 40),
    duration_s=st.floats(0, 1e5),
    paced_s=st.floats(0, 1e5),
    waited_s=st.floats(0, 1e3),
)


def sending(mib: float) -> RoundFigures:
    """A round at 100 MiB/s."""
    return RoundFigures(int(mib * MIB), int(mib * MIB), mib / 100)


def played(dirtied_mib_per_s: float, fixed_s: float = 0.1) -> tuple[list[RoundFigures], float]:
    """All rounds of a guest that dirties so much, and the time after the second one to the end.

    The link carries 100 MiB/s and the log of writes costs nothing.
    """
    rounds, course = [FIRST], Course(replace(LIMITS, fixed_downtime_s=fixed_s))
    while not course.ends_with(decision := course.decide(rounds, 0.0)):
        rounds.append(sending(dirtied_mib_per_s * rounds[-1].duration_s))
        assert len(rounds) < 30
    return rounds, sum(one.duration_s for one in rounds[2:]) + decision.expected_downtime_s


@pytest.mark.parametrize("dirtied_mib_per_s", [1, 5, 20, 50, 70])
def test_what_is_left_after_two_rounds_is_what_the_others_take(dirtied_mib_per_s: float) -> None:
    rounds, left_s = played(dirtied_mib_per_s)
    told_s = remaining_s(rounds[:2], COURSE, 0.0)
    assert told_s == pytest.approx(left_s, rel=0.1)
    assert dirtied_bytes_per_s(rounds[:2], reads_all=False) == pytest.approx(
        dirtied_mib_per_s * MIB
    )


def test_a_guest_that_does_not_converge_has_no_end_unless_that_was_asked_for() -> None:
    rounds = [FIRST, sending(1000), sending(1000)]
    assert remaining_s(rounds, COURSE, 0.0) is None
    forced_s = remaining_s(rounds, Course(LIMITS, is_forced=True), 0.0)
    assert forced_s
    assert 10 < forced_s < 40
    slowed = Course(LIMITS, Strength(50, 1))
    assert remaining_s([*rounds, sending(800)], slowed, 0.0) is None
    converging = [FIRST, sending(1000), sending(500), sending(250)]
    assert remaining_s(converging, slowed, 0.0)


def test_after_the_first_round_neither_rate_nor_downtime_is_known() -> None:
    assert dirtied_bytes_per_s([FIRST], reads_all=True) is None
    assert downtime_s([FIRST], COURSE, 0.0) is None
    assert remaining_s([FIRST], COURSE, 0.0) is None
    idle = [FIRST, sending(0)]
    assert dirtied_bytes_per_s(idle, reads_all=True) == 0
    assert downtime_s(idle, COURSE, 0.0) == pytest.approx(0.1)
    assert remaining_s(idle, COURSE, 0.0) == pytest.approx(0.1)
    empty = RoundFigures(0, 0, 0.05)  # all of it zero: nothing needs to follow
    assert downtime_s([empty], COURSE, 0.0) == pytest.approx(0.15)


def test_what_people_are_told_of_downtime_moves_what_is_left_too() -> None:
    rounds = [FIRST, sending(10)]
    slow = replace(COURSE, beyond_s=2.0)
    assert downtime_s(rounds, COURSE, 0.0) == pytest.approx(0.1, abs=0.01)
    assert downtime_s(rounds, slow, 0.0) == pytest.approx(2.1, abs=0.01)
    assert remaining_s(rounds, slow, 0.0) == pytest.approx(2.1, abs=0.01)


def test_what_was_waited_for_once_is_not_waited_for_again() -> None:
    rounds = [FIRST, replace(sending(200), waited_s=30.0)]
    after_a_wait, without = (
        remaining_s(one, COURSE, 0.0) for one in (rounds, [FIRST, sending(200)])
    )
    assert after_a_wait
    assert without
    assert after_a_wait < without


def test_a_pass_that_reads_all_looks_at_a_page_in_the_middle_of_two_rounds_on_average() -> None:
    rounds = [FIRST, replace(sending(200), waited_s=1.0)]
    assert dirtied_bytes_per_s(rounds, reads_all=True) == pytest.approx(200 * MIB / 7)
    assert dirtied_bytes_per_s(rounds, reads_all=False) == pytest.approx(200 * MIB / 11)


def test_a_round_is_known_once_enough_of_it_was_seen_and_sent() -> None:
    half = Underway(0.5, 100 * MIB, RoundFigures(100 * MIB, 50 * MIB, 2.0, 0.5, 0.1))
    assert half.whole() == RoundFigures(200 * MIB, 100 * MIB, 4.0, 1.0, 0.1)
    # All was looked at, and most of it waits to be sent.
    queued = Underway(1.0, 8 * MIB, RoundFigures(MIB, MIB, 1.0))
    assert queued.whole() == RoundFigures(8 * MIB, 8 * MIB, 8.0)
    assert replace(half, seen=0.05).whole() is None
    assert replace(half, figures=RoundFigures(0, 0, 2.0)).whole() is None


@given(st.lists(ROUNDS, min_size=1, max_size=8), st.floats(0, 1e6), st.booleans(), st.booleans())
def test_whatever_rounds_came_to_nothing_is_below_nothing(
    rounds: list[RoundFigures], elapsed_s: float, reads_all: bool, is_forced: bool
) -> None:
    course = Course(replace(LIMITS, reads_all=reads_all), is_forced=is_forced)
    told = [remaining_s(rounds, course, elapsed_s), downtime_s(rounds, course, elapsed_s)]
    told.append(dirtied_bytes_per_s(rounds, reads_all=reads_all))
    assert all(one is None or one >= 0 for one in told)
