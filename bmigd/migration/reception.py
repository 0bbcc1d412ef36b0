"""One guest on its way into this node: memory, device state, and the decision to run it.

Every change of state is journalled first (handoff.py says which are legal), under one lock, so
that repeated and late requests find the state as it is and change nothing.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from bmigd.chunk import Chunk
from bmigd.drivers.base import IncomingGuest, IncomingMemory
from bmigd.errors import BadBytes, BmigError, Busy, LocalFault, StartFailed
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.handoff import DestinationEvent, DestinationState, answer
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, Failure, Part, failure_of
from bmigd.migration.ports import Answer, Receipt
from bmigd.migration.recorder import Recorder
from bmigd.transfer.pages import PageTable
from bmigd.transfer.receiver import Receiver

log = structlog.get_logger()
T = TypeVar("T")

STATE_BYTES = 256 << 20  # all device state files together


@dataclass(frozen=True)
class StateHeader:
    """What the source announces before device state."""

    memory_root: bytes
    files: tuple[tuple[str, int, bytes], ...]  # name, size in bytes, SHA-256
    verify: bool


@dataclass
class Reception:
    """A guest being received, or taken."""

    record: Record
    definition: Definition
    node: Node
    ledger: Ledger
    recorder: Recorder
    executor: Executor
    on_over: Callable[["Reception"], None]
    lease_until: float = 0.0
    parts: list[Part] = field(default_factory=list)
    failure: Failure | None = None
    starting: asyncio.Task[None] | None = None
    _memory: IncomingMemory | None = None
    _receiver: Receiver | None = None
    _table: PageTable | None = None
    _stream: object = None
    _receipt: Receipt | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.incoming: IncomingGuest = self.node.driver(self.definition).incoming(self.definition)

    @property
    def state(self) -> DestinationState:
        """What the journal says."""
        return DestinationState(self.record.state)

    def touch(self) -> None:
        """A sign of life of the source."""
        self.lease_until = time.monotonic() + self.node.config.migration.lease_s

    async def prepare(self, seed: int) -> None:
        """Make room; on any failure nothing is left behind."""
        async with self._lock:
            try:
                self._memory = await self.incoming.prepare()
            except BaseException as error:
                await self._withdraw(error)
                raise
            self._table = PageTable([region.size_bytes for region in self._memory.regions], seed)
            self._receiver = Receiver(self._memory, self._table)
            self.recorder.enter(Phase.PREPARING, "room is reserved")
            self.recorder.enter(Phase.PRECOPY, "memory is being received")

    def attach(self, stream: object) -> None:
        """Only the newest stream may write: what an older one still carries is outdated."""
        self._stream = stream

    async def apply(self, stream: object, chunk: Chunk) -> None:
        """Write one chunk. BadBytes ends the migration; so does a full spool."""
        async with self._lock:
            self._require(DestinationState.RECEIVING)
            if stream is not self._stream:
                raise Busy("STREAM_SUPERSEDED", "a newer stream carries this migration")
            self.touch()
            assert self._receiver
            try:
                await self._in_thread(self._receiver.apply, chunk)
            except BmigError as error:
                await self._withdraw(error)
                raise
            progress = self.recorder.picture.progress
            progress.sent_bytes += chunk.memory_bytes
            progress.wire_bytes += chunk.wire_bytes

    async def deliver(
        self, header: StateHeader, parts: AsyncIterator[tuple[int, bytes]]
    ) -> Receipt:
        """Device state and root; READY when everything checked that can be without running it."""
        async with self._lock:
            if self.state is DestinationState.READY and self._receipt:
                return self._receipt  # a repeated request
            self._require(DestinationState.RECEIVING)
            self.touch()
            try:
                receipt = await self._check_all(header, parts)
            except BmigError as error:
                await self._withdraw(error)
                raise
            self.recorder.enter(Phase.SWITCHOVER, "memory and state are here and checked")
            await self._enter(DestinationEvent.CHECKED)
            self.touch()
            self._receipt = receipt
            return receipt

    async def commit(self) -> None:
        """Take the guest and begin to start it; the outcome is in answer()."""
        async with self._lock:
            if self.state is DestinationState.READY:
                await self._enter(DestinationEvent.COMMITTED)
                self.recorder.enter(Phase.HANDOFF, "the source let the guest go; it is ours now")
                self.starting = asyncio.create_task(self._start())
            elif self.state is DestinationState.RECEIVING:
                await self._withdraw(
                    BadBytes("NOT_READY", "committed before its state was delivered")
                )

    async def withdraw(self, why: BaseException) -> None:
        """Abort, lease over or fault: refuse, if nothing was committed."""
        async with self._lock:
            if self.state in (DestinationState.RECEIVING, DestinationState.READY):
                await self._withdraw(why)

    async def start_again(self) -> None:
        """Go on from TAKEN after a restart of the daemon."""
        self.starting = asyncio.create_task(self._start())

    async def settle(self, event: DestinationEvent, why: str) -> None:
        """What a restarted daemon found out about a guest in TAKEN or STARTED."""
        if event is DestinationEvent.GUEST_RUNS:
            await self._keep()
        else:
            await self._give_back(LocalFault("START_FAILED", why))

    async def refuse_after_restart(self, why: str) -> None:
        """The daemon was restarted while receiving: what was known of memory is gone."""
        await self.withdraw(LocalFault("DESTINATION_RESTARTED", why))

    async def _check_all(
        self, header: StateHeader, parts: AsyncIterator[tuple[int, bytes]]
    ) -> Receipt:
        assert self._table
        assert self._receiver
        began = time.monotonic()
        root = await self._in_thread(self._table.root)
        if root != header.memory_root:
            raise BadBytes(
                "MEMORY_DIFFERS",
                "the memory that was received is not the memory that was sent",
                "migrate again; if it happens again, report it with both logs",
            )
        if header.verify and not await self._in_thread(self._receiver.verify):
            raise LocalFault("MEMORY_DIFFERS", "memory read back differs from what was written")
        spent = {"compare memory": _us_since(began)}
        began = time.monotonic()
        await self._write_state(header, parts)
        await self.incoming.check()
        spent["check state"] = _us_since(began)
        self.parts = [Part(name, DESTINATION, us) for name, us in spent.items()]
        report = self.recorder.picture.report
        report.source_memory_root = report.destination_memory_root = root.hex()
        report.verified = header.verify
        return Receipt(root, tuple(self.parts))

    async def _write_state(
        self, header: StateHeader, parts: AsyncIterator[tuple[int, bytes]]
    ) -> None:
        if sum(size for _, size, _ in header.files) > STATE_BYTES:
            raise BadBytes("STATE_INVALID", "device state is larger than 256 MiB")
        paths = [self.incoming.state_path(name) for name, _, _ in header.files]
        contents = [bytearray() for _ in header.files]
        async for index, data in parts:
            if index >= len(contents) or len(contents[index]) + len(data) > header.files[index][1]:
                raise BadBytes("STATE_INVALID", "device state exceeds what was announced")
            contents[index] += data
        for path, content, (name, size, sha256) in zip(paths, contents, header.files, strict=True):
            if len(content) != size or hashlib.sha256(content).digest() != sha256:
                raise BadBytes("STATE_INVALID", f"device state {name!r} is short or damaged")
            await self._in_thread(_write, path, content)

    async def _start(self) -> None:
        """TAKEN to RUNNING or RETURNED. Not cancelled with the request that began it."""
        began = time.monotonic()
        try:
            if self._memory:
                self._memory.close()
            await self.incoming.check()
            await self._enter(DestinationEvent.EXECUTING)
            await self.incoming.start()
        except StartFailed as error:
            if error.never_ran:
                await self._give_back(error)
            else:
                log.error("guest died at once", guest=self.definition.name, error=str(error))
                await self._keep()
            return
        except BmigError as error:
            await self._give_back(error)
            return
        self.parts = [Part("start", DESTINATION, _us_since(began))]
        began = time.monotonic()
        await self._keep()
        self.parts.append(Part("take over", DESTINATION, _us_since(began)))

    async def _keep(self) -> None:
        """The guest is this node's, for good."""
        try:
            await asyncio.to_thread(self.node.store.add, self.definition)
        except BmigError as error:  # it runs: that is what must be recorded
            log.error("definition not kept", guest=self.definition.name, error=str(error))
        await self._enter(DestinationEvent.GUEST_RUNS)
        await self.ledger.raise_epoch(self.definition.name, self.record.epoch)
        self._over(Phase.COMPLETED, "the guest runs here", None)

    async def _give_back(self, error: BmigError) -> None:
        """It surely never ran: the source may have it back."""
        self.failure = failure_of(error, DESTINATION, f"given back to {self.record.peer}")
        await self._discard()
        await self._enter(DestinationEvent.NEVER_RAN, str(error))
        self._abort_picture(error)

    async def _withdraw(self, error: BaseException) -> None:
        self.failure = failure_of(error, DESTINATION, f"on {self.record.peer}")
        await self._enter(DestinationEvent.WITHDRAWN, str(error))
        await self._discard()
        self._abort_picture(error)

    def _abort_picture(self, error: BaseException) -> None:
        self.recorder.enter(Phase.ABORTING, str(error))
        self._over(Phase.ABORTED, f"the guest stays with {self.record.peer}: {error}", self.failure)

    async def _discard(self) -> None:
        if self._memory:
            self._memory.close()
        self._memory = self._receiver = self._table = None
        with contextlib.suppress(LocalFault):  # what is left is found again at the next reception
            await self.incoming.discard()

    def _over(self, phase: Phase, message: str, failure: Failure | None) -> None:
        self.recorder.picture.ownership = self.record.state
        self.recorder.end(phase, message, failure)
        self.on_over(self)

    async def _enter(self, event: DestinationEvent, why: str = "") -> None:
        self.record = await self.ledger.destination(self.record, event, why)
        self.recorder.picture.ownership = self.record.state

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self.executor, lambda: function(*arguments)
        )

    def _require(self, state: DestinationState) -> None:
        if self.state is not state:
            raise Busy(
                "MIGRATION_OVER",
                f"migration {self.record.id} is {self.state} here: {self.record.why or 'decided'}",
                guest=self.definition.name,
                side=DESTINATION,
            )


def answer_of(record: Record, failure: Failure | None, parts: list[Part]) -> Answer:
    """What is said of a migration in its journalled state."""
    return Answer(answer(DestinationState(record.state)), tuple(parts), failure)


def _write(path: Path, content: bytearray) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _us_since(began: float) -> int:
    return round((time.monotonic() - began) * 1e6)
