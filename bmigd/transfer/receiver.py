"""The destination's half of memory: check a chunk, decode it, write it, remember its hashes.

A peer's bytes are hostile until checked: ranges and sizes before anything is allocated, the digest
before anything is written. A chunk may be applied any number of times.
"""

from bmigd.chunk import (
    CHUNK_BYTES,
    DIGEST_BYTES,
    MIB,
    PAGE_BYTES,
    ZERO_CHUNK_BYTES,
    Chunk,
    CodecId,
    Extent,
)
from bmigd.codecs import CODECS
from bmigd.drivers.base import IncomingMemory
from bmigd.errors import BadBytes
from bmigd.transfer.deltas import xor
from bmigd.transfer.pages import PageTable, chunk_digest, page_hashes
from bmigd.transfer.runs import Pages, pages_of, stretches_of
from bmigd.transfer.spent import Spent

ZEROES = bytes(MIB)
VERIFY_BYTES = 4 * MIB


class Receiver:
    """Writes chunks into one guest's memory. Not thread-safe; one caller at a time."""

    def __init__(self, memory: IncomingMemory, table: PageTable) -> None:
        self._memory = memory
        self._table = table
        self.spent = Spent()

    def apply(self, chunk: Chunk) -> None:
        """Write one chunk; BadBytes (CHUNK_INVALID) leaves memory as it was."""
        self._check_bounds(chunk)
        if chunk.codec == CodecId.ZERO:
            self._apply_zeroes(chunk)
            return
        pages = pages_of(chunk.runs)
        payload = chunk.payload[0] if len(chunk.payload) == 1 else b"".join(chunk.payload)
        if chunk.codec == CodecId.DELTA and self._is_there(chunk, pages):
            return  # sent again: what it is the difference to is gone
        with self.spent.on("decode"):
            content = CODECS[chunk.codec].decode(payload, chunk.memory_bytes)
            if chunk.codec == CodecId.DELTA:
                content = xor(content, self._read(chunk))
        with self.spent.on("hash"):
            hashes = page_hashes(content, self._table.seed)
            _check_digest(chunk, hashes.tobytes())
        with self.spent.on("write"):
            self._write(chunk, memoryview(content))
            self._table.regions[chunk.region][pages] = hashes

    def verify(self) -> bool:
        """Read all memory back: whether it hashes to the table."""
        for number, region in enumerate(self._memory.regions):
            for offset in range(0, region.size_bytes, VERIFY_BYTES):
                length = min(VERIFY_BYTES, region.size_bytes - offset)
                content = self._memory.read(number, offset, length)
                if self._table.differing(number, offset, content):
                    return False
        return True

    def _check_bounds(self, chunk: Chunk) -> None:
        if chunk.region >= len(self._memory.regions):
            raise BadBytes("CHUNK_INVALID", f"region {chunk.region} does not exist")
        if chunk.codec not in CODECS:
            raise BadBytes("CHUNK_INVALID", f"codec {chunk.codec} is unknown")
        if len(chunk.digest) != DIGEST_BYTES:
            raise BadBytes("CHUNK_INVALID", f"a digest of {len(chunk.digest)} bytes")
        if chunk.wire_bytes > CHUNK_BYTES:
            raise BadBytes("CHUNK_INVALID", f"payload of {chunk.wire_bytes} bytes")
        _check_runs(chunk.runs, self._memory.regions[chunk.region].size_bytes)
        limit = ZERO_CHUNK_BYTES if chunk.codec == CodecId.ZERO else CHUNK_BYTES
        if chunk.memory_bytes > limit:
            raise BadBytes("CHUNK_INVALID", f"{chunk.memory_bytes} bytes in one chunk")

    def _apply_zeroes(self, chunk: Chunk) -> None:
        CODECS[CodecId.ZERO].decode(b"".join(chunk.payload), 0)
        pages = chunk.memory_bytes // PAGE_BYTES
        _check_digest(chunk, self._table.zero_hash_bytes * pages)
        table = self._table.regions[chunk.region]
        for extent in stretches_of(chunk.runs):
            first = extent.offset_bytes // PAGE_BYTES
            known = table[first : first + extent.length_bytes // PAGE_BYTES]
            if (known != self._table.zero_hash).any():  # else it is zero already: stay sparse
                self._zero(chunk.region, extent)
                known[:] = self._table.zero_hash

    def _is_there(self, chunk: Chunk, pages: Pages) -> bool:
        hashes = self._table.regions[chunk.region][pages]
        return chunk_digest(hashes.tobytes()) == chunk.digest

    def _read(self, chunk: Chunk) -> bytes:
        return b"".join([self._memory.read(chunk.region, *one) for one in stretches_of(chunk.runs)])

    def _zero(self, region: int, extent: Extent) -> None:
        for done in range(0, extent.length_bytes, MIB):
            length = min(MIB, extent.length_bytes - done)
            self._memory.write(region, extent.offset_bytes + done, ZEROES[:length])

    def _write(self, chunk: Chunk, content: memoryview) -> None:
        done = 0
        for offset_bytes, length_bytes in stretches_of(chunk.runs):
            self._memory.write(chunk.region, offset_bytes, content[done : done + length_bytes])
            done += length_bytes


def _check_runs(runs: tuple[int, ...], size_bytes: int) -> None:
    """What they say is ascending and apart by itself."""
    if not runs or len(runs) % 2:
        raise BadBytes("CHUNK_INVALID", f"{len(runs)} numbers are no runs of pages")
    if min(runs) < 0 or not min(runs[1::2]):
        raise BadBytes("CHUNK_INVALID", "a run of pages is empty")
    end = sum(runs) * PAGE_BYTES
    if end > size_bytes:
        raise BadBytes("CHUNK_INVALID", f"ends at {end}, the region at {size_bytes}")


def _check_digest(chunk: Chunk, hashes: bytes) -> None:
    if chunk_digest(hashes) != chunk.digest:
        raise BadBytes("CHUNK_INVALID", f"the digest of chunk {chunk.sequence} does not match")
