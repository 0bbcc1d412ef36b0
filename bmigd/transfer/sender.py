"""The source's half of memory: dirty pages become chunks, and chunks go out on one stream or more.

Scanning, hashing and encoding run in a thread, a step ahead of the network; a step is several
chunks, because going to a thread and back costs as much as hashing a chunk. Whichever stream has
room takes the next message. Rule: a pass is over only when every chunk of it is acknowledged, so
what a later pass sends of the same page is never overtaken by what an earlier one sent.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor
from dataclasses import dataclass, field

from bmigd.chunk import Chunk, CodecId, Section
from bmigd.transfer.batch import Batch
from bmigd.transfer.encoding import Encoder, Pace
from bmigd.transfer.idle import Idle
from bmigd.transfer.lane import CREDIT, SENDING, ChunkStream, Lane, Patience, Silence, Together
from bmigd.transfer.messages import in_messages, most_in_window, together
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.pages import PageTable, chunk_digest
from bmigd.transfer.runs import Pages, runs_of
from bmigd.transfer.spent import Spent
from bmigd.unbroken import unbroken

Batches = Generator[Batch, None, None]
Ready = asyncio.Queue[list[Chunk] | None]  # a message's; None: there is nothing more

AHEAD = 1  # messages ready before the network wants them
STEP_BYTES = 4 << 20  # of payload: a message of a fast link, if nothing is encoded
STEP_SCANNED_BYTES = 64 << 20  # a quiet guest's step ends here, to be cancelled or watched
FINDING, READING, HASHING, ENCODING = "find", "read", "hash", "encode"
WAITING, PACING = "wait for pages", "wait for bandwidth"


@dataclass
class Totals:
    """What has been done since the migration began."""

    scanned_bytes: int = 0
    skipped_bytes: int = 0  # of them, known without looking
    sent_bytes: int = 0  # of guest memory, zero pages included
    found_bytes: int = 0  # the same, on its way or not yet
    read_bytes: int = 0  # of guest memory, whose bytes were encoded
    wire_bytes: int = 0  # of payload, each chunk once
    spent: Spent = field(default_factory=Spent)


@dataclass
class Sender:
    """Sends passes over one migration's memory."""

    migration_id: str
    epoch: int
    open_stream: Callable[[int], Awaitable[ChunkStream]]  # the number of the stream among them
    table: PageTable
    encoder: Encoder
    pacer: Pacer
    window_chunks: int  # of all streams together
    patience: Patience
    executor: Executor
    on_progress: Callable[[], None]
    silence: Silence
    streams: int = 1
    totals: Totals = field(default_factory=Totals)
    _sequence: int = 0
    _lanes: list[Lane] = field(default_factory=list)
    _told: tuple[float, int, float, int] = (0.0, 0, 0.0, 0)
    _idle: Idle = field(default_factory=Idle)
    _most: int = 1  # chunks in one message
    _sizes: deque[int] = field(default_factory=lambda: deque([1], maxlen=AHEAD + 1))  # of late

    def __post_init__(self) -> None:
        window_chunks = max(1, self.window_chunks // self.streams)
        self._most = most_in_window(window_chunks)
        shared = (window_chunks, self.patience, Together(self.silence), self.totals.spent)
        self._lanes = [Lane(number, self.open_stream, *shared) for number in range(self.streams)]

    @property
    def resent_bytes(self) -> int:
        """Of payload, on streams that were opened again."""
        return sum(lane.resent_bytes for lane in self._lanes)

    def be_as_patient_as(self, patience: Patience) -> None:
        """From now on."""
        for lane in self._lanes:
            lane.patience = patience

    def limit(self, bytes_per_s: int) -> None:
        """Send no faster than that from now on; 0 for as fast as it goes."""
        if bytes_per_s != self.pacer.limit_bytes_per_s:
            self.pacer.change(time.monotonic(), bytes_per_s)
            for lane in self._lanes:
                lane.wake()  # from a pause that the old limit asked for

    async def send_pass(self, batches: Batches) -> None:
        """Send everything in the batches; returns when all of it is acknowledged."""
        self.encoder.begin_pass()
        ready: Ready = asyncio.Queue(AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._produce(batches, ready))
                for lane in self._lanes:
                    group.create_task(self._carry(lane, ready))
        except BaseExceptionGroup as errors:  # one of the tasks failed: tell its error as it is
            raise errors.exceptions[0] from errors
        finally:
            batches.close()  # nothing of the guest's memory is held any more
        self.on_progress()

    async def close(self) -> None:
        """End the streams; nothing more will be sent."""
        for lane in self._lanes:
            await lane.close()

    async def _produce(self, batches: Batches, ready: Ready) -> None:
        loop = asyncio.get_running_loop()
        is_over = False
        while not is_over:
            step = loop.run_in_executor(self.executor, self._step, batches)
            chunks, is_over = await unbroken(step)  # memory may be unmapped once this has ended
            self._tell_pace()
            for message in in_messages(chunks, self._size):
                await ready.put(message)
            self.on_progress()
        for _ in self._lanes:
            await ready.put(None)

    async def _carry(self, lane: Lane, ready: Ready) -> None:
        """Take chunks as long as there are any, then wait for what this stream carried."""
        totals = self.totals
        while True:
            await lane.has_room(max(self._sizes))  # before what another stream could carry is taken
            with totals.spent.on(WAITING):
                chunks = await lane.next_of(ready)
            if chunks is None:
                break
            await lane.send(chunks)
            wire_bytes = sum(chunk.wire_bytes for chunk in chunks)
            totals.sent_bytes += sum(chunk.memory_bytes for chunk in chunks)
            totals.wire_bytes += wire_bytes
            self.on_progress()  # a step takes long where bandwidth is limited
            await self._pace(lane, wire_bytes)
        await lane.settle()

    async def _pace(self, lane: Lane, wire_bytes: int) -> None:
        pause_s = self.pacer.wait_s(time.monotonic(), wire_bytes)
        while pause_s:
            pause_s = await self._pause(lane, pause_s)

    async def _pause(self, lane: Lane, pause_s: float) -> float:
        """Pause for so long; how much longer if there is another limit by then."""
        until_s, limit = time.monotonic() + pause_s, self.pacer.limit_bytes_per_s

        def is_another() -> bool:
            return self.pacer.limit_bytes_per_s != limit

        with self.totals.spent.on(PACING):
            await lane.pause(until_s, is_another)
        return self.pacer.wait_s(time.monotonic(), 0) if is_another() else 0.0

    def _size(self) -> int:
        """Of the next message, in chunks; noted, since room is made before it is taken."""
        limit = self.pacer.limit_bytes_per_s
        link_s_per_byte = max(self.encoder.pace.link_s_per_byte, 1 / limit if limit else 0.0)
        self._sizes.append(together(link_s_per_byte, self._most))
        return self._sizes[-1]

    def _tell_pace(self) -> None:
        """What the stages cost of late, so that the next step is encoded as hard as pays."""
        totals, spent = self.totals, self.totals.spent
        work_s, link_s = spent.sum(FINDING, READING, HASHING), spent.sum(SENDING, CREDIT)
        now = (work_s, totals.read_bytes, link_s / self.streams, totals.wire_bytes)
        work_s, read, link_s, wire = (
            here - there for here, there in zip(now, self._told, strict=True)
        )
        if not read or not wire:
            return
        self._told = now
        link_s_per_byte = link_s / wire
        if self.pacer.limit_bytes_per_s:
            link_s_per_byte = max(link_s_per_byte, 1 / self.pacer.limit_bytes_per_s)
        spare = min(1.0, self._idle.processors())
        self.encoder.pace = self.encoder.pace.and_then(Pace(work_s / read, link_s_per_byte, spare))

    def _step(self, batches: Batches) -> tuple[list[Chunk], bool]:
        """The next few chunks, and whether they are the last."""
        spent, began = self.totals.spent, time.perf_counter()
        others_s = spent.sum(READING, HASHING, ENCODING)
        try:
            return self._chunks_of_a_step(batches)
        finally:
            others_s = spent.sum(READING, HASHING, ENCODING) - others_s
            spent.add(FINDING, time.perf_counter() - began - others_s)

    def _chunks_of_a_step(self, batches: Batches) -> tuple[list[Chunk], bool]:
        chunks: list[Chunk] = []
        payload_bytes = scanned_bytes = 0
        for batch in batches:
            made = self._chunks(batch)
            chunks += made
            payload_bytes += sum(chunk.wire_bytes for chunk in made)
            scanned_bytes += batch.scanned_bytes
            if payload_bytes >= STEP_BYTES or scanned_bytes >= STEP_SCANNED_BYTES:
                return chunks, False
        return chunks, True

    def _chunks(self, batch: Batch) -> list[Chunk]:
        totals, chunks = self.totals, []
        totals.skipped_bytes += batch.skipped_bytes  # first: who reads in between sees less done
        totals.scanned_bytes += batch.scanned_bytes
        totals.read_bytes += len(batch.payload)
        totals.spent.add(READING, batch.read_s)
        totals.spent.add(HASHING, batch.hash_s)
        if len(batch.pages):
            with totals.spent.on(ENCODING):
                encoded = self.encoder.encode(batch.region, batch.pages, batch.payload)
            digest = chunk_digest(batch.hashes.tobytes())
            sections = [one.section() for one in encoded]
            chunks.append(self._chunk(batch.region, batch.pages, digest, *sections))
        if len(batch.zero_pages):
            self.encoder.become_zero(batch.region, batch.zero_pages)
            digest = chunk_digest(self.table.zero_hash_bytes * len(batch.zero_pages))
            zeroes = Section(CodecId.ZERO)
            chunks.append(self._chunk(batch.region, batch.zero_pages, digest, zeroes))
        totals.found_bytes += sum(chunk.memory_bytes for chunk in chunks)
        return chunks

    def _chunk(self, region: int, pages: Pages, digest: bytes, *sections: Section) -> Chunk:
        self._sequence += 1
        return Chunk(
            *(self.migration_id, self.epoch, self._sequence, region),
            *(runs_of(pages), digest, sections),
        )
