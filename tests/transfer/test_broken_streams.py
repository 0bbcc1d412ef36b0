"""A broken or silent stream is taken up again with what was not acknowledged, and nothing is lost;
a peer that stays away, takes nothing or says nothing is lost after a bounded time.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence

import pytest

from bmigd.chunk import MIB, PAGE_BYTES, Chunk
from bmigd.errors import PeerLost
from bmigd.transfer.batch import Batch
from bmigd.transfer.lane import ChunkStream
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.sender import STEP_SCANNED_BYTES
from tests.transfer.ends import Guest, Peer, Stream


@pytest.mark.slow
@pytest.mark.parametrize("loses", [False, True])
@pytest.mark.parametrize("lives", [[1], [2, 0, 1], [2, 2]])
async def test_a_broken_stream_is_taken_up_again_and_nothing_is_lost(
    lives: list[int], loses: bool
) -> None:
    guest, peer = Guest(), Peer(*lives)
    peer.loses = loses
    async with guest.sender(peer, window=2, silence_s=0.5) as sender, asyncio.timeout(20):
        await sender.send_pass(guest.tracker.scan(guest.memory))
        guest.assert_arrived(peer)
        assert guest.silence.told.count("heard") >= 1
    assert not peer.lives
    assert peer.closed == peer.opened


@pytest.mark.slow
async def test_a_peer_that_refuses_connections_for_a_while_is_borne_with() -> None:
    guest, peer = Guest(), Peer(2)
    peer.refusals_after_first = 2
    async with guest.sender(peer) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
        assert guest.silence.told.count("heard") == 1
    assert peer.refusals_after_first == 0
    guest.assert_arrived(peer)


@pytest.mark.slow
async def test_silence_counts_as_a_broken_stream() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, silence_s=0.05) as sender:
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.until(lambda: peer.opened >= 3)
        peer.may_acknowledge.set()
        await passing
        assert guest.silence.told.count("heard") == 1
    assert guest.silence.told == ["lost", "heard"]  # however many streams were opened meanwhile
    guest.assert_arrived(peer)


@pytest.mark.slow
async def test_a_peer_that_takes_streams_and_acknowledges_nothing_is_lost() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with (
        guest.sender(peer, silence_s=0.05, reconnect_s=0.3) as sender,
        asyncio.timeout(10),
    ):
        with pytest.raises(PeerLost, match="no acknowledgement"):
            await sender.send_pass(guest.tracker.scan(guest.memory))
    assert peer.opened > 2
    assert guest.silence.told == ["lost"]


@pytest.mark.slow
async def test_a_stream_that_takes_nothing_is_noticed_like_one_that_says_nothing() -> None:
    guest, peer = Guest(), Peer()

    class Stuck(Stream):
        async def send(self, chunks: Sequence[Chunk]) -> None:
            await asyncio.Event().wait()

    async def stuck(_: int) -> Stream:
        return Stuck(peer, None)

    assert "took no memory" in await loss_by(guest, stuck)


@pytest.mark.slow
async def test_silence_is_noticed_on_a_limited_link_however_long_its_pauses_are() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=64, silence_s=0.1, reconnect_s=0.1) as sender:
        sender.pacer = Pacer(MIB // 8)  # a chunk takes eight seconds
        async with asyncio.timeout(5):
            with pytest.raises(PeerLost):
                await sender.send_pass(guest.tracker.scan(guest.memory))


@pytest.mark.slow
async def test_a_stream_that_falls_silent_while_there_is_nothing_to_send_is_taken_up_again() -> (
    None
):
    guest, peer, is_open_again = Guest(), Peer(1), threading.Event()
    peer.loses = True

    async def open_stream(number: int) -> ChunkStream:
        if peer.opened:
            is_open_again.set()
        return await peer.open(number)

    def scan() -> Generator[Batch, None, None]:
        """Nothing more is found until then; each batch is a step of its own."""
        for batch in guest.tracker.scan(guest.memory):
            yield batch
            yield Batch(0, STEP_SCANNED_BYTES)
            assert not batch.payload or is_open_again.wait(10)

    sending = guest.sender(peer, window=2, silence_s=0.2, open_stream=open_stream)
    async with sending as sender, asyncio.timeout(20):
        await sender.send_pass(scan())
    guest.assert_arrived(peer)


async def test_a_stream_that_breaks_when_nothing_has_been_due_for_long_is_taken_up_again() -> None:
    guest, peer, streams = Guest(), Peer(), list[Stream]()

    async def open_stream(number: int) -> ChunkStream:
        streams.append(await peer.open(number))
        return streams[-1]

    sending = guest.sender(peer, silence_s=5.0, reconnect_s=0.3, open_stream=open_stream)
    async with sending as sender, asyncio.timeout(20):
        await sender.send_pass(guest.tracker.scan(guest.memory))
        await asyncio.sleep(0.5)  # for longer than an outage may last
        streams[0].reset()
        guest.memory.contents[0][:PAGE_BYTES] = bytes(PAGE_BYTES)
        await sender.send_pass(guest.tracker.scan(guest.memory))
    guest.assert_arrived(peer)
    assert peer.opened == 2


async def test_what_is_sent_again_is_counted_and_is_no_more_than_a_window() -> None:
    guest, peer = Guest(), Peer(3)
    peer.loses = True
    async with guest.sender(peer, window=2, silence_s=0.5) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
        assert 0 < sender.resent_bytes <= 2 * MIB
        assert sender.totals.wire_bytes == 5 * MIB
    guest.assert_arrived(peer)


@pytest.mark.slow
async def test_a_peer_that_stays_away_is_lost_after_a_bounded_time() -> None:
    guest, peer = Guest(), Peer(1)
    peer.refusals_after_first = 1 << 30
    async with guest.sender(peer, reconnect_s=0.1) as sender, asyncio.timeout(10):
        with pytest.raises(PeerLost):
            await sender.send_pass(guest.tracker.scan(guest.memory))


@pytest.mark.slow
@pytest.mark.parametrize("loses", [False, True])
async def test_of_several_streams_those_that_break_are_taken_up_again(loses: bool) -> None:
    guest, peer = Guest(), Peer(1, 2, 1)
    peer.loses = loses
    async with (
        guest.sender(peer, window=4, streams=2, silence_s=0.5) as sender,
        asyncio.timeout(20),
    ):
        await sender.send_pass(guest.tracker.scan(guest.memory))
        guest.assert_arrived(peer)
    assert guest.silence.told[:1] == ["lost"]
    assert guest.silence.told[-1] == "heard"
    assert not peer.lives


class Hollow(Stream):
    """It acknowledges each message with a chunk that was never sent."""

    async def acknowledged(self) -> int:
        await super().acknowledged()
        return 0


@pytest.mark.slow
async def test_acknowledgements_of_nothing_are_silence() -> None:
    guest, peer = Guest(), Peer()

    async def hollow(_: int) -> Stream:
        return Hollow(peer, None)

    assert "no acknowledgement" in await loss_by(guest, hollow)
    assert guest.silence.told == ["lost"]


async def loss_by(guest: Guest, open_stream: Callable[[int], Awaitable[Stream]]) -> str:
    """How the loss of a peer is told that answers over such streams."""
    async with (
        guest.sender(Peer(), silence_s=0.05, reconnect_s=0.2, open_stream=open_stream) as sender,
        asyncio.timeout(10),
    ):
        with pytest.raises(PeerLost) as lost:
            await sender.send_pass(guest.tracker.scan(guest.memory))
    return lost.value.message
