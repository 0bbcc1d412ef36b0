"""An answer that settles is written down before anything else is waited for."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from bmigd.drivers.base import OutgoingGuest
from bmigd.journal import Record
from bmigd.migration import inquiry
from bmigd.migration.handoff import Outcome, SourceEvent
from bmigd.migration.phases import Phase
from bmigd.migration.ports import Answer, Peer
from bmigd.migration.settlement import Settlement
from tests.migration.node import guest, ledger_of, make_node
from tests.migration.test_blackout import STOP, Down


class Outgoing:
    """A guest that is let go."""

    async def release(self, _: Path | None) -> None:
        """Nothing of it is here."""


class LateAndSilent:
    """A peer whose answer came late, and that answers nothing afterwards."""

    name = "host2"

    def __init__(self) -> None:
        self._pulse, self._has_answered = asyncio.Event(), False
        self.asked_again = asyncio.Event()

    async def commit(self, *_: object) -> Answer:
        await self._pulse.wait()
        self._has_answered = True
        return Answer(Outcome.RUNNING)

    async def query(self, *_: object) -> Answer:
        if not self._has_answered:
            self._pulse.set()
            return Answer(Outcome.TAKEN)
        self.asked_again.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]


async def test_nobody_can_decide_otherwise_while_an_answer_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement that is cancelled there, as `resolve` does, has released the guest."""
    monkeypatch.setattr(inquiry, "UNTOLD_US", 0)  # every answer counts as one that came late
    node, down, peer = make_node(tmp_path), Down(STOP), LateAndSilent()
    definition, down.recorder.picture.phase = guest(node), Phase.HANDOFF
    with ledger_of(node) as ledger:
        record = await ledger.open(Record("m1", "source", definition.name, "host2", 3, "MIGRATING"))
        record = await ledger.source(record, SourceEvent.PEER_READY)
        settlement = Settlement(
            *(node, cast(Peer, peer), ledger, down.recorder),
            cast(OutgoingGuest, Outgoing()),
        )
        settling = asyncio.create_task(settlement.settle(record, definition, down.blackout))
        async with asyncio.timeout(20):
            await peer.asked_again.wait()
        settling.cancel()
        await asyncio.wait({settling})
        found = await ledger.get("m1")
    assert found
    assert (found.state, found.pending) == ("RELEASED", "")
