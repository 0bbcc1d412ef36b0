"""Dirty pages found by content, where nothing tells which ones were written.

Live memory is hashed here only to skip a block: if what was read equals what the destination has,
there is nothing to send, and the last pass, guest down, covers every page. A block where the host
has no memory at all is zero, and is not read, which would make the host allocate it.
"""

from collections.abc import Generator

import numpy as np
import xxhash

from bmigd.chunk import PAGE_BYTES, Extent
from bmigd.drivers.base import Memory
from bmigd.transfer.batch import Batch, Copier
from bmigd.transfer.pages import Hashes, PageTable

BLOCK_BYTES = 64 << 10  # the first level: a quiet guest costs one hash for each block
BLOCK_PAGES = BLOCK_BYTES // PAGE_BYTES
STRIDE_BYTES = 16 << 20  # looked at between two chances to stop
PROBE_BYTES = 64
PROBE_ZEROES = bytes(PROBE_BYTES)
UNKNOWN = -1  # no hash of a block


class ContentTracker:
    """Finds dirty pages by comparing hashes with those of the last copies."""

    name = "content"
    reads_all = True

    def __init__(self, table: PageTable) -> None:
        self._table = table
        self._copier = Copier(table)
        self._zero_block = xxhash.xxh3_64_intdigest(bytes(BLOCK_BYTES), table.seed)
        self._blocks = [self._block_hashes(hashes) for hashes in table.regions]

    def _block_hashes(self, hashes: Hashes) -> list[int]:
        """Of what the destination has: zero where all pages are, else not known."""
        starts = np.arange(0, len(hashes), BLOCK_PAGES)
        zero = np.logical_and.reduceat(hashes == self._table.zero_hash, starts)
        return [self._zero_block if is_zero else UNKNOWN for is_zero in zero]

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all memory, as Tracker has it."""
        for region in range(len(memory.regions)):
            holes = self._holes(memory.populated(region), len(self._blocks[region]))
            yield from self._scan_region(region, memory.view(region), holes)

    def _scan_region(
        self, region: int, view: memoryview, holes: bytearray
    ) -> Generator[Batch, None, None]:
        """Blocks that look different are copied together, up to a chunk's worth at once."""
        batch, changed_from = Batch(region), -1
        known = self._blocks[region]
        for number, offset in enumerate(range(0, len(view), BLOCK_BYTES)):
            live = view[offset : offset + BLOCK_BYTES]
            batch.scanned_bytes += len(live)
            if self._differs(live, known[number], is_hole=bool(holes[number])):
                changed_from = number if changed_from < 0 else changed_from
                pending = number + 1 - changed_from
                if batch.room_bytes - pending * BLOCK_BYTES >= BLOCK_BYTES:
                    continue
                number += 1  # noqa: PLW2901 - this block is part of what is copied now
            if changed_from >= 0:
                self._copy(batch, changed_from, number, view)
                changed_from = -1
            if batch.room_bytes < BLOCK_BYTES or batch.scanned_bytes >= STRIDE_BYTES:
                yield batch
                batch = Batch(region)
        if changed_from >= 0:
            self._copy(batch, changed_from, len(self._blocks[region]), view)
        yield batch

    def _holes(self, populated: list[tuple[int, int]], count: int) -> bytearray:
        """For each block whether nothing is there."""
        holes = bytearray(b"\1") * count
        for offset_bytes, length_bytes in populated:
            first, end = (
                offset_bytes // BLOCK_BYTES,
                -(-(offset_bytes + length_bytes) // BLOCK_BYTES),
            )
            holes[first:end] = bytes(end - first)
        return holes

    def _differs(self, live: memoryview, known: int, *, is_hole: bool) -> bool:
        """Whether a block is not what the destination has; a hole is not read if need not be."""
        if known == self._zero_block:
            if is_hole:
                return False
            if live[:PROBE_BYTES] != PROBE_ZEROES[: len(live)]:
                return True  # so surely that it is not worth hashing
        return xxhash.xxh3_64_intdigest(live, self._table.seed) != known

    def _copy(self, batch: Batch, first: int, end: int, view: memoryview) -> None:
        """Copy blocks first..end, and remember what the copy hashes to."""
        begins, ends = first * BLOCK_BYTES, min(end * BLOCK_BYTES, len(view))
        copy = memoryview(self._copier.copy(batch, view, [Extent(begins, ends - begins)]))
        self._blocks[batch.region][first:end] = [
            xxhash.xxh3_64_intdigest(copy[at : at + BLOCK_BYTES], self._table.seed)
            for at in range(0, len(copy), BLOCK_BYTES)
        ]
