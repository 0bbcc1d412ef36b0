"""Which tracker finds a guest's dirty pages, and why that one.

Exact where the driver keeps a log of what the guest writes; by content elsewhere. Rule: a log that
was opened is closed, however the migration ends, so that the guest is as fast as it was.
"""

import asyncio
from dataclasses import dataclass

from bmigd.drivers.base import DirtyLog, OutgoingGuest
from bmigd.errors import LocalFault
from bmigd.transfer.blocks import Blocks
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.hashing import Hashers
from bmigd.transfer.pagemap import PagemapTracker
from bmigd.transfer.pages import PageTable
from bmigd.transfer.tracker import Tracker
from bmigd.unbroken import unbroken

CONTENT, PAGEMAP = ContentTracker.name, PagemapTracker.name
NO_LOG = "the driver keeps no log of what a guest writes"
LOGGED = "the guest's writes are logged"


@dataclass(frozen=True)
class Tracking:
    """A tracker at work."""

    tracker: Tracker
    why: str
    hashers: Hashers
    log: DirtyLog | None = None

    async def end(self) -> None:
        """Nothing is logged any more, and nobody has memory mapped. Idempotent."""
        if self.log:
            await self.log.close()
        await self.unmap()

    async def ready(self) -> None:
        """Until the last pass waits for nobody's start; while the guest runs. LocalFault."""
        await asyncio.to_thread(self.hashers.ready)

    async def unmap(self) -> None:
        """No process has the guest's memory mapped. Idempotent; no pass can follow."""
        await asyncio.to_thread(self.hashers.close)


async def obstacle(outgoing: OutgoingGuest) -> str:
    """Why there is no log of what this guest writes, in words; "" when there can be one."""
    try:
        await (await _opened(outgoing)).close()
    except LocalFault as error:
        return error.message
    return ""


async def begin(
    outgoing: OutgoingGuest, wish: str, table: PageTable, *, compares: bool
) -> Tracking:
    """Begin with the tracker that is wanted: "auto", "content" or "pagemap".

    Whether the first pass compares memory with what the destination has of it. LocalFault
    (TRACKER_NOT_AVAILABLE) if it was asked for by name and cannot be had.
    """
    log, why, hashers = None, "asked for", Hashers(table.seed)
    if wish != CONTENT:
        try:
            log = await _opened(outgoing)
        except LocalFault as error:
            if wish == PAGEMAP:
                raise
            why = error.message
    if log is None:
        await _start(hashers)
        return Tracking(ContentTracker(table, hashers, Blocks(table)), why, hashers)
    tracking = Tracking(PagemapTracker(table, log, hashers), LOGGED, hashers, log)
    if compares:
        try:
            await _start(hashers)
        except BaseException:
            await asyncio.shield(tracking.end())
            raise
    return tracking


async def _start(hashers: Hashers) -> None:
    starting = asyncio.ensure_future(asyncio.to_thread(hashers.start))
    try:
        await unbroken(starting)
    except asyncio.CancelledError:  # nobody will end them
        await asyncio.to_thread(hashers.close)
        raise


async def _opened(outgoing: OutgoingGuest) -> DirtyLog:
    log = outgoing.dirty_log()
    if log is None:
        advice = "use --tracker auto or content"
        raise LocalFault("TRACKER_NOT_AVAILABLE", NO_LOG, advice)
    await log.open()
    return log
