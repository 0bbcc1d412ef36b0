"""Memory of one guest on its way in: prepared, written chunk by chunk, compared at the end.

Nothing here knows of states; reception.py decides when what may be done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TypeVar

from bmigd.chunk import PAGE_BYTES, Chunk
from bmigd.drivers.base import IncomingGuest, IncomingMemory
from bmigd.errors import BadBytes, LocalFault
from bmigd.migration.ports import Stretch
from bmigd.transfer.pages import PageTable, page_hashes
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.spent import Spent

T = TypeVar("T")
STRETCH_PAGES = 1 << 16  # 256 MiB, whose hashes are half a MiB
READ_PAGES = 1 << 8


class Intake:
    """One guest's memory. Works in threads of the executor; one caller at a time."""

    def __init__(self, incoming: IncomingGuest, executor: Executor) -> None:
        self._incoming = incoming
        self._executor = executor
        self._memory: IncomingMemory | None = None
        self._table: PageTable | None = None
        self._receiver: Receiver | None = None
        self._undescribed = False

    async def prepare(self, seed: int, image: Path | None) -> None:
        """Make room for it, all zero or with what is kept of it."""
        self._undescribed = image is not None
        self._memory = await self._incoming.prepare(image)
        sizes_bytes = [region.size_bytes for region in self._memory.regions]
        self._table = await self._in_thread(partial(PageTable, sizes_bytes, seed))
        self._receiver = Receiver(self._memory, self._table)

    async def apply(self, chunks: list[Chunk]) -> None:
        """Write chunks in order; BadBytes (CHUNK_INVALID), LocalFault (SPOOL_FULL)."""
        receiver = self._receiver
        assert receiver
        if self._undescribed:  # its table would call zero what is not
            raise BadBytes("CHUNK_INVALID", "memory that is here was not asked for to its end")

        def write() -> None:
            for chunk in chunks:
                receiver.apply(chunk)

        await self._in_thread(write)

    @property
    def spent(self) -> Spent:
        """Where the time went."""
        assert self._receiver
        return self._receiver.spent

    async def describe(self) -> AsyncIterator[Stretch]:
        """Read back and hash what is here, which is told to the source and sent no more."""
        assert self._memory
        for number, region in enumerate(self._memory.regions):
            for first_page in range(0, region.size_bytes // PAGE_BYTES, STRETCH_PAGES):
                yield await self._in_thread(partial(self._hash_stretch, number, first_page))
        self._undescribed = False

    def _hash_stretch(self, region: int, first_page: int) -> Stretch:
        assert self._memory
        assert self._table
        known = self._table.regions[region][first_page : first_page + STRETCH_PAGES]
        for done in range(0, len(known), READ_PAGES):
            pages = known[done : done + READ_PAGES]
            offset_bytes = (first_page + done) * PAGE_BYTES
            content = self._memory.read(region, offset_bytes, len(pages) * PAGE_BYTES)
            pages[:] = page_hashes(content, self._table.seed)
        return Stretch(region, first_page, known.tobytes())

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
