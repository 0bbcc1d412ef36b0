"""Migrations that leave this node: check, start, watch, cancel, resolve; at most one a guest.

A migration belongs to the daemon, not to the call that began it: whoever asked may go away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor

import structlog

from bmigd.errors import BmigError, Invalid, NotPossible, Taken, Unknown
from bmigd.guests.definition import Definition, parse_toml, render_toml
from bmigd.history import History
from bmigd.journal import Record
from bmigd.migration.check import Checked, check, require_allowed
from bmigd.migration.handoff import Outcome, SourceEvent, SourceState
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import (
    SOURCE,
    Event,
    Options,
    Picture,
    event_from_json,
    picture_from_json,
)
from bmigd.migration.ports import Peer
from bmigd.migration.recorder import Recorder
from bmigd.migration.settlement import Settlement
from bmigd.migration.source import Plan, SourceMigration

log = structlog.get_logger()

SHORTEST_PREFIX = 4
PEER_PROBE_S = 5.0

Dial = Callable[[str], Peer]


class Migrations:
    """This node's migrations."""

    def __init__(
        self, node: Node, ledger: Ledger, history: History, dial: Dial, executor: Executor
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._history = history
        self._dial = dial
        self._executor = executor
        self._recorders: dict[str, Recorder] = {}
        self._running: dict[str, SourceMigration] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()

    def record(self, picture: Picture) -> Recorder:
        """A recorder for a migration of either side."""
        recorder = Recorder(picture, self._save)
        self._recorders[picture.id] = recorder
        return recorder

    async def check(
        self, guest: str, destination: str, options: Options, requested_by: str
    ) -> Checked:
        """Run every precheck and change nothing."""
        definition = self._node.store.get(guest)
        peer = self._peer(destination)
        try:
            return await check(self._node, peer, definition, options, requested_by)
        except BmigError as error:
            raise await self._explained(error, peer, guest) from error
        finally:
            await peer.close()

    async def start(
        self, migration_id: str, guest: str, destination: str, options: Options, requested_by: str
    ) -> Picture:
        """Check, claim the guest, and let it run; returns at once then. Idempotent by id."""
        async with self._starting:
            if known := self._known(migration_id, guest, destination):
                return known
            definition = self._node.store.get(guest)
            self._node.claims.require_free(guest)
            checked = await self.check(guest, destination, options, requested_by)
            require_allowed(checked, definition)
            self._node.claims.take(guest, migration_id)
            try:
                record = await self._open(migration_id, definition, destination)
            except BaseException:
                self._node.claims.release(guest, migration_id)
                raise
            plan = Plan(definition, options, requested_by, checked, record)
            return self._launch(plan, destination)

    async def cancel(self, migration_id: str) -> Picture:
        """End it with the guest where it was; returns when it has ended."""
        picture = self.get(migration_id)
        migration, task = self._running.get(picture.id), self._tasks.get(picture.id)
        if picture.has_ended and picture.phase is Phase.ABORTED:
            return picture
        if migration is None or migration.has_let_go or task is None:
            raise NotPossible(
                "TOO_LATE",
                f"migration {picture.id} of guest {picture.guest} is {picture.ownership}:"
                " the guest was let go already",
                f"see `bmigctl show {picture.id}`; migrate the guest back if need be",
                guest=picture.guest,
                side=picture.side,
                location=f"on {picture.destination}" if picture.has_ended else "being handed over",
            )
        task.cancel()
        await asyncio.wait({task})
        return picture

    async def resolve(self, migration_id: str, confirm_guest: str, operator: str) -> Picture:
        """Run the guest here by an operator's word: the other host is gone for good."""
        picture = self.get(migration_id)
        record = await self._ledger.get(picture.id)
        if record is None or record.side != SOURCE or record.state != SourceState.LET_GO:
            raise NotPossible(
                "NOT_IN_DOUBT",
                f"migration {picture.id} is {picture.ownership} here: there is nothing to resolve",
                guest=picture.guest,
            )
        if confirm_guest != record.guest:
            raise Invalid(
                "CONFIRMATION_WRONG", f"the guest of migration {picture.id} has another name"
            )
        await self._require_silent(record)
        await self._end_task(picture.id)
        await self._ledger.note_resolution(picture.id, operator)
        record = await self._ledger.source(record, SourceEvent.RESOLVED, f"RESOLVED: by {operator}")
        recorder = self._recorders[picture.id]
        recorder.enter(Phase.ABORTING, f"{operator} decided that the guest runs here")
        settlement, definition = self._settlement(record, recorder)
        location = await settlement.bring_back(definition)
        settlement.finish_resolved(record, location, operator)
        return recorder.picture

    def get(self, migration_id: str) -> Picture:
        """By id or an unambiguous beginning; Unknown (MIGRATION_UNKNOWN)."""
        pictures = [picture for picture in self.all() if _matches(picture.id, migration_id)]
        if len(pictures) != 1:
            what = "no migration" if not pictures else f"{len(pictures)} migrations"
            raise Unknown(
                "MIGRATION_UNKNOWN",
                f"{self._node.name} knows {what} {migration_id!r}",
                "bmigctl list shows every migration",
            )
        return pictures[0]

    def all(self) -> list[Picture]:
        """Every migration, newest first."""
        live = {name: recorder.picture for name, recorder in self._recorders.items()}
        kept = [picture_from_json(content) for content in self._history.migrations()]
        older = [picture for picture in kept if picture.id not in live]
        return sorted([*live.values(), *older], key=lambda picture: -picture.started_at_ms)

    async def watch(self, migration_id: str, after: int) -> AsyncIterator[Event]:
        """Events until it has ended."""
        picture = self.get(migration_id)
        recorder = self._recorders.get(picture.id)
        if recorder:
            async for event in recorder.watch(after):
                yield event
            return
        for content in self._history.events(picture.id)[after:]:
            yield event_from_json(content)

    def settle_later(self, record: Record) -> None:
        """After a restart: go on asking about a guest that was let go."""
        self._node.claims.take(record.guest, record.id)
        recorder = self.record(self._recalled(record))
        recorder.picture.phase = Phase.HANDOFF
        settlement, definition = self._settlement(record, recorder)

        async def settle() -> None:
            await settlement.settle(record, definition, None)

        self._tasks[record.id] = asyncio.create_task(settle(), name=f"settle {record.id}")

    async def abort_after_restart(self, record: Record) -> None:
        """After a restart: a migration that had not let go ends with the guest here."""
        record = await self._ledger.source(
            record, SourceEvent.RESTARTED, "DAEMON_RESTARTED: the source's daemon was restarted"
        )
        recorder = self.record(self._recalled(record))
        recorder.picture.phase = Phase.ABORTING
        settlement, _ = self._settlement(record, recorder)
        await settlement.abort_after_restart(record)

    async def close(self) -> None:
        """End every migration that may still be ended; leave the others to the journal."""
        for migration_id in list(self._tasks):
            migration = self._running.get(migration_id)
            if migration and migration.has_let_go:
                continue
            await self._end_task(migration_id)

    async def _end_task(self, migration_id: str) -> None:
        task = self._tasks.get(migration_id)
        if task and not task.done():
            task.cancel()
            await asyncio.wait({task})

    def _launch(self, plan: Plan, destination: str) -> Picture:
        record = plan.record
        picture = Picture(
            id=record.id,
            guest=record.guest,
            source=self._node.name,
            destination=destination,
            side=SOURCE,
            epoch=record.epoch,
            requested_by=plan.requested_by,
            options=plan.options,
            ownership=record.state,
        )
        peer = self._peer(destination)
        migration = SourceMigration(
            plan, self._node, peer, self._ledger, self.record(picture), self._executor
        )

        async def run() -> None:
            try:
                await migration.run()
            finally:
                self._running.pop(record.id, None)
                await peer.close()

        self._running[record.id] = migration
        self._tasks[record.id] = asyncio.create_task(run(), name=f"migration {record.id}")
        return picture

    async def _open(self, migration_id: str, definition: Definition, destination: str) -> Record:
        epoch = await self._ledger.epoch(definition.name) + 1
        return await self._ledger.open(
            Record(
                id=migration_id,
                side=SOURCE,
                guest=definition.name,
                peer=destination,
                epoch=epoch,
                state=SourceState.MIGRATING.value,
                definition=render_toml(definition),
            )
        )

    def _known(self, migration_id: str, guest: str, destination: str) -> Picture | None:
        known = [picture for picture in self.all() if picture.id == migration_id]
        if not known:
            return None
        if (known[0].guest, known[0].destination) != (guest, destination):
            raise Taken(
                "ID_TAKEN",
                f"migration {migration_id} is of guest {known[0].guest} to {known[0].destination}",
                "use a new id",
            )
        return known[0]

    def _peer(self, destination: str) -> Peer:
        if destination == self._node.name:
            raise Invalid(
                "SAME_NODE", f"the guest is on {destination} already", "choose another node"
            )
        if destination not in self._node.config.nodes:
            raise Unknown(
                "NODE_UNKNOWN",
                f"{self._node.name} does not know node {destination!r}",
                f"add it to [nodes] in the configuration of {self._node.name}",
            )
        return self._dial(destination)

    async def _require_silent(self, record: Record) -> None:
        """NotPossible (PEER_ANSWERS) if the other host can be asked: then it must be."""
        peer = self._peer(record.peer)
        try:
            async with asyncio.timeout(PEER_PROBE_S):
                answer = await peer.query(record.id, record.epoch, record.peer_incarnation)
        except (BmigError, TimeoutError):
            return
        finally:
            await peer.close()
        if answer.outcome is not Outcome.UNKNOWN:
            raise NotPossible(
                "PEER_ANSWERS",
                f"{record.peer} answers ({answer.outcome.name}): it will be settled without you",
                "wait; bmigctl show tells when it is settled",
                guest=record.guest,
            )

    def _settlement(self, record: Record, recorder: Recorder) -> tuple[Settlement, Definition]:
        definition = parse_toml(record.definition)
        outgoing = self._node.driver(definition).outgoing(definition)
        peer = self._dial(record.peer)
        return Settlement(self._node, peer, self._ledger, recorder, outgoing), definition

    def _recalled(self, record: Record) -> Picture:
        for content in self._history.migrations():
            if content["id"] == record.id:
                picture = picture_from_json(content)
                picture.ownership = record.state
                return picture
        return Picture(
            id=record.id,
            guest=record.guest,
            source=self._node.name,
            destination=record.peer,
            side=SOURCE,
            epoch=record.epoch,
            requested_by="",
            options=Options(),
            ownership=record.state,
            started_at_ms=round(record.began_at * 1000),
        )

    async def _explained(self, error: BmigError, peer: Peer, guest: str) -> BmigError:
        if error.reason == "PEER_LOST":
            error.message += f": {await peer.explain(error)}"
        return error.about(guest=guest, location=f"on {self._node.name}, unchanged")

    def _save(self, method: str, *arguments: object) -> None:
        getattr(self._history, method)(*arguments)


def _matches(whole: str, wanted: str) -> bool:
    return whole == wanted or (len(wanted) >= SHORTEST_PREFIX and whole.startswith(wanted))
