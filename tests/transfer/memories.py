"""Guest memory for tests: the memory ports of drivers/base.py over bytearrays."""

from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import numpy as np

from bmigd.chunk import PAGE_BYTES, Bytes, Extent
from bmigd.drivers.base import Memory, Region
from bmigd.transfer.digests import digests
from bmigd.transfer.hashing import PIECE_BYTES, Hashed
from bmigd.transfer.pages import PageTable
from bmigd.transfer.stretches import pieces

SEED = 0x5EED


def layout(sizes_pages: list[int]) -> tuple[Region, ...]:
    """Regions of these sizes."""
    return tuple(
        Region(f"region{number}", number << 32, pages * PAGE_BYTES)
        for number, pages in enumerate(sizes_pages)
    )


def table_of(regions: tuple[Region, ...]) -> PageTable:
    """An empty page table for them."""
    return PageTable([region.size_bytes for region in regions], SEED)


class HashedHere:
    """LiveHashes without other processes; test_hashing.py holds both to the same."""

    is_closed = False

    def __init__(self, seed: int = SEED) -> None:
        self._seed = seed
        self._hashed = Counter[int]()

    def hashes(
        self,
        memory: Memory,
        region: int,
        stretches: Iterable[Extent],
        unit_bytes: int = PAGE_BYTES,
    ) -> Hashed:
        assert not self.is_closed
        view = memory.view(region)
        for piece in pieces(stretches, PIECE_BYTES):
            content = view[piece.offset_bytes : piece.offset_bytes + piece.length_bytes]
            self._hashed[unit_bytes] += piece.length_bytes // PAGE_BYTES
            yield piece, np.array(digests(content, self._seed, unit_bytes), dtype="<u8")

    def taken(self) -> dict[int, int]:
        """Pages that were hashed since last asked, by bytes for each hash."""
        taken, self._hashed = self._hashed, Counter()
        return dict(taken)

    def close(self) -> None:
        self.is_closed = True


class LiveMemory:
    """A guest's memory on the source; sparse if its host takes all zero pages back."""

    def __init__(self, regions: tuple[Region, ...], *, sparse: bool = False) -> None:
        self.regions = regions
        self.sparse = sparse
        self.contents = [bytearray(region.size_bytes) for region in regions]

    def view(self, region: int) -> memoryview:
        return memoryview(self.contents[region])

    def populated(self, region: int) -> list[tuple[int, int]]:
        content = self.contents[region]
        if not self.sparse:
            return [(0, len(content))]
        pages = range(0, len(content), PAGE_BYTES)
        return [(at, PAGE_BYTES) for at in pages if any(content[at : at + PAGE_BYTES])]

    def shared(self) -> NoReturn:
        raise AssertionError("this memory is nobody else's")

    def close(self) -> None:
        pass


class FreshMemory:
    """A guest's memory on the destination; counts writes, since fresh memory is sparse."""

    def __init__(self, regions: tuple[Region, ...]) -> None:
        self.regions = regions
        self.contents = [bytearray(region.size_bytes) for region in regions]
        self.writes: list[tuple[int, int, int]] = []

    def write(self, region: int, offset_bytes: int, content: Bytes) -> None:
        assert offset_bytes + len(content) <= self.regions[region].size_bytes
        self.contents[region][offset_bytes : offset_bytes + len(content)] = content
        self.writes.append((region, offset_bytes, len(content)))

    def read(self, region: int, offset_bytes: int, length_bytes: int) -> bytes:
        return bytes(self.contents[region][offset_bytes : offset_bytes + length_bytes])

    def close(self) -> None:
        pass
