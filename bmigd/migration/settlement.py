"""After LET_GO: do what the destination's answer says, which inquiry.py waits for.

The source never decides here, across restarts of either daemon; only the answer, or an operator,
ends it.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace

import structlog

from bmigd.crashpoints import reach
from bmigd.drivers.base import OutgoingGuest
from bmigd.errors import BmigError, LocalFault, NotPossible
from bmigd.guests.definition import Definition
from bmigd.guests.state import GuestState
from bmigd.journal import Record
from bmigd.migration.blackout import Blackout
from bmigd.migration.departed import look_for
from bmigd.migration.elsewhere import (
    AS_ITS_DESTINATION,
    SETTLED_BY_HAND,
    why_not_settled_here,
)
from bmigd.migration.farewell import tell_abort
from bmigd.migration.handoff import BACK, SourceEvent, SourceState
from bmigd.migration.inquiry import Inquiry
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.onsite import AFRESH, is_down, left_stopped, start_afresh
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, SOURCE, Failure, failure_of
from bmigd.migration.ports import Answer, Peer
from bmigd.migration.recorder import Recorder, us_since
from bmigd.migration.steps import END, SOURCE_STEPS, Step, left, source_after_restart

log = structlog.get_logger()

HAS_RUN = (GuestState.RUNNING, GuestState.STARTING, GuestState.MIGRATING_OUT)  # since it was kept


class Settlement:
    """Settles one migration that was let go."""

    def __init__(
        self,
        node: Node,
        peer: Peer,
        ledger: Ledger,
        recorder: Recorder,
        outgoing: OutgoingGuest,
        *,
        was_away: bool = False,
    ) -> None:
        """`was_away`: this daemon may have been down, and somebody may have started the guest on
        another node meanwhile.
        """
        self._node = node
        self._peer = peer
        self._ledger = ledger
        self._recorder = recorder
        self._outgoing = outgoing
        self._was_away = was_away
        self._ran_on = False  # all the time that this daemon was away
        self._inquiry = Inquiry(peer, ledger, recorder)

    async def settle(
        self, record: Record, definition: Definition, blackout: Blackout | None
    ) -> None:
        """Until the destination has answered; then release the guest or bring it back."""
        began = time.monotonic()
        found = await self._inquiry.until_answered(record)
        if found is None:
            return  # an operator has decided meanwhile
        event, answer = found
        if event is SourceEvent.PEER_RUNS_IT:
            await self._release(record, definition, answer, blackout, began)
        else:
            await self._reclaim(record, definition, answer.failure, blackout)

    async def _release(
        self,
        record: Record,
        definition: Definition,
        answer: Answer,
        blackout: Blackout | None,
        asked_at_s: float,
    ) -> None:
        """The guest is the destination's: nothing of it stays here.

        What settles is journalled before anything is waited for: until then an operator may decide.
        """
        event, report = SourceEvent.PEER_RUNS_IT, self._recorder.picture.report
        waited_us, failure = us_since(asked_at_s), answer.failure
        if blackout:
            blackout.note(report, asked_at_s, answer)
        record, _ = await self._do(record, definition, event, SOURCE_STEPS[event])
        if blackout:
            again = await self._inquiry.renewed(record, answer, waited_us)
            if again is not answer:
                blackout.note(report, asked_at_s, again)
            await blackout.end(report)
        elif answer.running_for_us:
            report.downtime_us = max(0, self._recorder.down_us() - answer.running_for_us)
        if failure and not is_down(failure.location):
            failure = replace(failure, location=f"on {self._peer.name}, {AFRESH}")
        self._finish(record, Phase.COMPLETED, f"the guest runs on {self._peer.name}", failure)

    async def _reclaim(
        self,
        record: Record,
        definition: Definition,
        failure: Failure | None,
        blackout: Blackout | None,
    ) -> None:
        """The destination never ran it and never will: bring it back."""
        reason, message = (failure.reason, failure.message) if failure else ("PEER_REFUSED", "")
        event = SourceEvent.PEER_GAVE_IT_BACK
        record, location = await self._do(
            *(record, definition, event, SOURCE_STEPS[event], f"{reason}: {message}")
        )
        report = self._recorder.picture.report
        is_over_before = report.downtime_us or self._ran_on
        if not (is_over_before or is_down(location)):
            down_us = us_since(blackout.since_s) if blackout else self._recorder.down_us()
            report.downtime_us = down_us
        self._finish(
            record,
            Phase.ABORTED,
            f"{reason}: {message or 'the destination did not start the guest'}",
            Failure(
                reason,
                message or f"{self._peer.name} did not start the guest",
                DESTINATION,
                location,
                (failure.advice if failure else "") or f"see the log of {self._peer.name}",
            ),
        )

    async def bring_back(self, definition: Definition) -> str:
        """Restore the guest from its kept state, or start it if that is gone; where it is then."""
        name = self._node.name
        if self._was_away and (objection := await self._why_not_here(definition)):
            log.error("not brought back", guest=definition.name, error=str(objection))
            return left_stopped(self._node, objection)
        try:
            await self._outgoing.resume()
        except BmigError as error:
            log.error("resume failed", guest=definition.name, error=str(error))
            if error.reason == "GUEST_RESTARTED":
                return f"on {name}, {AFRESH}"
            is_asked = self._was_away and not self._ran_on
            return await self._start_afresh(definition, None if is_asked else AS_ITS_DESTINATION)
        return f"running on {name}"

    async def _why_not_here(self, definition: Definition) -> NotPossible | None:
        """That another node runs it, who may have it since this daemon was down."""
        name = definition.name
        self._ran_on = (await self._node.driver(definition).power(name)).is_running
        if self._ran_on:
            return None
        sighting = await look_for(name, self._ledger, self._node.elsewhere)
        found = why_not_settled_here(
            name, self._node.name, sighting, self._recorder.picture.id, AS_ITS_DESTINATION
        )
        if found and any(one.state in HAS_RUN for _, one in sighting.seen):
            await self._forget_memory(definition)
        return found

    async def _forget_memory(self, definition: Definition) -> None:
        """It must never meet a disk that is newer."""
        try:
            await self._outgoing.release()
        except (BmigError, OSError) as error:
            log.warning("release", guest=definition.name, error=str(error))

    async def _start_afresh(
        self, definition: Definition, innocent: Collection[GuestState] | None
    ) -> str:
        migration_id = self._recorder.picture.id
        return await start_afresh(self._node, self._ledger, definition, migration_id, innocent)

    async def _do(
        self,
        record: Record,
        definition: Definition,
        event: SourceEvent,
        steps: tuple[Step, ...],
        why: str = "",
    ) -> tuple[Record, str]:
        """Take steps in their order; the record as it is then, and where the guest is."""
        location = f"on {self._node.name}"
        for step in steps:
            reach(SOURCE, event.name, step.name)
            match step:
                case Step.JOURNAL:
                    record = await self._ledger.source(record, event, why)
                    self._show(record)
                case Step.BRING_BACK:
                    location = await self.bring_back(definition)
                case Step.START:
                    location = await self._start_afresh(definition, SETTLED_BY_HAND)
                case Step.TELL:
                    await tell_abort(self._peer, record, why)
                case Step.DROP:
                    await self._drop(record, definition, event)
                case Step.CLOSE:
                    record = await self._ledger.close(record)
                case _:
                    raise AssertionError(f"a source does not {step.value}")
        reach(SOURCE, event.name, END)
        return record, location

    async def _drop(self, record: Record, definition: Definition, event: SourceEvent) -> None:
        """What was kept; and the guest itself, if it is the destination's."""
        await self._ledger.raise_epoch(definition, record.epoch)
        if event is SourceEvent.PEER_RUNS_IT:
            await asyncio.to_thread(self._node.store.remove, definition.name)
            reach("source.forgotten")
        images = self._node.room.images
        try:
            if event is SourceEvent.PEER_RUNS_IT:
                image = await asyncio.to_thread(images.place, definition)
                await self._outgoing.release(image)
                await asyncio.to_thread(images.note, definition, record.peer)
            else:
                await self._outgoing.release()
        except (BmigError, OSError) as error:  # what is left costs room, not safety
            log.warning("release", guest=definition.name, error=str(error))

    async def abort(self, record: Record, definition: Definition, why: BmigError) -> None:
        """It ended before the guest was let go, which goes on here."""
        event = SourceEvent.RESTARTED
        record, location = await self._do(record, definition, event, SOURCE_STEPS[event], str(why))
        failure = failure_of(why, SOURCE, location)
        self._finish(record, Phase.ABORTED, failure.message, failure)

    async def finish(self, record: Record, definition: Definition, why: str) -> None:
        """The daemon was cut off before everything was done that the journal's state allows."""
        location = f"on {self._node.name}"
        self._show(record)
        if record.pending:
            event = SourceEvent(record.pending)
            record, location = await self._do(
                *(record, definition, event, left(SOURCE_STEPS[event]), why)
            )
        if record.state == SourceState.RELEASED:
            self._finish(record, Phase.COMPLETED, f"the guest runs on {self._peer.name}", None)
            return
        reason, _, message = record.why.partition(": ")
        failure = Failure(reason, message, SOURCE, location, "migrate the guest again")
        self._finish(record, Phase.ABORTED, message, failure)

    async def take_up(self, record: Record, definition: Definition) -> None:
        """Go on from what the journal says; LocalFault while it still cannot be written."""
        await self._ledger.probe()
        record = await self._ledger.get(record.id) or record
        words = f"the journal of {self._node.name} could not be written"
        await self.go_on(record, definition, LocalFault("JOURNAL_UNWRITABLE", words))

    async def go_on(self, record: Record, definition: Definition, why: BmigError) -> None:
        """What is to be done in the state of the journal, when nothing else is known."""
        if record.state == SourceState.LET_GO:
            self._show(record)
            await self.settle(record, definition, None)
        elif source_after_restart(SourceState(record.state)):
            await self.abort(record, definition, why)
        else:
            await self.finish(record, definition, why.message)

    async def resolve(self, record: Record, definition: Definition, operator: str) -> None:
        """An operator has decided."""
        event = SourceEvent.RESOLVED
        record, location = await self._do(
            *(record, definition, event, SOURCE_STEPS[event], f"RESOLVED: by {operator}")
        )
        failure = Failure(
            "RESOLVED",
            f"{operator} decided that {self._peer.name} is gone for good",
            SOURCE,
            location,
            f"never let {self._peer.name} start the guest again",
        )
        self._finish(record, Phase.ABORTED, failure.message, failure)

    def _show(self, record: Record) -> None:
        """The phase of a state, only now that it is written."""
        is_back = record.state in BACK
        phase = Phase.ABORTING if is_back else Phase.HANDOFF
        if phase is not self._recorder.picture.phase:
            self._recorder.enter(phase, record.why or f"the guest is {self._peer.name}'s to run")

    def _finish(self, record: Record, phase: Phase, message: str, failure: Failure | None) -> None:
        self._node.claims.release(record.guest, record.id)
        self._recorder.picture.ownership = record.state
        self._recorder.end(phase, message, failure)
