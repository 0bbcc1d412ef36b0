"""How much a guest is slowed down: no more than it takes, more only when that did not help, and
every guest comes to an end of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB
from bmigd.migration.convergence import PATIENCE_ROUNDS, Limits, RoundFigures, Step, decide
from bmigd.migration.throttling import (
    AIM,
    LEAST_PERCENT,
    MOST_PERCENT,
    ROUNDS_TO_SHOW,
    Strength,
    decide_throttled,
    rates,
    stronger,
    words,
)

LIMITS = Limits(downtime_s=0.3, timeout_s=100, fixed_downtime_s=0.1)
FULL = Strength()
ROUNDS = st.lists(
    st.builds(
        RoundFigures,
        sent_bytes=st.integers(0, 1 << 40),
        wire_bytes=st.integers(0, 1 << 40),
        duration_s=st.floats(0, 1e5),
    ),
    min_size=1,
    max_size=20,
)
STRENGTHS = st.integers(LEAST_PERCENT, MOST_PERCENT)


def lasting(*durations_s: float) -> list[RoundFigures]:
    """Rounds of these durations at 100 MiB/s."""
    return [RoundFigures(int(s * 100 * MIB), int(s * 100 * MIB), s) for s in durations_s]


@dataclass(frozen=True)
class Guest:
    """What it dirties, and the link it is to go over."""

    dirties_bytes_per_s: float  # when nothing slows it
    working_set_bytes: float  # more is not dirtied at a time
    memory_bytes: float
    link_bytes_per_s: float
    needs_percent: float = 100.0  # of the time, to dirty that much: others sleep in between

    def rounds(self) -> Iterator[tuple[list[RoundFigures], Strength]]:
        """Rounds and strengths until something else is decided than to slow it down."""
        figures: list[RoundFigures] = []
        strength, elapsed_s, left_bytes = FULL, 0.0, self.memory_bytes
        while True:
            duration_s = left_bytes / self.link_bytes_per_s
            figures.append(RoundFigures(int(left_bytes), int(left_bytes), duration_s))
            elapsed_s += duration_s
            yield figures, strength
            share = min(1.0, (100 - strength.stopped_percent) / self.needs_percent)
            left_bytes = min(self.working_set_bytes, self.dirties_bytes_per_s * share * duration_s)
            decision = decide_throttled(figures, LIMITS, elapsed_s, strength)
            if decision.step is Step.SWITCH_OVER:
                return
            if decision.step is Step.TAKE_ACTION:
                next_one = stronger(figures, strength)
                if not next_one:
                    return
                strength = next_one


GUESTS = st.builds(
    Guest,
    dirties_bytes_per_s=st.floats(MIB, 1 << 34),
    working_set_bytes=st.floats(MIB, 1 << 35),
    memory_bytes=st.just(float(1 << 36)),
    link_bytes_per_s=st.floats(10 * MIB, 1 << 31),
    needs_percent=st.floats(1, 100),
)


@given(GUESTS)
def test_every_guest_either_converges_or_was_slowed_as_much_as_can_be(guest: Guest) -> None:
    strengths = [FULL]
    for figures, strength in guest.rounds():
        assert len(figures) < 400
        if strength != strengths[-1]:
            assert strength.since == len(figures) - 1
            strengths.append(strength)
    assert all(b.stopped_percent > a.stopped_percent for a, b in pairwise(strengths))
    assert all(LEAST_PERCENT <= one.stopped_percent <= MOST_PERCENT for one in strengths[1:])
    is_over = figures[-1].duration_s + LIMITS.fixed_downtime_s <= LIMITS.downtime_s
    assert is_over or strengths[-1].stopped_percent == MOST_PERCENT
    assert is_over or len(figures) - strengths[-1].since > PATIENCE_ROUNDS


@given(GUESTS)
def test_a_guest_that_can_be_slowed_below_the_link_converges(guest: Guest) -> None:
    least = guest.dirties_bytes_per_s * min(1.0, (100 - MOST_PERCENT) / guest.needs_percent)
    figures = [list(one) for one, _ in guest.rounds()][-1]
    if least < 0.8 * guest.link_bytes_per_s:
        assert figures[-1].duration_s + LIMITS.fixed_downtime_s <= LIMITS.downtime_s


@given(ROUNDS)
def test_the_first_strength_lets_the_guest_dirty_half_of_what_is_sent(
    figures: list[RoundFigures],
) -> None:
    strength, found = stronger(figures, FULL), rates(figures, FULL)
    assert strength
    assert LEAST_PERCENT <= strength.stopped_percent <= MOST_PERCENT
    assert strength.since == len(figures)
    left = found.dirtied * (100 - strength.stopped_percent) / 100
    assert left <= AIM * found.sent * 1.0001 or strength.stopped_percent == MOST_PERCENT


@given(ROUNDS, STRENGTHS)
def test_a_strength_that_does_not_help_leaves_at_most_half_of_the_speed(
    figures: list[RoundFigures], percent: int
) -> None:
    now = stronger(figures, Strength(percent, 0))
    if percent == MOST_PERCENT:
        assert now is None
    else:
        assert now
        assert 100 - now.stopped_percent <= max(1, (100 - percent) / 2)


@given(ROUNDS, ROUNDS, STRENGTHS, st.floats(0, 1e6))
def test_a_strength_is_judged_by_the_rounds_since_alone_and_the_time_is_over_already(
    before: list[RoundFigures], since: list[RoundFigures], percent: int, elapsed_s: float
) -> None:
    decided = decide_throttled(before + since, LIMITS, elapsed_s, Strength(percent, len(before)))
    assert decided == decide_throttled(since, LIMITS, 0.0, Strength(percent, 0))
    assert decided.reason in ("", "NOT_CONVERGING")
    assert rates(before + since, Strength(percent, len(before))) == rates(
        since, Strength(percent, 0)
    )


@given(ROUNDS, st.floats(0, 1e6))
def test_a_guest_at_full_speed_is_judged_as_ever(
    figures: list[RoundFigures], elapsed_s: float
) -> None:
    assert decide_throttled(figures, LIMITS, elapsed_s, FULL) == decide(figures, LIMITS, elapsed_s)


def test_the_first_round_after_a_change_still_carries_what_was_dirtied_before() -> None:
    figures = lasting(10, 10, 10, 10)
    strength = stronger(figures, FULL)
    assert strength == Strength(50, 4)
    for longer in (10, 10):  # ROUNDS_TO_SHOW of them show it, beside that first one
        figures += lasting(longer)
        assert decide_throttled(figures, LIMITS, 1e6, strength).step is Step.ANOTHER_ROUND
    figures += lasting(10)
    assert len(figures) == 4 + 1 + ROUNDS_TO_SHOW
    assert decide_throttled(figures, LIMITS, 1e6, strength).reason == "NOT_CONVERGING"
    assert stronger(figures, strength) == Strength(75, 7)


def test_a_strength_that_helps_is_kept() -> None:
    figures, strength = lasting(10, 10, 10, 10, 10), Strength(50, 4)
    for shorter in (5, 2.5, 1.2, 0.6, 0.3):
        figures += lasting(shorter)
        assert decide_throttled(figures, LIMITS, 1e6, strength).step is Step.ANOTHER_ROUND
    figures += lasting(0.15, 0.14)
    assert decide_throttled(figures, LIMITS, 1e6, strength).step is Step.SWITCH_OVER


@pytest.mark.parametrize(
    ("durations_s", "percent"),
    [
        ((10, 10, 10, 10), 50),  # as much as is sent
        ((10, 20, 40, 80), 75),  # twice as much
        ((10, 40, 160), 88),  # four times
        ((10, 9, 8.1), 45),  # it converges, and time ran out
        ((10, 4), LEAST_PERCENT),
        ((10,), LEAST_PERCENT),  # nothing is known yet
        ((0, 0), LEAST_PERCENT),
        ((0.001, 100), MOST_PERCENT),
    ],
)
def test_the_first_strength_comes_from_the_figures(
    durations_s: tuple[float, ...], percent: int
) -> None:
    assert stronger(lasting(*durations_s), FULL) == Strength(percent, len(durations_s))


def test_when_nothing_more_helps_it_is_said_how_slow_the_guest_was() -> None:
    last = Strength(MOST_PERCENT, 4)
    figures = lasting(10, 10, 10, 10, *[10] * PATIENCE_ROUNDS)
    assert decide_throttled(figures, LIMITS, 1e6, last).step is Step.ANOTHER_ROUND
    decision = decide_throttled([*figures, *lasting(10)], LIMITS, 1e6, last)
    assert (decision.step, decision.reason) == (Step.TAKE_ACTION, "NOT_CONVERGING")
    assert decision.why.startswith("the guest was slowed to 1 % of its speed, and still 3 rounds")
    assert math.isfinite(decision.expected_downtime_s)


def test_people_are_told_the_strength_and_the_figures() -> None:
    fast = lasting(10, 20, 40, 80)
    assert words(fast, FULL, Strength(75, 4)) == (
        "the guest is slowed to 25 % of its speed: it dirties 200 MiB/s and 100 MiB/s are sent"
    )
    slow = [RoundFigures(5 * MIB, 5 * MIB, 1.0)] * 3
    assert words(slow, Strength(50, 0), Strength(75, 3)) == (
        "the guest is slowed to 25 % of its speed: it still dirties 5 MiB/s and 5 MiB/s are sent"
    )
    assert words(lasting(10), FULL, Strength(20, 1)) == (
        "the guest is slowed to 80 % of its speed: it is not known yet how fast it dirties memory"
    )


def test_what_was_dirtied_while_nobody_copied_was_not_dirtied_faster() -> None:
    rounds = [RoundFigures(8 * MIB, 8 * MIB, 0.1), RoundFigures(80 * MIB, 80 * MIB, 1.0, 0.0, 9.9)]
    assert rates(rounds, FULL).dirtied == pytest.approx(8 * MIB)
