"""A receiver over memory that holds something already, and chunks that it takes."""

from dataclasses import replace

import pytest
import zstandard

from bmigd.chunk import PAGE_BYTES, Chunk, CodecId, Section
from bmigd.errors import BadBytes
from bmigd.transfer.pages import PageTable, chunk_digest, page_hashes
from bmigd.transfer.receiver import Receiver
from tests.transfer.memories import SEED, FreshMemory, layout, table_of

PAGES = 600  # 2.3 MiB: more than two chunks
Runs = tuple[int, ...]
CONTENT = bytes(range(256)) * (PAGE_BYTES // 256) + bytes(range(255, -1, -1)) * (PAGE_BYTES // 256)


class Destination:
    """A receiver over two regions, the first of which holds something already."""

    def __init__(self) -> None:
        regions = layout([PAGES, 2])
        self.memory, self.table = FreshMemory(regions), table_of(regions)
        self.receiver = Receiver(self.memory, self.table)
        self.receiver.apply(chunk_of(CONTENT, (0, 2)))

    def assert_refuses(self, chunk: Chunk) -> None:
        """BadBytes, and nothing changed."""
        before = [bytes(content) for content in self.memory.contents], self.table.root()
        self.memory.writes.clear()
        with pytest.raises(BadBytes) as refused:
            self.receiver.apply(chunk)
        assert refused.value.reason == "CHUNK_INVALID"
        assert self.memory.writes == []
        assert ([bytes(content) for content in self.memory.contents], self.table.root()) == before


def chunk_of(content: bytes, runs: Runs, codec: CodecId = CodecId.RAW) -> Chunk:
    """A good chunk."""
    digest = chunk_digest(page_hashes(content, SEED).tobytes())
    payload = zstandard.compress(content) if codec is CodecId.ZSTD else content
    return Chunk("m", 1, 1, 0, runs, digest, (Section(codec, payload),))


def with_payload(chunk: Chunk, codec: int, payload: bytes) -> Chunk:
    """The same, but for what it carries."""
    return replace(chunk, sections=(Section(codec, payload),))


def zero_chunk(*runs: int) -> Chunk:
    """A good chunk of zero pages."""
    table = PageTable([], SEED)
    digest = chunk_digest(table.zero_hash_bytes * sum(runs[1::2]))
    return Chunk("m", 1, 1, 0, runs, digest, (Section(CodecId.ZERO),))
