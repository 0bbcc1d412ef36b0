"""The journal with its laws: only legal moves, only from the state that is there, and a change
whose steps are not all done stays pending until it is closed.
"""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bmigd import newjournal
from bmigd.errors import LocalFault
from bmigd.guests.definition import MIB, Definition, make
from bmigd.journal import Journal, Record
from bmigd.migration.handoff import DestinationEvent, IllegalMove, SourceEvent
from bmigd.migration.ledger import Ledger

SOURCE = Record("m1", "source", "web1", "host2", 3, "MIGRATING")
DESTINATION = Record("m2", "destination", "web2", "host2", 1, "READY")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger on a new journal."""
    path = tmp_path / "journal"
    newjournal.create(path)
    opened = Journal(path)
    with ThreadPoolExecutor(1) as thread:
        yield Ledger(opened, thread)
    opened.close()


async def test_a_change_is_pending_until_it_is_closed(ledger: Ledger) -> None:
    aborted = await ledger.source(await ledger.open(SOURCE), SourceEvent.FAILED, "why")
    assert (aborted.state, aborted.pending) == ("ABORTED", SourceEvent.FAILED)
    closed = await ledger.close(aborted)
    assert (closed.state, closed.pending, closed.why) == ("ABORTED", "", "why")
    assert await ledger.get("m1") == closed


@pytest.mark.parametrize(
    ("state", "event", "kept"),
    [
        ("RECEIVING", DestinationEvent.WITHDRAWN, ""),
        ("TAKEN", DestinationEvent.NEVER_RAN, ""),
        ("STARTED", DestinationEvent.GUEST_RUNS, "it"),
    ],
)
async def test_of_a_guest_that_did_not_stay_no_definition_is_kept(
    ledger: Ledger, state: str, event: DestinationEvent, kept: str
) -> None:
    record = await ledger.open(replace(DESTINATION, state=state, definition="it"))
    ended = await ledger.destination(record, event)
    assert ended.definition == "it"  # until nothing is left to do
    assert (await ledger.close(ended)).definition == kept


async def test_a_change_with_nothing_left_to_do_is_never_pending(ledger: Ledger) -> None:
    taken = await ledger.destination(await ledger.open(DESTINATION), DestinationEvent.COMMITTED)
    assert (taken.state, taken.pending) == ("TAKEN", "")


async def test_a_move_from_a_state_that_is_not_there_any_more_is_not_written(
    ledger: Ledger,
) -> None:
    record = await ledger.open(SOURCE)
    let_go = await ledger.source(record, SourceEvent.PEER_READY)
    resolved = await ledger.source(let_go, SourceEvent.RESOLVED)
    with pytest.raises(IllegalMove):
        await ledger.source(let_go, SourceEvent.PEER_RUNS_IT)  # an answer that came too late
    assert await ledger.get("m1") == resolved


async def test_an_illegal_move_is_not_written(ledger: Ledger) -> None:
    record = await ledger.open(DESTINATION)
    with pytest.raises(IllegalMove):
        await ledger.destination(record, DestinationEvent.GUEST_RUNS)
    assert await ledger.get("m2") == record


async def test_a_move_that_may_have_been_written_may_be_written_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    record = await ledger.open(SOURCE)
    mark = tmp_path / "journal.mark"
    kept = mark.rename(tmp_path / "kept")
    mark.symlink_to("/dev/null")  # which the kernel refuses to sync
    with pytest.raises(LocalFault, match="JOURNAL_UNWRITABLE"):
        await ledger.source(record, SourceEvent.FAILED, "why")
    there = await ledger.get("m1")
    assert there
    assert there.state == "ABORTED"  # it was written, and that was not known
    kept.rename(mark)
    again = await ledger.source(record, SourceEvent.FAILED, "why")
    assert (again.state, again.pending, again.why) == ("ABORTED", SourceEvent.FAILED, "why")
    with pytest.raises(IllegalMove):  # now it is known
        await ledger.source(record, SourceEvent.FAILED, "why")


async def test_a_new_guest_of_an_old_name_has_no_past(ledger: Ledger) -> None:
    old, new = guest(uuid=uuid4()), guest(uuid=uuid4())
    await ledger.raise_epoch(old, 5)
    assert (await ledger.epoch(old), await ledger.epoch(new)) == (5, 0)
    await ledger.raise_epoch(old.model_copy(update={"name": "x"}), 9)
    assert await ledger.epoch(old) == 5  # whoever may only do things with x


def guest(uuid: UUID) -> Definition:
    return make(
        {
            "name": "vm1",
            "uuid": uuid,
            "driver": "bhyve",
            "memory_bytes": 64 * MIB,
            "firmware": {"bootrom": "/rom"},
            "devices": [],
        }
    )
