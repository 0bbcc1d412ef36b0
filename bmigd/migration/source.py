"""The source's half of a migration: one method for each phase, in their order.

Rules that must not break:
- Until LET_GO is journalled, any failure, cancellation included, ends with the guest running here,
  resumed before the other node is told anything.
- LET_GO is journalled only after the other node said that everything is there and equal.
- From then on this file only asks (settlement.py); it never resumes by itself.
"""

import asyncio
import secrets
import time
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import structlog

from bmigd.chunk import CodecId
from bmigd.drivers.base import Memory, OutgoingGuest, Suspended
from bmigd.errors import BmigError, LocalFault, NotPossible, PeerLost
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.check import Checked
from bmigd.migration.handoff import SourceEvent
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE, Options, Part, failure_of
from bmigd.migration.ports import Delivery, Invitation, Peer
from bmigd.migration.recorder import Recorder
from bmigd.migration.rounds import Rounds
from bmigd.migration.settlement import Settlement
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.pages import PageTable
from bmigd.transfer.sender import Patience, Sender
from bmigd.transfer.tracker import ContentTracker

log = structlog.get_logger()

TELL_ABORT_S = 5.0  # telling a peer that may be dead; its lease frees it anyway
BLACKOUT_SILENCE_S = 2.0
BLACKOUT_LIMIT_S = 60.0  # for the other node to check and load everything while the guest is down


@dataclass
class Plan:
    """A migration as it was asked for and checked."""

    definition: Definition
    options: Options
    requested_by: str
    checked: Checked
    record: Record


@dataclass
class SourceMigration:
    """One migration away from this node. Run it once."""

    plan: Plan
    node: Node
    peer: Peer
    ledger: Ledger
    recorder: Recorder
    executor: Executor
    has_let_go: bool = False
    _parts: list[Part] = field(default_factory=list)
    _memory: Memory | None = None
    _suspended: Suspended | None = None
    _sender: Sender | None = None
    _down_since: float = 0.0
    _touched: bool = False
    _rounds: Rounds | None = None

    def __post_init__(self) -> None:
        definition = self.plan.definition
        self._outgoing: OutgoingGuest = self.node.driver(definition).outgoing(definition)
        self._record = self.plan.record
        self._seed = secrets.randbits(64)

    async def run(self) -> None:
        """Migrate the guest, or leave it running here and record why."""
        try:
            if await self._until_ready():
                # Outside its try: the record may be durable even if writing it raises, so from
                # here on no failure may resume the guest.
                await asyncio.shield(self._hand_off())
        finally:
            await asyncio.shield(self._close())

    async def _until_ready(self) -> bool:
        """Everything before the guest is let go; False if it was brought back instead."""
        try:
            sender = await self._prepare()
            await self._precopy(sender)
            await self._switch_over(sender)
        except BaseException as error:
            await asyncio.shield(self._abort(error))
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
            return False
        return True

    async def _prepare(self) -> Sender:
        """The destination reserves name, memory and spool."""
        plan, checked = self.plan, self.plan.checked
        self.recorder.enter(Phase.PREPARING, f"{self.peer.name} reserves room for the guest")
        self._memory = await self._outgoing.open()
        welcome = await self.peer.receive(
            Invitation(
                migration_id=self._record.id,
                epoch=self._record.epoch,
                definition=plan.definition,
                regions=self._memory.regions,
                protocol_version=checked.protocol_version,
                journal_incarnation=self.ledger.incarnation,
                requested_by=plan.requested_by,
                hash_seed=self._seed,
                driver_build=checked.source.driver.build,
            )
        )
        self._record = await self.ledger.meet_peer(self._record, welcome.journal_incarnation)
        return self._make_sender(min(welcome.window_chunks, self._limits.window_chunks))

    async def _precopy(self, sender: Sender) -> None:
        """Rounds while the guest runs, until switching over is worth it."""
        assert self._memory
        self.recorder.enter(Phase.PRECOPY, "memory is copied while the guest runs")
        driver = self.node.driver(self.plan.definition)
        rounds = Rounds(
            sender,
            ContentTracker(sender.table),
            self.recorder,
            self.plan.options,
            driver.fixed_downtime_s(self.plan.definition.memory_bytes),
        )
        self._rounds = rounds
        await self._unless_guest_stops(rounds.precopy(self._memory))

    async def _switch_over(self, sender: Sender) -> None:
        """The guest goes down: last pass, device state, and the other node's READY."""
        self.recorder.enter(Phase.SWITCHOVER, "the guest goes down")
        self._touched = True
        self._down_since = time.monotonic()
        suspended = self._suspended = await self._outgoing.suspend()
        self._note_parts(suspended.parts_us)
        assert self._rounds
        sender.patience = Patience(BLACKOUT_SILENCE_S, 2 * BLACKOUT_SILENCE_S)
        began = time.monotonic()
        await self._rounds.last_pass(suspended.memory)
        self._note_parts({"last pass": _us_since(began)})
        began = time.monotonic()
        root = await asyncio.get_running_loop().run_in_executor(self.executor, sender.table.root)
        receipt = await self._bounded(
            self.peer.deliver(
                Delivery(
                    self._record.id,
                    self._record.epoch,
                    root,
                    suspended.files,
                    self.plan.options.verify,
                )
            )
        )
        theirs_us = sum(part.duration_us for part in receipt.parts)
        self._note_parts({"state transfer": max(0, _us_since(began) - theirs_us)})
        self._parts += receipt.parts
        report = self.recorder.picture.report
        report.source_memory_root, report.verified = root.hex(), self.plan.options.verify
        report.destination_memory_root = receipt.memory_root.hex()
        if receipt.memory_root != root:
            raise LocalFault("MEMORY_DIFFERS", f"{self.peer.name} has other memory than was sent")

    async def _hand_off(self) -> None:
        """Let the guest go, and settle with the other node what became of it."""
        self.has_let_go = True
        began = time.monotonic()
        self._record = await self.ledger.source(self._record, SourceEvent.PEER_READY)
        self.recorder.picture.ownership = self._record.state
        self._note_parts({"let go": _us_since(began)})
        self.recorder.enter(Phase.HANDOFF, f"the guest was let go to {self.peer.name}")
        settlement = Settlement(self.node, self.peer, self.ledger, self.recorder, self._outgoing)
        await settlement.settle(self._record, self.plan.definition, (self._parts, self._down_since))

    async def _abort(self, error: BaseException) -> None:
        """The guest runs here again, then everybody is told."""
        recorder, name = self.recorder, self.node.name
        error = NotPossible("CANCELLED", "cancelled by an operator") if _is_cancel(error) else error
        recorder.enter(Phase.ABORTING, f"the guest goes on here: {error}")
        location = f"on {name}, never stopped"
        if self._touched:
            location, error = await self._resume(error)
        why = str(error)
        try:
            self._record = await self.ledger.source(self._record, SourceEvent.FAILED, why)
            recorder.picture.ownership = self._record.state
        except BmigError as unwritten:  # a restart aborts it again
            log.error("journal", migration=self._record.id, error=str(unwritten))
        await self._tell_abort(why)
        self.node.claims.release(self.plan.definition.name, self._record.id)
        failure = failure_of(error, SOURCE, location)
        if isinstance(error, PeerLost):
            failure = failure_of(await self._explained(error), SOURCE, location)
        recorder.end(Phase.ABORTED, f"{failure.reason}: {failure.message}", failure)

    async def _resume(self, error: BaseException) -> tuple[str, BaseException]:
        """Bring the guest back; where it is then, and the error worth telling."""
        name = self.node.name
        self._drop_suspended()
        try:
            await self._outgoing.resume()
        except BmigError as worse:
            log.error("resume failed", guest=self.plan.definition.name, error=str(worse))
            if worse.reason == "GUEST_RESTARTED":
                return f"on {name}, started afresh", worse
            return f"down on {name}; its state is kept in the spool", worse
        self.recorder.picture.report.downtime_us = _us_since(self._down_since)
        power = await self.node.driver(self.plan.definition).power(self.plan.definition.name)
        return (f"running on {name}" if power.is_running else f"stopped on {name}"), error

    async def _tell_abort(self, why: str) -> None:
        record = self._record
        try:
            async with asyncio.timeout(TELL_ABORT_S):
                await self.peer.abort(record.id, record.epoch, record.peer_incarnation, why)
        except (BmigError, TimeoutError) as error:
            log.warning("peer not told", migration=record.id, peer=self.peer.name, error=str(error))

    async def _explained(self, error: PeerLost) -> PeerLost:
        words = await self.peer.explain(error)
        return PeerLost(error.reason, f"{error.message}: {words}", error.advice)

    async def _unless_guest_stops(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, or raise as soon as the guest stops or reboots by itself."""
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._outgoing.watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                raise NotPossible(
                    "GUEST_STOPPED",
                    f"guest {self.plan.definition.name} is no longer the one that was being"
                    f" copied: {watching.result()}",
                    "migrate it again when it runs",
                )
            await working
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _bounded(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Work of the other node in the blackout; its silence ends in rollback."""
        try:
            async with asyncio.timeout(BLACKOUT_LIMIT_S):
                return await work
        except TimeoutError as error:
            silence = f"{self.peer.name} did not finish within {BLACKOUT_LIMIT_S:g} s"
            raise PeerLost("PEER_LOST", silence) from error

    @property
    def _limits(self) -> Any:
        return self.node.config.migration

    def _make_sender(self, window_chunks: int) -> Sender:
        options, limits = self.plan.options, self._limits
        assert self._memory
        table = PageTable([region.size_bytes for region in self._memory.regions], self._seed)
        self._sender = Sender(
            migration_id=self._record.id,
            epoch=self._record.epoch,
            open_stream=self.peer.open_stream,
            table=table,
            encoder=Encoder(CodecId(options.codec) if options.codec else None),
            pacer=Pacer(options.bandwidth_limit_bytes_per_s),
            window_chunks=window_chunks,
            patience=Patience(limits.peer_timeout_s, limits.reconnect_s),
            executor=self.executor,
            on_progress=self._sample,
        )
        return self._sender

    def _sample(self) -> None:
        if self._rounds:
            self._rounds.sample()

    def _note_parts(self, parts_us: dict[str, int]) -> None:
        self._parts += [Part(name, SOURCE, spent) for name, spent in parts_us.items()]

    def _drop_suspended(self) -> None:
        if self._suspended:
            self._suspended.memory.close()
            self._suspended = None

    async def _close(self) -> None:
        if self._sender:
            await self._sender.close()
        self._drop_suspended()
        if self._memory:
            self._memory.close()


def _is_cancel(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


def _us_since(began: float) -> int:
    return round((time.monotonic() - began) * 1e6)
