"""What a source that keeps its guest tells the other node, which need not hear it: its lease frees
it anyway.
"""

import asyncio

import structlog

from bmigd.errors import BmigError
from bmigd.journal import Record
from bmigd.migration.ports import Peer

log = structlog.get_logger()

TELL_ABORT_S = 5.0


async def tell_abort(peer: Peer, record: Record, why: str) -> None:
    """Tell a peer, which may be dead; its lease frees it anyway."""
    try:
        async with asyncio.timeout(TELL_ABORT_S):
            await peer.abort(record.id, record.epoch, record.peer_incarnation, why)
    except (BmigError, TimeoutError) as error:
        log.warning("peer not told", migration=record.id, peer=peer.name, error=str(error))
