"""One of the streams that carry a migration's chunks: a window of them is under way at most.

Each chunk stays in memory until it is acknowledged, so that a broken stream is opened again and
goes on with the unacknowledged ones, under the same number.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bmigd.chunk import Chunk
from bmigd.errors import PeerLost
from bmigd.transfer.spent import Spent

BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
SENDING, CREDIT = "send", "wait for acknowledgements"


class ChunkStream(Protocol):
    """A connection that takes chunks and acknowledges them. PeerLost when it breaks."""

    async def send(self, chunks: Sequence[Chunk]) -> None:
        """Send one message of chunks."""

    async def acknowledged(self) -> int:
        """Sequence number of a chunk that was written, as was all that was sent before it."""

    async def close(self) -> None:
        """End the stream."""


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
class Together:
    """What the streams of one migration know of each other.

    A slow link is no silence: what counts is when any of them was acknowledged last. The migration
    is heard again when none of them is lost any more.
    """

    silence: Silence
    heard_at_s: float = 0.0
    _lost: set[int] = field(default_factory=set)  # their numbers

    def lost(self, number: int, waited_for: str, since_s: float) -> None:
        """One has had no acknowledgement that was due since then."""
        self._lost.add(number)
        self.silence.lost(waited_for, since_s)

    def heard(self, number: int) -> None:
        """One was acknowledged."""
        self.heard_at_s = time.monotonic()
        if number in self._lost:
            self._lost.discard(number)
            if not self._lost:
                self.silence.heard()


@dataclass
class Lane:
    """A stream that is opened when there is something to send, and again when it broke."""

    number: int
    open_stream: Callable[[int], Awaitable[ChunkStream]]
    window_chunks: int
    patience: Patience
    together: Together
    spent: Spent
    resent_bytes: int = 0  # of payload, on streams that were opened again
    _unacknowledged: dict[int, Chunk] = field(default_factory=dict)
    _stream: ChunkStream | None = None
    _reader: asyncio.Task[None] | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: Exception | None = None
    _due_since: float = 0.0  # an acknowledgement on this stream
    _lost_since: float = 0.0  # 0.0: nothing is amiss

    async def has_room(self, chunks: int) -> None:
        """Until the window has room for so many more, which it has when it is empty."""
        most = max(0, self.window_chunks - chunks)
        with self.spent.on(CREDIT):
            await self._until(lambda: len(self._unacknowledged) <= most)

    async def send(self, chunks: Sequence[Chunk]) -> None:
        """Send chunks for which there is room, in one message."""
        if not self._unacknowledged:
            self._due_since = time.monotonic()
        ours = [replace(chunk, stream=self.number) for chunk in chunks]
        self._unacknowledged |= {chunk.sequence: chunk for chunk in ours}
        with self.spent.on(SENDING):
            try:
                if self._stream is None:
                    await self._connect()  # which sends it
                else:
                    await self._put(self._stream, ours)
            except PeerLost as error:
                await self._reconnect(error)

    async def settle(self) -> None:
        """Until all that was sent is acknowledged."""
        with self.spent.on(CREDIT):
            await self._until(lambda: not self._unacknowledged)

    async def next_of(self, ready: "asyncio.Queue[list[Chunk] | None]") -> list[Chunk] | None:
        """What is next to send; a stream that breaks while there is nothing is taken up again."""
        if not ready.empty():
            return ready.get_nowait()
        coming = asyncio.ensure_future(ready.get())
        coming.add_done_callback(lambda _: self.wake())
        try:
            await self._until(coming.done)
            return coming.result()
        finally:
            coming.cancel()

    async def pause(self, until_s: float, is_over: Callable[[], bool]) -> None:
        """Until a time of the monotonic clock, or until it is over, which wake() has looked at."""
        await self._until(is_over, until_s)

    def wake(self) -> None:
        """Look again at what is waited for."""
        self._moved.set()

    async def close(self) -> None:
        """End the stream; nothing more will be sent."""
        await self._drop_stream()
        self._unacknowledged.clear()

    async def _put(self, stream: ChunkStream, chunks: Sequence[Chunk]) -> None:
        """Send; a peer that takes nothing for as long as it may be silent is lost."""
        try:
            async with asyncio.timeout(self.patience.silence_s):
                await stream.send(chunks)
        except TimeoutError as error:
            raise self._silent("took no memory") from error

    async def _until(self, condition: Callable[[], bool], at_most_s: float = math.inf) -> None:
        """Wait for acknowledgements, until a time at most; silence counts as a broken stream."""
        while not condition() and time.monotonic() < at_most_s:
            self._moved.clear()
            if self._broken:
                await self._reconnect(self._broken)
                continue
            silent_at_s = self._silent_since + self.patience.silence_s
            if self._unacknowledged and time.monotonic() >= silent_at_s:
                await self._reconnect(self._silent("sent no acknowledgement"))
                continue
            wait_until_s = min(at_most_s, silent_at_s if self._unacknowledged else math.inf)
            left_s = wait_until_s - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left_s == math.inf else max(0.0, left_s)):
                    await self._moved.wait()

    @property
    def _silent_since(self) -> float:
        """When this stream became due, or later, when another one was heard."""
        return max(self._due_since, self.together.heard_at_s)

    def _silent(self, what: str) -> PeerLost:
        return PeerLost("PEER_LOST", f"the other node {what} for {self.patience.silence_s:g} s")

    async def _reconnect(self, cause: Exception) -> None:
        """Open a stream again and send what was not acknowledged.

        Only an acknowledgement ends the interruption. PeerLost when none came for too long, however
        many streams could be opened meanwhile.
        """
        if not isinstance(cause, PeerLost):
            raise cause
        due_since = self._silent_since if self._unacknowledged else time.monotonic()
        self._lost_since = self._lost_since or due_since
        self.together.lost(self.number, "acknowledgement of memory", self._lost_since)
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
        self._due_since = time.monotonic()
        self._stream = stream = await self.open_stream(self.number)
        self._reader = asyncio.create_task(self._read_acknowledgements(stream))
        for chunk in list(self._unacknowledged.values()):  # one by one: the link may be slow now
            if chunk.sequence in self._unacknowledged:
                is_again = self._lost_since > 0.0
                await self._put(stream, [chunk])
                self.resent_bytes += chunk.wire_bytes if is_again else 0

    async def _read_acknowledgements(self, stream: ChunkStream) -> None:
        try:
            while True:
                self._forget_until(await stream.acknowledged())
                self._moved.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, _until raises it
            self._broken = error
            self._moved.set()

    def _forget_until(self, sequence: int) -> None:
        """Chunks up to this one were written; they stand in the order of their numbers.

        What acknowledges nothing is nothing: it must not keep a guest down.
        """
        before = len(self._unacknowledged)
        while self._unacknowledged and next(iter(self._unacknowledged)) <= sequence:
            del self._unacknowledged[next(iter(self._unacknowledged))]
        if len(self._unacknowledged) == before:
            return
        self._due_since, self._lost_since = time.monotonic(), 0.0
        self.together.heard(self.number)

    async def _drop_stream(self) -> None:
        stream, reader = self._stream, self._reader
        self._stream = self._reader = None
        if reader:
            reader.cancel()
        if stream:
            await stream.close()
