"""The guest goes down only once the other node is ready to start it, and copying does not wait."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from bmigd.errors import NotPossible, StartFailed
from bmigd.guests.definition import Definition
from bmigd.migration.inviting import Inviting
from bmigd.migration.picture import Event, Options, Picture
from bmigd.migration.ports import Invitation, Peer, Welcome
from bmigd.migration.recorder import Recorder
from bmigd.migration.silence import Silences
from tests.migration.test_tracking import Unkept

INVITATION = Invitation(
    *("m1", 1, cast(Definition, None), (), 1, "journal", "alice", 1, "build"),
    asks_for_memory=True,
)
FAILS = StartFailed("START_FAILED", "unsupported machine type", never_ran=True)


class Kept(Unkept):
    """What was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def keep_event(self, migration_id: str, event: Event) -> None:
        self.messages.append(event.message)


@dataclass
class Other:
    """The other node, which gets ready when it is told to."""

    name = "host2"
    error: Exception | None = None
    told: Kept = field(default_factory=Kept)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_be_ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, invitation: Invitation) -> Welcome:
        if invitation.until_ready:
            self.is_asked.set()
            await self.may_be_ready.wait()
            if self.error:
                raise self.error
        return Welcome("journal", 1.0, 1, frozenset(), 1, has_memory=False)

    @property
    def inviting(self) -> Inviting:
        """A source that invites it."""
        picture = Picture("m1", "w", "a", "b", "source", 1, "x", Options())
        return Inviting(cast(Peer, self), Silences(Recorder(picture, self.told, [])), INVITATION)


async def test_room_is_there_before_all_is_ready() -> None:
    assert (await Other().inviting.room()).lease_s == 1.0


async def test_a_guest_is_copied_once_by_a_source_whose_destination_was_ready_by_then() -> None:
    other, copies = Other(), list[str]()

    async def copy() -> None:
        await other.is_asked.wait()
        other.may_be_ready.set()
        for _ in range(5):  # it answers meanwhile
            await asyncio.sleep(0)
        copies.append("copy")

    await other.inviting.beside(copy, 5.0)
    assert copies == ["copy"]


async def test_what_the_guest_did_while_the_destination_got_ready_is_copied_too() -> None:
    other, copies = Other(), list[str]()

    async def copy() -> None:
        copies.append("copy")
        await other.is_asked.wait()
        asyncio.get_running_loop().call_soon(other.may_be_ready.set)

    await other.inviting.beside(copy, 5.0)
    assert copies == ["copy", "copy"]


async def test_a_destination_that_cannot_get_ready_ends_the_copying_with_its_own_error() -> None:
    other, ends = Other(FAILS), list[str]()

    async def copy() -> None:
        other.may_be_ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    with pytest.raises(StartFailed, match="unsupported machine type"):
        await other.inviting.beside(copy, 5.0)
    assert ends == ["ended"]


async def test_a_copying_that_fails_waits_for_nobody() -> None:
    async def copy() -> None:
        raise NotPossible("NOT_CONVERGING", "it is too busy")

    with pytest.raises(NotPossible, match="too busy"):
        async with asyncio.timeout(5):
            await Other().inviting.beside(copy, 5.0)


async def test_waiting_for_a_destination_is_told_and_bounded_by_the_operators_time() -> None:
    copies, other = list[str](), Other()

    async def copy() -> None:
        copies.append("copy")

    with pytest.raises(NotPossible, match="host2 was not ready to start the guest") as fault:
        await other.inviting.beside(copy, 5.0, at_most_s=0.05)
    assert (fault.value.reason, copies) == ("TIMEOUT", ["copy"])
    assert "host2 still starts" in other.told.messages[-1]
