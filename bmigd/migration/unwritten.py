"""A state disk that cannot be written: its migration waits, and goes on without a restart.

What could not be written may be durable all the same. So nothing is decided from memory after
that: once the disk takes writes again, the migration is taken up from what the journal says, as
after a restart.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bmigd.errors import LocalFault
from bmigd.migration.launched import launched
from bmigd.migration.picture import failure_of
from bmigd.migration.recorder import Recorder

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
WHAT = {"JOURNAL_UNWRITABLE": "the journal of ", "DEFINITION_UNWRITABLE": "the definitions of "}


@dataclass
class Unwritten:
    """What one migration does when its journal fails. `again` takes it up; LocalFault: not yet."""

    recorder: Recorder
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

    async def beside(self, work: Awaitable[None]) -> asyncio.Task[None] | None:
        """Do work that others wait for; what the journal does not take is left to a task."""
        try:
            await work
        except LocalFault as error:
            return self.launch(error)
        return None

    def launch(self, error: LocalFault) -> asyncio.Task[None]:
        """Wait in a task; nobody else may go on with the migration from now on."""
        self.is_waiting = True
        return launched(self.after(error), self.recorder.picture.id)

    async def after(self, error: LocalFault) -> None:
        """Wait until the migration can be taken up after this error."""
        pause_s, self.is_waiting = FIRST_PAUSE_S, True
        try:
            while True:
                self._tell(error)
                try:
                    await self.again()
                    return
                except LocalFault as still:
                    error = still
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self.is_waiting = False

    def _tell(self, error: LocalFault) -> None:
        picture = self.recorder.picture
        waiting_for = f"{WHAT.get(error.reason, '')}{self.node} to be mended"
        if waiting_for != picture.waiting_for:
            log.error("stuck", migration=picture.id, side=picture.side, error=str(error))
        location = self.location or f"not known on {self.node}"
        failure = failure_of(error, picture.side, location)
        self.recorder.doubt(waiting_for, failure)
