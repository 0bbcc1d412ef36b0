"""After LET_GO: ask the destination until it has answered, and do what its answer says.

The source never decides here. It commits, asks, and waits, across restarts of either daemon; only
the answer, or an operator, ends it.
"""

import asyncio
import random
import time

import structlog

from bmigd.drivers.base import OutgoingGuest
from bmigd.errors import BmigError, Denied, LocalFault, PeerFault
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.handoff import Ask, SourceEvent, after_let_go
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, SOURCE, Failure, Part
from bmigd.migration.ports import Answer, Peer
from bmigd.migration.recorder import Recorder, now_ms

log = structlog.get_logger()

TELL_ABORT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 10.0
IN_DOUBT_AFTER_S = 3.0  # without an answer; before that it is only slow

Blackout = tuple[list[Part], float]  # parts so far, and since when the guest is down


class Settlement:
    """Settles one migration that was let go."""

    def __init__(
        self,
        node: Node,
        peer: Peer,
        ledger: Ledger,
        recorder: Recorder,
        outgoing: OutgoingGuest,
    ) -> None:
        self._node = node
        self._peer = peer
        self._ledger = ledger
        self._recorder = recorder
        self._outgoing = outgoing

    async def settle(
        self, record: Record, definition: Definition, blackout: Blackout | None
    ) -> None:
        """Until the destination has answered; then release the guest or bring it back."""
        began = time.monotonic()
        event, answer = await self._ask_until_answered(record)
        if event is SourceEvent.PEER_RUNS_IT:
            self._note_downtime(blackout, answer, began)
            await self._release(record, definition)
        else:
            await self._reclaim(record, definition, answer.failure)

    async def _ask_until_answered(self, record: Record) -> tuple[SourceEvent, Answer]:
        ask, commits, pause_s = Ask.COMMIT, 0, FIRST_PAUSE_S
        began = time.monotonic()
        while True:
            answer, trouble = await self._ask(ask, record)
            commits += ask is Ask.COMMIT
            step = after_let_go(answer.outcome if answer else None, commits)
            if isinstance(step, SourceEvent):
                assert answer
                return step, answer
            self._note_waiting(trouble, answer, time.monotonic() - began)
            ask = step
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ask(self, ask: Ask, record: Record) -> tuple[Answer | None, str]:
        try:
            match ask:
                case Ask.COMMIT:
                    return await self._peer.commit(record.id, record.epoch), ""
                case Ask.ABORT:
                    why = "not committed in time"
                    return await self._peer.abort(
                        record.id, record.epoch, record.peer_incarnation, why
                    ), ""
                case Ask.QUERY:
                    return await self._peer.query(
                        record.id, record.epoch, record.peer_incarnation
                    ), ""
        except (PeerFault, Denied) as error:
            return None, str(error)

    def _note_waiting(self, trouble: str, answer: Answer | None, waited_s: float) -> None:
        picture = self._recorder.picture
        if waited_s < IN_DOUBT_AFTER_S:
            return
        if not picture.in_doubt_since_ms:
            picture.in_doubt_since_ms = now_ms()
        said = f"it says {answer.outcome.name}" if answer else trouble
        words = f"{self._peer.name} to say what became of the guest ({said})"
        if words != picture.waiting_for:
            picture.waiting_for = words
            self._recorder.event("in doubt", f"waiting for {words}")
            self._recorder.keep()

    def _note_downtime(self, blackout: Blackout | None, answer: Answer, began: float) -> None:
        if blackout is None:
            return
        parts, down_since = blackout
        theirs_us = sum(part.duration_us for part in answer.parts)
        ours_us = round((time.monotonic() - began) * 1e6) - theirs_us
        report = self._recorder.picture.report
        report.downtime_us = round((time.monotonic() - down_since) * 1e6)
        report.downtime_parts = [*parts, Part("commit", SOURCE, max(0, ours_us)), *answer.parts]
        told_us = sum(part.duration_us for part in report.downtime_parts)
        report.downtime_parts.append(Part("other", SOURCE, max(0, report.downtime_us - told_us)))

    async def _release(self, record: Record, definition: Definition) -> None:
        """The guest is the destination's: nothing of it stays here."""
        record = await self._ledger.source(record, SourceEvent.PEER_RUNS_IT)
        await self._ledger.raise_epoch(definition.name, record.epoch)
        await asyncio.to_thread(self._node.store.remove, definition.name)
        try:
            await self._outgoing.release()
        except BmigError as error:  # what is left costs room, not safety
            log.warning("release", guest=definition.name, error=str(error))
        self._finish(record, Phase.COMPLETED, f"the guest runs on {self._peer.name}", None)

    async def _reclaim(
        self, record: Record, definition: Definition, failure: Failure | None
    ) -> None:
        """The destination never ran it and never will: bring it back."""
        reason, message = (failure.reason, failure.message) if failure else ("PEER_REFUSED", "")
        record = await self._ledger.source(
            record, SourceEvent.PEER_GAVE_IT_BACK, f"{reason}: {message}"
        )
        self._recorder.enter(Phase.ABORTING, f"{self._peer.name} gave the guest back: {reason}")
        location = await self.bring_back(definition)
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
        try:
            await self._outgoing.resume()
        except BmigError as error:
            log.error("resume failed", guest=definition.name, error=str(error))
            if error.reason == "GUEST_RESTARTED":
                return f"on {name}, started afresh"
            try:
                await self._node.driver(definition).start(definition)
            except LocalFault as worse:
                return f"down on {name}: {worse}"
            return f"on {name}, started afresh"
        return f"running on {name}"

    async def abort_after_restart(self, record: Record) -> None:
        """The daemon was restarted before the guest was let go: it goes on here."""
        name = self._node.name
        location = f"running on {name}"
        try:
            await self._outgoing.resume()
        except BmigError as error:
            log.error("resume failed", guest=record.guest, error=str(error))
            location = f"on {name}: {error}"
        try:
            async with asyncio.timeout(TELL_ABORT_S):
                why = "the source's daemon was restarted"
                await self._peer.abort(record.id, record.epoch, record.peer_incarnation, why)
        except (BmigError, TimeoutError) as error:
            log.warning("peer not told", migration=record.id, error=str(error))
        failure = Failure(
            "DAEMON_RESTARTED",
            f"the daemon of {name} was restarted during the migration",
            SOURCE,
            location,
            "migrate the guest again",
        )
        self._finish(record, Phase.ABORTED, failure.message, failure)

    def finish_resolved(self, record: Record, location: str, operator: str) -> None:
        """An operator has decided."""
        failure = Failure(
            "RESOLVED",
            f"{operator} decided that {self._peer.name} is gone for good",
            SOURCE,
            location,
            f"never let {self._peer.name} start the guest again",
        )
        self._finish(record, Phase.ABORTED, failure.message, failure)

    def _finish(self, record: Record, phase: Phase, message: str, failure: Failure | None) -> None:
        self._node.claims.release(record.guest, record.id)
        self._recorder.picture.ownership = record.state
        self._recorder.end(phase, message, failure)
