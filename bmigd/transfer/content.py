"""Dirty pages found by content, where nothing tells which ones were written.

Live memory is hashed only to skip pages: if what was read equals what the destination has, there
is nothing to send, and the last pass, guest down, covers every page. Where the host has no memory
at all pages are zero, and are not read, which would make the host allocate them.
"""

from collections.abc import Generator, Iterable

import numpy as np

from bmigd.chunk import CHUNK_PAGES, MIB, MOST_RUNS, PAGE_BYTES, Extent
from bmigd.drivers.base import Memory
from bmigd.transfer.batch import Batch, Copier
from bmigd.transfer.blocks import Blocks
from bmigd.transfer.classes import Mask
from bmigd.transfer.hashing import PIECE_BYTES, LiveHashes
from bmigd.transfer.pages import PageTable
from bmigd.transfer.runs import NO_PAGES, Pages, portions
from bmigd.transfer.stretches import holes, pages_in, pieces, stretches_where, whole_pages

STRIDE_BYTES = 16 * MIB  # looked at between two chances to stop
LOOK_PAGES = 256 * MIB // PAGE_BYTES  # by blocks before by pages: 20 ms, and no longer a delay

Looks = Generator[tuple[int, Pages], None, None]


class ContentTracker:
    """Finds dirty pages by comparing hashes with those of the last copies."""

    name = "content"
    reads_all = True

    def __init__(self, table: PageTable, live: LiveHashes, blocks: Blocks | None = None) -> None:
        """With blocks where there will be more than one pass."""
        self._table = table
        self._blocks = blocks
        self._copier = Copier(table, blocks)
        self._live = live
        self._is_first = True

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all memory, as Tracker has it."""
        for region in range(len(memory.regions)):
            populated = whole_pages(memory.populated(region))
            yield from self._zero_holes(region, populated)
            looks = self._look(memory, region, populated)
            yield from self._scan_region(region, memory.view(region), looks)
        self._is_first = False

    def _scan_region(
        self, region: int, view: memoryview, looks: Looks
    ) -> Generator[Batch, None, None]:
        """What may differ is copied by a chunk's worth at once."""
        batch, pending = Batch(region), NO_PAGES
        for looked_at_bytes, dirty in looks:
            batch.scanned_bytes += looked_at_bytes
            found = list(portions([pending, dirty], CHUNK_PAGES))
            is_partial = bool(found) and len(found[-1]) < CHUNK_PAGES
            pending = found.pop() if is_partial else NO_PAGES
            for pages in found:
                self._copier.copy(batch, view, pages)
                yield batch
                batch = Batch(region)
            if batch.scanned_bytes >= STRIDE_BYTES:
                yield batch
                batch = Batch(region)
        if len(pending):
            self._copier.copy(batch, view, pending)
        yield batch

    def _zero_holes(self, region: int, populated: list[Extent]) -> Generator[Batch, None, None]:
        """Where nothing is, all pages were zero when that was asked for; none of them is read."""
        known = self._table.regions[region]
        is_hole = holes(populated, len(known))
        hole_bytes = int(is_hole.sum()) * PAGE_BYTES
        batch = Batch(region, hole_bytes, skipped_bytes=hole_bytes)
        is_changed = is_hole & (known != self._table.zero_hash)
        for pages in portions([np.flatnonzero(is_changed)], MOST_RUNS):
            batch.zero_pages = pages
            known[pages] = self._table.zero_hash
            yield batch
            batch = Batch(region)
        yield batch

    def _look(self, memory: Memory, region: int, populated: list[Extent]) -> Looks:
        """Piece after piece of what is populated: bytes looked at, and what may differ in them."""
        known = self._table.regions[region]
        if self._is_first and bool((known == self._table.zero_hash).all()):
            yield from self._all_of(populated)  # so sure to differ that it is not hashed before
            return
        is_there = ~holes(populated, len(known))
        for first in range(0, len(known), LOOK_PAGES):
            yield from self._look_at(memory, region, first, is_there[first : first + LOOK_PAGES])

    def _look_at(self, memory: Memory, region: int, first_page: int, look: Mask) -> Looks:
        """By blocks, and by pages where that does not tell that nothing changed."""
        if self._blocks:
            for done_bytes in self._blocks.unlike(self._live, memory, region, first_page, look):
                yield done_bytes, NO_PAGES
        known = self._table.regions[region]
        stretches = stretches_where(look, begin_bytes=first_page * PAGE_BYTES)
        for piece, live in self._live.hashes(memory, region, stretches):
            first = piece.offset_bytes // PAGE_BYTES
            differing = np.flatnonzero(live != known[first : first + len(live)])
            yield piece.length_bytes, first + differing

    def _all_of(self, populated: Iterable[Extent]) -> Looks:
        for piece in pieces(populated, PIECE_BYTES):
            yield piece.length_bytes, pages_in([piece])
