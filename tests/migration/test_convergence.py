"""When to switch over: never above the operator's limit unless the driver alone costs more, never
without an end, and always with a reason in words.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB
from bmigd.migration.convergence import (
    HELPS_BELOW,
    PATIENCE_ROUNDS,
    WORTH_S,
    Decision,
    Limits,
    RoundFigures,
    Step,
    at_most_s,
    decide,
    expected_s,
)

ROUNDS = st.builds(
    RoundFigures,
    sent_bytes=st.integers(0, 1 << 40),
    wire_bytes=st.integers(0, 1 << 40),
    duration_s=st.floats(0, 1e5),
)
LIMITS = st.builds(
    Limits,
    downtime_s=st.floats(0.001, 100),
    timeout_s=st.floats(1, 1e5),
    fixed_downtime_s=st.floats(0, 100),
    hidden_s=st.floats(0, 1),
    reads_all=st.booleans(),
)


def lasting(*durations_s: float) -> list[RoundFigures]:
    """Rounds of these durations at 100 MiB/s."""
    return [RoundFigures(int(s * 100 * MIB), int(s * 100 * MIB), s) for s in durations_s]


def after(durations_s: list[float], limits: Limits, elapsed_s: float = 0.0) -> Decision:
    """What is decided."""
    return decide(lasting(*durations_s), limits, elapsed_s)


CHEAP = Limits(downtime_s=0.3, timeout_s=100, fixed_downtime_s=0.1)
COSTLY = Limits(downtime_s=0.3, timeout_s=100, fixed_downtime_s=2.0)


@given(st.lists(ROUNDS, min_size=1, max_size=20), LIMITS, st.floats(0, 1e6))
def test_never_switches_over_above_the_limit_unless_the_driver_alone_is(
    rounds: list[RoundFigures], limits: Limits, elapsed_s: float
) -> None:
    decision = decide(rounds, limits, elapsed_s)
    assert decision.why
    assert 0 <= decision.expected_downtime_s <= at_most_s(rounds[-1], limits)
    if decision.step is Step.SWITCH_OVER:
        within = at_most_s(rounds[-1], limits) <= limits.downtime_s
        assert within or limits.fixed_downtime_s > limits.downtime_s


@given(st.lists(ROUNDS, min_size=1, max_size=20), LIMITS, st.floats(0, 1e6))
def test_action_is_taken_only_for_a_reason(
    rounds: list[RoundFigures], limits: Limits, elapsed_s: float
) -> None:
    decision = decide(rounds, limits, elapsed_s)
    match decision.step:
        case Step.TAKE_ACTION:
            assert decision.reason in {"TIMEOUT", "NOT_CONVERGING"}
            assert (decision.reason == "TIMEOUT") == (elapsed_s >= limits.timeout_s)
        case Step.ANOTHER_ROUND:
            assert decision.reason == ""
            assert elapsed_s < limits.timeout_s
        case Step.SWITCH_OVER:
            assert decision.reason == ""


@given(
    st.lists(st.integers(0, PATIENCE_ROUNDS - 1), min_size=1, max_size=200),
    st.floats(0.01, 10),
    st.floats(0, 10),
)
def test_rounds_come_to_an_end_even_for_a_guest_that_always_helps_just_enough(
    pauses: list[int], limit_s: float, fixed_s: float
) -> None:
    """The clock stands still, and as many rounds as are borne with do not help in between."""
    limits = Limits(downtime_s=limit_s, timeout_s=1e9, fixed_downtime_s=fixed_s)
    durations_s: list[float] = []
    best_s = 1000.0
    while len(durations_s) <= 130 * PATIENCE_ROUNDS:  # 0.89 ** 130 of 1000 s is below 1 ms
        durations_s.append(max(best_s - fixed_s, 0.0))
        durations_s += [best_s] * pauses[len(durations_s) % len(pauses)]
        best_s *= HELPS_BELOW - 0.01
    decisions = (after(durations_s[:count], limits) for count in range(1, len(durations_s)))
    assert any(decision.step is not Step.ANOTHER_ROUND for decision in decisions)


def test_a_guest_that_calms_down_is_switched_over_within_the_limit() -> None:
    decision = after([10.0, 0.19, 0.15], CHEAP)
    assert decision.step is Step.SWITCH_OVER
    assert "250 ms, within the limit of 300 ms" in decision.why


def test_within_the_limit_rounds_go_on_while_each_is_much_shorter() -> None:
    assert after([10.0, 1.0, 0.15], CHEAP).step is Step.ANOTHER_ROUND
    assert after([10.0, 1.0, 0.15, 0.05], CHEAP).step is Step.ANOTHER_ROUND
    assert after([10.0, 1.0, 0.15, 0.05, 0.04], CHEAP).step is Step.SWITCH_OVER
    assert after([10.0, 1.0, WORTH_S], CHEAP).step is Step.SWITCH_OVER
    assert after([10.0, 1.0, 0.15], CHEAP, elapsed_s=99.8).step is Step.SWITCH_OVER  # of 100


def test_the_first_round_is_never_the_last_unless_nothing_was_sent() -> None:
    assert after([0.1], CHEAP).step is Step.ANOTHER_ROUND
    assert after([0.1, 0.1], CHEAP).step is Step.SWITCH_OVER
    assert decide([RoundFigures(0, 0, 0.1)], CHEAP, 0).step is Step.SWITCH_OVER


def test_rounds_that_help_go_on() -> None:
    assert after([10.0, 8.0, 6.0, 4.0, 2.0], CHEAP).step is Step.ANOTHER_ROUND


def test_a_guest_that_dirties_as_fast_as_the_link_is_not_converging() -> None:
    assert after([10.0] * PATIENCE_ROUNDS, CHEAP).step is Step.ANOTHER_ROUND
    decision = after([10.0] * (PATIENCE_ROUNDS + 1), CHEAP)
    assert (decision.step, decision.reason) == (Step.TAKE_ACTION, "NOT_CONVERGING")
    assert "100 MiB/s" in decision.why


def test_one_round_that_helps_makes_up_for_those_before() -> None:
    assert after([10.0, 10.0, 10.0, 5.0, 5.0, 5.0], CHEAP).step is Step.ANOTHER_ROUND
    assert after([10.0, 10.0, 10.0, 5.0, 5.0, 5.0, 5.0], CHEAP).reason == "NOT_CONVERGING"


def test_time_runs_out() -> None:
    assert after([10.0, 8.0], CHEAP, elapsed_s=99.9).step is Step.ANOTHER_ROUND
    decision = after([10.0, 8.0], CHEAP, elapsed_s=100.0)
    assert (decision.step, decision.reason) == (Step.TAKE_ACTION, "TIMEOUT")


def test_a_guest_within_the_limit_is_switched_over_even_when_time_has_run_out() -> None:
    assert after([10.0, 0.1], CHEAP, elapsed_s=1000).step is Step.SWITCH_OVER


def test_a_driver_that_costs_more_than_the_limit_switches_when_rounds_no_longer_help() -> None:
    assert after([10.0, 5.0], COSTLY).step is Step.ANOTHER_ROUND
    decision = after([10.0, 0.5, 0.45], COSTLY)
    assert decision.step is Step.SWITCH_OVER
    assert "what rounds cannot shorten costs 2000 ms" in decision.why


def test_a_costly_driver_does_not_excuse_a_guest_that_is_too_busy() -> None:
    assert after([10.0] * (PATIENCE_ROUNDS + 1), COSTLY).reason == "NOT_CONVERGING"


def test_a_cheap_driver_never_excuses_a_switchover_above_the_limit() -> None:
    assert after([10.0, 0.25, 0.25], CHEAP).step is Step.ANOTHER_ROUND


LOGGED = Limits(downtime_s=0.3, timeout_s=100, fixed_downtime_s=0.04)
READ = replace(LOGGED, reads_all=True)


def steady(look_s: float, limits: Limits) -> list[RoundFigures]:
    """What passes of a guest that dirties 80 MiB/s are like, at 500 MiB/s; the last one is that
    with the guest down. Each also takes a look of that length at all memory.
    """
    rounds = [RoundFigures(700 * MIB, 700 * MIB, look_s + 1.4)]
    for _ in range(3):
        dirtied_s = rounds[-1].duration_s
        if limits.reads_all and len(rounds) > 1:  # a round goes on finding what comes before it
            dirtied_s = (rounds[-1].duration_s + rounds[-2].duration_s) / 2
        sent = int(80 * MIB * dirtied_s)
        rounds.append(RoundFigures(sent, sent, look_s + sent / (500 * MIB)))
    since_s = rounds[-1].duration_s / (2 if limits.reads_all else 1)
    sent = int(80 * MIB * since_s)
    return [*rounds, RoundFigures(sent, sent, look_s + sent / (500 * MIB))]


@pytest.mark.parametrize(("look_s", "limits"), [(0.0, LOGGED), (0.005, LOGGED), (0.075, READ)])
def test_what_is_expected_is_what_the_last_pass_of_a_steady_guest_takes(
    look_s: float, limits: Limits
) -> None:
    *rounds, last = steady(look_s, limits)
    wanted_s = limits.fixed_downtime_s + last.unpaced_s
    assert expected_s(rounds, limits) == pytest.approx(wanted_s, rel=0.05)
    assert at_most_s(rounds[-1], limits) > wanted_s


def test_what_a_pass_takes_to_look_at_all_memory_is_not_expected_to_get_less() -> None:
    rounds = [RoundFigures(700 * MIB, 700 * MIB, 3.0), RoundFigures(MIB // 4, 0, 0.3)]
    assert expected_s(rounds, READ) >= 0.04 + 0.29


def test_nothing_better_is_expected_after_one_round_or_of_rounds_that_sent_nothing() -> None:
    one = RoundFigures(MIB, MIB, 0.5)
    quiet = RoundFigures(0, 0, 0.1)
    assert expected_s([one], LOGGED) == at_most_s(one, LOGGED)
    assert expected_s([one, quiet], LOGGED) == at_most_s(quiet, LOGGED)


def test_what_was_dirtied_while_nobody_copied_is_not_expected_in_the_last_pass() -> None:
    rounds = [RoundFigures(700 * MIB, 700 * MIB, 1.4), RoundFigures(8 * MIB, 8 * MIB, 0.016)]
    waited = RoundFigures(800 * MIB, 800 * MIB, 1.6, waited_s=9.984)  # 80 MiB/s for ten seconds
    wanted_s = LOGGED.fixed_downtime_s + 1.6 * 80 / 500
    assert expected_s([*rounds, waited], LOGGED) == pytest.approx(wanted_s, rel=0.01)
