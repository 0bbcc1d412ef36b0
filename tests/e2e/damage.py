"""What can be wrong with a chunk. Each is right in everything else, its digest included."""

from collections.abc import Callable

import xxhash
import zstandard
from bmig.v1 import migration_pb2, peer_pb2

PAGE = 4096
MIB = 1 << 20
MEMORY = 64 * MIB

Chunk = peer_pb2.MemoryChunk
Flaw = Callable[[Chunk, int], None]


def digest(content: bytes, seed: int) -> bytes:
    """Of a chunk with this content."""
    pages = range(0, len(content), PAGE)
    hashes = [xxhash.xxh3_64_intdigest(content[at : at + PAGE], seed) for at in pages]
    return xxhash.xxh3_128_digest(b"".join(one.to_bytes(8, "little") for one in hashes))


def say(chunk: Chunk, seed: int, content: bytes, *runs: int) -> None:
    """Make it a good raw chunk of this content."""
    del chunk.runs[:]
    chunk.runs.extend(runs)
    carry(chunk, migration_pb2.CODEC_RAW, content)
    chunk.digest = digest(content, seed)


def carry(chunk: Chunk, codec: migration_pb2.Codec, payload: bytes) -> None:
    """Make that all of its payload."""
    del chunk.sections[:]
    chunk.sections.add(codec=codec, payload_bytes=len(payload))
    chunk.payload = payload


def out_of_range(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, MEMORY // PAGE, 1)


def far_out_of_range(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, (1 << 32) - 1, 1)


def across_the_end(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 32, MEMORY // PAGE - 1, 2)


def overlapping(chunk: Chunk, seed: int) -> None:
    """Goes back by a page, for whoever counts in 32 bits."""
    say(chunk, seed, bytes(range(256)) * 48, 0, 2, (1 << 32) - 1, 1)


def half_a_run(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, 0, 1, 1)


def empty_run(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, 0, 1, 0, 0)


def no_runs(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, b"")


def oversized(chunk: Chunk, seed: int) -> None:
    content = bytes(range(256)) * (MIB // 256) + bytes(PAGE)
    say(chunk, seed, content, 0, len(content) // PAGE)


def too_short(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, 0, 1)
    carry(chunk, migration_pb2.CODEC_RAW, chunk.payload[:-1])


def shorter_than_its_sections(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, 0, 1)
    chunk.payload = chunk.payload[:-1]


def no_sections(chunk: Chunk, seed: int) -> None:
    del chunk.sections[:]
    chunk.payload = b""


def half_a_million_sections(chunk: Chunk, seed: int) -> None:
    """Two bytes each, which is all that a chunk has room for."""
    del chunk.sections[:]
    chunk.payload = b""
    for _ in range((1 << 19) - 100):
        chunk.sections.add()


def page_in_two_sections(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 32, 0, 2)
    del chunk.sections[:]
    for pages, size in ((b"\3", 2 * PAGE), (b"\2", PAGE)):
        chunk.sections.add(codec=migration_pb2.CODEC_RAW, payload_bytes=size, pages=pages)
    chunk.payload += bytes(PAGE)


def wrong_digest(chunk: Chunk, seed: int) -> None:
    chunk.digest = bytes(16)


def short_digest(chunk: Chunk, seed: int) -> None:
    chunk.digest = chunk.digest[:8]


def flipped_bit(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, 0, 1)
    chunk.payload = b"\x01" + chunk.payload[1:]


def unknown_codec(chunk: Chunk, seed: int) -> None:
    carry(chunk, 99, chunk.payload)  # type: ignore[arg-type]


def no_such_region(chunk: Chunk, seed: int) -> None:
    chunk.region = 5


def honest_zstd_bomb(chunk: Chunk, seed: int) -> None:
    """States how large it is."""
    say(chunk, seed, bytes(PAGE), 0, 1)
    bomb = zstandard.ZstdCompressor().compress(bytes(256 * MIB))
    carry(chunk, migration_pb2.CODEC_ZSTD, bomb)


def lying_zstd_bomb(chunk: Chunk, seed: int) -> None:
    """States one page and holds 256 MiB."""
    say(chunk, seed, bytes(PAGE), 0, 1)
    bomb = bytearray(zstandard.ZstdCompressor().compress(bytes(256 * MIB)))
    bomb[6:10] = PAGE.to_bytes(4, "little")  # behind magic number, descriptor and window
    carry(chunk, migration_pb2.CODEC_ZSTD, bytes(bomb))
    assert zstandard.frame_content_size(chunk.payload) == PAGE


def delta_of_something_else(chunk: Chunk, seed: int) -> None:
    """What it is to be put on is not there."""
    say(chunk, seed, bytes(range(256)) * 16, MIB // PAGE, 1)
    carry(chunk, migration_pb2.CODEC_DELTA, zstandard.ZstdCompressor().compress(b"x" * PAGE))


def delta_bomb(chunk: Chunk, seed: int) -> None:
    say(chunk, seed, bytes(range(256)) * 16, MIB // PAGE, 1)
    bomb = zstandard.ZstdCompressor().compress(bytes(256 * MIB))
    carry(chunk, migration_pb2.CODEC_DELTA, bomb)


def stream_of_too_high_a_number(chunk: Chunk, seed: int) -> None:
    chunk.stream = (1 << 32) - 1


FLAWS: dict[Flaw, str] = {
    out_of_range: "the region at",
    far_out_of_range: "the region at",
    across_the_end: "the region at",
    overlapping: "the region at",
    half_a_run: "3 numbers",
    empty_run: "is empty",
    no_runs: "0 numbers",
    oversized: "payload of",
    too_short: "raw payload of 4095 bytes",
    shorter_than_its_sections: "not that of its sections",
    no_sections: "a chunk of 0 sections",
    half_a_million_sections: "a chunk of 5 sections",
    page_in_two_sections: "not each page once",
    wrong_digest: "digest",
    short_digest: "digest",
    flipped_bit: "digest",
    unknown_codec: "codec 99",
    no_such_region: "region 5",
    honest_zstd_bomb: "states 268435456 bytes",
    lying_zstd_bomb: "zstd",
    delta_of_something_else: "digest",
    delta_bomb: "states 268435456 bytes",
    stream_of_too_high_a_number: "stream",
}
