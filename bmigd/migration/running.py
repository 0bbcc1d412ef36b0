"""Migrations that leave this node: check, start, watch, cancel, resolve; at most one a guest.

A migration belongs to the daemon, not to the call that began it: whoever asked may go away.
"""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Executor
from weakref import WeakValueDictionary

from bmigd.crashpoints import reach
from bmigd.errors import BmigError, LocalFault, NotPossible, Taken, Unknown
from bmigd.guests.definition import Definition, parse_toml, render_toml
from bmigd.journal import Record
from bmigd.migration import decided
from bmigd.migration.archive import Archive
from bmigd.migration.begun import surely_begun
from bmigd.migration.check import Checked, check, explained, require_allowed, require_other
from bmigd.migration.handoff import SourceState
from bmigd.migration.launched import launched
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, SOURCE, Options, Picture
from bmigd.migration.ports import Peer
from bmigd.migration.quota import Quota
from bmigd.migration.recorder import Recorder
from bmigd.migration.resolution import Resolution
from bmigd.migration.settlement import Settlement
from bmigd.migration.source import Plan, SourceMigration
from bmigd.migration.unwritten import Unwritten

Dial = Callable[[str], Peer]


class Migrations:
    """This node's migrations."""

    def __init__(
        self, node: Node, ledger: Ledger, archive: Archive, dial: Dial, executor: Executor
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._archive = archive
        self._dial = dial
        self._executor = executor
        self._running: dict[str, SourceMigration] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starts = Quota("TOO_MANY_STARTS", 512, 1.0, SOURCE)  # of an operator; each is kept
        self._starting = WeakValueDictionary[str, asyncio.Lock]()

    async def check(
        self, guest: str, destination: str, options: Options, requested_by: str
    ) -> Checked:
        """Run every precheck and change nothing."""
        definition = self._node.store.get(guest)
        peer = self._peer(destination)
        try:
            return await check(self._node, peer, definition, options, requested_by)
        except BmigError as error:
            raise await explained(error, peer, guest, self._node.name) from error
        finally:
            await peer.close()

    async def start(
        self, migration_id: str, guest: str, destination: str, options: Options, requested_by: str
    ) -> Picture:
        """Check, claim the guest, and let it run; returns at once then. Idempotent by id.

        A check may take long: no other guest waits for it.
        """
        async with self._one_start(f"id {migration_id}"), self._one_start(f"guest {guest}"):
            if known := await self._known(migration_id, guest, destination):
                return known
            definition = self._node.store.get(guest)
            self._node.claims.require_free(guest)
            checked = await self.check(guest, destination, options, requested_by)
            require_allowed(checked, definition)
            self._starts.take(requested_by)
            epoch = await self._ledger.epoch(definition) + 1
            self._node.claims.take(guest, migration_id)
            record = await self._open(
                Record(
                    id=migration_id,
                    side=SOURCE,
                    guest=guest,
                    peer=destination,
                    epoch=epoch,
                    state=SourceState.MIGRATING.value,
                    definition=render_toml(definition),
                ),
                requested_by,
            )
            plan = Plan(definition, options, requested_by, checked, record)
            return self._launch(plan, destination)

    def _one_start(self, of: str) -> asyncio.Lock:
        return self._starting.setdefault(of, asyncio.Lock())

    async def cancel(self, migration_id: str, operator: str) -> Picture:
        """End it with the guest where it was; returns when it has ended."""
        picture = await self._archive.find(migration_id)
        self._require_source(picture)
        migration, task = self._running.get(picture.id), self._tasks.get(picture.id)
        if picture.has_ended and picture.phase is Phase.ABORTED:
            return picture
        if picture.phase is Phase.COMPLETED:
            raise decided.moved(picture)
        self._require_not_back(picture)
        if migration is None or migration.has_let_go or task is None:
            raise decided.let_go(picture)
        advice = "migrate it again when you want to"
        why = NotPossible("CANCELLED", f"cancelled by {operator}", advice)
        await self._end_task(picture.id, why)
        return picture

    async def limit_bandwidth(self, migration_id: str, bytes_per_s: int, operator: str) -> Picture:
        """Change how fast it may send; NotPossible (MIGRATION_OVER, TOO_LATE)."""
        picture = await self._archive.find(migration_id)
        self._require_source(picture)
        migration = self._running.get(picture.id)
        recorder = migration.recorder if migration else None
        self._node.bandwidth.change(picture, recorder, bytes_per_s, operator)
        return picture

    async def resolve(self, migration_id: str, confirm_guest: str, operator: str) -> Picture:
        """Run the guest here by an operator's word: the other host is gone for good."""
        picture = await self._archive.find(migration_id)
        self._require_source(picture)
        resolution = Resolution(self._ledger, self._dial, picture, operator)
        if confirm_guest == picture.guest and await resolution.was_taken():
            return picture
        record = await resolution.require_possible(confirm_guest)
        await self._end_task(picture.id)
        recorder = self._archive.recorder(picture.id)
        settlement, definition, unwritten = self._settlement(record, recorder)
        try:
            record = await resolution.taken()  # it may have been answered meanwhile
            await settlement.resolve(record, definition, operator)
        except BmigError:
            if not recorder.picture.has_ended:  # decided or not: it goes on as the journal says
                going_on = unwritten.through(unwritten.again())
                self._keep_task(record.id, launched(going_on, record.id))
            raise
        return recorder.picture

    async def recover(self, record: Record) -> None:
        """After a restart: go on asking about a guest that was let go; end what had not let go, and
        do what is left of what is decided, now or when the journal can be written.
        """
        self._node.claims.take(record.guest, record.id)
        is_let_go = record.state in (SourceState.LET_GO, SourceState.RELEASED)
        phase = Phase.HANDOFF if is_let_go else Phase.ABORTING
        recorder = await self._archive.recall(record, phase)
        settlement, definition, unwritten = self._settlement(record, recorder)
        restarted = f"the daemon of {self._node.name} was restarted during the migration"
        why = LocalFault("DAEMON_RESTARTED", restarted, "migrate the guest again")
        work = settlement.go_on(record, definition, why)
        if record.state == SourceState.LET_GO:
            self._keep_task(record.id, launched(unwritten.through(work), record.id))
            return
        waiting = await unwritten.beside(work)
        if waiting and not is_let_go:
            self._node.claims.note_back(record.guest, record.id)
        if waiting:
            self._keep_task(record.id, waiting)

    async def close(self) -> None:
        """End every migration that may still be ended; leave the others to the journal."""
        for migration_id in list(self._tasks):
            migration = self._running.get(migration_id)
            if migration and migration.has_let_go:
                continue
            why = LocalFault(
                "DAEMON_STOPPED",
                f"bmigd on {self._node.name} was stopped",
                "migrate it again when that runs again",
            )
            await self._end_task(migration_id, why)

    async def _end_task(self, migration_id: str, why: BmigError | None = None) -> None:
        """Cancel it once, why it is asked for first, and wait until it has ended."""
        task = self._tasks.get(migration_id)
        if task and not task.done():
            if not task.cancelling():
                if migration := self._running.get(migration_id):
                    migration.cancelled = why
                task.cancel()
            await asyncio.wait({task})

    def _keep_task(self, migration_id: str, task: asyncio.Task[None]) -> None:
        """It is the migration's task from now on."""
        self._tasks[migration_id] = task

        def done(_: asyncio.Task[None]) -> None:
            if self._tasks.get(migration_id) is task:
                del self._tasks[migration_id]

        task.add_done_callback(done)

    def _launch(self, plan: Plan, destination: str) -> Picture:
        record = plan.record
        picture = self._archive.picture_of(record)
        picture.requested_by, picture.options = plan.requested_by, plan.options
        peer = self._peer(destination)
        migration = SourceMigration(
            plan, self._node, peer, self._ledger, self._archive.record(picture), self._executor
        )

        async def run() -> None:
            try:
                await migration.run()
            finally:
                self._running.pop(record.id, None)
                await peer.close()

        self._running[record.id] = migration
        self._keep_task(record.id, launched(run(), record.id))
        return picture

    async def _open(self, record: Record, requested_by: str) -> Record:
        reach("source.open")
        try:
            record = await self._ledger.open(record)
        except LocalFault as error:
            self._end_begun(record, requested_by, error)
            raise
        reach("source.opened")
        return record

    def _end_begun(self, record: Record, requested_by: str, error: LocalFault) -> None:
        """It ends when it can be written; the guest goes on, and is claimed until then."""
        recorder = self._archive.begun(record)
        recorder.picture.requested_by = requested_by
        settlement, definition, _ = self._settlement(record, recorder)

        async def again() -> None:
            there = await surely_begun(record, self._ledger)
            await settlement.go_on(there, definition, error)

        self._node.claims.note_back(record.guest, record.id)
        unwritten = Unwritten(recorder, self._node.name, again, f"on {self._node.name}")
        self._keep_task(record.id, unwritten.launch(error))

    def _require_not_back(self, picture: Picture) -> None:
        """NotPossible (TOO_LATE) where the guest goes on here already."""
        claims = self._node.claims
        if claims.holder(picture.guest) == picture.id and claims.is_back(picture.guest):
            raise decided.back(picture)

    def _require_source(self, picture: Picture) -> None:
        if picture.side != SOURCE:
            raise NotPossible(
                "NOT_THE_SOURCE",
                f"{self._node.name} is the destination of migration {picture.id}",
                f"ask {picture.source}, which the guest leaves",
                guest=picture.guest,
                side=DESTINATION,
            )

    async def _known(self, migration_id: str, guest: str, destination: str) -> Picture | None:
        """The migration of that id, if the journal has one: whatever history still knows."""
        record = await self._ledger.get(migration_id)
        if record is None:
            return None
        if (record.side, record.guest, record.peer) != (SOURCE, guest, destination):
            raise Taken(
                "ID_TAKEN",
                f"migration {migration_id} is another guest's, or goes elsewhere",
                "use a new id",
            )
        try:
            return await self._archive.find(migration_id)
        except Unknown:
            return self._archive.picture_of(record)

    def _peer(self, destination: str) -> Peer:
        require_other(destination, self._node.name, self._node.config.nodes)
        return self._dial(destination)

    def _settlement(
        self, record: Record, recorder: Recorder
    ) -> tuple[Settlement, Definition, Unwritten]:
        """What settles it, of which guest, and what that does while the journal fails."""
        definition = parse_toml(record.definition)
        outgoing = self._node.driver(definition).outgoing(definition)
        peer = self._dial(record.peer)
        settlement = Settlement(self._node, peer, self._ledger, recorder, outgoing, was_away=True)
        again = functools.partial(settlement.take_up, record, definition)
        places = {SourceState.LET_GO: "", SourceState.RELEASED: f"on {record.peer}"}
        location = places.get(SourceState(record.state), f"on {self._node.name}")
        unwritten = Unwritten(recorder, self._node.name, again, location)
        return settlement, definition, unwritten
