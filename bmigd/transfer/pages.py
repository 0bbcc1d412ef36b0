"""Page hashes: what a side knows of guest memory, and the root that both sides compare.

Hashes are XXH3-64 of each 4096-byte page, keyed by a seed that is random for each migration, so
that a guest cannot prepare two pages that look alike. A table starts as all zero pages, like the
destination's memory.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import xxhash

from bmigd.chunk import PAGE_BYTES, Bytes
from bmigd.transfer.digests import digests

Hashes = npt.NDArray[np.uint64]
ZERO_PAGE = bytes(PAGE_BYTES)


def page_hashes(content: Bytes, seed: int) -> Hashes:
    """One hash for each page of content, whose length is a multiple of the page size."""
    return np.array(digests(content, seed, PAGE_BYTES), dtype="<u8")


def chunk_digest(hashes: bytes) -> bytes:
    """The digest that travels with a chunk: over its pages' hashes, little-endian, in order."""
    return xxhash.xxh3_128_digest(hashes)


class PageTable:
    """The hash of every page of every region."""

    def __init__(self, region_bytes: list[int], seed: int) -> None:
        self.seed = seed
        self.zero_hash = xxhash.xxh3_64_intdigest(ZERO_PAGE, seed)
        self.zero_hash_bytes = self.zero_hash.to_bytes(8, "little")
        self.regions: list[Hashes] = [
            np.full(size // PAGE_BYTES, self.zero_hash, dtype="<u8") for size in region_bytes
        ]

    def differing(self, region: int, offset_bytes: int, content: Bytes) -> int:
        """How many pages of a stretch of a region hash to something else."""
        hashes, first = page_hashes(content, self.seed), offset_bytes // PAGE_BYTES
        return int((hashes != self.regions[region][first : first + len(hashes)]).sum())

    def filled(self) -> int:
        """How many pages are not zero."""
        return sum(int((hashes != self.zero_hash).sum()) for hashes in self.regions)

    def root(self) -> bytes:
        """SHA-256 over all hashes."""
        digest = hashlib.sha256()
        for hashes in self.regions:
            digest.update(hashes.tobytes())
        return digest.digest()
