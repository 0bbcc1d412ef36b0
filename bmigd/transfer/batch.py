"""Dirty pages on their way into chunks: copied, hashed, and compared with what the destination has.

The rule that must not break: copy, hash the copy, send the copy, and remember that hash. Hashing
live memory and then reading it a second time for sending loses pages that change from A to B and
back to A. Whichever tracker says where to look, nothing is sent that was not copied here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES, Bytes, Extent
from bmigd.transfer.pages import ZERO_PAGE, Hashes, PageTable, page_hashes
from bmigd.transfer.stretches import Pages

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


class Copier:
    """Copies guest memory into batches, and keeps the table of what the destination has."""

    def __init__(self, table: PageTable) -> None:
        self._table = table

    def copy(self, batch: Batch, view: memoryview, stretches: Sequence[Extent]) -> None:
        """Copy whole pages, ascending, and add to the batch what differs from the table."""
        copy = b"".join(
            [view[one.offset_bytes : one.offset_bytes + one.length_bytes] for one in stretches]
        )
        parts, pages = memoryview(copy), _pages(stretches)
        hashes = page_hashes(copy, self._table.seed)
        kinds = self._kinds(parts, hashes, self._table.regions[batch.region][pages])
        self._table.regions[batch.region][pages] = hashes
        is_sent_whole = bool((kinds == CHANGED).all())
        for kind, start, stop in _runs(kinds, pages):
            extent = Extent(int(pages[start]) * PAGE_BYTES, (stop - start) * PAGE_BYTES)
            if kind == ZERO:
                batch.zero_extents.append(extent)
            elif kind == CHANGED:
                part = parts[start * PAGE_BYTES : stop * PAGE_BYTES]
                batch.extents.append(extent)
                # A view would keep pages that are not sent until the chunk is acknowledged.
                batch.parts.append(part if is_sent_whole else bytes(part))
                batch.hashes.append(hashes[start:stop])

    def _kinds(self, copy: memoryview, hashes: Hashes, known: Hashes) -> Kinds:
        """For each page of a copy: the same as known, changed, or changed to zero."""
        kinds: Kinds = (hashes != known).astype(np.int8)
        for page in np.flatnonzero((kinds == CHANGED) & (hashes == self._table.zero_hash)):
            at = int(page) * PAGE_BYTES
            if copy[at : at + PAGE_BYTES] == ZERO_PAGE:  # a hash alone does not make it zero
                kinds[page] = ZERO
        return kinds


def _pages(stretches: Sequence[Extent]) -> Pages:
    """The number in its region of each page of a copy."""
    firsts = np.array([one.offset_bytes // PAGE_BYTES for one in stretches], dtype=np.int64)
    counts = np.array([one.length_bytes // PAGE_BYTES for one in stretches], dtype=np.int64)
    before = np.cumsum(counts) - counts  # pages of the copy that come before each stretch
    pages: Pages = np.repeat(firsts - before, counts) + np.arange(counts.sum())
    return pages


def _runs(kinds: Kinds, pages: Pages) -> list[tuple[int, int, int]]:
    """Stretches of neighbours of equal kind: kind, first page of the copy, page after the last."""
    apart = np.flatnonzero((np.diff(kinds) != 0) | (np.diff(pages) != 1)) + 1
    breaks = [0, *(int(page) for page in apart), len(kinds)]
    return [(int(kinds[a]), a, b) for a, b in pairwise(breaks)]
