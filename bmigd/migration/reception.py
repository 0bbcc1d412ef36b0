"""One guest on its way into this node: memory, device state, and the decision to run it.

Every change of state is journalled first (handoff.py says which are legal), under one lock, so
that repeated and late requests find the state as it is and change nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import structlog

from bmigd.chunk import Chunk
from bmigd.crashpoints import reach
from bmigd.errors import BadBytes, BmigError, Busy, LocalFault
from bmigd.migration.archive import failure_in
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    Request,
    after_execution,
    after_restart,
    on_lease_over,
    on_request,
)
from bmigd.migration.launched import launched
from bmigd.migration.onsite import RESTARTED, look
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, Failure, Part, failure_of
from bmigd.migration.ports import Receipt
from bmigd.migration.received import Received
from bmigd.migration.recorder import us_since
from bmigd.migration.state_files import Arrived, StateHeader, StateParts, gather_state
from bmigd.migration.steps import DESTINATION_STEPS, ENDED_BY, left
from bmigd.migration.unwritten import Unwritten
from bmigd.transfer.unbroken import unbroken

log = structlog.get_logger()


@dataclass
class Reception(Received):
    """A guest being received, or taken."""

    on_over: Callable[["Reception"], None]
    lease_until: float = 0.0
    parts: list[Part] = field(default_factory=list)
    failure: Failure | None = None
    starting: asyncio.Task[None] | None = None
    _stream: object = None
    _receipt: Receipt | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._unwritten = Unwritten(self.recorder, self.ledger, self.node.name, self._mended)

    @property
    def is_lease_over(self) -> bool:
        """Whether its source was silent for a lease, and that matters in this state."""
        return bool(on_lease_over(self.state)) and time.monotonic() > self.lease_until

    def touch(self) -> None:
        """A sign of life of the source."""
        self.lease_until = time.monotonic() + self.node.config.migration.lease_s

    async def prepare(self, seed: int) -> None:
        """Make room; on any failure nothing is left behind."""
        async with self._lock:
            try:
                await self._intake.prepare(seed)
                reach("destination.prepared")
            except BaseException as error:
                await self._withdraw(error)
                raise
            self.recorder.enter(Phase.PREPARING, "room is reserved")
            self.recorder.enter(Phase.PRECOPY, "memory is being received")

    async def is_prepared(self) -> bool:
        """Whether room was made, and the guest was not refused since."""
        async with self._lock:
            return self.state is not DestinationState.REFUSED

    def attach(self, stream: object) -> None:
        """Only the newest stream may write: what an older one still carries is outdated."""
        self._stream = stream

    async def apply(self, stream: object, chunks: list[Chunk]) -> None:
        """Write chunks in order. BadBytes ends the migration; so does a full spool."""
        async with self._lock:
            self._require(DestinationState.RECEIVING)
            if stream is not self._stream:
                raise Busy("STREAM_SUPERSEDED", "a newer stream carries this migration")
            self.touch()
            await unbroken(self._apply(chunks))

    async def deliver(self, header: StateHeader, parts: StateParts) -> Receipt:
        """Device state and root; READY when everything checked that can be without running it."""
        async with self._lock:
            if self._receipt and self.state is not DestinationState.REFUSED:
                return self._receipt  # a repeated request
            self._require(DestinationState.RECEIVING)
            self.touch()
            async with self._refusing():  # a call that ends here changes nothing
                arrived = await gather_state(self.incoming, header, parts, self._count)
            return await unbroken(self._become_ready(header, arrived))

    async def commit(self) -> None:
        """Take the guest and begin to start it; the outcome is in the record and failure."""
        async with self._lock:
            event = on_request(self.state, Request.COMMIT)
            if event is DestinationEvent.COMMITTED:
                await self._take()
            elif event is DestinationEvent.WITHDRAWN:
                await self._withdraw(BadBytes("NOT_READY", "committed before its delivery"))

    async def abort(self, why: BaseException) -> None:
        """The source wants it no more: refuse, if nothing was committed."""
        async with self._lock:
            if on_request(self.state, Request.ABORT):
                await self._withdraw(why)

    async def end_lease(self, why: BaseException) -> None:
        """The source was silent for a lease: refuse, if nothing was committed."""
        async with self._lock:
            if self.is_lease_over:  # still: a sign of life may have come meanwhile
                await self._withdraw(why)

    async def start(self) -> None:
        """Go on from TAKEN, perhaps after a restart of the daemon."""
        if self.recorder.picture.phase is not Phase.HANDOFF:
            self.recorder.enter(Phase.HANDOFF, "the source let the guest go; it is ours now")
        self.starting = launched(self._unwritten.through(self._start()), self.record.id)

    @property
    def is_starting(self) -> bool:
        """Whether its guest is being started; not when that waits for the journal."""
        is_done = self.starting is None or self.starting.done()
        return not (is_done or self._unwritten.is_waiting)

    async def take_up(self, why: str) -> None:
        """Go on from what the journal says; nothing else is known any more."""
        if self.state in ENDED_BY:
            await self._finish()
            return
        found = await look(self.incoming)
        event = after_restart(self.state, found)
        if event is DestinationEvent.WITHDRAWN:
            async with self._lock:
                await self._withdraw(LocalFault("DESTINATION_RESTARTED", why))
        elif event is not None:
            await self._settle(event, found.runs, LocalFault("START_FAILED", why))
        elif self.state is DestinationState.TAKEN:
            await self.start()

    async def _take(self) -> None:
        """COMMITTED, or once the journal can be written again whatever it says then."""
        if self._unwritten.is_waiting:
            raise LocalFault("JOURNAL_UNWRITABLE", f"{self.node.name} waits for its journal")
        try:
            await self._do(DestinationEvent.COMMITTED)
        except LocalFault as error:
            self.starting = launched(self._unwritten.after(error), self.record.id)
            raise
        await self.start()

    async def _mended(self) -> None:
        await self.ledger.probe()
        self.record = await self.ledger.get(self.record.id) or self.record
        if not self.recorder.picture.has_ended:
            await self.take_up(f"the journal of {self.node.name} could not be written")

    async def _settle(self, event: DestinationEvent, runs: bool, error: BmigError) -> None:
        """What was found out about a guest in TAKEN or STARTED."""
        if event is DestinationEvent.GUEST_RUNS:
            await self._keep(runs)
        else:
            await self._give_back(error)

    async def _finish(self) -> None:
        """Do what is left of a change that was journalled."""
        event = ENDED_BY[self.state]
        if self.record.pending:
            await self._do(event, steps=left(DESTINATION_STEPS[event]))
        self.failure = failure_in(self.record, self.node.name)
        if event is DestinationEvent.GUEST_RUNS:
            self._over(Phase.COMPLETED, "the guest runs here", self.failure)
        else:
            self._abort_picture(LocalFault("DESTINATION_RESTARTED", self.record.why))

    @contextlib.asynccontextmanager
    async def _refusing(self) -> AsyncIterator[None]:
        """Whatever of ours goes wrong ends the migration."""
        try:
            yield
        except BmigError as error:
            await unbroken(self._withdraw(error))
            raise

    async def _apply(self, chunks: list[Chunk]) -> None:
        ours = (self.record.id, self.record.epoch)
        async with self._refusing():
            if any((one.migration_id, one.epoch) != ours for one in chunks):
                raise BadBytes("CHUNK_INVALID", "a stream carries one migration")
            await self._intake.apply(chunks)
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
        return Receipt(header.memory_root, tuple(self.parts))

    async def _start(self) -> None:
        """TAKEN to RUNNING or RETURNED. Not cancelled with the request that began it."""
        began = time.monotonic()
        self._intake.close()
        try:
            await self.incoming.check()
            await self._do(DestinationEvent.EXECUTING)
        except BmigError as error:
            await self._not_started(error)
            return
        self.parts = [Part("start", DESTINATION, us_since(began))]
        await self._keep(runs=True)

    async def _not_started(self, error: BmigError) -> None:
        """Back to the source on proof that it never ran; any doubt makes it ours."""
        if self.state is DestinationState.TAKEN:
            await self._give_back(error)
            return
        event = after_execution(found := await look(self.incoming))
        assert event
        log.error("start", guest=self.definition.name, error=str(error), verdict=event.value)
        await self._settle(event, found.runs, error)

    async def _keep(self, runs: bool) -> None:
        """The guest is this node's, for good; started from its firmware if it does not run."""
        began, why = time.monotonic(), "" if runs else RESTARTED
        self.failure = failure_in(replace(self.record, why=why), self.node.name)
        await self._do(DestinationEvent.GUEST_RUNS, why, runs)
        self.parts.append(Part("take over", DESTINATION, us_since(began)))
        self._over(Phase.COMPLETED, "the guest runs here", self.failure)

    async def _give_back(self, error: BmigError) -> None:
        """It surely never ran: the source may have it back."""
        self.failure = failure_of(error, DESTINATION, f"given back to {self.record.peer}")
        await self._do(DestinationEvent.NEVER_RAN, str(error))
        self._abort_picture(error)

    async def _withdraw(self, error: BaseException) -> None:
        self.failure = failure_of(error, DESTINATION, f"on {self.record.peer}")
        await self._do(DestinationEvent.WITHDRAWN, str(error))
        self._abort_picture(error)

    def _abort_picture(self, error: BaseException) -> None:
        self.recorder.enter(Phase.ABORTING, str(error))
        self._over(Phase.ABORTED, f"the guest stays with {self.record.peer}: {error}", self.failure)

    def _over(self, phase: Phase, message: str, failure: Failure | None) -> None:
        self.recorder.picture.ownership = self.record.state
        self.recorder.picture.report.downtime_parts = self.parts  # for who asks again
        self.recorder.end(phase, message, failure)
        self.on_over(self)

    def _require(self, state: DestinationState) -> None:
        if self.state is not state:
            raise Busy(
                "MIGRATION_OVER",
                f"migration {self.record.id} is {self.state} here: {self.record.why or 'decided'}",
                guest=self.definition.name,
                side=DESTINATION,
            )
