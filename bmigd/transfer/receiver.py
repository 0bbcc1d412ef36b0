"""The destination's half of memory: check a chunk, decode it, write it, remember its hashes.

A peer's bytes are hostile until checked: ranges and sizes before anything is allocated, the digest
before anything is written. A chunk may be applied any number of times.
"""

import numpy as np

from bmigd.chunk import (
    CHUNK_BYTES,
    DIGEST_BYTES,
    MIB,
    MOST_SECTIONS,
    NO_CODEC,
    PAGE_BYTES,
    ZERO_CHUNK_BYTES,
    Bytes,
    Chunk,
    CodecId,
    Extent,
    Section,
)
from bmigd.codecs import CODECS
from bmigd.drivers.base import IncomingMemory
from bmigd.errors import BadBytes
from bmigd.transfer.classes import Mask
from bmigd.transfer.deltas import xor
from bmigd.transfer.pages import PageTable, chunk_digest, page_hashes
from bmigd.transfer.runs import Pages, pages_of, runs_of, stretches_of
from bmigd.transfer.sections import masks_of
from bmigd.transfer.spent import Spent
from bmigd.transfer.stretches import stretches_where

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
        if chunk.has(CodecId.ZERO):
            self._apply_zeroes(chunk)
            return
        pages = pages_of(chunk.runs)
        masks = masks_of(chunk.sections, len(pages))
        if chunk.has(CodecId.DELTA) and self._is_there(chunk, pages):
            return  # sent again: what it is the difference to is gone
        with self.spent.on("decode"):
            content = self._content(chunk, pages, masks)
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
        _check_sections(chunk.sections)
        if len(chunk.digest) != DIGEST_BYTES:
            raise BadBytes("CHUNK_INVALID", f"a digest of {len(chunk.digest)} bytes")
        if chunk.wire_bytes > CHUNK_BYTES:
            raise BadBytes("CHUNK_INVALID", f"payload of {chunk.wire_bytes} bytes")
        _check_runs(chunk.runs, self._memory.regions[chunk.region].size_bytes)
        limit = ZERO_CHUNK_BYTES if chunk.has(CodecId.ZERO) else CHUNK_BYTES
        if chunk.memory_bytes > limit:
            raise BadBytes("CHUNK_INVALID", f"{chunk.memory_bytes} bytes in one chunk")

    def _apply_zeroes(self, chunk: Chunk) -> None:
        CODECS[CodecId.ZERO].decode(chunk.sections[0].payload, 0)
        pages = chunk.memory_bytes // PAGE_BYTES
        _check_digest(chunk, self._table.zero_hash_bytes * pages)
        table = self._table.regions[chunk.region]
        for extent in stretches_of(chunk.runs):
            first = extent.offset_bytes // PAGE_BYTES
            known = table[first : first + extent.length_bytes // PAGE_BYTES]
            # What is zero already is not written: it stays sparse, and is soon done with.
            is_other = known != self._table.zero_hash
            for one in stretches_where(is_other, begin_bytes=extent.offset_bytes):
                self._zero(chunk.region, one)
            known[:] = self._table.zero_hash

    def _is_there(self, chunk: Chunk, pages: Pages) -> bool:
        hashes = self._table.regions[chunk.region][pages]
        return chunk_digest(hashes.tobytes()) == chunk.digest

    def _content(self, chunk: Chunk, pages: Pages, masks: list[Mask]) -> Bytes:
        """Its pages' bytes in their order."""
        if len(masks) == 1:
            return self._decoded(chunk.region, pages, chunk.sections[0])
        rows = np.empty((len(pages), PAGE_BYTES), dtype=np.uint8)
        for section, mask in zip(chunk.sections, masks, strict=True):
            decoded = self._decoded(chunk.region, pages[mask], section)
            rows[mask] = np.frombuffer(decoded, dtype=np.uint8).reshape(-1, PAGE_BYTES)
        return rows.reshape(-1).data

    def _decoded(self, region: int, pages: Pages, section: Section) -> Bytes:
        content = CODECS[section.codec].decode(section.payload, len(pages) * PAGE_BYTES)
        if section.codec == CodecId.DELTA:
            return xor(content, self._read(region, pages))
        return content

    def _read(self, region: int, pages: Pages) -> bytes:
        stretches = stretches_of(runs_of(pages))
        return b"".join([self._memory.read(region, *one) for one in stretches])

    def _zero(self, region: int, extent: Extent) -> None:
        for done in range(0, extent.length_bytes, MIB):
            length = min(MIB, extent.length_bytes - done)
            self._memory.write(region, extent.offset_bytes + done, ZEROES[:length])

    def _write(self, chunk: Chunk, content: memoryview) -> None:
        done = 0
        for offset_bytes, length_bytes in stretches_of(chunk.runs):
            self._memory.write(chunk.region, offset_bytes, content[done : done + length_bytes])
            done += length_bytes


def _check_sections(sections: tuple[Section, ...]) -> None:
    """Pages are checked where their number is known."""
    if not 0 < len(sections) <= MOST_SECTIONS:
        raise BadBytes("CHUNK_INVALID", f"a chunk of {len(sections)} sections")
    for one in sections:
        if one.codec == NO_CODEC:
            raise BadBytes("CHUNK_INVALID", "its payload is not that of its sections")
        if one.codec not in CODECS:
            raise BadBytes("CHUNK_INVALID", f"codec {one.codec} is unknown")
        if one.codec == CodecId.ZERO and (len(sections) > 1 or one.pages):
            raise BadBytes("CHUNK_INVALID", "zero pages are a chunk of their own")


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
