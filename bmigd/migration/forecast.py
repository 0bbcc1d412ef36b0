"""What is to come, from the rounds so far and what is seen of the one under way. Pure.

Rule: nothing is decided by it, and what is not known is None, never 0. It goes on as the decisions
will, so what is left is the time until one of them switches over.
"""

from dataclasses import dataclass, replace

from bmigd.migration.convergence import RoundFigures, Step, s_per_byte
from bmigd.migration.throttling import Course

LEAST_SEEN = 0.1  # the part of a round by which the rest of it is known
MOST_AHEAD = 50  # rounds


@dataclass(frozen=True)
class Underway:
    """A round so far."""

    seen: float  # the part that was looked at of what is looked at at all
    found_bytes: int  # in that part, and to be sent: some of it is on its way yet
    figures: RoundFigures

    def whole(self) -> RoundFigures | None:
        """All of it, going on like this; None if too little was seen, or nothing is sent yet."""
        if self.seen < LEAST_SEEN or not self.figures.sent_bytes:
            return None
        to_send_bytes = self.found_bytes / self.seen
        return _times(self.figures, max(1.0, to_send_bytes / self.figures.sent_bytes))


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
    once = replace(last, waited_s=0.0)  # what was waited for before it is not waited for again
    if not last.sent_bytes:
        return once
    ratio = _since_s(last, once, reads_all) / _since_s(before, last, reads_all)
    more_s = (ratio - 1) * last.sent_bytes * s_per_byte(rounds)
    paced_s = ratio * last.paced_s
    duration_s = max(0.0, last.unpaced_s + more_s) + paced_s
    return replace(_times(once, ratio), duration_s=duration_s, paced_s=paced_s)


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
