"""A fast link gets several chunks in a message; a slow, limited or unknown one gets one by one, and
so does one that was broken. Nothing is lost by that, and a window stays a window.
"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import CHUNK_BYTES, MIB, MOST_TOGETHER, Chunk
from bmigd.transfer import messages
from bmigd.transfer.encoding import Pace
from bmigd.transfer.messages import MESSAGE_S, in_messages, most_in_window, together
from tests.transfer.ends import Guest, Peer

LIFE_THAT_ENDS_A_MESSAGE = 21  # of a stream, in chunks
GBIT_S = 8e-9  # a byte at 1 Gbit/s


@pytest.mark.parametrize(
    ("link_s_per_byte", "chunks"),
    [(0.0, 1), (GBIT_S * 10, 1), (GBIT_S, 2), (GBIT_S / 10, 4), (1e-12, 4), (1.0, 1)],
)
def test_how_many_go_together_follows_the_link(link_s_per_byte: float, chunks: int) -> None:
    assert together(link_s_per_byte, MOST_TOGETHER) == chunks


@given(st.floats(1e-12, 1.0), st.integers(1, MOST_TOGETHER))
def test_a_message_takes_no_longer_than_it_may_unless_it_is_one_chunk(
    link_s_per_byte: float, most: int
) -> None:
    count = together(link_s_per_byte, most)
    assert 1 <= count <= most
    assert count == 1 or count * CHUNK_BYTES * link_s_per_byte <= MESSAGE_S


@given(st.integers(1, 1000))
def test_a_window_has_room_for_several_messages(window_chunks: int) -> None:
    most = most_in_window(window_chunks)
    assert 1 <= most <= MOST_TOGETHER
    assert most == 1 or 3 * most <= window_chunks


@given(st.integers(0, 20), st.integers(1, MOST_TOGETHER))
def test_chunks_stay_in_order(count: int, most: int) -> None:
    chunks = [Chunk("m", 1, number, 0, (0, 1), b"", ()) for number in range(count)]
    made = list(in_messages(chunks, lambda: most))
    assert [chunk for message in made for chunk in message] == chunks
    assert all(0 < len(message) <= most for message in made)


async def test_chunks_travel_together_once_the_link_is_known_to_be_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MESSAGE_S", 1e6)  # any link is fast
    guest, peer = Guest(), Peer()
    async with guest.sender(peer, window=12) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
        assert set(peer.sizes()) == {1}
        guest.memory.contents[0][:] = guest.memory.contents[0][::-1]
        first = len(peer.messages)
        await sender.send_pass(guest.tracker.scan(guest.memory))
    assert max(peer.sizes(first)) == MOST_TOGETHER
    assert peer.most_under_way <= 12
    guest.assert_arrived(peer)


async def test_a_limited_link_gets_them_one_by_one() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer, window=12) as sender:
        await sender.send_pass(guest.tracker.scan(guest.memory))
        guest.memory.contents[0][:] = guest.memory.contents[0][::-1]
        first = len(peer.messages)
        sender.encoder.pace = Pace(link_s_per_byte=1e-12)  # so fast is the link itself
        sender.limit(64 * MIB)
        await sender.send_pass(guest.tracker.scan(guest.memory))
    assert set(peer.sizes(first)) == {1}


async def test_single_chunks_have_all_of_the_window() -> None:
    guest, peer = Guest(), Peer(held=True)
    async with guest.sender(peer, window=4) as sender:
        sender._most = MOST_TOGETHER
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.until(lambda: peer.under_way >= 4)
        peer.may_acknowledge.set()
        await passing
    assert peer.most_under_way == 4
    guest.assert_arrived(peer)


async def test_several_streams_carry_several_chunks_in_a_message_and_lose_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MESSAGE_S", 1e6)
    guest, peer = Guest(), Peer(None, 9, None)
    async with guest.sender(peer, window=24, streams=2, silence_s=0.5) as sender:
        while peer.opened < 3:
            guest.memory.contents[0][:] = guest.memory.contents[0][::-1]
            await sender.send_pass(guest.tracker.scan(guest.memory))
            guest.assert_arrived(peer)
    assert MOST_TOGETHER in peer.sizes()


@pytest.mark.parametrize("loses", [False, True])
async def test_what_was_under_way_on_a_stream_that_broke_is_sent_one_by_one(
    monkeypatch: pytest.MonkeyPatch, *, loses: bool
) -> None:
    monkeypatch.setattr(messages, "MESSAGE_S", 1e6)
    guest, peer = Guest(), Peer(LIFE_THAT_ENDS_A_MESSAGE if loses else 20, None)
    peer.loses = loses
    async with guest.sender(peer, window=12, silence_s=0.5) as sender:
        while peer.opened < 2:  # in the fourth pass
            guest.memory.contents[0][:] = guest.memory.contents[0][::-1]
            await sender.send_pass(guest.tracker.scan(guest.memory))
        again = sender.resent_bytes // MIB
        assert again > 1
        assert set(peer.sizes(peer.newest_from)[:again]) == {1}
    assert peer.lost_acknowledgements == int(loses)
    guest.assert_arrived(peer)
