"""What a restarted daemon does, before it serves anybody: read the journal, find the guests again.

A source that had not let go takes its guest back; one that had goes on asking. A destination looks
at what its guests' supervisors saw, and lets handoff.py judge.
"""

import structlog

from bmigd.errors import BmigError
from bmigd.journal import Record
from bmigd.migration.destination import Destination
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    Evidence,
    SourceState,
    after_restart,
)
from bmigd.migration.ledger import Ledger
from bmigd.migration.picture import SOURCE
from bmigd.migration.reception import Reception
from bmigd.migration.running import Migrations

log = structlog.get_logger()

UNSETTLED = (
    *(SourceState.MIGRATING, SourceState.LET_GO),
    *(DestinationState.RECEIVING, DestinationState.READY),
    *(DestinationState.TAKEN, DestinationState.STARTED),
)


async def recover(ledger: Ledger, migrations: Migrations, destination: Destination) -> None:
    """Take up everything that the journal says is not settled."""
    for record in await ledger.all():
        if record.state not in UNSETTLED:
            continue
        log.info("recovering", migration=record.id, guest=record.guest, state=record.state)
        try:
            if record.side == SOURCE:
                await _recover_source(record, migrations)
            else:
                await _recover_destination(destination.adopt(record))
        except BmigError as error:
            log.error("recovery", migration=record.id, guest=record.guest, error=str(error))


async def _recover_source(record: Record, migrations: Migrations) -> None:
    if record.state == SourceState.LET_GO:
        migrations.settle_later(record)
    else:
        await migrations.abort_after_restart(record)


async def _recover_destination(reception: Reception) -> None:
    found = await _evidence(reception)
    event = after_restart(reception.state, found)
    why = "the destination's daemon was restarted"
    if event is DestinationEvent.WITHDRAWN:
        await reception.refuse_after_restart(why)
    elif event is not None:
        await reception.settle(event, why)
        if event is DestinationEvent.GUEST_RUNS and not found.runs:
            await reception.node.driver(reception.definition).start(reception.definition)
    elif reception.state is DestinationState.TAKEN:
        await reception.start_again()


async def _evidence(reception: Reception) -> Evidence:
    incoming = reception.incoming
    try:
        await incoming.check()
        has_state = True
    except BmigError:
        has_state = False
    witness = await incoming.witness()
    return Evidence(
        has_state, witness.supervisor, witness.executed, witness.runs, witness.never_ran
    )
