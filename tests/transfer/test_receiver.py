"""A chunk is checked before it is believed: whatever is wrong with it, the answer is BadBytes and
memory and page table are as they were. A good chunk may be applied any number of times.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import (
    CHUNK_BYTES,
    CHUNK_PAGES,
    DIGEST_BYTES,
    MIB,
    NO_CODEC,
    PAGE_BYTES,
    ZERO_CHUNK_BYTES,
    Chunk,
    CodecId,
    Section,
)
from bmigd.drivers.base import Region
from bmigd.errors import BadBytes
from bmigd.rpc import frame
from bmigd.transfer.pages import PageTable, chunk_digest, page_hashes
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.sections import bits_of, masks_of
from tests.transfer.memories import SEED, FreshMemory, layout, table_of

PAGES = 600  # 2.3 MiB: more than two chunks
Runs = tuple[int, ...]
CONTENT = bytes(range(256)) * (PAGE_BYTES // 256) + bytes(range(255, -1, -1)) * (PAGE_BYTES // 256)
NOISE = random.Random(7).randbytes(8 * PAGE_BYTES)  # noqa: S311 - noise


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


GOOD = chunk_of(CONTENT, (4, 1, 4, 1))
END = PAGES * PAGE_BYTES
TWO = 2 * PAGE_BYTES


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param((), id="none"),
        pytest.param((0,), id="half of one"),
        pytest.param((0, 2, 1), id="one and a half"),
        pytest.param((PAGES - 1, 2), id="over the end"),
        pytest.param((PAGES, 2), id="beyond the end"),
        pytest.param((0, 1, PAGES - 1, 1), id="the last one beyond the end"),
        pytest.param((2**32 - 1, 2), id="around the end of numbers"),
        pytest.param((2**32 - 1, 1, 2**32 - 1, 1), id="far beyond the end"),
        pytest.param((-1, 2), id="before the start"),
        pytest.param((4, 3, 0, -1), id="backwards"),
        pytest.param((0, 2, 4, 0), id="an empty one"),
        pytest.param((0, 0, 0, 2), id="an empty one first"),
        pytest.param((0, 1), id="less than the payload"),
        pytest.param((0, 3), id="more than the payload"),
        pytest.param((0, CHUNK_PAGES + 1), id="more than a chunk may have"),
    ],
)
@pytest.mark.parametrize("codec", [CodecId.RAW, CodecId.ZSTD])
def test_runs_that_do_not_fit_are_refused(runs: Runs, codec: CodecId) -> None:
    Destination().assert_refuses(replace(chunk_of(CONTENT, (0, 2), codec), runs=runs))


@pytest.mark.parametrize("runs", [(), (0,), (0, 0), (PAGES, 1), (0, PAGES + 1), (0, 1, 2**32, 1)])
def test_zero_runs_that_do_not_fit_are_refused(runs: Runs) -> None:
    Destination().assert_refuses(zero_chunk(*runs))


@pytest.mark.parametrize("region", [2, 3, 2**32 - 1])
def test_a_region_that_does_not_exist_is_refused(region: int) -> None:
    Destination().assert_refuses(replace(GOOD, region=region))
    Destination().assert_refuses(replace(zero_chunk(0, 1), region=region))


@pytest.mark.parametrize("codec", [0, 4, -1, 2**31 - 1, -(2**31)])
def test_a_codec_that_is_unknown_is_refused(codec: int) -> None:
    Destination().assert_refuses(with_payload(GOOD, codec, CONTENT))


@pytest.mark.parametrize(
    "digest", [b"", bytes(DIGEST_BYTES), GOOD.digest[:-1], GOOD.digest + b"\0", bytes(1 << 16)]
)
def test_a_wrong_digest_is_refused(digest: bytes) -> None:
    Destination().assert_refuses(replace(GOOD, digest=digest))
    Destination().assert_refuses(replace(zero_chunk(0, 1), digest=digest))


@given(st.integers(0, len(CONTENT) * 8 - 1), st.sampled_from([CodecId.RAW, CodecId.ZSTD]))
def test_content_with_one_bit_changed_is_refused(bit: int, codec: CodecId) -> None:
    damaged = bytearray(CONTENT)
    damaged[bit // 8] ^= 1 << bit % 8
    chunk = chunk_of(bytes(damaged), GOOD.runs, codec)
    Destination().assert_refuses(replace(chunk, digest=GOOD.digest))


@given(st.data())
def test_a_damaged_zstd_payload_is_refused(data: st.DataObject) -> None:
    chunk = chunk_of(CONTENT, GOOD.runs, CodecId.ZSTD)
    damaged = bytearray(chunk.sections[0].payload)
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    destination = Destination()
    try:
        destination.receiver.apply(with_payload(chunk, CodecId.ZSTD, bytes(damaged)))
    except BadBytes:
        written = [bytes(content) for content in destination.memory.contents]
        fresh = [bytes(content) for content in Destination().memory.contents]
        assert written == fresh
        return
    # A bit that does not matter to the content: then the content is right.
    assert destination.memory.read(0, 4 * PAGE_BYTES, PAGE_BYTES) == CONTENT[:PAGE_BYTES]


def test_a_zstd_frame_that_states_more_than_its_pages_is_refused() -> None:
    bomb = zstandard.compress(bytes(64 * MIB))
    assert len(bomb) < CHUNK_BYTES
    Destination().assert_refuses(with_payload(GOOD, CodecId.ZSTD, bomb))


def test_a_zstd_frame_that_does_not_state_its_size_is_refused() -> None:
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))
    Destination().assert_refuses(with_payload(GOOD, CodecId.ZSTD, silent))


def test_a_zstd_frame_that_holds_more_than_it_states_is_refused() -> None:
    # The header of a small frame before the blocks of a large one.
    small = zstandard.ZstdCompressor(write_checksum=False).compress(CONTENT)
    large = zstandard.ZstdCompressor(write_checksum=False).compress(CONTENT * 64)
    header = zstandard.frame_header_size(small)
    lying = small[:header] + large[zstandard.frame_header_size(large) :]
    assert zstandard.frame_content_size(lying) == len(CONTENT)
    Destination().assert_refuses(with_payload(GOOD, CodecId.ZSTD, lying))


def test_a_payload_larger_than_a_chunk_is_refused() -> None:
    Destination().assert_refuses(with_payload(GOOD, CodecId.RAW, bytes(CHUNK_BYTES + 1)))
    many = [Section(CodecId.RAW, bytes(CHUNK_BYTES), bits) for bits in (b"\1", b"\2")]
    Destination().assert_refuses(replace(GOOD, sections=tuple(many)))
    whole = chunk_of(bytes(CHUNK_BYTES), (0, CHUNK_PAGES))
    Destination().receiver.apply(whole)


@pytest.mark.parametrize("payload", [b"\0", bytes(PAGE_BYTES)])
def test_a_zero_chunk_with_a_payload_is_refused(payload: bytes) -> None:
    Destination().assert_refuses(with_payload(zero_chunk(0, 1), CodecId.ZERO, payload))


def test_a_zero_chunk_may_name_a_gibibyte_and_no_page_more() -> None:
    size_bytes = ZERO_CHUNK_BYTES + PAGE_BYTES

    class Sparse(FreshMemory):
        """A large memory that nothing is written to."""

        def __init__(self) -> None:
            super().__init__(())
            self.regions = (Region("low", 0, size_bytes),)

        def write(self, region: int, offset_bytes: int, content: object) -> None:
            raise AssertionError("written")

    receiver = Receiver(Sparse(), PageTable([size_bytes], SEED))
    receiver.apply(zero_chunk(0, ZERO_CHUNK_BYTES // PAGE_BYTES))
    with pytest.raises(BadBytes):
        receiver.apply(zero_chunk(0, size_bytes // PAGE_BYTES))


EVEN, ODD = b"\x55", b"\xaa"


def of_sections(*sections: Section) -> Chunk:
    """Eight pages from the fourth on: the second page of CONTENT, and its first in the odd ones."""
    content = CONTENT[PAGE_BYTES:] + CONTENT[:PAGE_BYTES]
    return replace(chunk_of(content * 4, (4, 8)), sections=sections)


def test_sections_of_several_codecs_come_together_in_the_order_of_pages() -> None:
    destination, first, second = Destination(), CONTENT[:PAGE_BYTES], CONTENT[PAGE_BYTES:]
    odd = Section(CodecId.ZSTD, zstandard.compress(first * 4), ODD)
    even = Section(CodecId.RAW, second * 3, bytes([0x15]))
    # The base of the delta is zero: nothing has been written there.
    last = Section(CodecId.DELTA, zstandard.compress(second), bytes([0x40]))
    for sections in ((odd, even, last), (last, odd, even)):
        destination.receiver.apply(of_sections(*sections))
        assert destination.memory.read(0, 4 * PAGE_BYTES, 8 * PAGE_BYTES) == (second + first) * 4
        assert len(destination.memory.writes) == 2  # one before: neighbours are written together
    assert destination.receiver.verify()


def rows_of(content: bytes, bits: bytes) -> bytes:
    """Those of its pages that the bits name."""
    named = [bits[page // 8] >> page % 8 & 1 for page in range(len(content) // PAGE_BYTES)]
    pages = [page for page, is_named in enumerate(named) if is_named]
    return b"".join(content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] for page in pages)


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param((), id="none"),
        pytest.param((EVEN,), id="half of the pages"),
        pytest.param((EVEN, EVEN), id="half of them twice"),
        pytest.param((EVEN, b"\xab"), id="one of them twice"),
        pytest.param((b"\x54", ODD), id="all but one"),
        pytest.param((EVEN, ODD, b"\0"), id="one without pages"),
        pytest.param((EVEN, ODD + b"\0"), id="a byte too many"),
        pytest.param((b"\1", b"\2", b"\4", b"\x08", b"\xf0"), id="too many"),
        pytest.param((b"\1" + bytes(1 << 20), b"\xfe"), id="far too many"),
    ],
)
def test_sections_that_are_not_each_page_once_are_refused(pages: tuple[bytes, ...]) -> None:
    """Each of them has the right bytes for the pages that it names."""
    content = (CONTENT[PAGE_BYTES:] + CONTENT[:PAGE_BYTES]) * 4
    sections = [Section(CodecId.RAW, rows_of(content, bits), bits) for bits in pages]
    Destination().assert_refuses(of_sections(*sections))


@pytest.mark.parametrize("pages", [(b"", b""), (EVEN, b"")])
def test_only_one_alone_has_all_pages_unsaid(pages: tuple[bytes, ...]) -> None:
    content = (CONTENT[PAGE_BYTES:] + CONTENT[:PAGE_BYTES]) * 4
    Destination().receiver.apply(of_sections(Section(CodecId.RAW, content)))
    sections = [Section(CodecId.RAW, rows_of(content, bits or ODD), bits) for bits in pages]
    Destination().assert_refuses(of_sections(*sections))


def test_a_section_of_a_page_after_the_last_is_refused() -> None:
    content = NOISE[: 7 * PAGE_BYTES]
    even, odd = (Section(CodecId.RAW, rows_of(content, bits), bits) for bits in (EVEN, b"\x2a"))
    good = replace(chunk_of(content, (4, 7)), sections=(even, odd))
    Destination().receiver.apply(good)
    Destination().assert_refuses(replace(good, sections=(even, replace(odd, pages=ODD))))


def test_zero_pages_have_no_others_beside_them() -> None:
    """Whoever sends them so is right in everything else."""
    content = (CONTENT[:PAGE_BYTES] + bytes(PAGE_BYTES)) * 4
    half, zeroes = Section(CodecId.RAW, CONTENT[:PAGE_BYTES] * 4, EVEN), Section(0, b"", ODD)
    for codec in (CodecId.ZERO, NO_CODEC):
        chunk = replace(chunk_of(content, (4, 8)), sections=(half, replace(zeroes, codec=codec)))
        Destination().assert_refuses(chunk)
    beside = Section(CodecId.ZERO), Section(CodecId.RAW, bytes(PAGE_BYTES))
    Destination().assert_refuses(replace(zero_chunk(4, 8), sections=beside))
    named = replace(zero_chunk(4, 8), sections=(Section(CodecId.ZERO, b"", b"\xff"),))
    Destination().assert_refuses(named)


def test_what_is_written_already_is_checked_all_the_same() -> None:
    destination = Destination()  # the first two pages are CONTENT
    junk = Section(CodecId.DELTA, b"junk", b"\1"), Section(CodecId.RAW, b"junk", b"\1")
    destination.assert_refuses(replace(chunk_of(CONTENT, (0, 2)), sections=junk))


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=40))
def test_pages_are_named_by_bits(parts: list[int]) -> None:
    masks = [np.array(parts) == part for part in sorted(set(parts))]
    sections = [Section(CodecId.RAW, b"", bits_of(mask)) for mask in masks]
    found = masks_of(sections, len(parts))
    assert [mask.tolist() for mask in found] == [mask.tolist() for mask in masks]
    with pytest.raises(BadBytes):
        masks_of(sections, len(parts) + 1)


def test_zero_chunks_keep_fresh_memory_sparse() -> None:
    destination = Destination()
    destination.memory.writes.clear()
    destination.receiver.apply(zero_chunk(4, 500))
    assert destination.memory.writes == []


def test_zero_chunks_clear_what_was_written() -> None:
    destination = Destination()
    destination.receiver.apply(zero_chunk(1, 400))
    assert destination.memory.read(0, 0, PAGE_BYTES) == CONTENT[:PAGE_BYTES]
    assert not any(destination.memory.read(0, PAGE_BYTES, END - PAGE_BYTES))
    assert destination.receiver.verify()


def test_runs_get_their_part_of_the_content_and_nothing_else_changes() -> None:
    destination = Destination()
    destination.receiver.apply(GOOD)
    content = bytearray(END)
    content[:TWO] = CONTENT
    content[4 * PAGE_BYTES : 5 * PAGE_BYTES] = CONTENT[:PAGE_BYTES]
    content[9 * PAGE_BYTES : 10 * PAGE_BYTES] = CONTENT[PAGE_BYTES:]
    assert destination.memory.contents[0] == content
    assert not any(destination.memory.contents[1])


@given(st.lists(st.sampled_from(["raw", "zero", "zstd"]), min_size=1, max_size=6))
def test_chunks_may_be_applied_any_number_of_times(order: list[str]) -> None:
    chunks = {
        "raw": chunk_of(CONTENT, (8, 2)),
        "zero": zero_chunk(8, 1),
        "zstd": chunk_of(CONTENT[::-1], (20, 2), CodecId.ZSTD),
    }
    once, often = Destination(), Destination()
    for name in order:
        once.receiver.apply(chunks[name])
        for _ in range(3):
            often.receiver.apply(chunks[name])
    assert once.memory.contents == often.memory.contents
    assert once.table.root() == often.table.root()


def test_verify_sees_memory_that_was_changed_behind_its_back() -> None:
    destination = Destination()
    assert destination.receiver.verify()
    for region, offset in [(0, 0), (0, END - 1), (1, 0)]:
        destination.memory.contents[region][offset] ^= 1
        assert not destination.receiver.verify()
        destination.memory.contents[region][offset] ^= 1
    assert destination.receiver.verify()


@given(st.data())
def test_no_damaged_frame_does_more_than_be_refused(data: st.DataObject) -> None:
    encoded = bytearray(frame.write(GOOD))
    position = data.draw(st.integers(0, len(encoded) - len(CONTENT)))
    encoded[position] ^= data.draw(st.integers(1, 255))
    destination = Destination()
    try:
        chunk = frame.read(bytes(encoded))
        destination.receiver.apply(chunk)
    except BadBytes:
        assert len(destination.memory.writes) == 1
    assert destination.receiver.verify()
