"""One guest on its way into this node: memory, device state, until it is READY, and then taken.

Every change of state is journalled first (handoff.py says which are legal), under one lock, so
that repeated and late requests find the state as it is and change nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from bmigd.chunk import MOST_STREAMS, Chunk
from bmigd.codecs import CODECS
from bmigd.crashpoints import reach
from bmigd.errors import BadBytes, BmigError, Busy, LocalFault
from bmigd.migration.answers import refusal
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    Request,
    on_lease_over,
    on_request,
)
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, Part, spent_parts
from bmigd.migration.ports import Receipt, Stretch, Welcome
from bmigd.migration.recorder import us_since
from bmigd.migration.standby import Standby
from bmigd.migration.state_files import Arrived, StateHeader, StateParts, gather_state
from bmigd.migration.taken import Taken
from bmigd.migration.turns import Turn
from bmigd.unbroken import unbroken


@dataclass
class Reception(Taken):
    """A guest being received, or taken."""

    lease_until: float = 0.0
    has_memory: bool = False  # of the guest, from when it left: not all is zero
    _streams: dict[int, Turn] = field(default_factory=dict)  # the newest of each number
    _applied_s: float = 0.0  # when chunks were written last
    _delivering: Turn | None = None
    _gathering: asyncio.Lock = field(default_factory=asyncio.Lock)  # never taken before _lock
    _receipt: Receipt | None = None
    _standby: Standby = field(default_factory=Standby)

    @property
    def is_lease_over(self) -> bool:
        """Whether its source was silent for a lease, and that matters in this state."""
        if self._unwritten.is_waiting:
            return False  # what is to become of it is decided
        return bool(on_lease_over(self.state)) and time.monotonic() > self.lease_until

    def touch(self) -> None:
        """A sign of life of the source."""
        self.lease_until = time.monotonic() + self.node.config.migration.lease_s

    async def prepare(self, seed: int, *, asks_for_memory: bool) -> None:
        """Make room; on any failure nothing is left behind."""
        async with self._lock:
            try:
                image = await self._image() if asks_for_memory else None
                self.has_memory = image is not None
                await self._intake.prepare(seed, image)
                reach("destination.prepared")
            except BaseException as error:
                await self._refuse(error)
                raise
            self._standby.begin(self.incoming.stand_by(), self._not_ready, self.record.id)
            self.recorder.enter(Phase.PREPARING, "room is promised")
            self.recorder.enter(Phase.PRECOPY, "memory is being received")

    def welcome(self, incarnation: str) -> Welcome:
        """What its source is told of it, once it is prepared."""
        limits = self.node.config.migration
        return Welcome(
            *(incarnation, limits.lease_s, limits.window_chunks),
            codecs=frozenset(CODECS),
            most_streams=MOST_STREAMS,
            has_memory=self.has_memory,
        )

    async def _image(self) -> Path | None:
        take = self.node.room.images.take
        return await asyncio.to_thread(take, self.definition, self.record.peer)

    async def describe(self) -> AsyncGenerator[Stretch, None]:
        """What is here of the guest's memory from when it left."""
        stretches = self._intake.describe()
        while True:
            async with self._lock:  # not while the source takes its time to read
                self._require(DestinationState.RECEIVING)
                self.touch()
                stretch = await anext(stretches, None)
            if stretch is None:
                return
            yield stretch

    async def is_prepared(self) -> bool:
        """Whether room was made, and the guest was not refused since."""
        async with self._lock:
            return self.state is not DestinationState.REFUSED

    async def until_ready(self) -> None:
        """Until all is there that the guest will need; what went wrong with that is told."""
        await self._standby.over()
        async with self._lock:
            self._require(DestinationState.RECEIVING)

    async def _not_ready(self, error: BaseException) -> None:
        """What it would be started with did not start, for whatever reason."""
        async with self._lock:
            if self.state is DestinationState.RECEIVING:
                with contextlib.suppress(LocalFault):  # of the journal, which is waited for
                    await unbroken(self._refuse(error))

    def attach(self, stream: Turn, number: int) -> None:
        """Only the newest stream of a number may write: what an older one carries is outdated."""
        if number >= MOST_STREAMS:
            return  # apply() refuses what it brings
        older = self._streams.get(number)
        if older and older is not stream:
            older.end(_newer_stream())
        self._streams[number] = stream

    async def apply(self, stream: Turn, chunks: list[Chunk]) -> None:
        """Write chunks in order. BadBytes ends the migration; so does a full spool."""
        async with self._lock:
            self._require(DestinationState.RECEIVING)
            if self._streams.get(chunks[0].stream, stream) is not stream:
                raise _newer_stream()
            self.touch()
            await unbroken(self._apply(chunks))

    async def deliver(self, header: StateHeader, parts: StateParts) -> Receipt:
        """Device state and root; READY when everything checked that can be without running it.

        The source takes its time for the parts: nothing waits for them but a newer delivery, which
        ends this one.
        """
        async with self._lock:
            if self._receipt and self.state is not DestinationState.REFUSED:
                return self._receipt  # a repeated request
            self._require(DestinationState.RECEIVING)
            self.touch()
            turn = Turn()
            if self._delivering:
                self._delivering.end(Busy("STREAM_SUPERSEDED", "a newer call delivers this state"))
            self._delivering = turn
        async with turn.lasts():
            arrived = await self._gather(header, parts)
            await self._standby.over()  # for a source that did not ask for that before
            async with self._lock:
                self._require(DestinationState.RECEIVING)
                self._delivering = None  # from here on it goes to its end
                return await unbroken(self._become_ready(header, arrived))

    async def _gather(self, header: StateHeader, parts: StateParts) -> Arrived:
        """A call that ends here changes nothing; whatever of ours goes wrong ends the migration."""
        try:
            async with self._gathering:
                return await gather_state(self.incoming, header, parts, self._count)
        except BmigError as error:
            async with self._lock:
                self._delivering = None
                if self.state is DestinationState.RECEIVING:
                    await unbroken(self._refuse(error))
            raise

    async def _discard(self) -> None:
        if self._delivering:
            self._delivering.end(self._over_here())
        async with self._gathering:  # nothing is written any more
            await self._standby.end()
            await super()._discard()

    async def commit(self) -> None:
        """Take the guest and begin to start it; the outcome is in the record and failure."""
        async with self._lock:
            event = on_request(self.state, Request.COMMIT)
            if event is DestinationEvent.COMMITTED:
                await self._take()
            elif event is DestinationEvent.WITHDRAWN:
                await self._refuse(BadBytes("NOT_READY", "committed before its delivery"))

    async def abort(self, why: BaseException) -> None:
        """The source wants it no more: refuse, if nothing was committed."""
        async with self._lock:
            if on_request(self.state, Request.ABORT):
                await self._refuse(why)

    async def end_lease(self, why: BaseException) -> None:
        """The source was silent for a lease: refuse, if nothing was committed."""
        async with self._lock:
            if self.is_lease_over:  # still: a sign of life may have come meanwhile
                await self._refuse(why)

    async def _take(self) -> None:
        """COMMITTED, or once the journal can be written again whatever it says then."""
        self._require_journal()
        try:
            await self._do(DestinationEvent.COMMITTED)
        except LocalFault as error:
            self.starting = self._unwritten.launch(error)
            raise
        await self.start()

    async def _refuse(self, error: BaseException) -> None:
        """WITHDRAWN, now or once the journal can be written again."""
        self._require_journal()
        try:
            await self._withdraw(error)
        except LocalFault as unwritten:
            self._refusal = error
            self.starting = self._unwritten.launch(unwritten)
            raise

    def _require_journal(self) -> None:
        if self._unwritten.is_waiting:
            raise LocalFault("JOURNAL_UNWRITABLE", f"{self.node.name} waits for its journal")

    @contextlib.asynccontextmanager
    async def _refusing(self) -> AsyncIterator[None]:
        """Whatever of ours goes wrong ends the migration."""
        try:
            yield
        except BmigError as error:
            await unbroken(self._refuse(error))
            raise

    async def _apply(self, chunks: list[Chunk]) -> None:
        ours = (self.record.id, self.record.epoch, chunks[0].stream)
        if self._applied_s:
            self._intake.spent.add("wait for chunks", time.monotonic() - self._applied_s)
        async with self._refusing():
            if any((one.migration_id, one.epoch, one.stream) != ours for one in chunks):
                raise BadBytes("CHUNK_INVALID", "a stream carries one migration, and one number")
            if chunks[0].stream >= MOST_STREAMS:
                raise BadBytes("CHUNK_INVALID", f"stream {chunks[0].stream}, of {MOST_STREAMS}")
            await self._intake.apply(chunks)
        self._applied_s = time.monotonic()
        progress = self.recorder.picture.progress
        progress.sent_bytes += sum(chunk.memory_bytes for chunk in chunks)
        progress.wire_bytes += sum(chunk.wire_bytes for chunk in chunks)

    async def _become_ready(self, header: StateHeader, arrived: Arrived) -> Receipt:
        async with self._refusing():
            receipt = await self._check_all(header, arrived)
        self.recorder.enter(Phase.SWITCHOVER, "memory and state are here and checked")
        await self._do(DestinationEvent.CHECKED)
        self.touch()
        self._receipt = receipt
        return receipt

    def _count(self, size_bytes: int) -> None:
        self.node.room.promise_state(self.record.id, size_bytes)

    async def _check_all(self, header: StateHeader, arrived: Arrived) -> Receipt:
        memory_parts = tuple(spent_parts(self._intake.spent.seconds, DESTINATION))
        began = time.monotonic()
        await self._intake.compare(header.memory_root, verify=header.verify)
        spent = {"compare memory": us_since(began)}
        began = time.monotonic()
        await arrived.place()
        reach("destination.written")
        await self.incoming.check()
        spent["check state"] = us_since(began)
        self.parts = [Part(name, DESTINATION, us) for name, us in spent.items()]
        report = self.recorder.picture.report
        report.source_memory_root = report.destination_memory_root = header.memory_root.hex()
        report.verified = header.verify
        report.spent = list(memory_parts)
        return Receipt(header.memory_root, tuple(self.parts), memory_parts)

    def _require(self, state: DestinationState) -> None:
        self._require_journal()
        if self.state is not state:
            raise self._over_here()

    def _over_here(self) -> Busy:
        if self.failure:
            return refusal(self.failure, self.definition.name)
        return Busy(
            "MIGRATION_OVER",
            f"migration {self.record.id} is {self.state} here: {self.record.why or 'decided'}",
            guest=self.definition.name,
            side=DESTINATION,
        )


def _newer_stream() -> Busy:
    return Busy("STREAM_SUPERSEDED", "a newer stream carries this migration")
