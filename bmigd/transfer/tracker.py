"""Which pages may differ from what the destination has: found by content.

The rule that must not break: copy, hash the copy, send the copy, and remember that hash. Hashing
live memory and then reading it a second time for sending loses pages that change from A to B and
back to A. Live memory is hashed here only to skip a block: if what was read equals what the
destination has, there is nothing to send, and the last pass, guest down, covers every page.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import xxhash

from bmigd.chunk import CHUNK_BYTES, PAGE_BYTES, Bytes, Extent
from bmigd.drivers.base import Memory
from bmigd.transfer.pages import ZERO_PAGE, Hashes, PageTable, page_hashes

BLOCK_BYTES = 64 << 10  # the first level: a quiet guest costs one hash for each block
BLOCK_PAGES = BLOCK_BYTES // PAGE_BYTES
STRIDE_BYTES = 16 << 20  # looked at between two chances to stop


@dataclass
class Batch:
    """Dirty pages of one region, copied; at most CHUNK_BYTES."""

    region: int
    scanned_bytes: int = 0  # looked at since the batch before
    extents: list[Extent] = field(default_factory=list)
    parts: list[Bytes] = field(default_factory=list)
    hashes: list[Hashes] = field(default_factory=list)
    zero_extents: list[Extent] = field(default_factory=list)

    @property
    def copied_bytes(self) -> int:
        """Bytes copied into it."""
        return sum(len(part) for part in self.parts)


class ContentTracker:
    """Finds dirty pages by comparing hashes with those of the last copies."""

    name = "content"

    def __init__(self, table: PageTable) -> None:
        self._table = table
        zero_block = xxhash.xxh3_64_intdigest(bytes(BLOCK_BYTES), table.seed)
        self._blocks = [[zero_block] * (-(-len(hashes) // BLOCK_PAGES)) for hashes in table.regions]

    def scan(self, memory: Memory) -> Iterator[Batch]:
        """One pass over all memory: batches of what changed, the table brought up to date.

        The last batch of each stretch may be empty; it reports what was looked at.
        """
        for region in range(len(memory.regions)):
            yield from self._scan_region(region, memory.view(region))

    def _scan_region(self, region: int, view: memoryview) -> Iterator[Batch]:
        batch = Batch(region)
        for number, offset in enumerate(range(0, len(view), BLOCK_BYTES)):
            live = view[offset : offset + BLOCK_BYTES]
            batch.scanned_bytes += len(live)
            if xxhash.xxh3_64_intdigest(live, self._table.seed) != self._blocks[region][number]:
                self._copy_block(batch, number, offset, live)
            full = batch.copied_bytes > CHUNK_BYTES - BLOCK_BYTES
            if full or batch.scanned_bytes >= STRIDE_BYTES:
                yield batch
                batch = Batch(region)
        yield batch

    def _copy_block(self, batch: Batch, number: int, offset: int, live: memoryview) -> None:
        copy = bytes(live)
        self._blocks[batch.region][number] = xxhash.xxh3_64_intdigest(copy, self._table.seed)
        hashes = page_hashes(copy, self._table.seed)
        first = offset // PAGE_BYTES
        known = self._table.regions[batch.region][first : first + len(hashes)]
        changed = np.flatnonzero(hashes != known)
        known[:] = hashes
        for start, end in _runs(changed):
            self._add_run(batch, offset, memoryview(copy), hashes, start, end)

    def _add_run(
        self, batch: Batch, offset: int, copy: memoryview, hashes: Hashes, start: int, end: int
    ) -> None:
        """Add pages start..end of a block, zero pages apart from the others."""
        while start < end:
            is_zero = self._is_zero(copy, hashes, start)
            stop = start + 1
            while stop < end and self._is_zero(copy, hashes, stop) == is_zero:
                stop += 1
            extent = Extent(offset + start * PAGE_BYTES, (stop - start) * PAGE_BYTES)
            if is_zero:
                batch.zero_extents.append(extent)
            else:
                batch.extents.append(extent)
                batch.parts.append(copy[start * PAGE_BYTES : stop * PAGE_BYTES])
                batch.hashes.append(hashes[start:stop])
            start = stop

    def _is_zero(self, copy: memoryview, hashes: Hashes, page: int) -> bool:
        if int(hashes[page]) != self._table.zero_hash:
            return False
        return copy[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] == ZERO_PAGE


def _runs(pages: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> list[tuple[int, int]]:
    """Ascending page numbers as half-open runs."""
    if not len(pages):
        return []
    breaks = np.flatnonzero(np.diff(pages) != 1)
    starts = [int(pages[0]), *(int(pages[i + 1]) for i in breaks)]
    ends = [*(int(pages[i]) + 1 for i in breaks), int(pages[-1]) + 1]
    return list(zip(starts, ends, strict=True))
