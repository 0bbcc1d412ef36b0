"""What a restarted daemon does, before it serves anybody: read the journal, find the guests again.

A source that had not let go takes its guest back; one that had goes on asking. A destination looks
at what its guests' supervisors saw, and lets handoff.py judge.
"""

import structlog

from bmigd.journal import Record
from bmigd.migration.archive import Archive
from bmigd.migration.destination import Destination
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    SourceEvent,
    SourceState,
)
from bmigd.migration.ledger import Ledger
from bmigd.migration.picture import SOURCE
from bmigd.migration.running import Migrations

log = structlog.get_logger()

UNSETTLED = (
    *(SourceState.MIGRATING, SourceState.LET_GO),
    *(DestinationState.RECEIVING, DestinationState.READY),
    *(DestinationState.TAKEN, DestinationState.STARTED),
)
RESTARTED = "the destination's daemon was restarted"

UNDECIDED = (
    SourceState.MIGRATING,
    *(DestinationState.RECEIVING, DestinationState.READY),
)


async def recover(
    ledger: Ledger, archive: Archive, migrations: Migrations, destination: Destination
) -> None:
    """Take up everything that the journal says is not settled."""
    records = await ledger.all()
    newest = {record.guest: record.id for record in records}  # oldest first
    for record in records:
        is_newest = newest[record.guest] == record.id
        if record.state not in UNSETTLED and not (record.pending and is_newest):
            continue
        log.info("recovering", migration=record.id, guest=record.guest, state=record.state)
        try:
            if record.state in UNDECIDED and not is_newest:
                await _end_outlived(record, ledger)
            elif record.side == SOURCE:
                await _recover_source(record, migrations)
            else:
                await (await destination.adopt(record)).take_up(RESTARTED)
        except Exception as error:
            log.error("recovery", migration=record.id, guest=record.guest, exc_info=error)
    await archive.close_settled(await ledger.all())


async def _end_outlived(record: Record, ledger: Ledger) -> None:
    """A migration that was begun and never owned, of a guest that has had others since: it ends in
    the journal alone. The guest, wherever it is, is not its guest any more.
    """
    why = "MIGRATION_OUTLIVED: the guest has been part of a later migration"
    if record.side == SOURCE:
        record = await ledger.source(record, SourceEvent.RESTARTED, why)
    else:
        record = await ledger.destination(record, DestinationEvent.WITHDRAWN, why)
    await ledger.close(record)


async def _recover_source(record: Record, migrations: Migrations) -> None:
    if record.state == SourceState.LET_GO:
        await migrations.settle_later(record)
    else:
        await migrations.finish_after_restart(record)
