"""A guest on its way in, as the journal has it: its state, and the steps of each change of it.

The order of the steps is that of steps.py.
"""

import contextlib
from concurrent.futures import Executor
from dataclasses import dataclass

from bmigd.crashpoints import reach
from bmigd.drivers.base import IncomingGuest
from bmigd.errors import LocalFault
from bmigd.guests.definition import Definition
from bmigd.journal import Record
from bmigd.migration.elsewhere import AS_ITS_SOURCE
from bmigd.migration.handoff import DestinationEvent, DestinationState
from bmigd.migration.intake import Intake
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.onsite import keep_definition, start_afresh
from bmigd.migration.picture import DESTINATION
from bmigd.migration.recorder import Recorder
from bmigd.migration.steps import DESTINATION_STEPS, END, Step


@dataclass
class Received:
    """What there is of it on this node."""

    record: Record
    definition: Definition
    node: Node
    ledger: Ledger
    recorder: Recorder
    executor: Executor

    def __post_init__(self) -> None:
        self.incoming: IncomingGuest = self.node.driver(self.definition).incoming(self.definition)
        self._intake = Intake(self.incoming, self.executor)
        self.place = ""  # where a guest is that had to be started afresh

    @property
    def state(self) -> DestinationState:
        """What the journal says."""
        return DestinationState(self.record.state)

    async def _do(
        self,
        event: DestinationEvent,
        why: str = "",
        runs: bool = False,
        steps: tuple[Step, ...] | None = None,
    ) -> None:
        """Take the steps of an event (or what is left of them) in their order."""
        for step in DESTINATION_STEPS[event] if steps is None else steps:
            reach(DESTINATION, event.name, step.name)
            match step:
                case Step.JOURNAL:
                    await self._enter(event, why)
                case Step.EXECUTE:
                    await self.incoming.start()
                    self.node.announcer.announce(self.definition.name, self.definition.cards)
                case Step.KEEP:
                    await keep_definition(self.node, self.definition)
                case Step.START:
                    await self.ledger.raise_epoch(self.definition, self.record.epoch)
                    if not runs:
                        self.place = await start_afresh(
                            *(self.node, self.ledger, self.definition, self.record.id),
                            AS_ITS_SOURCE,
                        )
                    await self.incoming.accept()
                case Step.DROP:
                    await self._discard()
                case Step.CLOSE:
                    self.record = await self.ledger.close(self.record)
                case _:
                    raise AssertionError(f"a destination does not {step.value}")
        reach(DESTINATION, event.name, END)

    async def _enter(self, event: DestinationEvent, why: str = "") -> None:
        try:
            self.record = await self.ledger.destination(self.record, event, why)
        except LocalFault:  # it may have been written all the same
            self.record = await self.ledger.get(self.record.id) or self.record
            raise
        self.recorder.picture.ownership = self.record.state

    async def _discard(self) -> None:
        self._intake.close()
        with contextlib.suppress(LocalFault):  # what is left is found again at the next reception
            await self.incoming.discard()
