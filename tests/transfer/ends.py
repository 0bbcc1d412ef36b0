"""Both ends of a pass: a guest's memory with what sends it, and a peer that takes and acknowledges
it over streams that break as told.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from bmigd.chunk import MIB, PAGE_BYTES, Chunk, CodecId
from bmigd.errors import PeerLost
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.lane import ChunkStream, Patience
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.sender import Sender
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
        self.messages: list[Sequence[Chunk]] = []
        self.newest_from = 0  # the first message of the newest stream
        self.lost_acknowledgements = 0
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
        self.newest_from = len(self.messages)
        return Stream(self, self.lives.pop(0) if self.lives else None)

    def sizes(self, since: int = 0) -> list[int]:
        """How many chunks each message has, from that one on."""
        return [len(chunks) for chunks in self.messages[since:]]

    @property
    def chunks(self) -> list[Chunk]:
        """All that came, in the order in which it did."""
        return [chunk for chunks in self.messages for chunk in chunks]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look after each chunk that arrives."""
        async with asyncio.timeout(10):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()


class Stream:
    """One connection to it."""

    def __init__(self, peer: Peer, life: int | None) -> None:
        self._peer, self._life = peer, life
        self._taken: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

    async def send(self, chunks: Sequence[Chunk]) -> None:
        self._peer.messages.append(chunks)
        for chunk in chunks:
            self._take(chunk)
        if self._peer.loses and self._life == 0:
            self._peer.lost_acknowledgements += 1
            return
        self._taken.put_nowait((chunks[-1].sequence, len(chunks)))

    def _take(self, chunk: Chunk) -> None:
        if self._life is not None:
            self._life -= 1
            if self._life < 0:
                self._taken.put_nowait(None)
                raise PeerLost("PEER_LOST", "broken pipe")
        self._peer.under_way += 1
        self._peer.most_under_way = max(self._peer.most_under_way, self._peer.under_way)
        self._peer.receiver.apply(chunk)
        self._peer.arrived.set()

    async def acknowledged(self) -> int:
        await self._peer.may_acknowledge.wait()
        if self._peer.error:
            raise self._peer.error
        taken = await self._taken.get()
        if taken is None:
            raise PeerLost("PEER_LOST", "reset")
        sequence, count = taken
        self._peer.under_way -= count
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
