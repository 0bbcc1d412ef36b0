"""Whatever a guest will be started with gets ready on the destination while its memory arrives.

The rule that must not break: nothing of the guest is dropped before that has come to its end, or
what it starts would be left behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bmigd.migration.launched import launched


class Standby:
    """That work, of one reception."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None
        self._seen: asyncio.Task[None] | None = None

    def begin(
        self,
        work: Coroutine[Any, Any, None],
        failed: Callable[[BaseException], Awaitable[None]],
        migration_id: str,
    ) -> None:
        """Do the work; whoever is told of its failure may end it, but not wait for its end."""
        self._work = asyncio.create_task(work)
        self._seen = launched(self._see(self._work, failed), migration_id)

    async def _see(
        self, work: asyncio.Task[None], failed: Callable[[BaseException], Awaitable[None]]
    ) -> None:
        await asyncio.wait({work})
        error = None if work.cancelled() else work.exception()
        if error:
            await failed(error)

    async def over(self) -> None:
        """Until it is done, or has failed and that was told."""
        if self._seen:
            await asyncio.wait({self._seen})

    async def end(self) -> None:
        """Nothing of it goes on. Idempotent."""
        if self._work:
            self._work.cancel()
            await asyncio.wait({self._work})
