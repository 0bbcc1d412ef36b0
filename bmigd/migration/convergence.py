"""When to stop copying and switch over. Pure: rounds so far in, a decision with its reason out.

What is decided by is how long the downtime may be, so that the limit holds; what is shown while
waiting is how long it is expected to be, which is less.
"""

from dataclasses import dataclass, replace
from enum import Enum

from bmigd.words import rate

HELPS_BELOW = 0.9  # a round helps if the bound falls below this part of the best one so far
PATIENCE_ROUNDS = 3  # so many rounds without help in a row
SHRINKS_BELOW = 0.75  # within the limit rounds go on as long as each takes less than this part
WORTH_S = 0.01  # of the one before, and there is more than this to be saved


@dataclass(frozen=True)
class RoundFigures:
    """What one round did."""

    sent_bytes: int
    wire_bytes: int
    duration_s: float
    paced_s: float = 0.0  # of it, waited for nothing but the operator's bandwidth
    waited_s: float = 0.0  # since the one before ended

    @property
    def unpaced_s(self) -> float:
        """How long it would have taken with the guest down, when no bandwidth is spared."""
        return max(0.0, self.duration_s - self.paced_s)


@dataclass(frozen=True)
class Limits:
    """What the operator wants, and what rounds cannot shorten: the driver, verifying."""

    downtime_s: float
    timeout_s: float
    fixed_downtime_s: float
    hidden_s: float = 0.0  # the part of it beside which the last pass runs
    reads_all: bool = False  # each pass does, and finds what was written until it came by


class Step(Enum):
    """What to do next."""

    ANOTHER_ROUND = "another round"
    SWITCH_OVER = "switch over"
    TAKE_ACTION = "do what was asked for when it does not converge"


@dataclass(frozen=True)
class Decision:
    """What to do next, why, and the figures behind it."""

    step: Step
    why: str
    expected_downtime_s: float
    reason: str = ""  # for TAKE_ACTION: NOT_CONVERGING or TIMEOUT


def at_most_s(last: RoundFigures, limits: Limits) -> float:
    """Downtime if the guest were switched over now, and the last pass took as long as that round.

    It takes longer only if the guest dirtied more during that round than ever before.
    """
    return limits.fixed_downtime_s + max(0.0, last.unpaced_s - limits.hidden_s)


def expected_s(rounds: list[RoundFigures], limits: Limits) -> float:
    """Downtime if the guest were switched over now, going on as it did.

    A round sends what the guest dirtied since the one before passed by. The last pass finds what
    was dirtied during the last round: of a pass that reads all memory, in half of that on average.
    """
    last = rounds[-1]
    if len(rounds) == 1 or not last.sent_bytes:
        return at_most_s(last, limits)
    before = rounds[-2]
    since_s = before.duration_s + last.waited_s + (last.duration_s if limits.reads_all else 0.0)
    part = min(1.0, last.duration_s / since_s) if since_s else 1.0
    spared_s = (1 - part) * last.sent_bytes * s_per_byte(rounds)
    return at_most_s(replace(last, duration_s=last.duration_s - spared_s), limits)


def s_per_byte(rounds: list[RoundFigures]) -> float:
    """What each byte more adds to a round: by the first one, or by how the last two differ."""
    first, before, last = rounds[0], rounds[-2], rounds[-1]
    rates = [first.unpaced_s / first.sent_bytes] if first.sent_bytes else [0.0]
    if before.sent_bytes > last.sent_bytes:
        fewer = before.sent_bytes - last.sent_bytes
        rates.append((before.unpaced_s - last.unpaced_s) / fewer)
    return min(max(0.0, *rates), last.unpaced_s / last.sent_bytes)


Verdict = tuple[Step, str, str]  # why, in words; and the reason of TAKE_ACTION


def decide(rounds: list[RoundFigures], limits: Limits, elapsed_s: float) -> Decision:
    """What to do after the newest round."""
    bounds = [at_most_s(one, limits) for one in rounds]
    now = f"downtime is estimated at {_ms(bounds[-1])}, the limit is {_ms(limits.downtime_s)}"
    step, why, reason = (
        _within_limit(rounds, limits, bounds[-1], elapsed_s)
        or _out_of_reach(rounds, limits, bounds)
        or _without_end(rounds, limits, bounds, elapsed_s, now)
        or (Step.ANOTHER_ROUND, now, "")
    )
    return Decision(step, why, expected_s(rounds, limits), reason)


def _within_limit(
    rounds: list[RoundFigures], limits: Limits, now_s: float, elapsed_s: float
) -> Verdict | None:
    """The limit holds: switch over, unless another round is cheap and saves something."""
    if now_s > limits.downtime_s:
        return None
    estimate = f"downtime is estimated at {_ms(now_s)}"
    within = f"{estimate}, within the limit of {_ms(limits.downtime_s)}"
    has_time = elapsed_s + 2 * rounds[-1].duration_s < limits.timeout_s
    if has_time and _is_shrinking(rounds):
        return Step.ANOTHER_ROUND, f"{within}, and another round would make it shorter", ""
    if len(rounds) > 1 or rounds[-1].sent_bytes == 0:
        return Step.SWITCH_OVER, within, ""
    return None


def _out_of_reach(
    rounds: list[RoundFigures], limits: Limits, bounds: list[float]
) -> Verdict | None:
    """The limit cannot be met, and rounds have done what they can."""
    is_beyond = limits.fixed_downtime_s > limits.downtime_s
    if not (is_beyond and _rounds_without_help(bounds) and _is_small(rounds, limits)):
        return None
    return (
        Step.SWITCH_OVER,
        f"what rounds cannot shorten costs {_ms(limits.fixed_downtime_s)}, more than the limit"
        f" of {_ms(limits.downtime_s)}, and another round would not shorten it",
        "",
    )


def _without_end(
    rounds: list[RoundFigures], limits: Limits, bounds: list[float], elapsed_s: float, now: str
) -> Verdict | None:
    """It takes too long, or rounds no longer help."""
    if elapsed_s >= limits.timeout_s:
        return Step.TAKE_ACTION, f"{elapsed_s:.0f} s have passed: {now}", "TIMEOUT"
    if _rounds_without_help(bounds) < PATIENCE_ROUNDS:
        return None
    dirtied = rate(_bytes_per_s(rounds[-1]))
    return (
        Step.TAKE_ACTION,
        f"{PATIENCE_ROUNDS} rounds did not help: the guest dirties memory as fast as it is sent"
        f" ({dirtied}); {now}",
        "NOT_CONVERGING",
    )


def _is_shrinking(rounds: list[RoundFigures]) -> bool:
    """Whether one more round costs little, being shorter than the limit, and saves something."""
    if len(rounds) < 2 or rounds[-1].unpaced_s <= WORTH_S:
        return False
    return rounds[-1].unpaced_s < SHRINKS_BELOW * rounds[-2].unpaced_s


def _is_small(rounds: list[RoundFigures], limits: Limits) -> bool:
    """Whether what is left to send no longer matters beside the driver's own cost."""
    return rounds[-1].unpaced_s <= max(limits.fixed_downtime_s, limits.downtime_s)


def _rounds_without_help(bounds: list[float]) -> int:
    best, without = bounds[0], 0
    for bound in bounds[1:]:
        if bound < HELPS_BELOW * best:
            best, without = bound, 0
        else:
            without += 1
    return without


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _bytes_per_s(last: RoundFigures) -> float:
    return last.sent_bytes / max(last.duration_s, 1e-6)
