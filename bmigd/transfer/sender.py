"""The source's half of memory: dirty pages become chunks, chunks go out and are acknowledged.

At most a window of chunks is under way; each stays in memory until acknowledged, so that a broken
stream is opened again and goes on with the unacknowledged ones. Scanning, hashing and encoding run
in a thread, a step ahead of the network; a step is several chunks, because going to a thread and
back costs as much as hashing a chunk.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from bmigd.chunk import Chunk, CodecId, Extent
from bmigd.errors import PeerLost
from bmigd.transfer.batch import Batch
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.pages import PageTable, chunk_digest
from bmigd.transfer.unbroken import unbroken

Batches = Generator[Batch, None, None]

AHEAD = 1  # steps ready before the network wants them
STEP_BYTES = 4 << 20  # of payload
STEP_SCANNED_BYTES = 64 << 20  # a quiet guest's step ends here, to be cancelled or watched
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class ChunkStream(Protocol):
    """A connection that takes chunks and acknowledges them. PeerLost when it breaks."""

    async def send(self, chunk: Chunk) -> None:
        """Send one chunk."""

    async def acknowledged(self) -> int:
        """Sequence number of a chunk that was written, as was all that was sent before it."""

    async def close(self) -> None:
        """End the stream."""


@dataclass
class Totals:
    """What has been done since the migration began."""

    scanned_bytes: int = 0
    sent_bytes: int = 0  # of guest memory, zero pages included
    wire_bytes: int = 0  # of payload, each chunk once
    resent_bytes: int = 0  # of payload, on streams that were opened again
    reconnects: int = 0


@dataclass(frozen=True)
class Patience:
    """How long to bear with a peer, in seconds."""

    silence_s: float  # without an acknowledgement that is due: the stream counts as broken
    reconnect_s: float  # without any acknowledgement, on however many streams: the peer is lost


class Silence(Protocol):
    """Is told when acknowledgements do not come, and when they come again."""

    def lost(self, waited_for: str, since_s: float) -> None:
        """The stream is broken, nothing having come since then; told again at every attempt."""

    def heard(self) -> None:
        """An acknowledgement came again."""


@dataclass
class Sender:
    """Sends passes over one migration's memory."""

    migration_id: str
    epoch: int
    open_stream: Callable[[], Awaitable[ChunkStream]]
    table: PageTable
    encoder: Encoder
    pacer: Pacer
    window_chunks: int
    patience: Patience
    executor: Executor
    on_progress: Callable[[], None]
    silence: Silence
    totals: Totals = field(default_factory=Totals)
    _sequence: int = 0
    _unacknowledged: dict[int, Chunk] = field(default_factory=dict)
    _stream: ChunkStream | None = None
    _reader: asyncio.Task[None] | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: Exception | None = None
    _heard_at: float = 0.0  # the latest acknowledgement, or since when one is due
    _lost_since: float = 0.0  # 0.0: nothing is amiss

    async def send_pass(self, batches: Batches) -> None:
        """Send everything in the batches; returns when all of it is acknowledged."""
        ready: asyncio.Queue[list[Chunk] | None] = asyncio.Queue(AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._produce(batches, ready))
                while (chunks := await ready.get()) is not None:
                    for chunk in chunks:
                        await self._send(chunk)
                    self.on_progress()
        except BaseExceptionGroup as errors:  # one of two tasks failed: tell its error as it is
            raise errors.exceptions[0] from errors
        finally:
            batches.close()  # nothing of the guest's memory is held any more
        await self._until(lambda: not self._unacknowledged)
        self.on_progress()

    async def close(self) -> None:
        """End the stream; nothing more will be sent."""
        await self._drop_stream()
        self._unacknowledged.clear()

    async def _produce(self, batches: Batches, ready: "asyncio.Queue[list[Chunk] | None]") -> None:
        loop = asyncio.get_running_loop()

        is_over = False
        while not is_over:
            step = loop.run_in_executor(self.executor, self._step, batches)
            chunks, is_over = await unbroken(step)  # memory may be unmapped once this has ended
            await ready.put(chunks)
        await ready.put(None)

    def _step(self, batches: Batches) -> tuple[list[Chunk], bool]:
        """The next few chunks, and whether they are the last."""
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
        self.totals.scanned_bytes += batch.scanned_bytes
        chunks = []
        if batch.extents:
            codec, payload = self.encoder.encode((batch.payload,))
            digest = chunk_digest(batch.hashes.tobytes())
            extents = tuple(batch.extents)
            chunks.append(self._chunk(batch.region, codec, extents, digest, payload))
        if batch.zero_extents:
            extents = tuple(batch.zero_extents)
            pages = sum(extent.length_bytes for extent in extents) // 4096
            digest = chunk_digest(self.table.zero_hash_bytes * pages)
            chunks.append(self._chunk(batch.region, CodecId.ZERO, extents, digest, ()))
        return chunks

    def _chunk(
        self,
        region: int,
        codec: CodecId,
        extents: tuple[Extent, ...],
        digest: bytes,
        payload: tuple[bytes | bytearray | memoryview, ...],
    ) -> Chunk:
        self._sequence += 1
        return Chunk(
            *(self.migration_id, self.epoch, self._sequence, region, codec),
            *(extents, digest, payload),
        )

    async def _send(self, chunk: Chunk) -> None:
        await self._until(lambda: len(self._unacknowledged) < self.window_chunks)
        if not self._unacknowledged:
            self._heard_at = time.monotonic()
        self._unacknowledged[chunk.sequence] = chunk
        try:
            if self._stream is None:
                await self._connect()  # which sends it
            else:
                await self._put(self._stream, chunk)
        except PeerLost as error:
            await self._reconnect(error)
        wire_bytes = chunk.wire_bytes
        self.totals.sent_bytes += chunk.memory_bytes
        self.totals.wire_bytes += wire_bytes
        now = time.monotonic()
        pause_s = self.pacer.wait_s(now, wire_bytes)
        if pause_s:
            await self._until(lambda: False, now + pause_s)

    async def _put(self, stream: ChunkStream, chunk: Chunk) -> None:
        """Send; a peer that takes nothing for as long as it may be silent is lost."""
        try:
            async with asyncio.timeout(self.patience.silence_s):
                await stream.send(chunk)
        except TimeoutError as error:
            raise self._silent("took no memory") from error

    async def _until(self, condition: Callable[[], bool], at_most_s: float = math.inf) -> None:
        """Wait for acknowledgements, until a time at most; silence counts as a broken stream."""
        while not condition() and time.monotonic() < at_most_s:
            self._moved.clear()
            if self._broken:
                await self._reconnect(self._broken)
                continue
            silent_at_s = self._heard_at + self.patience.silence_s
            if self._unacknowledged and time.monotonic() >= silent_at_s:
                await self._reconnect(self._silent("sent no acknowledgement"))
                continue
            wait_until_s = min(at_most_s, silent_at_s if self._unacknowledged else math.inf)
            left_s = wait_until_s - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left_s == math.inf else max(0.0, left_s)):
                    await self._moved.wait()

    def _silent(self, what: str) -> PeerLost:
        return PeerLost("PEER_LOST", f"the other node {what} for {self.patience.silence_s:g} s")

    async def _reconnect(self, cause: Exception) -> None:
        """Open a stream again and send what was not acknowledged.

        Only an acknowledgement ends the interruption. PeerLost when none came for too long, however
        many streams could be opened meanwhile.
        """
        if not isinstance(cause, PeerLost):
            raise cause
        self._lost_since = self._lost_since or self._heard_at
        self.silence.lost("acknowledgement of memory", self._lost_since)
        deadline = self._lost_since + self.patience.reconnect_s
        for attempt in range(1 << 30):
            await self._drop_stream()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise cause
            await asyncio.sleep(min(left_s, BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]))
            try:
                async with asyncio.timeout(left_s):
                    await self._connect()
            except (PeerLost, TimeoutError):
                continue
            return

    async def _connect(self) -> None:
        self._broken = None
        self._heard_at = time.monotonic()
        self._stream = stream = await self.open_stream()
        self._reader = asyncio.create_task(self._read_acknowledgements(stream))
        for chunk in list(self._unacknowledged.values()):
            if chunk.sequence in self._unacknowledged:
                is_again = self._lost_since > 0.0
                await self._put(stream, chunk)
                self.totals.resent_bytes += chunk.wire_bytes if is_again else 0

    async def _read_acknowledgements(self, stream: ChunkStream) -> None:
        try:
            while True:
                self._forget_until(await stream.acknowledged())
                self._moved.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, _until raises it
            self._broken = error
            self._moved.set()

    def _forget_until(self, sequence: int) -> None:
        """Chunks up to this one were written; they stand in the order of their numbers."""
        while self._unacknowledged and next(iter(self._unacknowledged)) <= sequence:
            del self._unacknowledged[next(iter(self._unacknowledged))]
        self._heard_at = time.monotonic()
        if self._lost_since:
            self._lost_since = 0.0
            self.totals.reconnects += 1
            self.silence.heard()

    async def _drop_stream(self) -> None:
        stream, reader = self._stream, self._reader
        self._stream = self._reader = None
        if reader:
            reader.cancel()
        if stream:
            await stream.close()
