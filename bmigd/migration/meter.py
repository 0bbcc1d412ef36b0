"""What the round under way did so far: its figures, and how far people see it.

Rule: progress never falls, whatever a round after a break has to do again.
"""

import time
from dataclasses import dataclass

from bmigd.migration.convergence import RoundFigures
from bmigd.migration.forecast import Underway
from bmigd.migration.phases import percent
from bmigd.migration.picture import Picture
from bmigd.transfer.sender import PACING, Sender


@dataclass(frozen=True)
class _Before:
    """What had been done when a round began."""

    at_s: float = 0.0
    waited_s: float = 0.0  # since the round before ended
    scanned_bytes: int = 0
    skipped_bytes: int = 0
    found_bytes: int = 0
    sent_bytes: int = 0
    wire_bytes: int = 0
    paced_s: float = 0.0


class Meter:
    """Reads the sender's totals; brings the picture's progress up to date."""

    def __init__(self, sender: Sender, picture: Picture) -> None:
        self._sender = sender
        self._picture = picture
        self._before = _Before()
        self._ended_at_s: float | None = None  # the last round
        self._rate_from = (0.0, 0)  # when, and what had been sent
        self._interruptions = 0

    def begin(self) -> int:
        """A round begins: its number."""
        now, totals = time.monotonic(), self._sender.totals
        self._before = _Before(
            now,
            now - self._ended_at_s if self._ended_at_s else 0.0,
            totals.scanned_bytes,
            totals.skipped_bytes,
            totals.found_bytes,
            totals.sent_bytes,
            totals.wire_bytes,
            totals.spent.sum(PACING),
        )
        self._rate_from = now, totals.sent_bytes
        self._picture.progress.round += 1
        return self._picture.progress.round

    def end(self) -> RoundFigures:
        """It has ended."""
        figures = self._figures()
        self._ended_at_s = self._before.at_s + figures.duration_s
        return figures

    def _underway(self) -> Underway:
        """It goes on: what is known without looking is neither work done nor work to do."""
        totals, before = self._sender.totals, self._before
        scanned_bytes = totals.scanned_bytes - before.scanned_bytes
        skipped_bytes = totals.skipped_bytes - before.skipped_bytes
        wanted_bytes = self._picture.progress.memory_bytes - skipped_bytes
        seen = (scanned_bytes - skipped_bytes) / wanted_bytes if wanted_bytes else 1.0
        return Underway(seen, totals.found_bytes - before.found_bytes, self._figures())

    def show(self) -> Underway:
        """In the picture; the round so far."""
        progress, totals, now = self._picture.progress, self._sender.totals, self._underway()
        progress.round_scanned_bytes = totals.scanned_bytes - self._before.scanned_bytes
        progress.sent_bytes, progress.wire_bytes = totals.sent_bytes, totals.wire_bytes
        self._show_rate()
        # The first round is most of the work; later ones share what is left.
        later = progress.round - 2 + now.seen
        done = 0.85 * now.seen if progress.round == 1 else 1 - 0.15 * 0.6**later
        progress.percent = percent(self._picture.phase, done, progress.percent)
        return now

    def _show_rate(self) -> None:
        """That of the round so far, or since it was interrupted last."""
        picture, sent_bytes = self._picture, self._sender.totals.sent_bytes
        if self._interruptions != len(picture.report.interruptions):
            self._interruptions = len(picture.report.interruptions)
            self._rate_from = time.monotonic(), sent_bytes
        since_s, before_bytes = self._rate_from
        if sent_bytes > before_bytes and not picture.progress.waiting_for:
            elapsed_s = max(time.monotonic() - since_s, 0.001)
            picture.progress.rate_bytes_per_s = round((sent_bytes - before_bytes) / elapsed_s)

    def _figures(self) -> RoundFigures:
        before, totals = self._before, self._sender.totals
        paced_s = totals.spent.sum(PACING) - before.paced_s
        return RoundFigures(
            totals.sent_bytes - before.sent_bytes,
            totals.wire_bytes - before.wire_bytes,
            time.monotonic() - before.at_s,
            paced_s / self._sender.streams,
            before.waited_s,
        )
