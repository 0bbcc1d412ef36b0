"""The source's half of memory: dirty pages become chunks, chunks go out and are acknowledged.

At most a window of chunks is under way; each stays in memory until acknowledged, so that a broken
stream is opened again and goes on with the unacknowledged ones. Scanning, hashing and encoding run
in a thread, one batch ahead of the network.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from bmigd.chunk import Chunk, CodecId, Extent
from bmigd.errors import PeerLost
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.pages import PageTable, chunk_digest
from bmigd.transfer.tracker import Batch

AHEAD = 2  # batches ready before the network wants them
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class ChunkStream(Protocol):
    """A connection that takes chunks and acknowledges them. PeerLost when it breaks."""

    async def send(self, chunk: Chunk) -> None:
        """Send one chunk."""

    async def acknowledged(self) -> int:
        """Sequence number of the next chunk that was written."""

    async def close(self) -> None:
        """End the stream."""


@dataclass
class Totals:
    """What has been done since the migration began."""

    scanned_bytes: int = 0
    sent_bytes: int = 0  # of guest memory, zero pages included
    wire_bytes: int = 0  # of payload
    reconnects: int = 0


@dataclass(frozen=True)
class Patience:
    """How long to bear with a peer, in seconds."""

    silence_s: float  # without an acknowledgement that is due
    reconnect_s: float  # for taking a broken stream up again


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
    totals: Totals = field(default_factory=Totals)
    _sequence: int = 0
    _unacknowledged: dict[int, Chunk] = field(default_factory=dict)
    _stream: ChunkStream | None = None
    _reader: asyncio.Task[None] | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: Exception | None = None

    async def send_pass(self, batches: Iterator[Batch]) -> None:
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
        await self._until(lambda: not self._unacknowledged)
        self.on_progress()

    async def close(self) -> None:
        """End the stream; nothing more will be sent."""
        await self._drop_stream()
        self._unacknowledged.clear()

    async def _produce(
        self, batches: Iterator[Batch], ready: "asyncio.Queue[list[Chunk] | None]"
    ) -> None:
        loop = asyncio.get_running_loop()

        def step() -> list[Chunk] | None:
            batch = next(batches, None)
            return None if batch is None else self._chunks(batch)

        while (chunks := await loop.run_in_executor(self.executor, step)) is not None:
            await ready.put(chunks)
        await ready.put(None)

    def _chunks(self, batch: Batch) -> list[Chunk]:
        self.totals.scanned_bytes += batch.scanned_bytes
        chunks = []
        if batch.extents:
            codec, payload = self.encoder.encode(batch.parts)
            digest = chunk_digest(b"".join(hashes.tobytes() for hashes in batch.hashes))
            extents = _merged(batch.extents)
            chunks.append(self._chunk(batch.region, codec, extents, digest, payload))
        if batch.zero_extents:
            extents = _merged(batch.zero_extents)
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
        self._unacknowledged[chunk.sequence] = chunk
        try:
            if self._stream is None:
                await self._connect()  # which sends it
            else:
                await self._stream.send(chunk)
        except PeerLost as error:
            await self._reconnect(error)
        wire_bytes = chunk.wire_bytes
        self.totals.sent_bytes += chunk.memory_bytes
        self.totals.wire_bytes += wire_bytes
        pause_s = self.pacer.wait_s(time.monotonic(), wire_bytes)
        if pause_s:
            await asyncio.sleep(pause_s)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for acknowledgements; silence counts as a broken stream."""
        while not condition():
            self._moved.clear()
            if self._broken:
                await self._reconnect(self._broken)
                continue
            try:
                async with asyncio.timeout(self.patience.silence_s):
                    await self._moved.wait()
            except TimeoutError:
                silence = f"no acknowledgement for {self.patience.silence_s:g} s"
                await self._reconnect(PeerLost("PEER_LOST", silence))

    async def _reconnect(self, cause: Exception) -> None:
        """Open the stream again and send what was not acknowledged; bounded in time."""
        if not isinstance(cause, PeerLost):
            raise cause
        deadline = time.monotonic() + self.patience.reconnect_s
        for attempt in range(1 << 30):
            await self._drop_stream()
            if time.monotonic() >= deadline:
                raise cause
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            try:
                async with asyncio.timeout(self.patience.silence_s):
                    await self._connect()
            except (PeerLost, TimeoutError):
                continue
            self.totals.reconnects += 1
            return

    async def _connect(self) -> None:
        self._broken = None
        self._stream = stream = await self.open_stream()
        self._reader = asyncio.create_task(self._read_acknowledgements(stream))
        for chunk in list(self._unacknowledged.values()):
            await stream.send(chunk)

    async def _read_acknowledgements(self, stream: ChunkStream) -> None:
        try:
            while True:
                self._unacknowledged.pop(await stream.acknowledged(), None)
                self._moved.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, _until raises it
            self._broken = error
            self._moved.set()

    async def _drop_stream(self) -> None:
        stream, reader = self._stream, self._reader
        self._stream = self._reader = None
        if reader:
            reader.cancel()
        if stream:
            await stream.close()


def _merged(extents: list[Extent]) -> tuple[Extent, ...]:
    """Extents that touch become one."""
    merged: list[Extent] = []
    for extent in extents:
        if merged and merged[-1].offset_bytes + merged[-1].length_bytes == extent.offset_bytes:
            last = merged[-1]
            merged[-1] = Extent(last.offset_bytes, last.length_bytes + extent.length_bytes)
        else:
            merged.append(extent)
    return tuple(merged)
