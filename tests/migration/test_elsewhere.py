"""Two guests of one name write the same disks: a node that has one is believed, and one that says
nothing is never taken for one that has none.
"""

import asyncio
from typing import cast

import pytest

from bmigd.errors import BmigError, PeerLost, PeerSaidNo
from bmigd.guests.state import GuestState, Seen
from bmigd.migration import elsewhere
from bmigd.migration.elsewhere import Elsewhere, Sighting, why_not_defined, why_not_started
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
