"""The source's half of a migration: one method for each phase, in their order.

Rules that must not break:
- Until LET_GO is journalled, any failure, cancellation included, ends with the guest running here
  (retreat.py).
- LET_GO is journalled only after the other node said that everything is there and equal.
- From then on this file only asks (inquiry.py); it never resumes by itself.
"""

import asyncio
import secrets
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import structlog

from bmigd.crashpoints import reach
from bmigd.drivers.base import Memory, OutgoingGuest, Suspended
from bmigd.errors import BmigError, LocalFault, PeerLost
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.blackout import MEMORY, Blackout
from bmigd.migration.check import Checked, warn
from bmigd.migration.handoff import may_let_go
from bmigd.migration.handover import Handover
from bmigd.migration.inviting import Inviting
from bmigd.migration.known import know
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.onsite import unless_it_stops
from bmigd.migration.outage import Outage
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE, Options, Part
from bmigd.migration.ports import Answer, Delivery, Invitation, Peer, Receipt, Welcome
from bmigd.migration.recorder import Recorder, us_since
from bmigd.migration.retreat import Retreat
from bmigd.migration.rounds import Rounds
from bmigd.migration.sending import make_sender
from bmigd.migration.silence import Silences, again_while_lost, keeping_lease, unless_silent
from bmigd.migration.standstill import Standstill
from bmigd.migration.throttle import Throttle
from bmigd.migration.tracking import Tracking, begin
from bmigd.transfer.lane import Patience
from bmigd.transfer.pages import PageTable
from bmigd.transfer.sender import Sender

log = structlog.get_logger()


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
    cancelled: BmigError | None = None  # why it is, said by who cancels the task that runs it
    _parts: list[Part] = field(default_factory=list)
    _memory: Memory | None = None
    _standstill: Standstill | None = None
    _sender: Sender | None = None
    _down_since: float = 0.0
    _rounds: Rounds | None = None
    _tracking: Tracking | None = None
    _inviting: Inviting | None = None
    _lease_s: float = 0.0
    _unmapping: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        definition = self.plan.definition
        self._outgoing: OutgoingGuest = self.node.driver(definition).outgoing(definition)
        self._throttle = Throttle(self._outgoing, self.recorder)
        self._cost = self.node.cost(definition, self.peer.name)
        self._limits = self.node.config.migration
        self._record = self.plan.record
        self._seed = secrets.randbits(64)
        self._silences = Silences(self.recorder)
        self._outage = Outage(self.recorder, self.plan.options.probe_address)
        self._waiting_for = ""  # in the blackout, in words

    async def run(self) -> None:
        """Migrate the guest, or leave it running here and record why."""
        try:
            if await self._until_ready():
                self.has_let_go = True  # from here on no failure may resume the guest
                await asyncio.shield(self._handover().run())
        finally:
            await asyncio.shield(self._close())

    async def _until_ready(self) -> bool:
        """Everything before the guest is let go; False if it was brought back instead."""
        try:
            sender = await self._prepare()
            await self._precopy(sender)
            await self._switch_over(sender)
        except BaseException as error:
            await asyncio.shield(self._retreat(error))
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
            return False
        return True

    async def _prepare(self) -> Sender:
        """The destination reserves name, memory and spool."""
        plan, checked = self.plan, self.plan.checked
        self.recorder.enter(Phase.PREPARING, f"{self.peer.name} reserves room for the guest")
        warn(checked, self.recorder)
        self._memory = await self._outgoing.open()
        invitation = Invitation(
            migration_id=self._record.id,
            epoch=self._record.epoch,
            definition=plan.definition,
            regions=self._memory.regions,
            protocol_version=checked.protocol_version,
            journal_incarnation=self.ledger.incarnation,
            requested_by=plan.requested_by,
            hash_seed=self._seed,
            driver_build=checked.source.driver.build,
            asks_for_memory=True,
        )
        self._inviting = Inviting(self.peer, self._silences, invitation)
        welcome = await self._inviting.room()
        reach("source.meet_peer")
        self._record = await self.ledger.meet_peer(self._record, welcome.journal_incarnation)
        reach("source.met_peer")
        self._lease_s = welcome.lease_s
        sizes_bytes = [region.size_bytes for region in self._memory.regions]
        table = await asyncio.to_thread(PageTable, sizes_bytes, self._seed)  # it may be large
        sender = self._sender = self._make_sender(welcome, table)
        wish, compares = plan.options.tracker, welcome.has_memory
        self._tracking = await begin(self._outgoing, wish, table, compares=compares)
        if welcome.has_memory:
            words = await know(self.peer, self._record, sender.table, self._silences)
            self.recorder.event("decision", words)
        return sender

    async def _precopy(self, sender: Sender) -> None:
        """Rounds while the guest runs, until switching over is worth it."""
        assert self._memory
        assert self._tracking
        assert self._inviting
        self.recorder.enter(Phase.PRECOPY, "memory is copied while the guest runs")
        definition, options = self.plan.definition, self.plan.options
        tracker = self._tracking.tracker
        self.recorder.event("decision", f"tracker {tracker.name}: {self._tracking.why}")
        of = (sender, tracker, self.recorder, options, self._cost, self._throttle)
        rounds = self._rounds = Rounds(*of)
        async with keeping_lease(self._ask, min(self._lease_s / 4, self._limits.peer_timeout_s)):
            with self.node.bandwidth.shared(self.recorder, sender.limit):
                patience_s = (sender.patience.reconnect_s, options.copying_limit_s)
                copying = self._inviting.beside(partial(rounds.precopy, self._memory), *patience_s)
                await unless_it_stops(self._outgoing, definition.name, copying)
            await self._tracking.ready()  # nobody's start is waited for with the guest down

    async def _switch_over(self, sender: Sender) -> None:
        """The guest goes down, and up again here if the other node is silent meanwhile."""
        await self._outage.begin()
        self.recorder.enter(Phase.SWITCHOVER, "the guest goes down")
        await self._throttle.end()  # not before: it would dirty more than was estimated
        self._down_since = time.monotonic()
        self._silences.guest_down = True
        silence_s = self._limits.blackout_silence_s
        sender.be_as_patient_as(Patience(silence_s, silence_s))
        await unless_silent(self._black_out(sender), self._ask, silence_s, self._silent)

    def _silent(self, since_s: float) -> PeerLost:
        self._silences.lost(self._waiting_for, since_s, again=False)
        return PeerLost(
            "PEER_LOST",
            f"{self.peer.name} was silent for {time.monotonic() - since_s:.1f} s while the guest"
            f" was down (waited for: {self._waiting_for})",
        )

    async def _ask(self) -> Answer:
        record = self._record
        return await self.peer.query(record.id, record.epoch, record.peer_incarnation)

    async def _black_out(self, sender: Sender) -> None:
        """Last pass, device state, and the other node's READY."""
        self._waiting_for = "sign of life during the suspend"
        assert self._memory
        assert self._rounds
        what = (self._outgoing, self._memory, self._rounds)
        standstill = self._standstill = Standstill(*what, self._before_copy)
        suspended = await standstill.run()
        assert self._tracking
        self._unmapping = asyncio.create_task(self._tracking.unmap())  # not for the guest to wait
        self._down_since += suspended.ran_on_us / 1e6
        last_pass_us = us_since(standstill.suspended_at_s)
        self._note_parts({**suspended.parts_us, MEMORY: last_pass_us})
        began = time.monotonic()
        root = await asyncio.get_running_loop().run_in_executor(self.executor, sender.table.root)
        receipt = await self._deliver(root, suspended)
        theirs_us = sum(part.duration_us for part in receipt.parts)
        self._note_parts({"state transfer": max(0, us_since(began) - theirs_us)})
        self._parts += receipt.parts
        report = self.recorder.picture.report
        report.source_memory_root, report.verified = root.hex(), self.plan.options.verify
        report.destination_memory_root = receipt.memory_root.hex()
        report.spent += receipt.spent
        if not may_let_go(root, receipt.memory_root):
            raise LocalFault("MEMORY_DIFFERS", f"{self.peer.name} has other memory than was sent")

    def _before_copy(self) -> None:
        self._waiting_for = "acknowledgement of memory"

    def _handover(self) -> Handover:
        return Handover(
            *(self.plan.definition, self.node, self.peer, self.ledger, self.recorder),
            *(self._outgoing, self._record),
            Blackout(self._parts, self._down_since, self._outage, self._cost),
        )

    async def _retreat(self, error: BaseException) -> None:
        """The guest runs here again, then everybody is told."""
        self._silences.given_up()
        await self._throttle.end()
        await self._unmap()
        retreat = Retreat(
            *(self.plan.definition, self.node, self.peer, self.ledger, self.recorder),
            *(self._outgoing, self._record, self._down_since),
        )
        await retreat.run(error if isinstance(error, Exception) else self.cancelled or error)

    async def _deliver(self, root: bytes, suspended: Suspended) -> Receipt:
        """READY; a peer that answers questions may work for long, but not without a bound."""
        self._waiting_for = "answer to DeliverState"
        limit_s = self._limits.blackout_limit_s
        delivery = Delivery(
            *(self._record.id, self._record.epoch, root),
            *(suspended.files, self.plan.options.verify),
        )
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit_s):
                return await again_while_lost(
                    lambda: self.peer.deliver(delivery),
                    *(self._silences, self._waiting_for, limit_s),
                )
        except TimeoutError as error:
            self._silences.lost(self._waiting_for, began, again=False)
            raise PeerLost(
                "PEER_LOST",
                f"{self.peer.name} answers, but did not take memory and state over within"
                f" {limit_s:g} s",
            ) from error

    def _make_sender(self, welcome: Welcome, table: PageTable) -> Sender:
        return make_sender(
            *(self._record, self.plan.options, self.plan.checked, welcome, self._limits),
            peer=self.peer,
            table=table,
            executor=self.executor,
            silences=self._silences,
            on_progress=self._sample,
        )

    def _sample(self) -> None:
        if self._rounds:
            self._rounds.sample()

    def _note_parts(self, parts_us: dict[str, int]) -> None:
        self._parts += [Part(name, SOURCE, spent) for name, spent in parts_us.items()]

    async def _unmap(self) -> None:
        if self._tracking:
            await (self._unmapping or self._tracking.unmap())
        last = self._standstill.memory if self._standstill else None
        for memory in filter(None, (last, self._memory)):
            try:
                await asyncio.to_thread(memory.close)  # a file that is gone is freed by that
            except BufferError as error:  # somebody reads it still: that costs room, not the guest
                log.error("memory is still mapped", migration=self._record.id, error=str(error))

    async def _close(self) -> None:
        self._outage.close()
        if self._tracking:
            await self._tracking.end()
        if self._sender:
            await self._sender.close()
        await self._unmap()
