"""What a restarted daemon does, before it serves anybody: read the journal, find the guests again.

A source that had not let go takes its guest back; one that had goes on asking. A destination looks
at what its guests' supervisors saw, and lets handoff.py judge.
"""

import asyncio
from collections.abc import Collection

import structlog

from bmigd.journal import Record
from bmigd.migration.archive import Archive, failure_in
from bmigd.migration.destination import Destination
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    SourceEvent,
    SourceState,
)
from bmigd.migration.ledger import Ledger
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE
from bmigd.migration.running import Migrations
from bmigd.migration.unwritten import Unwritten

log = structlog.get_logger()

UNSETTLED = (
    *(SourceState.MIGRATING, SourceState.LET_GO),
    *(DestinationState.RECEIVING, DestinationState.READY),
    *(DestinationState.TAKEN, DestinationState.STARTED),
)
RESTARTED = "the destination's daemon was restarted"
OUTLIVED = "MIGRATION_OUTLIVED: the guest has moved, or was defined or forgotten, since"

UNDECIDED = (
    SourceState.MIGRATING,
    *(DestinationState.RECEIVING, DestinationState.READY),
)


async def recover(
    ledger: Ledger,
    archive: Archive,
    migrations: Migrations,
    destination: Destination,
    defined: Collection[str],
) -> None:
    """Take up everything that the journal says is not settled; `defined` are the guests here."""
    records = await ledger.all()
    newest = {record.guest: record.id for record in records}  # oldest first

    async def take_up(record: Record) -> None:
        is_newest = newest[record.guest] == record.id
        log.info("recovering", migration=record.id, guest=record.guest, state=record.state)
        try:
            if is_outlived(record, is_newest=is_newest, is_defined=record.guest in defined):
                await _end_outlived(record, ledger, archive)
            elif record.side == SOURCE:
                await migrations.recover(record)
            else:
                await (await destination.adopt(record)).recover(RESTARTED)
        except Exception as error:
            log.error("recovery", migration=record.id, guest=record.guest, exc_info=error)

    # All at once: one that has to wait for the word of a node that is dark keeps no other waiting.
    await asyncio.gather(
        *(
            take_up(one)
            for one in records
            if one.state in UNSETTLED or (one.pending and newest[one.guest] == one.id)
        )
    )
    await archive.close_settled(await ledger.all())


def is_outlived(record: Record, *, is_newest: bool, is_defined: bool) -> bool:
    """Whether its guest cannot be the one that is here: there was another migration, or what it
    left was forgotten, or came, by hand. Pure.
    """
    if record.state not in UNDECIDED:
        return False
    return not is_newest or is_defined != (record.side == SOURCE)


async def _end_outlived(record: Record, ledger: Ledger, archive: Archive) -> None:
    """A migration that was begun and never owned ends in the journal alone. The guest, wherever it
    is, is not its guest any more.
    """
    recorder = await archive.recall(record, Phase.ABORTING)
    picture = recorder.picture
    node = picture.source if record.side == SOURCE else picture.destination

    async def end() -> None:
        there = await ledger.get(record.id) or record
        if there.state in UNDECIDED and there.side == SOURCE:
            there = await ledger.source(there, SourceEvent.RESTARTED, OUTLIVED)
        elif there.state in UNDECIDED:
            there = await ledger.destination(there, DestinationEvent.WITHDRAWN, OUTLIVED)
        picture.ownership = (await ledger.close(there)).state
        recorder.end(Phase.ABORTED, there.why, failure_in(there, node))

    await Unwritten(recorder, node, end).beside(end())
