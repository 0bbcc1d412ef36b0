"""Keeps the picture of one migration, tells whoever watches, and writes history.

Recording never fails a migration: history is for people.
"""

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from typing import Protocol

import structlog

from bmigd.migration.phases import Phase, advance
from bmigd.migration.picture import IN_DOUBT, Event, Failure, Picture
from bmigd.words import short

log = structlog.get_logger()

AGAIN_S = 1.0  # between two samples while nothing moves
FORESEEN = (Phase.PRECOPY, Phase.SWITCHOVER)  # the phases in which somebody says what is left


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def us_since(began_s: float) -> int:
    """Microseconds since a moment of the monotonic clock."""
    return round((time.monotonic() - began_s) * 1e6)


class Keeper(Protocol):
    """Keeps what is recorded; neither waits nor fails."""

    def keep_event(self, migration_id: str, event: Event) -> None:
        """Keep one event."""

    def keep_picture(self, picture: Picture) -> None:
        """Keep the latest picture."""


class Recorder:
    """One migration's picture and events; those of before a restart come first."""

    def __init__(self, picture: Picture, keeper: Keeper, events: list[Event]) -> None:
        self.picture = picture
        self._keeper = keeper
        self._events = events
        self._watchers: set[asyncio.Queue[Event | None]] = set()
        picture.started_at_ms = picture.started_at_ms or now_ms()
        # The time of day may jump: only what was before a restart is told by it.
        self._began_us = 1000 * max(0, now_ms() - picture.started_at_ms)
        self._began_s = time.monotonic()
        self._waiting_since_s = 0.0
        self.keep()

    def enter(self, phase: Phase, message: str) -> None:
        """A phase, perhaps once more after a write that failed: one log line, one event."""
        if phase is not self.picture.phase:
            self.picture.phase = advance(self.picture.phase, phase)
        self.picture.progress.phase = phase
        if phase not in FORESEEN:
            self._expect_nothing()
        self._log(f"phase {phase.name.lower()}", detail=message)
        self.event("phase", message)

    def event(self, kind: str, message: str) -> None:
        """Something worth keeping."""
        event = self._make(len(self._events) + 1, kind, message)
        self._events.append(event)
        self._keeper.keep_event(self.picture.id, event)
        self._tell(event)

    def sample(self) -> None:
        """A progress sample: told, not kept."""
        if self._watchers:
            self._tell(self._make(0, "progress", ""))

    def end(
        self, phase: Phase, message: str, failure: Failure | None = None, ago_ms: int = 0
    ) -> None:
        """The last phase, which came some time ago if that; watchers are let go."""
        picture = self.picture
        picture.ended_at_ms = now_ms() - ago_ms
        total_us = self._began_us + us_since(self._began_s) - 1000 * ago_ms
        picture.report.total_us = max(0, total_us)
        picture.failure = failure
        picture.in_doubt_since_ms, picture.waiting_for = 0, ""
        picture.phase = advance(picture.phase, phase)
        picture.progress.phase = phase
        self._expect_nothing()
        self.go_on()
        if phase is Phase.COMPLETED:
            picture.progress.percent = 100
        self._log(
            f"migration {phase.name.lower()}",
            detail=message,
            reason=failure.reason if failure else "",
            downtime_ms=picture.report.downtime_us // 1000,
        )
        self.event("ended", message)
        self.keep()
        for watcher in self._watchers:
            watcher.put_nowait(None)

    def doubt(self, waiting_for: str, failure: Failure | None = None) -> None:
        """What became of the guest is not known here; for what this waits."""
        picture = self.picture
        picture.in_doubt_since_ms = picture.in_doubt_since_ms or now_ms()
        self.wait_for(waiting_for, self._waiting_since_s or time.monotonic())
        picture.failure = failure
        if waiting_for != picture.waiting_for:
            picture.waiting_for = waiting_for
            log.warning(
                "in doubt", migration=picture.id, guest=picture.guest, waiting_for=waiting_for
            )
            self.event(IN_DOUBT, f"waiting for {waiting_for}")
            self.keep()

    def down_us(self) -> int:
        """For how long the guest has been down, as far as a restarted daemon can tell: by the time
        of day. 0: it is not known to have gone down.
        """
        phases = (one for one in self._events if one.kind == "phase")
        since_ms = next((one.at_ms for one in phases if one.phase is Phase.SWITCHOVER), 0)
        return 1000 * max(0, now_ms() - since_ms) if since_ms else 0

    def wait_for(self, what: str, since_s: float) -> None:
        """Nothing moves since then, by the monotonic clock: no figure holds until go_on()."""
        progress, self._waiting_since_s = self.picture.progress, since_s
        progress.waiting_for, progress.rate_bytes_per_s = what, 0
        progress.forget()

    def go_on(self) -> None:
        """It is not waited for any more."""
        self.picture.progress.waiting_for, self._waiting_since_s = "", 0.0

    def _expect_nothing(self) -> None:
        """Nobody says any more when it ends."""
        progress = self.picture.progress
        progress.estimated_remaining_ms, progress.is_without_end = None, False

    def keep(self) -> None:
        """Write the picture to history."""
        self._keeper.keep_picture(self.picture)

    async def watch(self, after_sequence: int) -> AsyncIterator[Event]:
        """Events after a sequence number, then new ones and samples, until the end."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            for event in self._events[after_sequence:]:
                yield event
            seen = len(self._events) if self.picture.has_ended else after_sequence
            if self.picture.has_ended:
                return
            while (event_or_end := await self._next_of(queue)) is not None:
                if event_or_end.sequence == 0 or event_or_end.sequence > seen:
                    yield event_or_end
        finally:
            self._watchers.discard(queue)

    async def _next_of(self, queue: asyncio.Queue[Event | None]) -> Event | None:
        """What comes; a sample every second while nothing does because nothing moves."""
        try:
            async with asyncio.timeout(AGAIN_S if self.picture.progress.waiting_for else None):
                return await queue.get()
        except TimeoutError:
            return self._make(0, "progress", "")

    def _make(self, sequence: int, kind: str, message: str) -> Event:
        progress = copy.copy(self.picture.progress)
        if progress.waiting_for:
            progress.waited_ms = round(1000 * (time.monotonic() - self._waiting_since_s))
        return Event(sequence, now_ms(), kind, short(message), self.picture.phase, progress)

    def _tell(self, event: Event) -> None:
        for watcher in self._watchers:
            # A slow watcher loses samples, never events; it is let go at the end.
            if event.sequence or watcher.qsize() < 64:
                watcher.put_nowait(event)

    def _log(self, event: str, **facts: object) -> None:
        picture = self.picture
        log.info(
            event,
            migration=picture.id,
            guest=picture.guest,
            side=picture.side,
            **{key: value for key, value in facts.items() if value not in ("", 0)},
        )
