"""A chunk is checked before it is believed: whatever is wrong with it, the answer is BadBytes and
memory and page table are as they were. A good chunk may be applied any number of times.
"""

from dataclasses import replace

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import (
    CHUNK_BYTES,
    CHUNK_PAGES,
    DIGEST_BYTES,
    MIB,
    PAGE_BYTES,
    ZERO_CHUNK_BYTES,
    CodecId,
    Section,
)
from bmigd.drivers.base import Region
from bmigd.errors import BadBytes
from bmigd.rpc import packing
from bmigd.transfer.pages import PageTable
from bmigd.transfer.receiver import Receiver
from tests.transfer.destination import (
    CONTENT,
    PAGES,
    Destination,
    Runs,
    chunk_of,
    with_payload,
    zero_chunk,
)
from tests.transfer.memories import SEED, FreshMemory

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
def test_no_damaged_message_does_more_than_be_refused(data: st.DataObject) -> None:
    encoded = bytearray(packing.pack([GOOD]))
    position = data.draw(st.integers(0, len(encoded) - len(CONTENT)))
    encoded[position] ^= data.draw(st.integers(1, 255))
    destination = Destination()
    try:
        for chunk in packing.unpack(bytes(encoded)):
            destination.receiver.apply(chunk)
    except BadBytes:
        assert len(destination.memory.writes) == 1
    assert destination.receiver.verify()


def test_a_zero_chunk_writes_only_what_is_not_zero_yet() -> None:
    destination = Destination()
    destination.memory.writes.clear()
    destination.receiver.apply(zero_chunk(0, 500))
    assert destination.memory.writes == [(0, 0, len(CONTENT))]
