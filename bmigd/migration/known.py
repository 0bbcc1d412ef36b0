"""What the destination still has of a guest goes into the source's table, so that it is not sent.

A peer that tells it wrong harms only the guest that it is to run, and only until the roots are
compared; what it sends is checked for size and place all the same.
"""

from collections.abc import AsyncIterator

import numpy as np

from bmigd.chunk import MIB, PAGE_BYTES
from bmigd.errors import PeerFault
from bmigd.journal import Record
from bmigd.migration.ports import Peer, Stretch
from bmigd.migration.silence import Silences, again_while_lost
from bmigd.transfer.pages import PageTable

KNOW_S = 20.0  # without an answer


async def learn(stretches: AsyncIterator[Stretch], table: PageTable) -> int:
    """Take in stretches, which must cover all regions in order; how many pages are not zero.

    PeerFault (PEER_FAILED) when they do not.
    """
    region = page = count = 0
    async for one in stretches:
        hashes = np.frombuffer(one.page_hashes[: len(one.page_hashes) // 8 * 8], "<u8")
        end = page + len(hashes)
        is_next = (one.region, one.first_page) == (region, page) and region < len(table.regions)
        if not is_next or not len(hashes) or end > len(table.regions[region]):
            raise _wrong(f"region {one.region} from page {one.first_page} is not what comes next")
        table.regions[region][page:end] = hashes
        count += int((hashes != table.zero_hash).sum())
        region, page = (region, end) if end < len(table.regions[region]) else (region + 1, 0)
    if region < len(table.regions):
        raise _wrong(f"it ended in region {region} at page {page}")
    return count


async def know(peer: Peer, record: Record, table: PageTable, silences: Silences) -> str:
    """Ask a destination that has memory of the guest; in words what that saves."""
    pages = await again_while_lost(
        lambda: learn(peer.describe(record.id, record.epoch), table),
        *(silences, "answer to DescribeMemory", KNOW_S),
    )
    kept = f"{pages * PAGE_BYTES // MIB} MiB"
    return f"only what differs is sent: {peer.name} still has {kept} of when the guest left it"


def _wrong(words: str) -> PeerFault:
    return PeerFault("PEER_FAILED", f"the other node told wrongly what memory it has: {words}")
