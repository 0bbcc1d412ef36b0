"""When the other node was silent, what was waited for and how long: into events and the report.

One silence at a time: what is noticed while one goes on belongs to it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from bmigd.errors import BmigError, PeerLost
from bmigd.migration.picture import SOURCE, Interruption
from bmigd.migration.recorder import Recorder, us_since

log = structlog.get_logger()
T = TypeVar("T")
PULSE_S = 0.25  # between two questions while something is waited for
LOOK_S = 0.1  # between two looks for an answer
AT_ONCE_S = 0.1  # less is no silence: the connection broke
AGAIN_S = 0.1  # before a question whose answer was lost is asked again


@dataclass
class Silences:
    """The interruptions of one migration."""

    recorder: Recorder
    guest_down: bool = False
    _waited_for: str = ""
    _since_s: float = 0.0
    _told: str = ""  # in the picture, while nothing else is

    def lost(self, waited_for: str, since_s: float, *, again: bool = True) -> None:
        """Something that is due does not come, and nothing has since then; is it asked again?"""
        if self._waited_for:
            return
        self._waited_for, self._since_s = waited_for, since_s
        picture = self.recorder.picture
        other = picture.destination if picture.side == SOURCE else picture.source
        whose = f"{waited_for} from {other}"
        self.recorder.wait_for(whose, since_s)
        lasted_s = time.monotonic() - since_s
        words = f"{other} has given no {waited_for} for {lasted_s:.1f} s"
        if lasted_s < AT_ONCE_S:
            words = f"the connection to {other} broke when {waited_for} was due"
        words += "; it is asked again" if again else ""
        words += "" if self.guest_down else "; the guest runs on"
        if not picture.waiting_for:
            picture.waiting_for = self._told = whose
        log.warning("interrupted", migration=picture.id, detail=words)
        self.recorder.event("interrupted", words)

    def heard(self) -> None:
        """It came."""
        if not self._waited_for:
            return
        self._end(heard_again=True)
        report = self.recorder.picture.report
        report.reconnects += 1
        lasted_s = report.interruptions[-1].duration_us / 1e6
        self.recorder.event("reconnect", f"taken up again after {lasted_s:.1f} s")

    def given_up(self) -> None:
        """It did not come, and is not waited for any more."""
        if self._waited_for:
            self._end(heard_again=False)

    def _end(self, *, heard_again: bool) -> None:
        lasted_us = us_since(self._since_s)
        picture = self.recorder.picture
        picture.report.interruptions.append(
            Interruption(self._waited_for, lasted_us, self.guest_down, heard_again)
        )
        if picture.waiting_for == self._told:
            picture.waiting_for = ""
        self._waited_for = self._told = ""
        self.recorder.go_on()


async def unless_silent(
    work: Coroutine[Any, Any, T],
    ask: Callable[[], Awaitable[object]],
    limit_s: float,
    lost: Callable[[float], PeerLost],
) -> T:
    """Do the work; what `lost` makes of it as soon as nobody has answered `ask` for so long.

    The other node may take its time for the work as long as it answers: that is how work and
    silence are told apart. `lost` is given the time of the last answer.
    """
    working = asyncio.ensure_future(work)
    asking = asyncio.ensure_future(_until_silent(ask, limit_s))
    try:
        await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise lost(asking.result())
        return working.result()
    finally:
        for task in (working, asking):
            task.cancel()
        await asyncio.gather(working, asking, return_exceptions=True)


async def _until_silent(ask: Callable[[], Awaitable[object]], limit_s: float) -> float:
    """Return when there was no answer for so long: the time of the last one.

    Time in which this daemon itself stood still is not held against the other node.
    """
    heard_at, silent_s = time.monotonic(), 0.0
    pause_s = min(PULSE_S, limit_s / 4)
    asking = asyncio.ensure_future(ask())
    try:
        while silent_s < limit_s:
            looked_at = time.monotonic()
            await asyncio.wait({asking}, timeout=LOOK_S)
            silent_s += min(time.monotonic() - looked_at, 2 * LOOK_S)
            if not asking.done():
                continue
            if not isinstance(asking.exception(), PeerLost):  # any other error is an answer
                heard_at, silent_s = time.monotonic(), pause_s
                await asyncio.sleep(pause_s)
            else:
                await asyncio.sleep(LOOK_S)
                silent_s += LOOK_S
            asking = asyncio.ensure_future(ask())
        return heard_at
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@asynccontextmanager
async def keeping_lease(
    ask: Callable[[], Awaitable[object]], every_s: float
) -> AsyncIterator[None]:
    """Give signs of life; whoever sends memory meanwhile notices that there is no answer."""
    giving = asyncio.create_task(_give_signs(ask, every_s))
    try:
        yield
    finally:
        giving.cancel()


async def _give_signs(ask: Callable[[], Awaitable[object]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await ask()
        except BmigError:
            continue


async def again_while_lost(
    ask: Callable[[], Awaitable[T]], silences: Silences, waited_for: str, limit_s: float
) -> T:
    """An answer to a request that may be repeated; PeerLost when none came for so long."""
    began = time.monotonic()
    while True:
        try:
            answer = await ask()
        except PeerLost:
            is_late = time.monotonic() - began >= limit_s
            silences.lost(waited_for, began, again=not is_late)
            if is_late:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            silences.heard()
            return answer
