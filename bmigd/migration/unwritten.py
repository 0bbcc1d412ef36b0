"""A journal that cannot be written: its migration waits, and goes on without a restart.

What could not be written may be durable all the same. So nothing is decided from memory after
that: once the journal takes writes again, the migration is taken up from what it says, as after a
restart.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bmigd.errors import LocalFault
from bmigd.migration.ledger import Ledger
from bmigd.migration.picture import failure_of
from bmigd.migration.recorder import Recorder

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


@dataclass
class Unwritten:
    """What one migration does when its journal fails. `again` takes it up; LocalFault: not yet."""

    recorder: Recorder
    ledger: Ledger
    node: str
    again: Callable[[], Awaitable[None]]
    location: str = ""  # where the guest is meanwhile, in words; "": not known
    is_waiting: bool = False

    async def through(self, work: Awaitable[None]) -> None:
        """Do work of after the guest is let go, however long the journal takes."""
        try:
            await work
        except LocalFault as error:
            await self.after(error)

    async def after(self, error: LocalFault) -> None:
        """Wait until the migration can be taken up after this error."""
        pause_s, self.is_waiting = FIRST_PAUSE_S, True
        while True:
            self._tell(error)
            try:
                await self.again()
                break
            except LocalFault as still:
                error = still
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.is_waiting = False

    def _tell(self, error: LocalFault) -> None:
        picture, waiting_for = self.recorder.picture, f"the journal of {self.node} to be mended"
        if waiting_for != picture.waiting_for:
            log.error("stuck", migration=picture.id, side=picture.side, error=str(error))
        location = self.location or f"not known on {self.node}"
        failure = failure_of(error, picture.side, location)
        self.recorder.doubt(waiting_for, failure)
