"""The time that a guest is down, by the source's clock, and what it went to.

It ends when the guest runs over there: what the other node writes before it answers comes after.
"""

from dataclasses import dataclass

from bmigd.migration.outage import Outage
from bmigd.migration.picture import SOURCE, Part, Report
from bmigd.migration.recorder import us_since

TAKE_OVER = "take over"  # by the destination, of a guest that runs there already


@dataclass(frozen=True)
class Blackout:
    """A downtime that has begun."""

    parts: list[Part]
    since_s: float  # by the monotonic clock
    outage: Outage

    def note(self, report: Report, commit_since_s: float, theirs: tuple[Part, ...]) -> None:
        """It has ended: write it down in parts that add up to it."""
        down = [part for part in theirs if part.name != TAKE_OVER]
        theirs_us = sum(part.duration_us for part in theirs)
        commit_us = us_since(commit_since_s)
        after_us = min(commit_us, theirs_us - sum(part.duration_us for part in down))
        ours = Part("commit", SOURCE, max(0, commit_us - theirs_us))
        report.downtime_us = us_since(self.since_s) - after_us
        report.downtime_parts = [*self.parts, ours, *down]
        told_us = sum(part.duration_us for part in report.downtime_parts)
        report.downtime_parts.append(Part("other", SOURCE, max(0, report.downtime_us - told_us)))
