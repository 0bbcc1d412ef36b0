"""A pass ends when every chunk of it was acknowledged, on one stream or several, and
carries all memory over.

No more than a window is under way; any error but a lost peer is told at once, as it is.
"""

import asyncio
from collections.abc import Generator

import pytest

from bmigd.chunk import MIB, PAGE_BYTES
from bmigd.errors import BadBytes, LocalFault
from bmigd.transfer.batch import Batch
from bmigd.transfer.pacing import Pacer
from tests.transfer.ends import PAGES, Guest, Peer


async def test_a_pass_carries_all_memory_over() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
        guest.assert_arrived(peer)
        assert (peer.opened, guest.silence.told.count("heard")) == (1, 0)
        assert sender.totals.scanned_bytes == PAGES * PAGE_BYTES
        assert sender.totals.sent_bytes == sender.totals.wire_bytes == 5 * MIB
        guest.memory.contents[0][:PAGE_BYTES] = bytes(PAGE_BYTES)
        await sender.send_pass(guest.tracker.scan(guest.memory))
        guest.assert_arrived(peer)
        assert sender.totals.sent_bytes == 5 * MIB + PAGE_BYTES
        assert sender.totals.wire_bytes == 5 * MIB
    assert peer.closed == 1


async def test_a_pass_ends_only_when_all_is_acknowledged() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=64) as sender:
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.until(lambda: peer.under_way >= 5)
        ended, _ = await asyncio.wait({passing}, timeout=0.2)
        assert not ended
        peer.may_acknowledge.set()
        await passing


@pytest.mark.parametrize("window", [1, 2, 3])
async def test_no_more_than_a_window_is_under_way(window: int) -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window) as sender:
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await asyncio.wait({passing}, timeout=0.2)  # nothing is acknowledged, so it stands still
        assert peer.most_under_way == window
        peer.may_acknowledge.set()
        await passing
    guest.assert_arrived(peer)


async def test_what_the_peer_says_is_told_as_it_is() -> None:
    guest, peer = Guest(), Peer()
    peer.error = BadBytes("CHUNK_INVALID", "the digest does not match")
    async with guest.sender(peer) as sender:
        with pytest.raises(BadBytes) as told:
            await sender.send_pass(guest.tracker.scan(guest.memory))
    assert told.value is peer.error
    assert peer.opened == 1


async def test_a_guest_that_cannot_be_read_is_told_as_it_is() -> None:
    guest, peer = Guest(), Peer()
    fault = LocalFault("MEMORY_UNREADABLE", "gone")

    def scan() -> Generator[Batch, None, None]:
        yield next(guest.tracker.scan(guest.memory))
        raise fault

    async with guest.sender(peer) as sender:
        with pytest.raises(LocalFault) as told:
            await sender.send_pass(scan())
    assert told.value is fault


async def test_pages_that_touch_travel_as_one_run() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
    assert peer.chunks[0].runs == (0, MIB // PAGE_BYTES)
    assert [chunk.sequence for chunk in peer.chunks] == list(range(1, len(peer.chunks) + 1))


@pytest.mark.parametrize("streams", [2, 3, 4])
async def test_several_streams_share_the_window_and_carry_all_memory_over(streams: int) -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=4, streams=streams) as sender:
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.until(lambda: peer.opened >= min(streams, 5))  # there are five chunks
        assert peer.most_under_way <= max(4, streams)
        peer.may_acknowledge.set()
        await passing
        guest.assert_arrived(peer)
        for value in (b"x", b"y", b"x"):  # of the same page: the later pass is never overtaken
            guest.memory.contents[0][:PAGE_BYTES] = value * PAGE_BYTES
            await sender.send_pass(guest.tracker.scan(guest.memory))
            guest.assert_arrived(peer)
    assert peer.closed == peer.opened


async def test_where_the_time_went_is_told_for_each_part_of_the_work() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer) as sender:
        sender.pacer = Pacer(40 * MIB)
        await sender.send_pass(guest.tracker.scan(guest.memory))
        spent = sender.totals.spent.seconds
    assert set(spent) == {
        *("find", "read", "hash", "encode", "send"),
        *("wait for pages", "wait for acknowledgements", "wait for bandwidth"),
    }
    assert min(spent.values()) >= 0
    assert spent["wait for bandwidth"] > 0.03
    assert set(peer.receiver.spent.seconds) == {"decode", "hash", "write"}
