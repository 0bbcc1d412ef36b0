"""The time that a guest is down, by the source's clock, and what it went to.

It ends when the guest runs over there: what the other node writes before it answers comes after.
"""

import asyncio
from dataclasses import dataclass

from bmigd.migration.costs import Cost
from bmigd.migration.outage import Outage
from bmigd.migration.picture import SOURCE, Part, Report
from bmigd.migration.ports import Answer
from bmigd.migration.recorder import us_since

MEMORY = "last pass"  # what the suspend did not hide of it
TAKE_OVER = "take over"  # by the destination, of a guest that runs there already
AFRESH = "start afresh"  # by the destination, of a guest that does not


def told_us(answer: Answer) -> int:
    """Of the time since the commit, what a destination says of it. Pure."""
    return _down_us(answer) + _running_us(answer)


def _down_us(answer: Answer) -> int:
    return sum(part.duration_us for part in answer.parts if part.name != TAKE_OVER)


def _running_us(answer: Answer) -> int:
    """At least while it was taken over; a destination of before says no more than that."""
    taken_over_us = sum(part.duration_us for part in answer.parts if part.name == TAKE_OVER)
    return max(answer.running_for_us, taken_over_us)


@dataclass(frozen=True)
class Blackout:
    """A downtime that has begun."""

    parts: list[Part]
    since_s: float  # by the monotonic clock
    outage: Outage
    cost: Cost

    def note(self, report: Report, commit_since_s: float, answer: Answer) -> None:
        """It has ended, however long ago: write it down in parts that add up to it.

        The guest was the other node's at the commit: it cannot have run before that.
        """
        down = [part for part in answer.parts if part.name != TAKE_OVER]
        commit_us = us_since(commit_since_s)
        after_us = min(commit_us, _running_us(answer))
        ours = Part("commit", SOURCE, max(0, commit_us - after_us - _down_us(answer)))
        report.downtime_us = us_since(self.since_s) - after_us
        report.downtime_parts = [*self.parts, ours, *down]
        told_us = sum(part.duration_us for part in report.downtime_parts)
        report.downtime_parts.append(Part("other", SOURCE, max(0, report.downtime_us - told_us)))

    async def end(self, report: Report) -> None:
        """The guest is the other node's; what it cost is learned from if nothing else took time."""
        await self.outage.end()
        was_silent = any(one.guest_down for one in report.interruptions)
        is_afresh = any(part.name == AFRESH for part in report.downtime_parts)
        if not (was_silent or is_afresh or report.verified):
            ours = [part for part in self.parts if part.side == SOURCE and part.name == MEMORY]
            memory_us = sum(part.duration_us for part in ours)
            await asyncio.to_thread(self.cost.learn, (report.downtime_us - memory_us) / 1e6)
