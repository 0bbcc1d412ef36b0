"""Memory of one guest on its way in: prepared, written chunk by chunk, compared at the end.

Nothing here knows of states; reception.py decides when what may be done.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from bmigd.chunk import Chunk
from bmigd.drivers.base import IncomingGuest, IncomingMemory
from bmigd.errors import BadBytes, LocalFault
from bmigd.transfer.pages import PageTable
from bmigd.transfer.receiver import Receiver

T = TypeVar("T")


class Intake:
    """One guest's memory. Works in threads of the executor; one caller at a time."""

    def __init__(self, incoming: IncomingGuest, executor: Executor) -> None:
        self._incoming = incoming
        self._executor = executor
        self._memory: IncomingMemory | None = None
        self._table: PageTable | None = None
        self._receiver: Receiver | None = None

    async def prepare(self, seed: int) -> None:
        """Make room for it, all zero."""
        self._memory = await self._incoming.prepare()
        self._table = PageTable([region.size_bytes for region in self._memory.regions], seed)
        self._receiver = Receiver(self._memory, self._table)

    async def apply(self, chunks: list[Chunk]) -> None:
        """Write chunks in order; BadBytes (CHUNK_INVALID), LocalFault (SPOOL_FULL)."""
        receiver = self._receiver
        assert receiver

        def write() -> None:
            for chunk in chunks:
                receiver.apply(chunk)

        await self._in_thread(write)

    async def compare(self, root: bytes, *, verify: bool) -> None:
        """BadBytes or LocalFault (MEMORY_DIFFERS) unless memory is what has this root."""
        assert self._table
        assert self._receiver
        if await self._in_thread(self._table.root) != root:
            raise BadBytes(
                "MEMORY_DIFFERS",
                "the memory that was received is not the memory that was sent",
                "migrate again; if it happens again, report it with both logs",
            )
        if verify and not await self._in_thread(self._receiver.verify):
            raise LocalFault("MEMORY_DIFFERS", "memory read back differs from what was written")

    def close(self) -> None:
        """Nothing more will be written."""
        if self._memory:
            self._memory.close()
        self._memory = self._table = self._receiver = None

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
