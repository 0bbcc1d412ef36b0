"""The journal with its laws: a state is written only if handoff.py allows the move, and from the
state that is there; a journal that has forgotten something is not used.

All writes go through one thread, so they are ordered, and the event loop never waits on the disk.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

import structlog

from bmigd.errors import LocalFault
from bmigd.guests.definition import Definition
from bmigd.journal import Journal, Record
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    IllegalMove,
    Mark,
    SourceEvent,
    SourceState,
    advance_destination,
    advance_source,
    why_not_open,
)
from bmigd.migration.steps import DESTINATION_STEPS, SOURCE_STEPS, Step
from bmigd.words import short

log = structlog.get_logger()
T = TypeVar("T")

DAY_S = 86400.0
_LEFT = {DestinationState.REFUSED.value, DestinationState.RETURNED.value}
FORGET_S = 30 * DAY_S  # no message is under way so long


class Ledger:
    """Durable ownership. A call that returns has been written; one that raises may have been.

    LocalFault (JOURNAL_OLD, JOURNAL_FOREIGN) for a journal that is not the one that was here.
    """

    def __init__(self, journal: Journal, thread: Executor) -> None:
        _require_current(journal)
        self._journal = journal
        self._thread = thread
        self._unsure: set[str] = set()  # whose last move raised: it may have been written
        self.incarnation = journal.incarnation

    async def get(self, migration_id: str) -> Record | None:
        """One migration, or None."""
        return await self._do(self._journal.get, migration_id)

    async def all(self) -> list[Record]:
        """Every migration, oldest first."""
        return await self._do(self._journal.all)

    async def newest(self, guest: str, states: Sequence[str]) -> Record | None:
        """A guest's newest migration in one of these states, or None."""
        return await self._do(self._journal.newest, guest, states)

    async def epoch(self, guest: Definition) -> int:
        """How often the guest has been handed over."""
        return await self._do(self._journal.epoch, _identity(guest))

    async def raise_epoch(self, guest: Definition, epoch: int) -> None:
        """Remember an epoch; it never falls."""
        await self._do(self._journal.raise_epoch, _identity(guest), epoch)

    async def probe(self) -> None:
        """Whether anything can be written: LocalFault as long as not."""
        await self._do(self._journal.probe)

    async def note_resolution(self, migration_id: str, operator: str) -> None:
        """Record who settled a migration in doubt, or where the guest of one that left is not."""
        await self._do(self._journal.note_resolution, migration_id, operator)

    async def is_resolved(self, migration_id: str) -> bool:
        """Whether that was recorded."""
        return await self._do(self._journal.is_resolved, migration_id)

    async def keep_short(self) -> None:
        """Forget what was refused long ago, once a day. Runs until cancelled."""
        while True:
            try:
                await self._do(self._journal.forget_refused, FORGET_S)
            except LocalFault as error:  # there is a next time
                log.warning("nothing forgotten", error=str(error))
            await asyncio.sleep(DAY_S)

    async def open(self, record: Record) -> Record:
        """A new migration in its first state (or, unknown to us, refused from the start)."""
        return await self._do(self._journal.put, record)

    async def meet_peer(self, record: Record, incarnation: str) -> Record:
        """Remember the other node's journal."""
        return await self._do(self._journal.put, replace(record, peer_incarnation=incarnation))

    async def source(self, record: Record, event: SourceEvent, why: str = "") -> Record:
        """Move a source's migration on."""
        state = advance_source(SourceState(record.state), event)
        pending = event.value if Step.CLOSE in SOURCE_STEPS[event] else ""
        return await self._do(self._move, record, state.value, pending, why)

    async def destination(self, record: Record, event: DestinationEvent, why: str = "") -> Record:
        """Move a destination's migration on."""
        state = advance_destination(DestinationState(record.state), event)
        pending = event.value if Step.CLOSE in DESTINATION_STEPS[event] else ""
        return await self._do(self._move, record, state.value, pending, why)

    async def close(self, record: Record) -> Record:
        """Nothing is left to do of the last change.

        The definition of a guest that did not stay is dropped: peers could fill the disk with them.
        """
        definition = "" if record.state in _LEFT else record.definition
        return await self._do(self._journal.put, replace(record, pending="", definition=definition))

    def _move(self, record: Record, state: str, pending: str, why: str) -> Record:
        """In the journal's thread, so that nothing comes between looking and writing."""
        there = self._journal.get(record.id)
        is_again = there is not None and there.state == state and record.id in self._unsure
        if not is_again and (there is None or there.state != record.state):
            raise IllegalMove(f"{record.id} is {there and there.state}, not {record.state}")
        self._unsure.add(record.id)
        written = self._journal.put(
            replace(record, state=state, pending=pending, why=short(why or record.why))
        )
        self._unsure.discard(record.id)
        return written

    async def _do(self, function: Callable[..., T], *args: object) -> T:
        # Shielded: a cancelled caller must not leave a write half-awaited.
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args))
        )


def _identity(guest: Definition) -> str:
    """A name is given again to a new guest, which has no past; and nobody has a say in the past of
    a guest that he has no right to by giving his own the same UUID."""
    return f"{guest.name} {guest.uuid}"


def _require_current(journal: Journal) -> None:
    marked = journal.marked
    reason = why_not_open(Mark(*journal.progress), Mark(*marked) if marked else None)
    if reason:
        raise LocalFault(
            reason,
            f"the journal has seen {journal.progress[1]} writes, its mark"
            f" {marked[1] if marked else 'is missing'}: it is an old copy, or not this node's",
            "do not use it, and do not delete the mark: read docs/FAILURES.md, guests may be in"
            " doubt",
        )
