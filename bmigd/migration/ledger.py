"""The journal with its laws: a state is written only if handoff.py allows the move.

All writes go through one thread, so they are ordered, and the event loop never waits on the disk.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from bmigd.journal import Journal, Record
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    SourceEvent,
    SourceState,
    advance_destination,
    advance_source,
)

T = TypeVar("T")


class Ledger:
    """Durable ownership. A call that returns has been written; one that raises may have been."""

    def __init__(self, journal: Journal, thread: Executor) -> None:
        self._journal = journal
        self._thread = thread
        self.incarnation = journal.incarnation

    async def get(self, migration_id: str) -> Record | None:
        """One migration, or None."""
        return await self._do(self._journal.get, migration_id)

    async def all(self) -> list[Record]:
        """Every migration, oldest first."""
        return await self._do(self._journal.all)

    async def epoch(self, guest: str) -> int:
        """How often the guest has been handed over."""
        return await self._do(self._journal.epoch, guest)

    async def raise_epoch(self, guest: str, epoch: int) -> None:
        """Remember an epoch; it never falls."""
        await self._do(self._journal.raise_epoch, guest, epoch)

    async def note_resolution(self, migration_id: str, operator: str) -> None:
        """Record who settled a migration in doubt."""
        await self._do(self._journal.note_resolution, migration_id, operator)

    async def open(self, record: Record) -> Record:
        """A new migration in its first state (or, unknown to us, refused from the start)."""
        return await self._do(self._journal.put, record)

    async def meet_peer(self, record: Record, incarnation: str) -> Record:
        """Remember the other node's journal."""
        return await self._do(self._journal.put, replace(record, peer_incarnation=incarnation))

    async def source(self, record: Record, event: SourceEvent, why: str = "") -> Record:
        """Move a source's migration on."""
        state = advance_source(SourceState(record.state), event)
        return await self._put(record, state.value, why)

    async def destination(self, record: Record, event: DestinationEvent, why: str = "") -> Record:
        """Move a destination's migration on."""
        state = advance_destination(DestinationState(record.state), event)
        return await self._put(record, state.value, why)

    async def _put(self, record: Record, state: str, why: str) -> Record:
        return await self._do(
            self._journal.put, replace(record, state=state, why=why or record.why)
        )

    async def _do(self, function: Callable[..., T], *args: object) -> T:
        # Shielded: a cancelled caller must not leave a write half-awaited.
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args))
        )
