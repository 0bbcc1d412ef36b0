"""Dirty pages on their way into chunks: copied, hashed, and compared with what the destination has.

The rule that must not break: copy, hash the copy, send the copy, and remember that hash. Hashing
live memory and then reading it a second time for sending loses pages that change from A to B and
back to A. Whichever tracker says where to look, nothing is sent that was not copied here.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from bmigd.chunk import PAGE_BYTES, Bytes
from bmigd.transfer.blocks import Blocks
from bmigd.transfer.classes import Mask, chosen
from bmigd.transfer.pages import Hashes, PageTable, page_hashes
from bmigd.transfer.runs import NO_PAGES, Pages

NO_HASHES: Hashes = np.zeros(0, dtype="<u8")


@dataclass
class Batch:
    """Dirty pages of one region, copied; at most CHUNK_BYTES."""

    region: int
    scanned_bytes: int = 0  # looked at since the batch before
    pages: Pages = field(default_factory=lambda: NO_PAGES)
    payload: Bytes = b""  # the pages' bytes in their order
    hashes: Hashes = field(default_factory=lambda: NO_HASHES)  # of the pages
    zero_pages: Pages = field(default_factory=lambda: NO_PAGES)
    read_s: float = 0.0  # what copying took
    hash_s: float = 0.0  # and hashing the copy
    skipped_bytes: int = 0  # of those looked at, known without looking: holes, and what is clean


class Copier:
    """Copies guest memory into batches, and keeps the table of what the destination has, and the
    hashes of blocks for whoever looks at those first.
    """

    def __init__(self, table: PageTable, blocks: Blocks | None = None) -> None:
        self._table = table
        self._blocks = blocks

    def copy(self, batch: Batch, view: memoryview, pages: Pages) -> None:
        """Copy pages of a region into an empty batch, which gets those that differ from the table.

        There must be one at least.
        """
        began = time.perf_counter()
        copy = _copy_of(view, pages)
        copied = time.perf_counter()
        hashes = page_hashes(copy, self._table.seed)
        table = self._table.regions[batch.region]
        is_changed: Mask = hashes != table[pages]
        table[pages] = hashes
        if self._blocks:
            self._blocks.note(batch.region, pages, copy)
        batch.read_s, batch.hash_s = copied - began, time.perf_counter() - copied
        is_zero = _zero_ones(copy, is_changed & (hashes == self._table.zero_hash))
        is_changed &= ~is_zero
        batch.zero_pages = pages[is_zero]
        batch.pages = pages[is_changed]
        batch.hashes = hashes[is_changed]
        # Not a view: it would keep pages that are not sent until the chunk is acknowledged.
        batch.payload = copy if is_changed.all() else chosen(copy, is_changed)


def _copy_of(view: memoryview, pages: Pages) -> Bytes:
    first, last = int(pages[0]), int(pages[-1])
    if last - first == len(pages) - 1:
        return bytes(view[first * PAGE_BYTES : (last + 1) * PAGE_BYTES])
    return chosen(view, pages)


def _zero_ones(copy: Bytes, look_zero: Mask) -> Mask:
    """Those of the pages that are zero: a hash alone does not make them."""
    rows = np.frombuffer(copy, dtype=np.uint8).reshape(-1, PAGE_BYTES)
    look_zero[look_zero] = ~rows[look_zero].any(axis=1)
    return look_zero
