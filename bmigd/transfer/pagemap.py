"""Dirty pages as a log of the guest's writes has them: only what was written is read.

The order that must not break: take from the log, which protects the pages again, then copy. A page
that is written while it is copied is in the log again. The first pass takes whatever is populated,
or all where the destination does not begin with zeroes.
"""

from collections.abc import Generator

from bmigd.chunk import Extent
from bmigd.drivers.base import DirtyLog, Memory
from bmigd.transfer.batch import Batch, Copier
from bmigd.transfer.pages import PageTable
from bmigd.transfer.stretches import chunks, size_bytes, whole_pages

Stretch = tuple[int, int]  # offset and length in bytes


class PagemapTracker:
    """Finds dirty pages in an open log of what the guest writes."""

    name = "pagemap"
    reads_all = False

    def __init__(self, table: PageTable, log: DirtyLog) -> None:
        self._table = table
        self._copier = Copier(table)
        self._log = log
        self._is_first = True

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all that was written since the pass before, as Tracker has it."""
        for region in range(len(memory.regions)):
            written = self._log.take(region)
            dirty = whole_pages(self._first(memory, region) if self._is_first else written)
            yield from self._copy(region, memory.view(region), dirty)
        self._is_first = False

    def _first(self, memory: Memory, region: int) -> list[Stretch]:
        """What may differ from what the destination begins with."""
        if (self._table.regions[region] == self._table.zero_hash).all():
            return memory.populated(region)
        return [(0, memory.regions[region].size_bytes)]

    def _copy(
        self, region: int, view: memoryview, dirty: list[Extent]
    ) -> Generator[Batch, None, None]:
        """What is not dirty counts as looked at, all at once."""
        clean_bytes = len(view) - size_bytes(dirty)
        yield Batch(region, clean_bytes)
        for stretches in chunks(dirty):
            batch = Batch(region, size_bytes(stretches))
            self._copier.copy(batch, view, stretches)
            yield batch
