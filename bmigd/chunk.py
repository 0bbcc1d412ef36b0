"""Chunk: the one value that travels, and the sizes that bound it.

A chunk names its guest memory by region and runs of pages, carries a digest over the pages' hashes,
and may be written any number of times.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MIB = 1 << 20
PAGE_BYTES = 4096
CHUNK_BYTES = MIB  # guest bytes in one chunk, at most
CHUNK_PAGES = CHUNK_BYTES // PAGE_BYTES
MOST_RUNS = 4096  # in one chunk
MOST_STREAMS = 4  # that carry one migration
ZERO_CHUNK_BYTES = 1 << 30  # guest bytes named by one zero chunk, at most
DIGEST_BYTES = 16

Bytes = bytes | bytearray | memoryview


class CodecId(IntEnum):
    """Payload encodings, numbered as in the contract."""

    ZERO = 1
    RAW = 2
    ZSTD = 3
    DELTA = 4


class Extent(NamedTuple):
    """A stretch of a region, in whole pages; in bytes."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of memory. The payload is a tuple so that it is copied only into the frame."""

    migration_id: str
    epoch: int
    sequence: int
    region: int
    codec: int  # a CodecId, unless a peer sent something else
    runs: tuple[int, ...]  # for each run: pages skipped since the one before, pages that it has
    digest: bytes
    payload: tuple[Bytes, ...]
    stream: int = 0  # number among the migration's streams of the one that carries it

    @property
    def memory_bytes(self) -> int:
        """Guest bytes that it stands for."""
        return sum(self.runs[1::2]) * PAGE_BYTES

    @property
    def wire_bytes(self) -> int:
        """Payload bytes on the wire."""
        return sum(len(part) for part in self.payload)
