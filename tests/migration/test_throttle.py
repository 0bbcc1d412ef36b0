"""A guest that is slowed down is renewed as long as it is to be, and full speed is the last that is
asked for, whatever happens in between.
"""

import asyncio
from typing import cast

import pytest

from bmigd.chunk import MIB
from bmigd.drivers.base import THROTTLE_S, OutgoingGuest
from bmigd.errors import LocalFault
from bmigd.migration.convergence import RoundFigures
from bmigd.migration.picture import Event, Options, Picture
from bmigd.migration.recorder import Recorder
from bmigd.migration.throttle import Throttle
from bmigd.migration.throttling import MOST_PERCENT, Strength

AS_FAST_AS_SENT = [RoundFigures(10 * MIB, 10 * MIB, 1.0)] * 4


class Leaving:
    """As much of an outgoing guest as is needed to slow it down.

    What was asked arrives, whether or not somebody waits for the answer still.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.is_being_asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.refuses = False

    async def throttle(self, stopped_percent: int) -> None:
        await asyncio.shield(self._arrive(stopped_percent))

    async def _arrive(self, stopped_percent: int) -> None:
        self.is_being_asked.set()
        await self.answers.wait()
        self.asked.append(stopped_percent)
        if self.refuses:
            raise LocalFault("SUPERVISOR_REFUSED", "throttle: KeyError: 'throttle'")


class Unkept:
    """History that nobody keeps."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def keep_event(self, migration_id: str, event: Event) -> None:
        self.said.append(f"{event.kind}: {event.message}")

    def keep_picture(self, picture: Picture) -> None:
        pass


class Slowing:
    """A guest, and what slows it down."""

    def __init__(self) -> None:
        self.guest, self.kept = Leaving(), Unkept()
        self.picture = Picture("m1", "web1", "a", "b", "source", 1, "alice", Options())
        recorder = Recorder(self.picture, self.kept, [])
        self.throttle = Throttle(cast(OutgoingGuest, self.guest), recorder)


async def test_it_is_renewed_before_it_ends_by_itself_and_then_ended() -> None:
    one = Slowing()
    assert await one.throttle.tighten(AS_FAST_AS_SENT)
    assert one.guest.asked == [50]
    assert one.picture.progress.throttle_percent == one.picture.report.throttle_percent == 50
    async with asyncio.timeout(THROTTLE_S):
        while len(one.guest.asked) < 3:
            await asyncio.sleep(0.01)
    assert await one.throttle.tighten(AS_FAST_AS_SENT * 2)
    assert one.guest.asked[:4] == [50, 50, 50, 75]
    await one.throttle.end()
    ended = list(one.guest.asked)
    await asyncio.sleep(THROTTLE_S / 2)
    await one.throttle.end()
    assert one.guest.asked == ended == [50, 50, 50, 75, 0]
    assert (one.picture.progress.throttle_percent, one.picture.report.throttle_percent) == (0, 75)
    assert THROTTLE_S / 2 * 1e6 < one.picture.report.throttled_us < 2 * THROTTLE_S * 1e6
    assert one.kept.said == [
        "throttle: the guest is slowed to 50 % of its speed:"
        " it dirties 10 MiB/s and 10 MiB/s are sent",
        "throttle: the guest is slowed to 25 % of its speed:"
        " it still dirties 10 MiB/s and 10 MiB/s are sent",
        "throttle: the guest runs at full speed again",
    ]


async def test_a_guest_that_was_never_slowed_is_not_asked() -> None:
    one = Slowing()
    await one.throttle.end()
    assert (one.guest.asked, one.kept.said) == ([], [])


async def test_there_is_a_strongest() -> None:
    one = Slowing()
    one.throttle.strength = Strength(MOST_PERCENT, 0)
    assert not await one.throttle.tighten(AS_FAST_AS_SENT)
    assert one.guest.asked == []


async def test_a_guest_that_cannot_be_slowed_is_a_fault_and_is_let_go_all_the_same() -> None:
    one = Slowing()
    one.guest.refuses = True
    with pytest.raises(LocalFault, match="could not be slowed down: throttle: KeyError") as fault:
        await one.throttle.tighten(AS_FAST_AS_SENT)
    assert fault.value.reason == "THROTTLE_FAILED"
    assert "earlier release" in fault.value.advice
    await one.throttle.end()  # which is refused as well, and raises nothing
    assert one.guest.asked == [50, 0]
    assert not any("full speed" in said for said in one.kept.said)  # it never was slower
    assert one.picture.report.throttle_percent == 0


@pytest.mark.parametrize("what", ["tighten", "renew", "end"])
async def test_whatever_is_cancelled_half_way_full_speed_is_asked_for_last(what: str) -> None:
    one = Slowing()
    if what != "tighten":
        assert await one.throttle.tighten(AS_FAST_AS_SENT)
    one.guest.answers.clear()
    one.guest.is_being_asked.clear()
    if what == "renew":
        async with asyncio.timeout(THROTTLE_S):
            await one.guest.is_being_asked.wait()
    else:
        work = one.throttle.end() if what == "end" else one.throttle.tighten(AS_FAST_AS_SENT)
        working = asyncio.ensure_future(work)
        await one.guest.is_being_asked.wait()
        working.cancel()
        one.guest.answers.set()
        with pytest.raises(asyncio.CancelledError):
            await working
    one.guest.answers.set()
    await one.throttle.end()
    asked = list(one.guest.asked)
    assert asked[-1] == 0
    assert asked.count(0) == 1
    await asyncio.sleep(THROTTLE_S / 4 + 0.3)
    assert one.guest.asked == asked
