"""Dirty pages on their way into chunks: copied, hashed, and compared with what the destination has.

The rule that must not break: copy, hash the copy, send the copy, and remember that hash. Hashing
live memory and then reading it a second time for sending loses pages that change from A to B and
back to A. Whichever tracker says where to look, nothing is sent that was not copied here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES, Extent
from bmigd.transfer.classes import chosen
from bmigd.transfer.pages import ZERO_PAGE, Hashes, PageTable, page_hashes
from bmigd.transfer.stretches import pages_of, runs

NO_HASHES: Hashes = np.zeros(0, dtype="<u8")


@dataclass
class Batch:
    """Dirty pages of one region, copied; at most CHUNK_BYTES."""

    region: int
    scanned_bytes: int = 0  # looked at since the batch before
    extents: list[Extent] = field(default_factory=list)
    payload: bytes = b""  # the extents' bytes in their order
    hashes: Hashes = field(default_factory=lambda: NO_HASHES)  # of the payload's pages
    zero_extents: list[Extent] = field(default_factory=list)
    read_s: float = 0.0  # what copying took
    hash_s: float = 0.0  # and hashing the copy


class Copier:
    """Copies guest memory into batches, and keeps the table of what the destination has."""

    def __init__(self, table: PageTable) -> None:
        self._table = table

    def copy(self, batch: Batch, view: memoryview, stretches: Sequence[Extent]) -> None:
        """Copy whole pages, ascending, into an empty batch; it gets what differs from the table."""
        began = time.perf_counter()
        copy = b"".join(
            [view[one.offset_bytes : one.offset_bytes + one.length_bytes] for one in stretches]
        )
        copied = time.perf_counter()
        hashes = page_hashes(copy, self._table.seed)
        batch.read_s, batch.hash_s = copied - began, time.perf_counter() - copied
        pages = pages_of(stretches)
        table = self._table.regions[batch.region]
        is_changed: npt.NDArray[np.bool_] = hashes != table[pages]
        table[pages] = hashes
        is_zero = self._zero_ones(copy, is_changed & (hashes == self._table.zero_hash))
        is_changed &= ~is_zero
        batch.zero_extents = runs(pages[is_zero])
        batch.extents = runs(pages[is_changed])
        batch.hashes = hashes[is_changed]
        # Not a view: it would keep pages that are not sent until the chunk is acknowledged.
        batch.payload = copy if is_changed.all() else chosen(copy, is_changed)

    def _zero_ones(self, copy: bytes, look_zero: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Those of the pages that are zero: a hash alone does not make them."""
        for page in np.flatnonzero(look_zero):
            at = int(page) * PAGE_BYTES
            look_zero[page] = copy[at : at + PAGE_BYTES] == ZERO_PAGE
        return look_zero
