"""Two guests of one name write the same disks: a node that has one is believed, and one that says
nothing is never taken for one that has none.
"""

import asyncio
from typing import cast

import pytest

from bmigd.errors import BmigError, PeerLost, PeerSaidNo
from bmigd.guests.state import GuestState, Seen
from bmigd.migration import elsewhere
from bmigd.migration.elsewhere import (
    AS_ITS_DESTINATION,
    AS_ITS_SOURCE,
    SETTLED_BY_HAND,
    Elsewhere,
    Sighting,
    why_not_defined,
    why_not_settled_here,
    why_not_started,
    why_not_taken,
)
from bmigd.migration.ports import Peer


class Other:
    """As much of another node as is asked here."""

    def __init__(self, answer: Seen | BmigError | None, *, answers: bool = True) -> None:
        self.answer, self.answers, self.is_closed = answer, answers, False

    async def see_guest(self, name: str) -> Seen | None:
        if not self.answers:
            await asyncio.Event().wait()
        if isinstance(self.answer, BmigError):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        self.is_closed = True


async def test_everybody_is_asked_at_once_and_nobody_is_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "LOOK_S", 0.05)
    others = {
        "host2": Other(Seen(GuestState.RUNNING, "m1")),
        "host3": Other(None),
        "host4": Other(PeerSaidNo("DENIED", "host1 may not read")),
        "host5": Other(None, answers=False),
    }
    there = Elsewhere("host1", ["host1", *others], lambda name: cast("Peer", others[name]))
    async with asyncio.timeout(5):
        sighting = await there.look("web1", "host9")
    assert sighting.seen == (("host2", Seen(GuestState.RUNNING, "m1")),)
    assert {node: why.message for node, why in sighting.silent} == {
        "host4": "host1 may not read",
        "host5": "no answer within 0.05 s",
        "host9": "it is not in [nodes] of host1",
    }
    assert all(one.is_closed for one in others.values())


@pytest.mark.parametrize("state", list(GuestState))
def test_a_name_that_is_in_use_is_not_given_again_whatever_is_said(state: GuestState) -> None:
    objection = why_not_defined("web1", "host1", Sighting((("host2", Seen(state)),)), ["host2"])
    assert objection
    assert objection.reason == "NAME_TAKEN"
    assert objection.location == f"{state.words} on host2 (nothing was changed)"


def test_a_node_that_says_nothing_needs_a_word_of_its_own() -> None:
    silent = (
        ("host2", PeerLost("PEER_LOST", "host2 is silent")),
        ("host3", PeerLost("PEER_LOST", "host3 is silent")),
        ("host4", PeerSaidNo("DENIED", "host1 may not read")),
    )
    sighting = Sighting((), silent)
    objection = why_not_defined("web1", "host1", sighting, ["host3"])
    assert objection
    assert objection.reason == "NAME_NOT_SURE"
    assert "(host2 is silent; host1 may not read)" in objection.message
    assert objection.advice == (
        'bring host2 back; allow host1 to "read" in [[peers]] of host4; or, if you know that no'
        " guest web1 is there, add --not-on host2 --not-on host4"
    )
    assert why_not_defined("web1", "host1", sighting, ["host2", "host3", "host4"]) is None
    assert why_not_defined("web1", "host1", Sighting(), []) is None


@pytest.mark.parametrize("state", list(GuestState))
def test_a_guest_that_may_run_on_another_node_is_not_started(state: GuestState) -> None:
    """A failed one may run without its supervisor."""
    objection = why_not_started("web1", "host1", Sighting((("host2", Seen(state)),)))
    assert (objection is None) == (state is GuestState.STOPPED)
    if objection:
        assert objection.reason == "GUEST_RUNS_ELSEWHERE"
        is_wrong_here = "bmigctl guest undefine web1 --node host1" in objection.advice
        assert is_wrong_here == (state is GuestState.RUNNING)


def test_nobody_is_told_to_undefine_a_guest_that_moves() -> None:
    for state in (GuestState.MIGRATING_IN, GuestState.MIGRATING_OUT, GuestState.IN_DOUBT):
        sighting = Sighting((("host2", Seen(state)),))
        for objection in (
            why_not_started("web1", "host1", sighting),
            why_not_defined("web1", "host1", sighting, []),
        ):
            assert objection
            assert "undefine" not in objection.advice
            assert "bmigctl list --guest web1" in objection.advice


def test_a_node_that_is_down_keeps_no_other_from_starting_its_guests() -> None:
    silent = (("host2", PeerLost("PEER_LOST", "silent")),)
    assert why_not_started("web1", "host1", Sighting((), silent)) is None


OURS, THEIRS = "m1", "m2"


def sighted(*seen: tuple[str, GuestState, str], silent: tuple[str, ...] = ()) -> Sighting:
    """Who says what; and who says nothing."""
    return Sighting(
        tuple((node, Seen(state, migration)) for node, state, migration in seen),
        tuple((node, PeerLost("PEER_LOST", "it is dark")) for node in silent),
    )


@pytest.mark.parametrize("innocent", [AS_ITS_DESTINATION, AS_ITS_SOURCE, SETTLED_BY_HAND])
@pytest.mark.parametrize("state", GuestState)
def test_the_other_node_of_a_migration_waits_for_what_is_decided_or_has_it_otherwise(
    state: GuestState, innocent: frozenset[GuestState]
) -> None:
    found = why_not_settled_here("vm1", "host1", sighted(("host2", state, OURS)), OURS, innocent)
    assert (found is None) == (state in innocent)


@pytest.mark.parametrize("state", GuestState)
def test_whoever_has_it_apart_from_the_migration_must_have_it_stopped(state: GuestState) -> None:
    for other in ("", THEIRS):
        seen = sighted(("host3", state, other), silent=("host2",))
        found = why_not_settled_here("vm1", "host1", seen, OURS, AS_ITS_DESTINATION)
        assert (found is None) == (state is GuestState.STOPPED)


@pytest.mark.parametrize(
    ("seen", "is_taken"),
    [
        (sighted(("host1", GuestState.IN_DOUBT, OURS)), True),
        (sighted(silent=("host1",)), True),
        (sighted(), False),  # it has it no more
        (sighted(("host1", GuestState.IN_DOUBT, THEIRS)), False),
        (sighted(("host1", GuestState.STOPPED, OURS)), False),
        (sighted(("host1", GuestState.RUNNING, OURS)), False),
        (sighted(("host1", GuestState.STOPPED, "")), False),
        (sighted(("host1", GuestState.IN_DOUBT, OURS), ("host3", GuestState.RUNNING, "")), False),
        (sighted(("host3", GuestState.RUNNING, ""), silent=("host1",)), False),
    ],
)
def test_what_was_let_go_is_run_only_while_its_source_keeps_it_for_us(
    seen: Sighting, is_taken: bool
) -> None:
    assert (why_not_taken("vm1", "host2", seen, OURS, "host1") is None) == is_taken
