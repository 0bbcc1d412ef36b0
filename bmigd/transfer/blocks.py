"""Memory compared by blocks of 64 KiB before it is compared by pages: a round of a quiet guest, and
the last pass with the guest down, hash with a sixteenth of the calls.

Rule: a block's hash is of a copy of all of it, and counts only as long as the table says of each of
its pages what it said when that copy was made, in that order. So whoever changes the table need not
know of blocks.

A question costs as much as some blocks: so what is asked for are groups of blocks, and where more
than a few of a group are not what they were, all of it is left to be compared by pages.
"""

import os
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

BLOCK_PAGES = 16  # no more than drivers tell apart of what is populated
BLOCK_BYTES = BLOCK_PAGES * PAGE_BYTES
GROUP_BLOCKS = PIECE_BYTES // BLOCK_BYTES
GROUP_PAGES = GROUP_BLOCKS * BLOCK_PAGES
FEW = 4  # blocks of a group


class Blocks:
    """The hash of each block that was copied as a whole."""

    def __init__(self, table: PageTable) -> None:
        counts = [len(hashes) // BLOCK_PAGES for hashes in table.regions]
        self._table = table
        self._hashes: list[Hashes] = [np.zeros(count, dtype="<u8") for count in counts]
        self._marks: list[Hashes] = [np.zeros(count, dtype="<u8") for count in counts]
        self._is_known: list[Mask] = [np.zeros(count, dtype=bool) for count in counts]
        # For each place in a block a number that no guest knows: pages that change places show.
        self._weights: Hashes = np.frombuffer(os.urandom(8 * BLOCK_PAGES), dtype="<u8")

    def note(self, region: int, pages: Pages, copy: Bytes) -> None:
        """Pages of a region were copied, and the table says so already.

        Blocks of which all pages are there are hashed; of others it shows that they changed.
        """
        begins = _whole_blocks(pages)
        for together in np.split(begins, np.flatnonzero(np.diff(begins) != BLOCK_PAGES) + 1):
            if len(together):
                at, end = int(together[0]), int(together[-1]) + BLOCK_PAGES
                content = memoryview(copy)[at * PAGE_BYTES : end * PAGE_BYTES]
                blocks = pages[together] // BLOCK_PAGES
                self._hashes[region][blocks] = digests(content, self._table.seed, BLOCK_BYTES)
        blocks = pages[begins] // BLOCK_PAGES
        self._marks[region][blocks] = self._marks_now(region, blocks)
        self._is_known[region][blocks] = True

    def unlike(
        self, live: LiveHashes, memory: Memory, region: int, first_page: int, look: Mask
    ) -> Generator[int, None, None]:
        """Take pages out of those to be looked at whose whole block is what the destination has.

        `look` begins with the first page of a group. Yields bytes that are done with, group after
        group.
        """
        groups = len(look) // GROUP_PAGES
        begin = first_page // BLOCK_PAGES
        blocks = slice(begin, begin + groups * GROUP_BLOCKS)
        looks = look[: groups * GROUP_PAGES].reshape(groups, GROUP_BLOCKS, BLOCK_PAGES)
        known = self._hashes[region][blocks].reshape(groups, GROUP_BLOCKS)
        is_as_then = self._marks[region][blocks] == self._marks_now(region, blocks)
        counts = (self._is_known[region][blocks] & is_as_then).reshape(groups, GROUP_BLOCKS)
        is_asked = looks.all(axis=(1, 2)) & (counts.sum(axis=1) >= GROUP_BLOCKS - FEW)
        stretches = stretches_where(is_asked, PIECE_BYTES, first_page * PAGE_BYTES)
        for piece, hashes in live.hashes(memory, region, stretches, BLOCK_BYTES):
            group = (piece.offset_bytes // PAGE_BYTES - first_page) // GROUP_PAGES
            is_same = counts[group] & (hashes == known[group])
            if is_same.sum() < GROUP_BLOCKS - FEW:
                continue
            looks[group, is_same] = False
            yield int(is_same.sum()) * BLOCK_BYTES

    def _marks_now(self, region: int, blocks: slice | Pages) -> Hashes:
        """A number for what the table says of each block's pages, in their order."""
        pages = len(self._hashes[region]) * BLOCK_PAGES
        rows = self._table.regions[region][:pages].reshape(-1, BLOCK_PAGES)
        marks: Hashes = rows[blocks] @ self._weights
        return marks


def _whole_blocks(pages: Pages) -> Pages:
    """Where in ascending pages each block begins of which all pages are there."""
    last = BLOCK_PAGES - 1
    firsts, lasts = pages[:-last], pages[last:]
    return np.flatnonzero((lasts - firsts == last) & (firsts % BLOCK_PAGES == 0))
