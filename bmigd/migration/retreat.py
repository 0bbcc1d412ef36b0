"""The way back of a source that has not let go: the guest runs here again, then everybody is told.

The order is that of steps.py: the guest goes on before the journal is written, and before the other
node is told anything.
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bmigd.crashpoints import reach
from bmigd.drivers.base import OutgoingGuest
from bmigd.errors import BmigError, LocalFault, PeerLost
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.elsewhere import AS_ITS_DESTINATION
from bmigd.migration.farewell import tell_abort
from bmigd.migration.handoff import SourceEvent
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.onsite import AFRESH, start_afresh
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE, failure_of
from bmigd.migration.ports import Peer
from bmigd.migration.recorder import Recorder, us_since
from bmigd.migration.steps import END, SOURCE_STEPS, Step
from bmigd.migration.unwritten import Unwritten
from bmigd.security.probe import advice

log = structlog.get_logger()


@dataclass
class Retreat:
    """One way back. Run it once."""

    definition: Definition
    node: Node
    peer: Peer
    ledger: Ledger
    recorder: Recorder
    outgoing: OutgoingGuest
    record: Record
    down_since: float  # by the monotonic clock; 0.0: the guest was never stopped

    async def run(self, error: BaseException) -> None:
        """Bring the guest back because of this error, and record it as the reason."""
        recorder, name = self.recorder, self.node.name
        if not isinstance(error, Exception):  # cancelled, and nobody said why
            error = LocalFault("DAEMON_STOPPED", f"bmigd on {name} gave it up", "migrate it again")
        recorder.enter(Phase.ABORTING, f"the guest goes on here: {error}")
        location = f"on {name}, never stopped"
        for step in SOURCE_STEPS[SourceEvent.FAILED]:
            reach(SOURCE, SourceEvent.FAILED.name, step.name)
            match step:
                case Step.BRING_BACK:
                    location, error = await self._bring_back(location, error)
                case Step.JOURNAL:
                    write = functools.partial(self._journal_abort, str(error))
                    await self._until_written(location, write)
                case Step.TELL:
                    await tell_abort(self.peer, self.record, str(error))
                case Step.CLOSE:
                    await self._until_written(location, self._close_abort)
                case _:
                    raise AssertionError(f"a failed source does not {step.value}")
        reach(SOURCE, SourceEvent.FAILED.name, END)
        self.node.claims.release(self.definition.name, self.record.id)
        failure = failure_of(error, SOURCE, location)
        if isinstance(error, PeerLost):
            failure = failure_of(await self._explained(error), SOURCE, location)
        recorder.end(Phase.ABORTED, f"{failure.reason}: {failure.message}", failure)

    async def _journal_abort(self, why: str) -> None:
        self.record = await self.ledger.source(self.record, SourceEvent.FAILED, why)
        self.recorder.picture.ownership = self.record.state

    async def _close_abort(self) -> None:
        self.record = await self.ledger.close(self.record)

    async def _until_written(self, location: str, write: Callable[[], Awaitable[None]]) -> None:
        """The guest is back; until that is written, a restart would bring it back once more."""
        try:
            await write()
        except LocalFault as error:
            self.node.claims.note_back(self.definition.name, self.record.id)
            await Unwritten(self.recorder, self.node.name, write, location).after(error)

    async def _bring_back(self, location: str, error: BaseException) -> tuple[str, BaseException]:
        """Whatever was done to the guest is undone; where it is then, and what to tell."""
        if self.down_since:
            return await self._resume(error)
        if isinstance(error, BmigError) and error.reason == "GUEST_STOPPED":
            location = await self._power()
        return location, error

    async def _resume(self, error: BaseException) -> tuple[str, BaseException]:
        name, definition = self.node.name, self.definition
        try:
            await self.outgoing.resume()
        except BmigError as worse:
            log.error("resume failed", guest=definition.name, error=str(worse))
            place = f"on {name}, {AFRESH}"
            if worse.reason != "GUEST_RESTARTED":
                place = await start_afresh(
                    *(self.node, self.ledger, definition, self.record.id), AS_ITS_DESTINATION
                )
            self._note_downtime()
            return place, worse
        self._note_downtime()
        return await self._power(), error

    def _note_downtime(self) -> None:
        report = self.recorder.picture.report
        report.downtime_us = report.downtime_us or us_since(self.down_since)

    async def _power(self) -> str:
        """Whether the guest runs here, in words."""
        power = await self.node.driver(self.definition).power(self.definition.name)
        state = "running" if power.is_running else "stopped"
        return f"{state} on {self.node.name}" + (f": {power.failed}" if power.failed else "")

    async def _explained(self, error: PeerLost) -> PeerLost:
        found = await self.peer.explain(error)
        words = f"{error.message}: {found.sentence}"
        return PeerLost(error.reason, words, advice(found.reason, self.peer.name) or error.advice)
