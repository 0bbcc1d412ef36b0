"""The source lets the guest go and settles with the other node what became of it.

LET_GO is committed to the other node only when it is durable. When it cannot be written it may be
durable all the same: then the guest goes on here only after the other node has said that it never
will run it (handoff.py: is_withdrawn), or after the journal itself says that it was not let go.
"""

import time
from dataclasses import dataclass, field

from bmigd.crashpoints import reach
from bmigd.drivers.base import OutgoingGuest
from bmigd.errors import BmigError, LocalFault
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.blackout import Blackout
from bmigd.migration.handoff import SourceEvent, SourceState, is_withdrawn
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE, Part
from bmigd.migration.ports import Peer
from bmigd.migration.recorder import Recorder, us_since
from bmigd.migration.retreat import Retreat
from bmigd.migration.settlement import Settlement
from bmigd.migration.steps import END, Step
from bmigd.migration.unwritten import Unwritten


@dataclass
class Handover:
    """One guest that is READY over there. Run it once."""

    definition: Definition
    node: Node
    peer: Peer
    ledger: Ledger
    recorder: Recorder
    outgoing: OutgoingGuest
    record: Record
    blackout: Blackout
    _unwritten: LocalFault | None = field(default=None, init=False)  # why LET_GO was not written
    _is_back: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._waiting = Unwritten(self.recorder, self.node.name, self._take_up)
        self._settlement = Settlement(
            self.node, self.peer, self.ledger, self.recorder, self.outgoing
        )

    async def run(self) -> None:
        """Until the guest is the other node's, or here again."""
        await self._waiting.through(self._let_go())

    async def _let_go(self) -> None:
        began, event = time.monotonic(), SourceEvent.PEER_READY
        reach(SOURCE, event.name, Step.JOURNAL.name)
        try:
            self.record = await self.ledger.source(self.record, event)
        except LocalFault as error:
            self._unwritten = error
            raise
        reach(SOURCE, event.name, END)
        self.recorder.picture.ownership = self.record.state
        self.blackout.parts.append(Part("let go", SOURCE, us_since(began)))
        self.recorder.enter(Phase.HANDOFF, f"the guest was let go to {self.peer.name}")
        await self._settlement.settle(self.record, self.definition, self.blackout)

    async def _take_up(self) -> None:
        """Go on after the journal failed; LocalFault while it still does."""
        if self._unwritten and not self._is_back:
            await self._withdraw(self._unwritten)
        await self.ledger.probe()
        there = await self.ledger.get(self.record.id) or self.record
        if self._unwritten and there.state == SourceState.MIGRATING:
            await Retreat(
                *(self.definition, self.node, self.peer, self.ledger, self.recorder),
                *(self.outgoing, there, self.blackout.since_s),
            ).run(self._unwritten)
        else:
            await self._settlement.take_up(there, self.definition)

    async def _withdraw(self, error: LocalFault) -> None:
        """Nothing was committed: once the other node refuses for good, the guest goes on here."""
        identity = (self.record.id, self.record.epoch, self.record.peer_incarnation)
        try:
            answer = await self.peer.abort(*identity, str(error))
        except BmigError:  # asked again as long as the journal fails
            return
        if is_withdrawn(answer.outcome):
            self._waiting.location = await self._settlement.bring_back(self.definition)
            self._is_back = True
            self.node.claims.note_back(self.definition.name, self.record.id)
            self.recorder.picture.report.downtime_us = us_since(self.blackout.since_s)
            self.recorder.event("decision", f"it was not let go: {self._waiting.location}")
