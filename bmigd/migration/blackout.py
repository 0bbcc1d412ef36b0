"""The time that a guest is down, by the source's clock, and what it went to."""

from dataclasses import dataclass

from bmigd.migration.outage import Outage
from bmigd.migration.picture import SOURCE, Part, Report
from bmigd.migration.recorder import us_since


@dataclass(frozen=True)
class Blackout:
    """A downtime that has begun."""

    parts: list[Part]
    since_s: float  # by the monotonic clock
    outage: Outage

    def note(self, report: Report, commit_since_s: float, theirs: tuple[Part, ...]) -> None:
        """It has ended: write it down in parts that add up to it."""
        theirs_us = sum(part.duration_us for part in theirs)
        ours = Part("commit", SOURCE, max(0, us_since(commit_since_s) - theirs_us))
        report.downtime_us = us_since(self.since_s)
        report.downtime_parts = [*self.parts, ours, *theirs]
        told_us = sum(part.duration_us for part in report.downtime_parts)
        report.downtime_parts.append(Part("other", SOURCE, max(0, report.downtime_us - told_us)))
