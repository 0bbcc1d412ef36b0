"""Whatever a guest will be started with gets ready on the destination while its memory arrives.

The rule that must not break: nothing of the guest is dropped before that has come to its end, or
what it starts would be left behind.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from bmigd.migration.launched import launched


class Standby:
    """That work, of one reception."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None], migration_id: str) -> None:
        """It tells of its failure by itself."""
        self._work = launched(work, migration_id)

    async def over(self) -> None:
        """Until it is done, or has failed."""
        if self._work:
            await asyncio.wait({self._work})

    async def end(self) -> None:
        """Nothing of it goes on, unless it is the one who asks. Idempotent."""
        if self._work and self._work is not asyncio.current_task():
            self._work.cancel()
            await asyncio.wait({self._work})
