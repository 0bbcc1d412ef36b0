"""What is to come, from the rounds so far and what is seen of the one under way. Pure.

Rule: nothing is decided by it, and what is not known is None, never 0. It goes on as the decisions
will, so what is left is the time until one of them switches over.
"""

from dataclasses import dataclass, replace

from bmigd.migration.convergence import Decision, Limits, RoundFigures, Step, s_per_byte
from bmigd.migration.throttling import Strength, decide_throttled

LEAST_SEEN = 0.1  # the part of a round by which the rest of it is known
MOST_AHEAD = 50  # rounds
FULL_SPEED = Strength()


@dataclass(frozen=True)
class Underway:
    """A round so far."""

    seen: float  # the part that was looked at of what is looked at at all
    figures: RoundFigures

    def whole(self) -> RoundFigures | None:
        """All of it, going on like this; None if too little was seen, or nothing is sent yet."""
        is_enough = self.seen >= LEAST_SEEN and self.figures.sent_bytes
        return _times(self.figures, 1 / self.seen) if is_enough else None


@dataclass(frozen=True)
class Course:
    """By what it is decided, and what people are told of downtime beside that."""

    limits: Limits
    strength: Strength = FULL_SPEED
    beyond_s: float = 0.0
    is_forced: bool = False  # it is switched over when it does not converge

    def decide(self, rounds: list[RoundFigures], elapsed_s: float) -> Decision:
        """As will be decided after them."""
        return decide_throttled(rounds, self.limits, elapsed_s, self.strength)

    def ends_with(self, decision: Decision) -> bool:
        """Whether no round follows."""
        return decision.step is Step.SWITCH_OVER or (
            self.is_forced and decision.step is Step.TAKE_ACTION
        )


def dirtied_bytes_per_s(rounds: list[RoundFigures], *, reads_all: bool) -> float | None:
    """How fast the guest dirtied memory, by the last two rounds; None of one, which sends all."""
    if len(rounds) < 2:
        return None
    before, last = rounds[-2:]
    return last.sent_bytes / _since_s(before, last, reads_all)


def downtime_s(rounds: list[RoundFigures], course: Course, elapsed_s: float) -> float | None:
    """To be expected if it were switched over after them.

    After the first one alone it is not known, unless nothing can follow it.
    """
    decision = course.decide(rounds, elapsed_s)
    if len(rounds) == 1 and not course.ends_with(decision):
        return None
    return decision.expected_downtime_s + course.beyond_s


def remaining_s(rounds: list[RoundFigures], course: Course, elapsed_s: float) -> float | None:
    """From the last of these rounds to the end; None if there is none, going on like this."""
    ahead, now_s = list(rounds), elapsed_s
    for _ in range(MOST_AHEAD):
        decision = course.decide(ahead, now_s)
        if course.ends_with(decision):
            return now_s - elapsed_s + decision.expected_downtime_s + course.beyond_s
        if decision.step is Step.TAKE_ACTION or len(ahead) < 2:
            return None
        ahead.append(_following(ahead, reads_all=course.limits.reads_all))
        now_s += ahead[-1].duration_s
    return None


def _following(rounds: list[RoundFigures], *, reads_all: bool) -> RoundFigures:
    """The next one, of a guest that goes on as it did."""
    before, last = rounds[-2:]
    if not last.sent_bytes:
        return last
    ratio = _since_s(last, last, reads_all) / _since_s(before, last, reads_all)
    more_s = (ratio - 1) * last.sent_bytes * s_per_byte(rounds)
    paced_s = ratio * last.paced_s
    duration_s = max(0.0, last.unpaced_s + more_s) + paced_s
    return replace(_times(last, ratio), duration_s=duration_s, paced_s=paced_s)


def _since_s(before: RoundFigures, last: RoundFigures, reads_all: bool) -> float:
    """For how long a guest has dirtied what the last one sends, on average."""
    passed_s = (before.duration_s + last.duration_s) / 2 if reads_all else before.duration_s
    return max(0.001, passed_s + last.waited_s)


def _times(one: RoundFigures, factor: float) -> RoundFigures:
    return RoundFigures(
        round(one.sent_bytes * factor),
        round(one.wire_bytes * factor),
        one.duration_s * factor,
        one.paced_s * factor,
        one.waited_s,
    )
