"""When a guest that was released to another node may be here again: only on everybody's word."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from bmigd.errors import BmigError, NotPossible, PeerLost, PeerSaidNo, Unknown
from bmigd.guests.definition import render_toml
from bmigd.guests.state import GuestState, Seen
from bmigd.journal import Record
from bmigd.migration.departed import Departures, why_not_here
from bmigd.migration.elsewhere import Elsewhere, Sighting
from bmigd.migration.handoff import DestinationState, SourceState
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION, SOURCE
from bmigd.migration.ports import Peer
from tests.migration.node import guest, ledger_of, make_node

STOPPED = Seen(GuestState.STOPPED)
AWAY = Record("id", SOURCE, "web1", "host2", 1, "RELEASED", changed_at=1_700_000_000.0)
SILENT = PeerLost("PEER_LOST", "silent")
LOST = PeerLost("PEER_LOST", "host2 does not answer")
DENIED = PeerSaidNo("DENIED", "host1 may not read")


class Other:
    """As much of another node as is asked here."""

    def __init__(self, name: str, answer: Seen | BmigError | None) -> None:
        self.name = name
        self.answer = answer
        self.closed = 0

    async def see_guest(self, name: str) -> Seen | None:
        if isinstance(self.answer, BmigError):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(name="node")
def make_a_node(tmp_path: Path) -> Node:
    return make_node(tmp_path)


@pytest.fixture(name="ledger")
def make_ledger(node: Node) -> Iterator[Ledger]:
    with ledger_of(node) as ledger:
        yield ledger


def departures(ledger: Ledger, *others: Other) -> Departures:
    """Those of host1, which knows these nodes."""
    known = {other.name: other for other in others}
    return Departures(ledger, Elsewhere("host1", known, lambda name: cast("Peer", known[name])))


async def keep(ledger: Ledger, number: int, side: str, state: str, peer: str = "host2") -> None:
    """Journal that a migration of web1 came to this."""
    await ledger.open(Record(f"id{number}", side, "web1", peer, number, state))


@pytest.mark.parametrize(
    ("sighting", "not_on", "said"),
    [
        (Sighting(), (), ""),
        (Sighting((("host2", STOPPED),)), (), "is on host2"),
        (
            Sighting((("host2", STOPPED),)),
            ("host2",),
            "is on host2",
        ),  # nobody's word counts against its own
        (Sighting((), (("host2", SILENT),)), (), "host2 could not be asked (silent)"),
        (Sighting((), (("host2", SILENT),)), ("host3",), "host2 could not be asked"),
        (Sighting((), (("host2", SILENT),)), ("host2",), ""),
        (
            Sighting((), (("host2", SILENT), ("host3", SILENT))),
            ("host2",),
            "host3 could not be asked",
        ),
    ],
)
def test_a_silent_node_needs_a_word_and_one_that_has_it_cannot_be_overruled(
    sighting: Sighting, not_on: tuple[str, ...], said: str
) -> None:
    objection = why_not_here(AWAY, "host1", sighting, not_on)
    assert (objection.message if objection else "").count(said)
    assert (objection is None) == (not said)
    if objection:
        assert objection.reason == "GUEST_WENT_AWAY"
        assert "went from host1 to host2 at 2023-11-14 22:13:20 UTC" in objection.message


def test_the_advice_names_every_silent_node() -> None:
    silent = (("host2", SILENT), ("host3", SILENT))
    objection = why_not_here(AWAY, "host1", Sighting((), silent), ("host2",))
    assert objection
    command = "bmigctl guest recover web1 --node host1 --not-on host2 --not-on host3"
    assert objection.advice.endswith(command)


@pytest.mark.parametrize(
    "later",
    [
        (),
        ((DESTINATION, DestinationState.REFUSED),),  # its way back failed
        ((DESTINATION, DestinationState.RETURNED),),
        ((SOURCE, SourceState.ABORTED),),
    ],
)
async def test_it_stays_away_until_it_is_decided_that_it_is_back(
    ledger: Ledger, later: tuple[tuple[str, str], ...]
) -> None:
    await keep(ledger, 1, SOURCE, SourceState.RELEASED)
    for number, (side, state) in enumerate(later, 2):
        await keep(ledger, number, side, state)
    with pytest.raises(NotPossible):
        await departures(ledger, Other("host2", STOPPED)).require_not_away("web1")
    await departures(ledger, Other("host2", STOPPED)).require_not_away("web2")


@pytest.mark.parametrize(
    ("side", "state"),
    [(DESTINATION, DestinationState.RUNNING), (SOURCE, SourceState.RECLAIMED)],
)
async def test_of_one_that_came_back_nobodys_word_is_needed(
    ledger: Ledger, side: str, state: str
) -> None:
    await keep(ledger, 1, SOURCE, SourceState.RELEASED)
    await keep(ledger, 2, side, state)
    other = Other("host2", LOST)
    sighting = await departures(ledger, other).require_not_away("web1")
    assert sighting.silent_nodes == {"host2"}


@pytest.mark.parametrize("answer", [LOST, DENIED], ids=["silent", "says nothing"])
async def test_who_does_not_say_that_it_has_none_may_have_it(
    ledger: Ledger, answer: BmigError
) -> None:
    await keep(ledger, 1, SOURCE, SourceState.RELEASED)
    other, further = Other("host2", None), Other("host3", answer)  # it may have gone on
    with pytest.raises(NotPossible, match="host3 could not be asked"):
        await departures(ledger, other, further).require_not_away("web1")
    assert (other.closed, further.closed) == (1, 1)


async def test_a_node_that_is_configured_no_more_is_not_forgotten(ledger: Ledger) -> None:
    await keep(ledger, 1, SOURCE, SourceState.RELEASED)
    with pytest.raises(NotPossible, match=r"not in \[nodes\] of host1"):
        await departures(ledger).require_not_away("web1")


async def test_what_every_node_has_said_is_settled_until_it_leaves_again(ledger: Ledger) -> None:
    await keep(ledger, 1, SOURCE, SourceState.RELEASED)
    await departures(ledger, Other("host2", None)).require_not_away("web1")
    await departures(ledger, Other("host2", LOST)).require_not_away("web1")
    with pytest.raises(NotPossible):  # but who has it is believed
        await departures(ledger, Other("host2", STOPPED)).require_not_away("web1")
    await keep(ledger, 2, SOURCE, SourceState.RELEASED)
    with pytest.raises(NotPossible):
        await departures(ledger, Other("host2", LOST)).require_not_away("web1")


async def test_an_operators_word_brings_it_back_as_it_left_and_is_recorded(
    node: Node, ledger: Ledger
) -> None:
    left = guest(node)
    away = Record("id1", SOURCE, left.name, "host2", 1, "RELEASED", definition=render_toml(left))
    await ledger.open(away)
    here = departures(ledger, Other("host2", LOST))
    with pytest.raises(NotPossible):
        await here.recover(left.name, (), "operator alice")
    assert not await ledger.is_resolved("id1")
    assert await here.recover(left.name, ("host2",), "operator alice") == left
    assert await ledger.is_resolved("id1")
    await here.require_not_away(left.name)


async def test_what_did_not_go_away_is_not_recovered(ledger: Ledger) -> None:
    with pytest.raises(Unknown) as unknown:
        await departures(ledger, Other("host2", LOST)).recover("web1", ("host2",), "operator alice")
    assert unknown.value.reason == "GUEST_UNKNOWN"


@pytest.mark.parametrize(
    ("side", "state", "is_settled"),
    [
        (SOURCE, SourceState.ABORTED, True),  # and the other node could not be told
        (SOURCE, SourceState.RECLAIMED, True),
        (DESTINATION, DestinationState.RUNNING, True),  # and the source cannot write it down
        (SOURCE, SourceState.LET_GO, False),
        (DESTINATION, DestinationState.REFUSED, False),
    ],
)
async def test_what_is_left_elsewhere_of_a_migration_that_ended_here_is_no_guest(
    ledger: Ledger, side: str, state: str, is_settled: bool
) -> None:
    await keep(ledger, 1, side, state)
    left, another = (Seen(GuestState.MIGRATING_IN, one) for one in ("id1", "id2"))
    sighting = await departures(ledger, Other("host2", left)).require_not_away("web1")
    assert (sighting.seen_on == ()) == is_settled
    sighting = await departures(ledger, Other("host2", another)).require_not_away("web1")
    assert sighting.seen_on == ("host2",)
