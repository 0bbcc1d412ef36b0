"""Dirty pages as a log of the guest's writes has them: only what was written is read.

The order that must not break: take from the log, which protects the pages again, then look. A page
that is written while it is looked at is in the log again. Before the log there is only what memory
holds, so the first pass goes by content.
"""

from collections.abc import Generator

from bmigd.chunk import CHUNK_PAGES, PAGE_BYTES
from bmigd.drivers.base import DirtyLog, Memory
from bmigd.transfer.batch import Batch, Copier
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.hashing import LiveHashes
from bmigd.transfer.pages import PageTable
from bmigd.transfer.runs import portions
from bmigd.transfer.stretches import pages_in_turn


class PagemapTracker:
    """Finds dirty pages in an open log of what the guest writes."""

    name = "pagemap"
    reads_all = False

    def __init__(self, table: PageTable, log: DirtyLog, live: LiveHashes) -> None:
        """The hashes are for the first pass only, and are closed after it."""
        self._copier = Copier(table)
        self._log = log
        self._live = live
        self._first: ContentTracker | None = ContentTracker(table, live)

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all that was written since the pass before, as Tracker has it."""
        taken = [self._log.take(region) for region in range(len(memory.regions))]
        if self._first:
            yield from self._first.scan(memory)
            self._first = None
            self._live.close()
            return
        for region, written in enumerate(taken):  # what is not dirty counts as looked at, at once
            dirty_bytes = sum(length_bytes for _, length_bytes in written)
            clean_bytes = len(memory.view(region)) - dirty_bytes
            yield Batch(region, clean_bytes, skipped_bytes=clean_bytes)
        for region, written in enumerate(taken):
            yield from self._copy(region, memory.view(region), written)

    def _copy(
        self, region: int, view: memoryview, written: list[tuple[int, int]]
    ) -> Generator[Batch, None, None]:
        for pages in portions(pages_in_turn(written), CHUNK_PAGES):
            batch = Batch(region, len(pages) * PAGE_BYTES)
            self._copier.copy(batch, view, pages)
            yield batch
