"""A guest that came and was taken: it is started here, or given back on proof that it never ran.

From TAKEN on only the guest's own fate decides, as its supervisor saw it (handoff.py). What a
restarted daemon, or one whose journal failed for a while, does with any reception begins here too.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from bmigd.errors import BmigError, LocalFault
from bmigd.migration.answers import answer_of
from bmigd.migration.archive import failure_in
from bmigd.migration.begun import surely_begun
from bmigd.migration.blackout import AFRESH, TAKE_OVER
from bmigd.migration.departed import look_for
from bmigd.migration.elsewhere import why_not_taken
from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    Request,
    after_execution,
    after_restart,
    on_request,
)
from bmigd.migration.launched import launched
from bmigd.migration.onsite import RESTARTED, is_down, look, ran_at_s, running_us
from bmigd.migration.phases import Phase
from bmigd.migration.picture import DESTINATION, Failure, Part, failure_of
from bmigd.migration.ports import Answer
from bmigd.migration.received import Received
from bmigd.migration.recorder import us_since
from bmigd.migration.steps import DESTINATION_STEPS, ENDED_BY, left
from bmigd.migration.unwritten import Unwritten

log = structlog.get_logger()

# Where a migration that is taken up again after a restart stands, whatever was shown last.
PHASES = {
    DestinationState.RECEIVING: Phase.PRECOPY,
    DestinationState.READY: Phase.SWITCHOVER,
    DestinationState.TAKEN: Phase.HANDOFF,
    DestinationState.STARTED: Phase.HANDOFF,
}


@dataclass
class Taken(Received):
    """A guest on its way from TAKEN to RUNNING or RETURNED."""

    on_over: Callable[["Taken"], None]
    parts: list[Part] = field(default_factory=list)
    failure: Failure | None = None
    starting: asyncio.Task[None] | None = None
    _refusal: BaseException | None = None  # why it is to be withdrawn, while that is not written
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._unwritten = Unwritten(self.recorder, self.node.name, self._mended)

    async def start(self) -> None:
        """Go on from TAKEN, perhaps after a restart of the daemon."""
        if self.recorder.picture.phase is not Phase.HANDOFF:
            self.recorder.enter(Phase.HANDOFF, "the source let the guest go; it is ours now")
        self.starting = launched(self._unwritten.through(self._start()), self.record.id)

    @property
    def is_starting(self) -> bool:
        """Whether its guest is being started; not when that waits for the journal."""
        is_done = self.starting is None or self.starting.done()
        return not (is_done or self._unwritten.is_waiting)

    async def recover(self, why: str) -> None:
        """Take it up after a restart, now or when the journal can be written."""
        self.starting = await self._unwritten.beside(self.take_up(why)) or self.starting

    def end_begun(self, error: LocalFault) -> None:
        """Its first write failed: it is refused when it can be written (begun.py)."""
        self._refusal = error
        self.starting = self._unwritten.launch(error)

    async def take_up(self, why: str) -> None:
        """Go on from what the journal says; LocalFault while it cannot be written."""
        if self.state in ENDED_BY:
            await self._finish()
            return
        found = await look(self.incoming)
        event = after_restart(self.state, found)
        if self._refusal and on_request(self.state, Request.ABORT):
            await self._withdraw(self._refusal)
        elif event is DestinationEvent.WITHDRAWN:
            await self._withdraw(LocalFault("DESTINATION_RESTARTED", why))
        elif event is not None:
            await self._settle(event, found.runs, LocalFault("START_FAILED", why))
        elif self.state is DestinationState.TAKEN:
            await self._start_unless_elsewhere()

    async def _start_unless_elsewhere(self) -> None:
        """It was ours to start, but an operator may have given it back while nobody was here."""
        name, record = self.definition.name, self.record
        sighting = await look_for(name, self.ledger, self.node.elsewhere)
        if why := why_not_taken(name, self.node.name, sighting, record.id, record.peer):
            await self._give_back(why)
        else:
            await self.start()

    async def _mended(self) -> None:
        self.record = await surely_begun(self.record, self.ledger)
        if not self.recorder.picture.has_ended:
            await self.take_up(f"the journal of {self.node.name} could not be written")

    async def _settle(self, event: DestinationEvent, runs: bool, error: BmigError) -> None:
        """What was found out about a guest in TAKEN or STARTED."""
        if event is DestinationEvent.GUEST_RUNS:
            await self._keep(runs)
        else:
            await self._give_back(error)

    async def _finish(self) -> None:
        """Do what is left of a change that was journalled."""
        event = ENDED_BY[self.state]
        if self.record.pending:
            await self._do(event, steps=left(DESTINATION_STEPS[event]))
        self.failure = failure_in(self.record, self.node.name)
        if event is DestinationEvent.GUEST_RUNS:
            self._taken_over()
        else:
            self._abort_picture(self.record.why)

    async def _start(self) -> None:
        """TAKEN to RUNNING or RETURNED. Not cancelled with the request that began it."""
        began = time.monotonic()
        self._intake.close()
        try:
            await self.incoming.check()
            await self._do(DestinationEvent.EXECUTING)
        except BmigError as error:
            await self._not_started(error)
            return
        since_s = await ran_at_s(self.node, self.definition) or time.monotonic()
        start_us = us_since(began) - us_since(since_s)
        self.parts = [Part("start", DESTINATION, max(0, start_us))]
        await self._keep(runs=True, since_s=since_s)

    async def _not_started(self, error: BmigError) -> None:
        """Back to the source on proof that it never ran; any doubt makes it ours."""
        if self.state is DestinationState.TAKEN:
            await self._give_back(error)
            return
        event = after_execution(found := await look(self.incoming))
        assert event
        log.error("start", guest=self.definition.name, error=str(error), verdict=event.value)
        await self._settle(event, found.runs, error)

    async def answer(self) -> Answer:
        """What the source is told, now."""
        running_for_us = await running_us(self.node, self.record)
        return answer_of(self.record, self.failure, self.parts, running_for_us)

    async def _keep(self, runs: bool, since_s: float = 0.0) -> None:
        """The guest is this node's, for good; started from its firmware if it does not run."""
        began, why = since_s or time.monotonic(), "" if runs else RESTARTED
        self.failure = failure_in(replace(self.record, why=why), self.node.name)
        await self._do(DestinationEvent.GUEST_RUNS, why, runs)
        name = TAKE_OVER if runs else AFRESH
        self.parts.append(Part(name, DESTINATION, us_since(began)))
        self._taken_over()

    def _taken_over(self) -> None:
        """It is this node's, whether it could be started or not."""
        words = "the guest runs here"
        if is_down(self.place):
            words = f"the guest is {self.place}"
            self.failure = self.failure and replace(self.failure, location=self.place)
        self._over(Phase.COMPLETED, words, self.failure)

    async def _give_back(self, error: BmigError) -> None:
        """It surely never ran: the source may have it back."""
        self.failure = failure_of(error, DESTINATION, f"given back to {self.record.peer}")
        await self._do(DestinationEvent.NEVER_RAN, str(error))
        self._abort_picture(str(error))

    async def _withdraw(self, error: BaseException) -> None:
        self.failure = failure_of(error, DESTINATION, f"on {self.record.peer}")
        await self._do(DestinationEvent.WITHDRAWN, str(error))
        self._abort_picture(str(error))

    def _abort_picture(self, why: str) -> None:
        self.recorder.enter(Phase.ABORTING, why)
        self._over(Phase.ABORTED, f"the guest stays with {self.record.peer}: {why}", self.failure)

    def _over(self, phase: Phase, message: str, failure: Failure | None) -> None:
        self.recorder.picture.ownership = self.record.state
        self.recorder.picture.report.downtime_parts = self.parts  # for who asks again
        self.recorder.end(phase, message, failure)
        self.on_over(self)
