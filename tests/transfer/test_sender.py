"""A pass ends when every chunk of it was acknowledged, whatever the connection does meanwhile.

No more than a window is under way; a broken or silent stream is taken up again with what was not
acknowledged; any error but a lost peer is told at once, as it is.
"""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB, PAGE_BYTES, Chunk, CodecId
from bmigd.errors import BadBytes, LocalFault, PeerLost
from bmigd.transfer.batch import Batch
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.lane import ChunkStream, Patience
from bmigd.transfer.pacing import BURST_S, Pacer
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.sender import STEP_SCANNED_BYTES, Sender
from tests.transfer.memories import FreshMemory, HashedHere, LiveMemory, layout, table_of

PAGES = 6 * MIB // PAGE_BYTES


class Peer:
    """The other end: applies chunks and acknowledges them, on streams that break as told."""

    def __init__(self, *lives: int | None, held: bool = False) -> None:
        self.regions = layout([PAGES])
        self.memory = FreshMemory(self.regions)
        self.table = table_of(self.regions)
        self.receiver = Receiver(self.memory, self.table)
        self.lives = list(lives)  # chunks that each stream takes before it breaks
        self.opened = self.closed = self.under_way = self.most_under_way = 0
        self.refusals_after_first = 0  # connections refused when the first stream broke
        self.may_acknowledge = asyncio.Event()
        self.arrived = asyncio.Event()
        self.error: Exception | None = None  # instead of acknowledgements
        self.loses = False  # a breaking stream loses the acknowledgement, not the chunk
        if not held:
            self.may_acknowledge.set()

    async def open(self, number: int) -> "Stream":
        """A new stream."""
        if self.opened and self.refusals_after_first:
            self.refusals_after_first -= 1
            raise PeerLost("PEER_LOST", "connection refused")
        self.opened += 1
        self.under_way = 0
        return Stream(self, self.lives.pop(0) if self.lives else None)


class Stream:
    """One connection to it."""

    def __init__(self, peer: Peer, life: int | None) -> None:
        self._peer, self._life = peer, life
        self._taken: asyncio.Queue[int | None] = asyncio.Queue()

    async def send(self, chunk: Chunk) -> None:
        if self._life is not None:
            self._life -= 1
            if self._life < 0:
                self._taken.put_nowait(None)
                raise PeerLost("PEER_LOST", "broken pipe")
        self._peer.under_way += 1
        self._peer.most_under_way = max(self._peer.most_under_way, self._peer.under_way)
        self._peer.receiver.apply(chunk)
        self._peer.arrived.set()
        if not (self._peer.loses and self._life == 0):
            self._taken.put_nowait(chunk.sequence)

    async def acknowledged(self) -> int:
        await self._peer.may_acknowledge.wait()
        if self._peer.error:
            raise self._peer.error
        sequence = await self._taken.get()
        if sequence is None:
            raise PeerLost("PEER_LOST", "reset")
        self._peer.under_way -= 1
        return sequence

    def reset(self) -> None:
        """The connection ends by itself."""
        self._taken.put_nowait(None)

    async def close(self) -> None:
        self._peer.closed += 1


class Silence:
    """What is told of interruptions."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.since_s = 0.0

    def lost(self, waited_for: str, since_s: float) -> None:
        if self.told[-1:] != ["lost"]:
            self.told.append("lost")
        self.since_s = since_s

    def heard(self) -> None:
        self.told.append("heard")


class Guest:
    """Memory full of noise and what sends it."""

    def __init__(self) -> None:
        self.memory = LiveMemory(layout([PAGES]))
        noise = random.Random(7).randbytes(PAGES * PAGE_BYTES)  # noqa: S311 - noise
        self.memory.contents[0][:] = noise
        self.memory.contents[0][MIB : 2 * MIB] = bytes(MIB)
        self.table = table_of(self.memory.regions)
        self.tracker = ContentTracker(self.table, HashedHere())
        self.silence = Silence()

    @asynccontextmanager
    async def sender(
        self,
        peer: Peer,
        window: int = 4,
        silence_s: float = 5.0,
        reconnect_s: float = 5.0,
        streams: int = 1,
        open_stream: Callable[[int], Awaitable[ChunkStream]] | None = None,
    ) -> AsyncIterator[Sender]:
        """A sender to that peer."""
        how, encoder = open_stream or peer.open, Encoder(CodecId.RAW)
        with ThreadPoolExecutor(1) as executor:
            sender = Sender(
                *("m", 1, how, self.table, encoder, Pacer(0), window),
                *(Patience(silence_s, reconnect_s), executor, lambda: None, self.silence),
                streams=streams,
            )
            try:
                yield sender
            finally:
                await sender.close()

    def assert_arrived(self, peer: Peer) -> None:
        """Memories and roots are equal."""
        assert self.memory.contents == peer.memory.contents
        assert self.table.root() == peer.table.root()


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
        async with asyncio.timeout(10):
            while peer.under_way < 5:
                peer.arrived.clear()
                await peer.arrived.wait()
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
        async with asyncio.timeout(10):
            while peer.opened < 3:
                peer.arrived.clear()
                await peer.arrived.wait()
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
        async def send(self, chunk: Chunk) -> None:
            await asyncio.Event().wait()

    async def stuck(_: int) -> Stream:
        return Stuck(peer, None)

    async with (
        guest.sender(peer, silence_s=0.05, reconnect_s=0.2, open_stream=stuck) as sender,
        asyncio.timeout(10),
    ):
        with pytest.raises(PeerLost, match="took no memory"):
            await sender.send_pass(guest.tracker.scan(guest.memory))


@pytest.mark.slow
async def test_silence_is_noticed_on_a_limited_link_however_long_its_pauses_are() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=64, silence_s=0.1, reconnect_s=0.1) as sender:
        sender.pacer = Pacer(MIB // 8)  # a chunk takes eight seconds
        async with asyncio.timeout(5):
            with pytest.raises(PeerLost):
                await sender.send_pass(guest.tracker.scan(guest.memory))


async def test_a_new_limit_ends_a_pause_that_the_old_one_asked_for() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer, streams=2) as sender, asyncio.timeout(10):
        sender.limit(MIB // 64)  # a chunk takes more than a minute
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.arrived.wait()
        ended, _ = await asyncio.wait({passing}, timeout=0.2)
        assert not ended
        sender.limit(0)
        await passing
    guest.assert_arrived(peer)


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
    sent: list[Chunk] = []

    class Listening(Stream):
        async def send(self, chunk: Chunk) -> None:
            sent.append(chunk)
            await super().send(chunk)

    async def listen(_: int) -> Stream:
        return Listening(peer, None)

    async with guest.sender(peer, open_stream=listen) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
    assert sent[0].runs == (0, MIB // PAGE_BYTES)
    assert [chunk.sequence for chunk in sent] == list(range(1, len(sent) + 1))


SENDS = st.lists(
    st.tuples(st.floats(0, 10, allow_nan=False), st.integers(0, 4 * MIB)), min_size=1, max_size=40
)


@given(SENDS, st.integers(MIB, 1000 * MIB))
def test_a_limited_link_never_carries_more_than_its_rate_and_a_burst(
    sends: list[tuple[float, int]], limit: int
) -> None:
    pacer, now_s, total_bytes = Pacer(limit), 100.0, 0
    began_s = now_s
    for gap_s, size_bytes in sends:
        now_s += gap_s
        total_bytes += size_bytes
        wait_s = pacer.wait_s(now_s, size_bytes)
        assert wait_s >= 0
        now_s += wait_s
        assert total_bytes <= limit * (now_s - began_s + BURST_S) * (1 + 1e-6) + 1


@given(st.integers(0, MIB), st.integers(MIB, 1000 * MIB))
def test_a_limited_link_is_used_to_the_full(size_bytes: int, limit: int) -> None:
    pacer, now_s = Pacer(limit), 50.0
    for _ in range(100):
        now_s += pacer.wait_s(now_s, size_bytes)
    assert now_s - 50.0 <= 100 * size_bytes / limit + 1e-6


@given(SENDS)
def test_a_link_without_limit_never_waits(sends: list[tuple[float, int]]) -> None:
    pacer = Pacer(0)
    assert not any(pacer.wait_s(at_s, size_bytes) for at_s, size_bytes in sends)


@pytest.mark.parametrize("streams", [2, 3, 4])
async def test_several_streams_share_the_window_and_carry_all_memory_over(streams: int) -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=4, streams=streams) as sender:
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        async with asyncio.timeout(10):
            while peer.opened < min(streams, 5):  # there are five chunks
                peer.arrived.clear()
                await peer.arrived.wait()
        assert peer.most_under_way <= max(4, streams)
        peer.may_acknowledge.set()
        await passing
        guest.assert_arrived(peer)
        for value in (b"x", b"y", b"x"):  # of the same page: the later pass is never overtaken
            guest.memory.contents[0][:PAGE_BYTES] = value * PAGE_BYTES
            await sender.send_pass(guest.tracker.scan(guest.memory))
            guest.assert_arrived(peer)
    assert peer.closed == peer.opened


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
