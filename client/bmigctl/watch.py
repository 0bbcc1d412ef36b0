"""Following one migration to its end over streams that may break.

Rule 1: no kept event is missed or told twice; after a break the stream is taken up behind the
last sequence number seen.
Rule 2: watching never changes the migration; whoever stops watching leaves it going on.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
from bmig.v1 import migration_pb2
from grpc.aio import AioRpcError

from bmigctl.dial import CALL_S, STREAM_S, Node
from bmigctl.errors import BmigctlError, Refused, Unreachable

_POLL_S = 2.0  # how often the patience with a migration in doubt is looked at
_IN_DOUBT = "in doubt"  # kind of the event that carries the migration as it is
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Patience:
    """How long a watcher stays."""

    unreachable_s: float = 300.0  # while the node cannot be asked
    in_doubt_s: float = 30.0  # while the migration is in doubt


@dataclass(frozen=True)
class StreamLost:
    """The stream broke; it is taken up again after the pause."""

    node: str
    cause: str
    pause_s: float


@dataclass(frozen=True)
class StreamResumed:
    """The node answers again."""

    node: str


@dataclass(frozen=True)
class InDoubt:
    """The guest was let go and the other side's answer is missing."""

    migration: migration_pb2.Migration


Update = migration_pb2.Event | StreamLost | StreamResumed | InDoubt | migration_pb2.Migration


class Watch:
    """Yields every event and at last the migration: ended, or in doubt for too long."""

    def __init__(self, node: Node, migration_id: str, patience: Patience) -> None:
        self._node = node
        self._id = migration_id
        self._patience = patience
        self._after = 0
        self._breaks = 0
        self._broken_since: float | None = None
        self._doubt_since: float | None = None

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Raises Unreachable when the node stays away for longer than the patience."""
        while True:
            try:
                async for update in self._stream():
                    yield update
                    if isinstance(update, migration_pb2.Migration):
                        return
                lost = self._lost(self._ended())
            except AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    continue  # our own deadline: renew quietly
                lost = self._lost(await self._node.explain(error))
            except Unreachable as error:
                lost = self._lost(error)
            yield lost
            await asyncio.sleep(lost.pause_s)

    async def _stream(self) -> AsyncGenerator[Update, None]:
        request = migration_pb2.WatchMigrationRequest(id=self._id, after_sequence=self._after)
        call = self._node.migrations.WatchMigration(request, timeout=STREAM_S)
        reading: asyncio.Task[Any] | None = None
        try:
            while True:
                reading = reading or asyncio.ensure_future(call.read())
                done, _ = await asyncio.wait({reading}, timeout=_POLL_S)
                if done:
                    answer = reading.result()
                    reading = None
                    if answer is grpc.aio.EOF:  # type: ignore[attr-defined]
                        return
                    for update in self._take(answer):
                        yield update
                elif self._broken_since is not None and self._node.is_connected():
                    yield self._resumed()
                if migration := await self._still_in_doubt():
                    yield migration
        finally:
            call.cancel()
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})

    def _take(self, answer: migration_pb2.WatchMigrationResponse) -> list[Update]:
        updates: list[Update] = []
        if self._broken_since is not None:
            updates.append(self._resumed())
        event = answer.event
        if answer.HasField("event") and not 0 < event.sequence <= self._after:
            self._after = max(self._after, event.sequence)
            updates.append(event)
        if event.kind == _IN_DOUBT and answer.migration.in_doubt_since_ms:
            self._doubt_since = self._doubt_since or asyncio.get_running_loop().time()
            updates.append(InDoubt(answer.migration))
        elif event.kind != _IN_DOUBT and answer.HasField("migration"):
            updates.append(answer.migration)
        return updates

    def _resumed(self) -> StreamResumed:
        self._broken_since, self._breaks = None, 0
        return StreamResumed(self._node.name)

    async def _still_in_doubt(self) -> migration_pb2.Migration | None:
        """The migration, if it is in doubt for longer than the patience."""
        now = asyncio.get_running_loop().time()
        if self._doubt_since is None or now - self._doubt_since < self._patience.in_doubt_s:
            return None
        request = migration_pb2.GetMigrationRequest(id=self._id)
        call = self._node.migrations.GetMigration(request, timeout=CALL_S)
        migration = (await self._node.answer(call)).migration
        if migration.in_doubt_since_ms:
            return migration
        self._doubt_since = None
        return None

    def _ended(self) -> Unreachable:
        name = self._node.name
        return Unreachable(
            "NO_ANSWER", f"{name}: the node ended the stream", advice=f"check bmigd on {name}"
        )

    def _lost(self, error: BmigctlError) -> StreamLost:
        """What to tell and how long to pause; raises what cannot be mended by waiting."""
        now = asyncio.get_running_loop().time()
        if self._broken_since is None:
            self._broken_since = now
        patient = now - self._broken_since < self._patience.unreachable_s
        if isinstance(error, Refused) or not patient:
            raise error
        pause = _BACKOFF_S[min(self._breaks, len(_BACKOFF_S) - 1)]
        self._breaks += 1
        return StreamLost(self._node.name, error.message, pause)
