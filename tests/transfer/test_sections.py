"""The sections of a chunk have each of its pages once, and zero pages have no others beside them:
anything else is refused like any wrong chunk, and what is right comes together in the order of
pages.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import NO_CODEC, PAGE_BYTES, Chunk, CodecId, Section
from bmigd.errors import BadBytes
from bmigd.transfer.sections import bits_of, masks_of
from tests.transfer.destination import CONTENT, Destination, chunk_of, zero_chunk

NOISE = random.Random(7).randbytes(8 * PAGE_BYTES)  # noqa: S311 - noise
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
