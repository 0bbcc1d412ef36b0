"""Pages that changed a little travel as what changed, and memory is equal all the same."""

import asyncio
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmigd.chunk import MIB, PAGE_BYTES, CodecId
from bmigd.errors import BadBytes
from bmigd.transfer.deltas import GIVES_WAY_EVERY, TRIES_AGAIN, Deltas, xor
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.runs import pages_of
from bmigd.transfer.sections import masks_of
from tests.transfer.ends import Guest, Peer

NOISE = random.Random(5).randbytes(64 * PAGE_BYTES)  # noqa: S311 - noise
PASSES = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(0, 255)), max_size=20),
    max_size=5,
)


class Moving:
    """A guest whose memory goes over in passes, encoded as is best."""

    def __init__(self, room_pages: int = 64) -> None:
        self.guest, self.peer = Guest(), Peer()
        self.encoder = Encoder(None)
        self.encoder._deltas = Deltas(room_pages * PAGE_BYTES)

    def write(self, page: int, kind: int, value: int) -> None:
        """A byte of a page, all of it, or zeroes."""
        content, at = self.guest.memory.contents[0], page * PAGE_BYTES
        if kind < 3:
            content[at + 100 * kind] = value
        elif kind == 3:
            content[at : at + PAGE_BYTES] = NOISE[value : value + PAGE_BYTES]
        else:
            content[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)

    async def run(self, passes: list[list[tuple[int, int, int]]]) -> None:
        async with self.guest.sender(self.peer, streams=2) as sender:
            sender.encoder = self.encoder
            for writes in [[], *passes]:
                for write in writes:
                    self.write(*write)
                await sender.send_pass(self.guest.tracker.scan(self.guest.memory))
                self.guest.assert_arrived(self.peer)
                sender.limit(4 * MIB)  # from now on the link is slower than anything else

    def codecs(self) -> list[list[int]]:
        """Of the sections of each chunk."""
        return [[section.codec for section in chunk.sections] for chunk in self.peer.chunks]


@settings(deadline=None, max_examples=60)
@given(PASSES, st.integers(1, 50))
def test_memories_are_equal_after_every_pass(
    passes: list[list[tuple[int, int, int]]], room_pages: int
) -> None:
    asyncio.run(Moving(room_pages).run(passes))


async def test_a_page_travels_as_what_changed_from_the_third_time_on() -> None:
    moving = Moving()
    await moving.run([[(3, 0, 1)], [(3, 0, 2), (3, 1, 3)], [(3, 0, 4)]])
    assert moving.codecs()[-3:] == [[CodecId.RAW], [CodecId.DELTA], [CodecId.DELTA]]
    third = moving.peer.chunks[-2]
    assert third.wire_bytes < 100
    assert third.runs == (3, 1)


async def test_what_changed_little_is_a_section_apart_from_what_changed_much() -> None:
    moving = Moving()
    pages = range(0, 40, 2)
    await moving.run(
        [[(page, 0, 1) for page in pages], [(page, 3 if page % 4 else 0, 7) for page in pages]]
    )
    assert moving.codecs()[-1] == [CodecId.DELTA, CodecId.RAW]
    chunk = moving.peer.chunks[-1]
    sent = pages_of(chunk.runs)
    delta, rest = masks_of(chunk.sections, len(sent))
    assert sent[delta].tolist() == list(range(0, 40, 4))
    assert sent[rest].tolist() == list(range(2, 40, 4))


async def test_a_page_that_was_zero_meanwhile_is_no_base() -> None:
    await Moving().run([[(3, 3, 7)], [(3, 4, 0)], [(3, 3, 7)], [(3, 0, 1)]])


OLD = (CodecId.ZERO, CodecId.RAW, CodecId.ZSTD)


@pytest.mark.parametrize(
    "encoder", [Encoder(CodecId.RAW), Encoder(CodecId.ZSTD), Encoder(None, OLD)]
)
async def test_no_delta_goes_where_none_is_wanted_or_known(encoder: Encoder) -> None:
    moving = Moving()
    moving.encoder = encoder
    await moving.run([[(3, 0, value)] for value in range(1, 4)])
    assert not any(CodecId.DELTA in codecs for codecs in moving.codecs())


async def test_a_chunk_may_come_again_and_one_without_its_base_is_refused() -> None:
    moving = Moving()
    await moving.run([[(3, 0, 1)], [(3, 0, 2)]])
    delta, receiver = moving.peer.chunks[-1], moving.peer.receiver
    assert delta.has(CodecId.DELTA)
    receiver.apply(delta)
    moving.guest.assert_arrived(moving.peer)
    before = bytes(moving.peer.memory.contents[0])
    with pytest.raises(BadBytes, match="digest"):
        receiver.apply(replace(delta, digest=b"x" * 16))
    with pytest.raises(BadBytes, match="digest"):  # another page is no base
        receiver.apply(replace(delta, runs=(5, 1)))
    assert moving.peer.memory.contents[0] == before


def test_a_page_that_is_found_no_more_is_not_taken_for_another() -> None:
    deltas, pages = Deltas(4 * PAGE_BYTES), np.arange(64)
    for _ in range(3):
        for first in range(0, 64, 8):
            content = NOISE[first * PAGE_BYTES : (first + 8) * PAGE_BYTES]
            found = deltas.delta(0, pages[first : first + 8], content)
            if found:  # what is still there did not change
                assert found.content == bytes(len(found.content))


def test_guests_that_write_pages_anew_are_not_tried_for_ever() -> None:
    deltas, page, tries = Deltas(), np.array([7]), 0
    for number in range(4 * TRIES_AGAIN):
        before = deltas._waits
        assert deltas.delta(0, page, NOISE[number * 64 : number * 64 + PAGE_BYTES]) is None
        tries += before == 0
    assert tries <= 6


def test_room_is_shared_among_more_pages_than_fit() -> None:
    deltas, pages = Deltas(16 * PAGE_BYTES), np.arange(64)
    found = [deltas.delta(0, pages, NOISE) for _ in range(2 * GIVES_WAY_EVERY)]
    assert all(one is not None and one.pages.any() for one in found[1:])


def test_xor_is_its_own_inverse() -> None:
    one, other = NOISE[:PAGE_BYTES], NOISE[PAGE_BYTES : 2 * PAGE_BYTES]
    assert xor(xor(one, other), other) == one
