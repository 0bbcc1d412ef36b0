"""What a source asks of the destination before memory moves, and before the guest goes down."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bmigd.errors import NotPossible
from bmigd.migration.ports import Invitation, Peer, Welcome
from bmigd.migration.silence import Silences, again_while_lost

ROOM_S = 20.0  # for the other node to make files, asked repeatedly


@dataclass(frozen=True)
class Inviting:
    """One guest's invitation, repeated as long as no answer comes."""

    peer: Peer
    silences: Silences
    invitation: Invitation

    async def room(self) -> Welcome:
        """There is room, and memory may come."""
        return await self._answer(self.invitation, ROOM_S)

    async def beside(
        self, copy: Callable[[], Awaitable[None]], reconnect_s: float, at_most_s: float = math.inf
    ) -> None:
        """Copy while the other node gets ready to start the guest; its error ends the copying.

        If it was not ready by then, the guest has gone on meanwhile, so copy again. A node that
        does not answer is borne with for as long as one that takes no memory. NotPossible (TIMEOUT)
        if it is not ready so long after the beginning.
        """
        getting_ready = replace(self.invitation, until_ready=True)
        deadline_s = asyncio.get_running_loop().time() + at_most_s
        try:
            async with asyncio.TaskGroup() as group:
                ready = group.create_task(self._answer(getting_ready, reconnect_s))
                await copy()
                if not ready.done():
                    await self._until_ready(ready, deadline_s, at_most_s)
                    await copy()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _until_ready(
        self, ready: asyncio.Task[Welcome], deadline_s: float, at_most_s: float
    ) -> None:
        name = self.peer.name
        waits = f"{name} still starts what the guest will run in; meanwhile it runs here"
        recorder = self.silences.recorder
        recorder.event("decision", waits)
        recorder.picture.progress.forget()
        recorder.picture.waiting_for = ready_words = f"{name} to be ready to start the guest"
        try:
            async with asyncio.timeout_at(deadline_s):
                await asyncio.shield(ready)
        except TimeoutError:
            raise NotPossible(
                "TIMEOUT",
                f"{name} was not ready to start the guest after {at_most_s:g} s",
                f"allow more time (--timeout), or see why a hypervisor takes so long on {name}",
            ) from None
        finally:
            if recorder.picture.waiting_for == ready_words:
                recorder.picture.waiting_for = ""

    async def _answer(self, invitation: Invitation, limit_s: float) -> Welcome:
        return await again_while_lost(
            lambda: self.peer.receive(invitation),
            *(self.silences, "answer to ReceiveGuest", limit_s),
        )
