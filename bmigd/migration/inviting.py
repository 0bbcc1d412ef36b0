"""What a source asks of the destination before memory moves, and before the guest goes down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bmigd.migration.ports import Invitation, Peer, Welcome
from bmigd.migration.silence import Silences, again_while_lost

PREPARE_S = 20.0  # for the other node to make files and start a hypervisor, asked repeatedly


@dataclass(frozen=True)
class Inviting:
    """One guest's invitation, repeated as long as no answer comes."""

    peer: Peer
    silences: Silences
    invitation: Invitation

    async def room(self) -> Welcome:
        """There is room, and memory may come."""
        return await self._answer(self.invitation)

    async def beside(self, copy: Callable[[], Awaitable[None]]) -> None:
        """Copy while the other node gets ready to start the guest; its error ends the copying.

        If it was not ready by then, the guest has gone on meanwhile, so copy again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                getting_ready = replace(self.invitation, until_ready=True)
                ready = group.create_task(self._answer(getting_ready))
                await copy()
                if not ready.done():
                    await ready
                    await copy()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _answer(self, invitation: Invitation) -> Welcome:
        return await again_while_lost(
            lambda: self.peer.receive(invitation),
            *(self.silences, "answer to ReceiveGuest", PREPARE_S),
        )
