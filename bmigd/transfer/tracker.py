"""Which pages may differ from what the destination has: found by content.

The rule that must not break: copy, hash the copy, send the copy, and remember that hash. Hashing
live memory and then reading it a second time for sending loses pages that change from A to B and
back to A. Live memory is hashed here only to skip a block: if what was read equals what the
destination has, there is nothing to send, and the last pass, guest down, covers every page. A block
where the host has no memory at all is zero, and is not read, which would make the host allocate it.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xxhash

from bmigd.chunk import CHUNK_BYTES, PAGE_BYTES, Bytes, Extent
from bmigd.drivers.base import Memory
from bmigd.transfer.pages import ZERO_PAGE, Hashes, PageTable, page_hashes

BLOCK_BYTES = 64 << 10  # the first level: a quiet guest costs one hash for each block
BLOCK_PAGES = BLOCK_BYTES // PAGE_BYTES
STRIDE_BYTES = 16 << 20  # looked at between two chances to stop
PROBE_BYTES = 64
PROBE_ZEROES = bytes(PROBE_BYTES)
SAME, CHANGED, ZERO = 0, 1, 2  # kinds of pages
Kinds = npt.NDArray[np.int8]


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
        self._zero_block = xxhash.xxh3_64_intdigest(bytes(BLOCK_BYTES), table.seed)
        self._blocks = [
            [self._zero_block] * (-(-len(hashes) // BLOCK_PAGES)) for hashes in table.regions
        ]

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all memory: batches of what changed, the table brought up to date.

        The last batch of each stretch may be empty; it reports what was looked at.
        """
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
                if self._room(batch, number + 1 - changed_from) >= BLOCK_BYTES:
                    continue
                number += 1  # noqa: PLW2901 - this block is part of what is copied now
            if changed_from >= 0:
                self._copy(batch, changed_from, number, view)
                changed_from = -1
            if self._room(batch, 0) < BLOCK_BYTES or batch.scanned_bytes >= STRIDE_BYTES:
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

    def _room(self, batch: Batch, pending_blocks: int) -> int:
        return CHUNK_BYTES - batch.copied_bytes - pending_blocks * BLOCK_BYTES

    def _copy(self, batch: Batch, first: int, end: int, view: memoryview) -> None:
        """Copy blocks first..end, hash the copy, and add what differs from the table."""
        seed, begins = self._table.seed, first * BLOCK_BYTES
        copy = bytes(view[begins : end * BLOCK_BYTES])
        parts = memoryview(copy)
        self._blocks[batch.region][first:end] = [
            xxhash.xxh3_64_intdigest(parts[at : at + BLOCK_BYTES], seed)
            for at in range(0, len(copy), BLOCK_BYTES)
        ]
        hashes = page_hashes(copy, seed)
        first_page = begins // PAGE_BYTES
        known = self._table.regions[batch.region][first_page : first_page + len(hashes)]
        kinds = self._kinds(parts, hashes, known)
        known[:] = hashes
        for kind, start, stop in _runs(kinds):
            extent = Extent(begins + start * PAGE_BYTES, (stop - start) * PAGE_BYTES)
            if kind == ZERO:
                batch.zero_extents.append(extent)
            elif kind == CHANGED:
                batch.extents.append(extent)
                batch.parts.append(parts[start * PAGE_BYTES : stop * PAGE_BYTES])
                batch.hashes.append(hashes[start:stop])

    def _kinds(self, copy: memoryview, hashes: Hashes, known: Hashes) -> Kinds:
        """For each page of a copy: the same as known, changed, or changed to zero."""
        kinds: Kinds = (hashes != known).astype(np.int8)
        for page in np.flatnonzero((kinds == CHANGED) & (hashes == self._table.zero_hash)):
            at = int(page) * PAGE_BYTES
            if copy[at : at + PAGE_BYTES] == ZERO_PAGE:  # a hash alone does not make it zero
                kinds[page] = ZERO
        return kinds


def _runs(kinds: Kinds) -> list[tuple[int, int, int]]:
    """Stretches of equal kind: kind, first page, page after the last."""
    breaks = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(kinds))), len(kinds)]
    return [(int(kinds[a]), a, b) for a, b in pairwise(breaks)]
