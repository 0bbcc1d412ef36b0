"""The destination's half: every reception of this node, by migration id and by whose it is.

A peer may only speak of migrations that it opened. What the journal does not know is refused for
good, unless the question is about another journal.
"""

import asyncio
import contextlib
from concurrent.futures import Executor
from weakref import WeakValueDictionary

import structlog

from bmigd.crashpoints import reach
from bmigd.errors import LocalFault, NotPossible, PeerLost, Unknown
from bmigd.guests.definition import Definition, parse_toml, render_toml
from bmigd.journal import Record
from bmigd.migration import decided
from bmigd.migration.acceptance import require_acceptable
from bmigd.migration.answers import Refusals, answer_of, over, require_owner
from bmigd.migration.archive import Archive, failure_in
from bmigd.migration.handoff import (
    DestinationState,
    Outcome,
    Request,
    is_for,
    on_lease_over,
    on_unknown,
)
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.onsite import running_us
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, Picture
from bmigd.migration.ports import Answer, Invitation, Welcome
from bmigd.migration.quota import Moderation
from bmigd.migration.reception import Reception
from bmigd.migration.recorder import Recorder
from bmigd.migration.taken import PHASES, Taken

log = structlog.get_logger()

COMMIT_WAIT_S = 30.0  # a commit answers TAKEN after this; the source asks again


class Destination:
    """Receptions of this node."""

    def __init__(self, node: Node, ledger: Ledger, archive: Archive, executor: Executor) -> None:
        self._node = node
        self._ledger = ledger
        self._archive = archive
        self._executor = executor
        self._receptions: dict[str, Reception] = {}
        self._refusals = Refusals()
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._accepting: list[str] = []  # sources, of what is not a reception yet
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._moderation = Moderation()

    async def receive(self, invitation: Invitation, source: str) -> Welcome:
        """Reserve and prepare; a repeated request gets the same answer."""
        if await self._ledger.get(invitation.migration_id) is None:
            await self._withdraw_earlier(invitation, source)  # it may be busy: not under the lock
        async with self._opened_once(invitation.migration_id):
            known = await self._ledger.get(invitation.migration_id)
            if known is None:
                reception = await self._accept(invitation, source)
        if known is not None:
            return await self._again(known, invitation, source)
        await reception.prepare(invitation.hash_seed, asks_for_memory=invitation.asks_for_memory)
        if invitation.until_ready:
            await reception.until_ready()
        return reception.welcome(self._ledger.incarnation)

    async def _accept(self, invitation: Invitation, source: str) -> Reception:
        guest = invitation.definition.name
        if invitation.migration_id in self._receptions:  # begun, and not written yet
            raise LocalFault("JOURNAL_UNWRITABLE", f"{self._node.name} waits for its journal")
        peers = [*self._accepting, *(one.record.peer for one in self._receptions.values())]
        self._moderation.require_few(source, peers.count(source))
        self._node.claims.take(guest, invitation.migration_id)
        self._accepting.append(source)
        try:
            await require_acceptable(self._node, self._ledger, invitation)
            definition, migration_id = invitation.definition, invitation.migration_id
            needed = self._node.driver(definition).room(definition)
            self._node.room.promise(migration_id, needed, self._node.name, definition)
            return await self._open(invitation, source)
        except BaseException:
            if invitation.migration_id not in self._receptions:
                self._forget(invitation.migration_id, guest)
            raise
        finally:
            self._accepting.remove(source)

    def _opened_once(self, migration_id: str) -> asyncio.Lock:
        """Whether a migration is opened or unknown is decided once; others do not wait for it."""
        return self._opening.setdefault(migration_id, asyncio.Lock())

    async def cancel(self, picture: Picture, operator: str) -> None:
        """Refuse a guest by an operator's word, unless it was taken."""
        if reception := self._receptions.get(picture.id):
            await reception.abort(NotPossible("CANCELLED", f"{operator} cancelled it here"))
        if picture.phase is Phase.COMPLETED:
            raise decided.moved(picture)
        if picture.phase is not Phase.ABORTED:
            raise NotPossible(
                *("TOO_LATE", f"migration {picture.id} is {picture.ownership} here"),
                *("stop the guest, or migrate it back", picture.guest, DESTINATION),
            )

    def earlier(self, guest: str, source: str) -> Reception | None:
        """What that source left here of an earlier try with the guest, and may begin anew.

        A source has one migration of a guest at a time: one that could not tell us that it gave up
        need not wait for the lease to end.
        """
        reception = self._receptions.get(self._node.claims.holder(guest))
        if reception and reception.record.peer == source and on_lease_over(reception.state):
            return reception
        return None

    async def reception(self, migration_id: str, epoch: int, source: str) -> Reception:
        """A live reception; Busy (MIGRATION_OVER), Denied (WRONG_PEER), Invalid (STALE_EPOCH)."""
        reception = self._receptions.get(migration_id)
        if reception is None:
            if record := await self._ledger.get(migration_id):
                require_owner(record, epoch, source)
            raise self._refusals.why_over(migration_id, source)
        require_owner(reception.record, epoch, source)
        return reception

    async def commit(self, migration_id: str, epoch: int, source: str, incarnation: str) -> Answer:
        """Take the guest; answers when it runs, was given back, or after a while TAKEN."""
        reception = self._live(migration_id, epoch, source, incarnation)
        if reception is None:
            return await self._settled_answer(
                *(Request.COMMIT, migration_id, epoch, source, incarnation)
            )
        await reception.commit()
        if reception.starting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_WAIT_S):
                    await asyncio.shield(reception.starting)
        return await reception.answer()

    async def abort(
        self, migration_id: str, epoch: int, source: str, incarnation: str, why: str
    ) -> Answer:
        """Withdraw, unless it was taken."""
        reception = self._live(migration_id, epoch, source, incarnation)
        if reception is not None:
            await reception.abort(PeerLost("ABORTED_BY_SOURCE", f"{source} ended it: {why}"))
        return await self.query(migration_id, epoch, source, incarnation)

    async def query(self, migration_id: str, epoch: int, source: str, incarnation: str) -> Answer:
        """What the journal says."""
        reception = self._live(migration_id, epoch, source, incarnation)
        if reception is not None:
            reception.touch()
            return await reception.answer()
        return await self._settled_answer(
            *(Request.QUERY, migration_id, epoch, source, incarnation)
        )

    async def keep_leases(self) -> None:
        """Refuse receptions whose source has been silent for a lease. Runs until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._node.config.migration.lease_s / 4))
            for reception in list(self._receptions.values()):
                if reception.is_lease_over and reception.record.id not in self._ending:
                    # Each for itself: one that is busy keeps no other waiting.
                    task = asyncio.create_task(self._end_lease(reception))
                    self._ending[reception.record.id] = task

    async def _end_lease(self, reception: Reception) -> None:
        try:
            silence = f"{reception.record.peer} was silent for a whole lease"
            await reception.end_lease(PeerLost("LEASE_OVER", silence))
        except Exception as error:  # noqa: BLE001 - tried again at the next look
            log.error("lease", migration=reception.record.id, error=str(error))
        finally:
            del self._ending[reception.record.id]

    async def close(self) -> None:
        """Wait for guests that are being started; leave the rest to the next start's recovery."""
        receptions = self._receptions.values()
        while starting := [one.starting for one in receptions if one.starting and one.is_starting]:
            await asyncio.wait(starting, timeout=1.0)  # one that comes to wait is not waited for

    async def adopt(self, record: Record) -> Reception:
        """A reception of the journal, after a restart."""
        definition = parse_toml(record.definition)
        self._node.claims.take(definition.name, record.id)
        driver = self._node.driver(definition)
        self._node.room.promised[record.id] = driver.room(definition)
        phase = PHASES.get(DestinationState(record.state), Phase.HANDOFF)
        return self._add(record, definition, await self._archive.recall(record, phase))

    async def _open(self, invitation: Invitation, source: str) -> Reception:
        record = Record(
            id=invitation.migration_id,
            side=DESTINATION,
            guest=invitation.definition.name,
            peer=source,
            epoch=invitation.epoch,
            state=DestinationState.RECEIVING.value,
            peer_incarnation=invitation.journal_incarnation,
            definition=render_toml(invitation.definition),
        )
        reach("destination.open")
        try:
            record = await self._ledger.open(record)
        except LocalFault as error:
            self._add(record, invitation.definition, self._archive.begun(record)).end_begun(error)
            raise
        reach("destination.opened")
        picture = self._archive.picture_of(record)
        picture.requested_by = invitation.requested_by
        picture.progress.memory_bytes = invitation.definition.memory_bytes
        return self._add(record, invitation.definition, self._archive.record(picture))

    def _add(self, record: Record, definition: Definition, recorder: Recorder) -> Reception:
        reception = Reception(
            *(record, definition, self._node, self._ledger, recorder),
            *(self._executor, self._over),
        )
        reception.touch()
        self._receptions[record.id] = reception
        return reception

    async def _again(self, record: Record, invitation: Invitation, source: str) -> Welcome:
        """The same answer once more, as long as the migration goes on here."""
        require_owner(record, invitation.epoch, source)
        live = self._receptions.get(record.id)
        if live is None or not await live.is_prepared():
            raise over(await self._ledger.get(record.id) or record, self._node.name)
        if invitation.until_ready:
            await live.until_ready()
        return live.welcome(self._ledger.incarnation)

    async def _withdraw_earlier(self, invitation: Invitation, source: str) -> None:
        earlier, anew = self.earlier(invitation.definition.name, source), invitation.migration_id
        if earlier and earlier.record.id != anew and earlier.record.epoch <= invitation.epoch:
            why = f"{source} began anew as {anew}"
            await earlier.abort(PeerLost("ABORTED_BY_SOURCE", why))

    def _live(
        self, migration_id: str, epoch: int, source: str, incarnation: str
    ) -> Reception | None:
        reception = self._receptions.get(migration_id)
        if reception is None or not is_for(incarnation, self._ledger.incarnation):
            return None
        require_owner(reception.record, epoch, source)
        return reception

    async def _settled_answer(
        self, request: Request, migration_id: str, epoch: int, source: str, incarnation: str
    ) -> Answer:
        """Of a migration that is not live: what the journal says, or refused from now on."""
        if not is_for(incarnation, self._ledger.incarnation):
            return Answer(Outcome.UNKNOWN)
        async with self._opened_once(migration_id):
            record = await self._ledger.get(migration_id)
            if record is not None:
                require_owner(record, epoch, source)
                return await self._as_told_before(record)
            verdict = on_unknown(request, incarnation, self._ledger.incarnation)
            if not verdict.journalled:
                return Answer(verdict.outcome)
            self._moderation.unknown.take(source)
            record = await self._ledger.open(
                Record(
                    *(migration_id, DESTINATION, "", source, epoch),
                    *(DestinationState.REFUSED.value, "", ""),
                    why="MIGRATION_UNKNOWN: it was never opened here",
                )
            )
            return answer_of(record, failure_in(record, self._node.name))

    async def _as_told_before(self, record: Record) -> Answer:
        """The outcome is the journal's; its details are history's, where that still has them."""
        try:
            picture = await self._archive.find(record.id)
        except Unknown:
            return answer_of(record, failure_in(record, self._node.name))
        failure = picture.failure or failure_in(record, self._node.name)
        running_for_us = await running_us(self._node, record)
        return answer_of(record, failure, picture.report.downtime_parts, running_for_us)

    def _over(self, reception: Taken) -> None:
        if reception.failure:
            self._refusals.note(reception.record, reception.failure)
        self._forget(reception.record.id, reception.definition.name)

    def _forget(self, migration_id: str, guest: str) -> None:
        self._receptions.pop(migration_id, None)
        self._node.room.promised.pop(migration_id, None)
        self._node.claims.release(guest, migration_id)
