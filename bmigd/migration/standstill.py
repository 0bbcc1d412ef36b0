"""The guest goes down, and the last pass over its memory begins as soon as that stands still.

A hypervisor that writes all memory into a file takes its time for it, and the pass runs beside.
Rule: what the pass sent counts only if the suspend came true; when either fails, so does the whole.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bmigd.crashpoints import reach
from bmigd.drivers.base import Memory, OutgoingGuest, Suspended
from bmigd.migration.rounds import Rounds


@dataclass
class Standstill:
    """One guest's suspend and last pass. Run it once."""

    outgoing: OutgoingGuest
    live: Memory  # as open() gave it
    rounds: Rounds
    before_copy: Callable[[], None]
    memory: Memory | None = None  # as it will be restored, once the guest is down
    suspended_at_s: float = 0.0

    async def run(self) -> Suspended:
        """Down, and copied."""
        still = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                suspending = group.create_task(self._suspend(still.set))
                beside = group.create_task(self._copy_beside(still, suspending))
        except BaseExceptionGroup as errors:  # one of both failed: tell its error as it is
            raise errors.exceptions[0] from errors
        suspended = suspending.result()
        if not beside.result():
            await self._copy(suspended.memory)
        await self.rounds.verify(suspended.memory, is_another=beside.result())
        reach("source.copied")
        return suspended

    async def _suspend(self, still: Callable[[], None]) -> Suspended:
        reach("source.suspend")
        suspended = await self.outgoing.suspend(still)
        self.memory, self.suspended_at_s = suspended.memory, time.monotonic()
        reach("source.suspended")
        return suspended

    async def _copy(self, memory: Memory) -> None:
        self.before_copy()
        await self.rounds.last_pass(memory)

    async def _copy_beside(self, still: asyncio.Event, suspending: asyncio.Task[Suspended]) -> bool:
        """Whether memory stood still before the suspend was over; then it is copied."""
        waiting = asyncio.create_task(still.wait())
        try:
            await asyncio.wait({waiting, suspending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if suspending.done():
            return False
        await self._copy(self.live)
        return True
