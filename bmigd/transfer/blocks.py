"""Memory compared by blocks of 64 KiB before it is compared by pages: a round of a quiet guest, and
the last pass with the guest down, hash with a sixteenth of the calls.

Rule: a block's hash is of a copy of all of it, and counts only as long as the table says of its
pages what it said when that copy was made. So whoever changes the table need not know of blocks.

A question costs as much as some blocks: so what is asked for are groups of blocks, and where more
than a few of a group are not what they were, all of it is left to be compared by pages.
"""

from collections.abc import Generator

import numpy as np

from bmigd.chunk import PAGE_BYTES, Bytes
from bmigd.drivers.base import Memory
from bmigd.transfer.classes import Mask
from bmigd.transfer.digests import digests
from bmigd.transfer.hashing import PIECE_BYTES, LiveHashes
from bmigd.transfer.pages import Hashes, PageTable
from bmigd.transfer.runs import Pages
from bmigd.transfer.stretches import stretches_where

BLOCK_PAGES = 16
BLOCK_BYTES = BLOCK_PAGES * PAGE_BYTES
GROUP_BLOCKS = PIECE_BYTES // BLOCK_BYTES
FEW = 4  # blocks of a group


class Blocks:
    """The hash of each block that was copied as a whole."""

    def __init__(self, table: PageTable) -> None:
        counts = [len(hashes) // BLOCK_PAGES for hashes in table.regions]
        self._table = table
        self._hashes: list[Hashes] = [np.zeros(count, dtype="<u8") for count in counts]
        self._sums: list[Hashes] = [np.zeros(count, dtype="<u8") for count in counts]
        self._is_known: list[Mask] = [np.zeros(count, dtype=bool) for count in counts]

    def note(self, region: int, pages: Pages, copy: Bytes) -> None:
        """Pages of a region were copied, and the table says so already."""
        numbers, firsts, counts = np.unique(
            pages // BLOCK_PAGES, return_index=True, return_counts=True
        )
        is_whole = counts == BLOCK_PAGES
        numbers, view = numbers[is_whole], memoryview(copy)
        for number, first in zip(numbers.tolist(), firsts[is_whole].tolist(), strict=True):
            at = first * PAGE_BYTES
            found = digests(view[at : at + BLOCK_BYTES], self._table.seed, BLOCK_BYTES)
            self._hashes[region][number : number + 1] = found
        self._sums[region][numbers] = self._rows(region)[numbers].sum(axis=1)
        self._is_known[region][numbers] = True

    def unlike(
        self, live: LiveHashes, memory: Memory, region: int, look: Mask
    ) -> Generator[int, None, None]:
        """Take pages out of those to be looked at whose whole block is what the destination has.

        Yields bytes that are done with, group after group.
        """
        groups = len(self._hashes[region]) // GROUP_BLOCKS
        known, count = self._hashes[region], groups * GROUP_BLOCKS
        looks = look[: count * BLOCK_PAGES].reshape(count, BLOCK_PAGES)
        counts = self._counting(region)
        unknown = GROUP_BLOCKS - counts[:count].reshape(groups, GROUP_BLOCKS).sum(axis=1)
        is_asked = looks.reshape(groups, GROUP_BLOCKS * BLOCK_PAGES).all(axis=1) & (unknown <= FEW)
        stretches = stretches_where(is_asked, PIECE_BYTES)
        for piece, hashes in live.hashes(memory, region, stretches, BLOCK_BYTES):
            first = piece.offset_bytes // BLOCK_BYTES
            group = slice(first, first + GROUP_BLOCKS)
            is_same = counts[group] & (hashes == known[group])
            if len(is_same) - is_same.sum() <= FEW:
                looks[group][is_same] = False
                yield int(is_same.sum()) * BLOCK_BYTES
            else:
                yield 0

    def _counting(self, region: int) -> Mask:
        """Which blocks' hashes count."""
        is_as_then: Mask = self._sums[region] == self._rows(region).sum(axis=1)
        return self._is_known[region] & is_as_then

    def _rows(self, region: int) -> Hashes:
        """What the table says, block by block; their sums stand for them."""
        blocks = len(self._hashes[region])
        return self._table.regions[region][: blocks * BLOCK_PAGES].reshape(blocks, BLOCK_PAGES)
