"""Pages as what changed in them since they were sent before.

The rule that must not break: what is kept here of a page is what the destination has of it. So
whatever is sent is told here, zero pages too, and a page is sent once in a pass.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bmigd.chunk import MIB, PAGE_BYTES, Bytes
from bmigd.transfer.classes import Mask
from bmigd.transfer.runs import Pages

ROOM_BYTES = 16 * MIB  # of the daemon's own memory, for each migration
PAYS_BELOW = 0.25  # of a page's bytes; a page that changed more is encoded as it is
TRIES_AGAIN = 16  # chunks, after one in which hardly any page paid
SELDOM = 0.05
GIVES_WAY_EVERY = 8  # new pages: a guest that writes more than there is room for finds some there

PageBytes = npt.NDArray[np.uint8]  # one row for each page


@dataclass(frozen=True)
class Delta:
    """Some of a chunk's pages, and their bytes XOR what the destination has."""

    pages: Mask
    content: bytes


def xor(one: Bytes, other: Bytes) -> bytes:
    """Of the same length."""
    return (np.frombuffer(one, dtype=np.uint8) ^ np.frombuffer(other, dtype=np.uint8)).tobytes()


class Deltas:
    """The latest content of pages that were sent more than once, as many as there is room for."""

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self._slots: PageBytes = np.zeros((0, PAGE_BYTES), dtype=np.uint8)
        self._room = room_bytes // PAGE_BYTES
        self._slot_of: dict[tuple[int, int], int] = {}  # by region and page
        self._held: list[tuple[int, int] | None] = [None] * self._room
        self._next = 0
        self._turns = 0
        self._waits = 0  # chunks, until it is tried again

    def delta(
        self, region: int, pages: Pages, content: Bytes, *, is_wanted: bool = True
    ) -> Delta | None:
        """What pays of pages that are to be sent, if wanted; all are kept from now on."""
        rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, PAGE_BYTES)
        slots = np.array([self._slot_of.get((region, page), -1) for page in pages.tolist()])
        found = self._try(rows, slots) if is_wanted and self._waits == 0 else None
        self._waits = max(0, self._waits - 1)
        self._keep(region, pages, rows, slots)
        return found

    def forget(self, region: int, pages: Pages) -> None:
        """They became zero."""
        if not self._slot_of:
            return
        for page in pages.tolist():
            if (slot := self._slot_of.pop((region, page), None)) is not None:
                self._held[slot] = None

    def _try(self, rows: PageBytes, slots: npt.NDArray[np.int64]) -> Delta | None:
        known = np.flatnonzero(slots >= 0)
        if not len(known):
            return None
        changed = rows[known] ^ self._slots[slots[known]]
        pays = np.count_nonzero(changed, axis=1) < PAYS_BELOW * PAGE_BYTES
        if pays.mean() < SELDOM:
            self._waits = TRIES_AGAIN
            return None
        mask: Mask = np.zeros(len(rows), dtype=bool)
        mask[known[pays]] = True
        return Delta(mask, changed[pays].tobytes())

    def _keep(
        self, region: int, pages: Pages, rows: PageBytes, slots: npt.NDArray[np.int64]
    ) -> None:
        if not len(self._slots):
            self._slots = np.zeros((self._room, PAGE_BYTES), dtype=np.uint8)
        known = slots >= 0
        self._slots[slots[known]] = rows[known]
        for number in np.flatnonzero(~known).tolist():
            if (before := self._held[self._next]) is not None:
                self._turns += 1
                if self._turns % GIVES_WAY_EVERY:
                    continue
                del self._slot_of[before]
            key = (region, int(pages[number]))
            self._held[self._next], self._slot_of[key] = key, self._next
            self._slots[self._next] = rows[number]
            self._next = (self._next + 1) % self._room
