"""The destination's half: every reception of this node, by migration id and by whose it is.

A peer may only speak of migrations that it opened. What the journal does not know is refused for
good, unless the question is about another journal.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor

import structlog

from bmigd.chunk import Chunk
from bmigd.drivers.base import Driver
from bmigd.errors import Busy, Denied, Invalid, NotPossible, PeerLost
from bmigd.guests.definition import Definition, parse_toml, render_toml
from bmigd.journal import Record
from bmigd.migration.handoff import DestinationState, Outcome, on_unknown
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION, Failure, Options, Picture
from bmigd.migration.ports import PROTOCOL_VERSIONS, Answer, Invitation, Receipt, Welcome
from bmigd.migration.reception import Reception, StateHeader, answer_of
from bmigd.migration.recorder import Recorder

log = structlog.get_logger()

COMMIT_WAIT_S = 30.0  # a commit answers TAKEN after this; the source asks again

MakeRecorder = Callable[[Picture], Recorder]


class Destination:
    """Receptions of this node."""

    def __init__(
        self, node: Node, ledger: Ledger, make_recorder: MakeRecorder, executor: Executor
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._make_recorder = make_recorder
        self._executor = executor
        self._receptions: dict[str, Reception] = {}
        self._opening = asyncio.Lock()

    async def receive(self, invitation: Invitation, source: str) -> Welcome:
        """Reserve and prepare; a repeated request gets the same answer."""
        async with self._opening:
            record = await self._ledger.get(invitation.migration_id)
            if record is not None:
                return self._again(record, invitation, source)
            await self._require_acceptable(invitation)
            self._node.claims.take(invitation.definition.name, invitation.migration_id)
            try:
                driver = self._node.driver(invitation.definition)
                self._require_room(invitation, driver)
                reception = await self._open(invitation, source)
            except BaseException:
                self._forget(invitation.migration_id, invitation.definition.name)
                raise
        await reception.prepare(invitation.hash_seed)
        return self._welcome()

    def reception(self, migration_id: str, epoch: int, source: str) -> Reception:
        """A live reception; Busy (MIGRATION_OVER), Denied (WRONG_PEER)."""
        reception = self._receptions.get(migration_id)
        if reception is None:
            raise Busy("MIGRATION_OVER", f"migration {migration_id} is not under way here")
        _require_owner(reception.record, epoch, source)
        return reception

    async def apply(self, reception: Reception, stream: object, chunk: Chunk) -> None:
        """Write one chunk."""
        await reception.apply(stream, chunk)

    async def deliver(
        self, reception: Reception, header: StateHeader, parts: AsyncIterator[tuple[int, bytes]]
    ) -> Receipt:
        """Device state and root."""
        return await reception.deliver(header, parts)

    async def commit(self, migration_id: str, epoch: int, source: str) -> Answer:
        """Take the guest; answers when it runs, was given back, or after a while TAKEN."""
        reception = self._receptions.get(migration_id)
        if reception is None:
            return await self._settled_answer(migration_id, epoch, source, "")
        _require_owner(reception.record, epoch, source)
        await reception.commit()
        if reception.starting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_WAIT_S):
                    await asyncio.shield(reception.starting)
        return answer_of(reception.record, reception.failure, reception.parts)

    async def abort(
        self, migration_id: str, epoch: int, source: str, incarnation: str, why: str
    ) -> Answer:
        """Withdraw, unless it was taken."""
        reception = self._receptions.get(migration_id)
        if reception is not None:
            _require_owner(reception.record, epoch, source)
            await reception.withdraw(
                PeerLost("ABORTED_BY_SOURCE", f"{source} ended it: {why[:500]}")
            )
        return await self.query(migration_id, epoch, source, incarnation)

    async def query(self, migration_id: str, epoch: int, source: str, incarnation: str) -> Answer:
        """What the journal says."""
        reception = self._receptions.get(migration_id)
        if reception is not None:
            _require_owner(reception.record, epoch, source)
            return answer_of(reception.record, reception.failure, reception.parts)
        return await self._settled_answer(migration_id, epoch, source, incarnation)

    async def keep_leases(self) -> None:
        """Refuse receptions whose source has been silent for a lease. Runs until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._node.config.migration.lease_s / 4))
            for reception in list(self._receptions.values()):
                undecided = (DestinationState.RECEIVING, DestinationState.READY)
                if reception.state in undecided and time.monotonic() > reception.lease_until:
                    silence = f"{reception.record.peer} was silent for a whole lease"
                    await reception.withdraw(PeerLost("LEASE_OVER", silence))

    async def close(self) -> None:
        """Wait for guests that are being started; leave the rest to the next start's recovery."""
        starting = [one.starting for one in self._receptions.values() if one.starting]
        await asyncio.gather(*starting, return_exceptions=True)

    def adopt(self, record: Record) -> Reception:
        """A reception of the journal, after a restart."""
        definition = parse_toml(record.definition)
        self._node.claims.take(definition.name, record.id)
        driver = self._node.driver(definition)
        self._node.room.promised[record.id] = driver.room(definition)
        return self._add(record, definition, requested_by="")

    async def _open(self, invitation: Invitation, source: str) -> Reception:
        record = await self._ledger.open(
            Record(
                id=invitation.migration_id,
                side=DESTINATION,
                guest=invitation.definition.name,
                peer=source,
                epoch=invitation.epoch,
                state=DestinationState.RECEIVING.value,
                peer_incarnation=invitation.journal_incarnation,
                definition=render_toml(invitation.definition),
            )
        )
        return self._add(record, invitation.definition, invitation.requested_by)

    def _add(self, record: Record, definition: Definition, requested_by: str) -> Reception:
        picture = Picture(
            id=record.id,
            guest=record.guest,
            source=record.peer,
            destination=self._node.name,
            side=DESTINATION,
            epoch=record.epoch,
            requested_by=requested_by,
            options=Options(),
            ownership=record.state,
        )
        picture.progress.memory_bytes = definition.memory_bytes
        reception = Reception(
            *(record, definition, self._node, self._ledger, self._make_recorder(picture)),
            *(self._executor, self._over),
        )
        reception.touch()
        self._receptions[record.id] = reception
        return reception

    def _again(self, record: Record, invitation: Invitation, source: str) -> Welcome:
        _require_owner(record, invitation.epoch, source)
        live = self._receptions.get(record.id)
        if live is None or live.state is not DestinationState.RECEIVING:
            raise Busy(
                "MIGRATION_OVER",
                f"migration {record.id} is {record.state} here: {record.why or 'decided'}",
                "start a new migration",
            )
        return self._welcome()

    async def _require_acceptable(self, invitation: Invitation) -> None:
        definition = invitation.definition
        driver = self._node.driver(definition)
        facts = await driver.facts()
        wrong: list[tuple[str, str]] = []
        if invitation.protocol_version not in PROTOCOL_VERSIONS:
            wrong.append(("PROTOCOL_VERSION", f"version {invitation.protocol_version}"))
        if definition.name in self._node.store.names():
            wrong.append(("NAME_TAKEN", f"guest {definition.name} is defined here already"))
        if facts.build != invitation.driver_build or not facts.can_snapshot:
            wrong.append(("DRIVER_MISMATCH", f"here {facts.build!r} {facts.problem}"))
        if missing := sorted(set(definition.networks) - set(self._node.config.networks)):
            wrong.append(("NETWORK_MISSING", f"no network {', '.join(missing)}"))
        if objections := driver.objections(definition):
            wrong.append(("GUEST_NOT_MIGRATABLE", "; ".join(objections)))
        if invitation.regions != driver.regions(definition):
            wrong.append(("DEFINITION_INVALID", "its regions are not those of its memory"))
        if invitation.epoch <= await self._ledger.epoch(definition.name):
            wrong.append(("STALE_EPOCH", f"epoch {invitation.epoch} has been here already"))
        if wrong:
            reason, message = wrong[0]
            raise NotPossible(
                *(reason, f"{self._node.name} cannot take guest {definition.name}: {message}"),
                guest=definition.name,
                side=DESTINATION,
            )

    def _require_room(self, invitation: Invitation, driver: Driver) -> None:
        room = self._node.room
        needed_memory, needed_spool = driver.room(invitation.definition)
        memory, spool = room.available()
        for reason, needed, available in (
            ("NO_MEMORY", needed_memory, memory),
            ("NO_SPOOL_ROOM", needed_spool, spool),
        ):
            if available < needed:
                raise NotPossible(
                    reason,
                    f"{self._node.name} has {available >> 20} MiB left, {needed >> 20} are needed",
                    f"free some on {self._node.name} or choose another node",
                    side=DESTINATION,
                )
        room.promised[invitation.migration_id] = (needed_memory, needed_spool)

    async def _settled_answer(
        self, migration_id: str, epoch: int, source: str, incarnation: str
    ) -> Answer:
        """Of a migration that is not live: what the journal says, or refused from now on."""
        async with self._opening:
            record = await self._ledger.get(migration_id)
            if record is not None:
                _require_owner(record, epoch, source)
                return answer_of(record, _failure_in(record), [])
            outcome = on_unknown(incarnation, self._ledger.incarnation)
            if outcome is Outcome.REFUSED:
                await self._ledger.open(
                    Record(
                        *(migration_id, DESTINATION, "", source, epoch),
                        *(DestinationState.REFUSED.value, "", ""),
                        why="MIGRATION_UNKNOWN: it was never opened here",
                    )
                )
            return Answer(outcome)

    def _welcome(self) -> Welcome:
        limits = self._node.config.migration
        return Welcome(self._ledger.incarnation, limits.lease_s, limits.window_chunks)

    def _over(self, reception: Reception) -> None:
        self._forget(reception.record.id, reception.definition.name)

    def _forget(self, migration_id: str, guest: str) -> None:
        self._receptions.pop(migration_id, None)
        self._node.room.promised.pop(migration_id, None)
        self._node.claims.release(guest, migration_id)


def _require_owner(record: Record, epoch: int, source: str) -> None:
    if record.peer != source or record.side != DESTINATION:
        raise Denied("WRONG_PEER", f"migration {record.id} does not belong to {source}")
    if record.epoch != epoch:
        raise Invalid("STALE_EPOCH", f"migration {record.id} has epoch {record.epoch}, not {epoch}")


def _failure_in(record: Record) -> Failure | None:
    if not record.why:
        return None
    reason, _, message = record.why.partition(": ")
    return Failure(reason, message, DESTINATION, f"on {record.peer}", "")
