"""Of calls that bring the same thing only the newest goes on; an older one is ended wherever it is.

So what a peer has under way for one guest is one call's worth, however many calls it makes, and a
repeated call does not wait for the one that it replaces.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bmigd.errors import BmigError


class Turn:
    """How long a call may go on."""

    def __init__(self) -> None:
        self._over: BmigError | None = None
        self._waiting: asyncio.Timeout | None = None

    def end(self, why: BmigError) -> None:
        """The call ends with this, now or when it comes to `lasts` again."""
        if self._over:
            return
        self._over = why
        if self._waiting:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def lasts(self) -> AsyncIterator[None]:
        """What is done here ends with what the turn was ended with, as soon as it was."""
        if self._over:
            raise self._over
        try:
            async with asyncio.timeout(None) as self._waiting:
                yield
        except TimeoutError as error:
            if self._over is None:
                raise
            raise self._over from error
        finally:
            self._waiting = None
