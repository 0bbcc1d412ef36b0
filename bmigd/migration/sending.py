"""What sends a migration's memory, made of what the operator wants and what both nodes can."""

from collections.abc import Callable
from concurrent.futures import Executor

from bmigd.chunk import MOST_STREAMS, CodecId
from bmigd.config import Migration
from bmigd.journal import Record
from bmigd.migration.check import Checked
from bmigd.migration.picture import Options
from bmigd.migration.ports import Peer, Welcome
from bmigd.migration.silence import Silences
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.lane import Patience
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.pages import PageTable
from bmigd.transfer.sender import Sender

LEASE_SHARE = 0.75  # of the destination's lease, so that it outlasts the source's patience


def streams(wanted: int, checked: Checked, most: int) -> int:
    """How many carry the memory: as many as wanted, or one for two processors of the smaller node.

    Pure. Never more than the other node takes.
    """
    processors = min(checked.source.cpu.count, checked.destination.cpu.count)
    return min(wanted or max(1, processors // 2), most, MOST_STREAMS)


def make_sender(
    record: Record,
    options: Options,
    checked: Checked,
    welcome: Welcome,
    limits: Migration,
    *,
    peer: Peer,
    table: PageTable,
    executor: Executor,
    silences: Silences,
    on_progress: Callable[[], None],
) -> Sender:
    """For one migration."""
    return Sender(
        migration_id=record.id,
        epoch=record.epoch,
        open_stream=peer.open_stream,
        table=table,
        encoder=Encoder(CodecId(options.codec) if options.codec else None, welcome.codecs),
        pacer=Pacer(0),  # whoever shares the node's bandwidth says more
        window_chunks=min(welcome.window_chunks, limits.window_chunks),
        patience=Patience(
            limits.peer_timeout_s, min(limits.reconnect_s, LEASE_SHARE * welcome.lease_s)
        ),
        executor=executor,
        on_progress=on_progress,
        silence=silences,
        streams=streams(options.streams, checked, welcome.most_streams),
    )
