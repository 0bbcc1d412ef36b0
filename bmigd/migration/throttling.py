"""How much a guest is to be slowed down so that rounds converge. Pure: figures in, a strength out.

A round sends what the guest dirtied during the one before. So the first round after a change of
strength still carries what was dirtied before it, and only those after it show what it does.
"""

import math
from dataclasses import dataclass, replace

from bmigd.migration.convergence import (
    PATIENCE_ROUNDS,
    Decision,
    Limits,
    RoundFigures,
    Step,
    decide,
)
from bmigd.words import rate

LEAST_PERCENT, MOST_PERCENT = 20, 99
AIM = 0.5  # of what is sent in the same time: at most that is to be dirtied
ROUNDS_TO_SHOW = 2  # after so many that show a strength it is raised, unless
SHRINKS_BELOW = 0.75  # each of them took less than this part of the one before, on average
SHORTEST_S = 1e-6  # a round that the clock did not see


@dataclass(frozen=True)
class Strength:
    """For what part of the time the guest is stopped, and after how many rounds that was set."""

    stopped_percent: int = 0  # 0: full speed
    since: int = 0

    @property
    def is_last(self) -> bool:
        """Whether there is no stronger one."""
        return self.stopped_percent >= MOST_PERCENT


FULL_SPEED = Strength()


@dataclass(frozen=True)
class Rates:
    """Bytes per second of guest memory, over the same rounds."""

    dirtied: float  # 0: not known
    sent: float


def decide_throttled(
    rounds: list[RoundFigures], limits: Limits, elapsed_s: float, strength: Strength
) -> Decision:
    """What to do after the newest round, of a guest that may be slowed down.

    A slowed one is judged by the rounds since then alone, and its time has run out already.
    """
    if not strength.stopped_percent:
        return decide(rounds, limits, elapsed_s)
    judged = rounds[strength.since :]
    decision = decide(judged, replace(limits, timeout_s=math.inf), elapsed_s)
    if decision.step is Step.ANOTHER_ROUND and not strength.is_last and _is_slow(judged):
        why = f"rounds hardly get shorter; {decision.why}"
        return replace(decision, step=Step.TAKE_ACTION, why=why, reason="NOT_CONVERGING")
    if decision.step is Step.TAKE_ACTION and strength.is_last:
        slowed = f"the guest was slowed to {100 - MOST_PERCENT} % of its speed, and still"
        return replace(decision, why=f"{slowed} {decision.why}")
    return decision


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


def stronger(rounds: list[RoundFigures], strength: Strength) -> Strength | None:
    """The next strength, from now on; None when there is none."""
    if strength.is_last:
        return None
    # Memory that is dirtied again and again is sent once, so what a guest dirties may fall by
    # less than its speed does: if a strength did not help, at most half of its speed is left.
    most = 1 - LEAST_PERCENT / 100 if not strength.stopped_percent else 0.5
    found = rates(rounds, strength)
    wanted = AIM * found.sent / found.dirtied if found.dirtied else most
    runs_percent = (100 - strength.stopped_percent) * min(wanted, most)
    return Strength(min(MOST_PERCENT, math.ceil(100 - runs_percent)), len(rounds))


def _is_slow(judged: list[RoundFigures]) -> bool:
    """Whether there were rounds enough to show a strength, and they showed too little."""
    if len(judged) <= ROUNDS_TO_SHOW:
        return False
    before_s, now_s = judged[-1 - ROUNDS_TO_SHOW].duration_s, judged[-1].duration_s
    return now_s > SHRINKS_BELOW**ROUNDS_TO_SHOW * before_s


def rates(rounds: list[RoundFigures], strength: Strength) -> Rates:
    """What the guest dirtied at this strength, and what was sent of it, lately."""
    judged = rounds[max(strength.since, len(rounds) - PATIENCE_ROUNDS - 1) :]
    lasted_s = [max(one.duration_s, SHORTEST_S) for one in judged]
    if len(judged) < 2:
        return Rates(0.0, judged[0].sent_bytes / lasted_s[0])
    sent_bytes = sum(one.sent_bytes for one in judged[1:])
    dirtied_s = sum(lasted_s[:-1]) + sum(one.waited_s for one in judged[1:])
    return Rates(sent_bytes / dirtied_s, sent_bytes / sum(lasted_s[1:]))


def words(rounds: list[RoundFigures], before: Strength, now: Strength) -> str:
    """What is done to the guest and why, for people."""
    found = rates(rounds, before)
    done = f"the guest is slowed to {100 - now.stopped_percent} % of its speed"
    if not found.dirtied:
        return f"{done}: it is not known yet how fast it dirties memory"
    still = "still " if before.stopped_percent else ""
    return f"{done}: it {still}dirties {rate(found.dirtied)} and {rate(found.sent)} are sent"
