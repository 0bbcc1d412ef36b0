"""The slowing of one guest while its memory is copied: asked for, renewed, told, and ended.

Rules that must not break:
- Once end() has returned the guest runs at full speed, and nothing here slows it again.
- A guest that is told to slow down is renewed or let go: no request is left half-way.
"""

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from bmigd.drivers.base import THROTTLE_S, OutgoingGuest
from bmigd.errors import BmigError, LocalFault
from bmigd.migration.convergence import RoundFigures
from bmigd.migration.recorder import Recorder, us_since
from bmigd.migration.throttling import Strength, stronger, words
from bmigd.unbroken import unbroken

log = structlog.get_logger()

RENEW_S = THROTTLE_S / 4


@dataclass
class Throttle:
    """Of one migration."""

    outgoing: OutgoingGuest
    recorder: Recorder
    strength: Strength = field(default_factory=Strength)
    _since_s: float = 0.0  # by the monotonic clock; 0.0: it is not slowed
    _renewing: asyncio.Task[None] | None = None
    _is_asked: bool = False

    async def tighten(self, rounds: list[RoundFigures]) -> bool:
        """Slow the guest down, or more than before; False if there is no more.

        LocalFault (THROTTLE_FAILED) if that cannot be.
        """
        before, now = self.strength, stronger(rounds, self.strength)
        if not now:
            return False
        self.strength, self._is_asked = now, True
        try:
            await unbroken(self.outgoing.throttle(now.stopped_percent))
        except BmigError as error:
            raise LocalFault(
                "THROTTLE_FAILED",
                f"the guest could not be slowed down: {error.message}",
                "use another --on-timeout; a guest that was started by an earlier release can be"
                " slowed down when it has been started again, or has moved",
            ) from error
        self._since_s = self._since_s or time.monotonic()
        self._renewing = self._renewing or asyncio.create_task(self._renew())
        picture = self.recorder.picture
        picture.progress.throttle_percent = picture.report.throttle_percent = now.stopped_percent
        self.recorder.event("throttle", words(rounds, before, now))
        return True

    async def end(self) -> None:
        """The guest runs at full speed, or soon does by itself. Idempotent."""
        await unbroken(self._end())

    async def _end(self) -> None:
        if not self._is_asked:
            return
        self._is_asked = False
        if self._renewing:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        told = "the guest runs at full speed again"
        try:
            await self.outgoing.throttle(0)
        except BmigError as error:
            log.warning("throttle", migration=self.recorder.picture.id, error=str(error))
            told = f"the guest runs at full speed again in {THROTTLE_S:g} s at most: {error}"
        if not self._since_s:
            return  # it was asked for in vain
        picture = self.recorder.picture
        picture.report.throttled_us += us_since(self._since_s)
        picture.progress.throttle_percent, self._since_s, self._renewing = 0, 0.0, None
        self.recorder.event("throttle", told)

    async def _renew(self) -> None:
        renewed_s, progress = time.monotonic(), self.recorder.picture.progress
        while True:
            await asyncio.sleep(RENEW_S)
            percent = self.strength.stopped_percent
            try:
                await unbroken(self.outgoing.throttle(percent))
            except BmigError as error:  # one that ended shows otherwise
                if progress.throttle_percent and time.monotonic() - renewed_s > THROTTLE_S:
                    progress.throttle_percent = 0
                    self.recorder.event("throttle", f"the guest is not slowed any more: {error}")
            else:
                renewed_s, progress.throttle_percent = time.monotonic(), percent
