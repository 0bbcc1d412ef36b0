"""A limited link carries no more than its rate and a burst, and is used to the full.

A limit that changes while memory is sent holds at once, raised or lowered, and forgives nothing:
what was sent under the old limit and has not drained yet drains under the new one.
"""

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB
from bmigd.transfer.pacing import BURST_S, Pacer
from bmigd.transfer.sender import Sender
from tests.transfer.ends import Guest, Peer

LIMITS = st.integers(MIB, 1000 * MIB)
# What happens: after a while so much is sent, then there is another limit.
STEPS = st.lists(
    st.tuples(st.floats(0, 2, allow_nan=False), st.integers(0, 4 * MIB), LIMITS),
    min_size=1,
    max_size=40,
)
SENDS = st.lists(
    st.tuples(st.floats(0, 10, allow_nan=False), st.integers(0, 4 * MIB)), min_size=1, max_size=40
)


@given(SENDS, st.integers(MIB, 1000 * MIB))
def test_a_limited_link_never_carries_more_than_its_rate_and_a_burst(
    sends: list[tuple[float, int]], limit: int
) -> None:
    pacer, now_s, total_bytes = Pacer(limit), 100.0, 0
    began_s = now_s
    for gap_s, size_bytes in sends:
        now_s += gap_s
        total_bytes += size_bytes
        wait_s = pacer.wait_s(now_s, size_bytes)
        assert wait_s >= 0
        now_s += wait_s
        assert total_bytes <= limit * (now_s - began_s + BURST_S) * (1 + 1e-6) + 1


@given(st.integers(0, MIB), st.integers(MIB, 1000 * MIB))
def test_a_limited_link_is_used_to_the_full(size_bytes: int, limit: int) -> None:
    pacer, now_s = Pacer(limit), 50.0
    for _ in range(100):
        now_s += pacer.wait_s(now_s, size_bytes)
    assert now_s - 50.0 <= 100 * size_bytes / limit + 1e-6


@given(SENDS)
def test_a_link_without_limit_never_waits(sends: list[tuple[float, int]]) -> None:
    pacer = Pacer(0)
    assert not any(pacer.wait_s(at_s, size_bytes) for at_s, size_bytes in sends)


@given(LIMITS, STEPS)
def test_whatever_limits_there_were_no_more_went_than_all_of_them_allowed(
    first: int, steps: list[tuple[float, int, int]]
) -> None:
    pacer, now_s, sent_bytes, allowed_bytes = Pacer(first), 100.0, 0, first * BURST_S
    for gap_s, size_bytes, limit in steps:
        pause_s = pacer.wait_s(now_s, 0)
        allowed_bytes += pacer.limit_bytes_per_s * (gap_s + pause_s)
        now_s += gap_s + pause_s
        assert sent_bytes <= allowed_bytes * (1 + 1e-6) + 1  # it had drained, so it may go on
        pacer.wait_s(now_s, size_bytes)
        sent_bytes += size_bytes
        pacer.change(now_s, limit)
        allowed_bytes += limit * BURST_S


@given(LIMITS, LIMITS, st.integers(0, 64 * MIB), st.floats(0, 1))
def test_what_has_not_drained_drains_at_the_new_rate(
    before: int, after: int, size_bytes: int, gap_s: float
) -> None:
    pacer = Pacer(before)
    pacer.free_at_s = 50.0
    pacer.wait_s(50.0, size_bytes)
    left_bytes = max(0.0, size_bytes - gap_s * before)
    pacer.change(50.0 + gap_s, after)
    assert abs(pacer.wait_s(50.0 + gap_s, 0) - left_bytes / after) < 1e-6


@given(LIMITS, st.integers(0, 64 * MIB))
def test_a_limit_that_is_lifted_is_waited_for_no_more(limit: int, size_bytes: int) -> None:
    pacer = Pacer(limit)
    pacer.wait_s(50.0, size_bytes)
    pacer.change(50.0, 0)
    assert pacer.wait_s(50.0, size_bytes) == 0


async def begun(sender: Sender, guest: Guest, peer: Peer) -> asyncio.Task[None]:
    """A pass that has sent something and pauses."""
    passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
    await peer.arrived.wait()
    ended, _ = await asyncio.wait({passing}, timeout=0.2)
    assert not ended
    return passing


async def test_a_new_limit_ends_a_pause_that_the_old_one_asked_for() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer, streams=2) as sender, asyncio.timeout(10):
        sender.limit(MIB // 64)  # a chunk takes more than a minute
        passing = asyncio.create_task(sender.send_pass(guest.tracker.scan(guest.memory)))
        await peer.arrived.wait()
        ended, _ = await asyncio.wait({passing}, timeout=0.2)
        assert not ended
        sender.limit(0)
        await passing
    guest.assert_arrived(peer)


async def test_changing_a_limit_all_the_time_is_no_way_around_it() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer, streams=2) as sender, asyncio.timeout(20):
        sender.limit(MIB)
        passing = await begun(sender, guest, peer)
        began = time.monotonic()
        for turn in range(40):
            sender.limit(MIB + turn % 2)
            await asyncio.sleep(0.01)
        carried = sender.totals.wire_bytes
        allowed = (time.monotonic() - began + 0.2) * MIB
        assert (
            carried <= allowed + 3 * MIB
        )  # one on each stream before the first pause, and one more
        sender.limit(0)
        await passing
    guest.assert_arrived(peer)


async def test_a_limit_that_is_raised_shortens_the_pause_and_is_no_free_pass() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer) as sender, asyncio.timeout(20):
        sender.limit(MIB // 64)  # a chunk takes more than a minute
        passing = await begun(sender, guest, peer)
        began, before = time.monotonic(), sender.totals.wire_bytes
        sender.limit(8 * MIB)
        await passing
        took_s, went = time.monotonic() - began, sender.totals.wire_bytes - before
        assert took_s > 0.5 * went / (8 * MIB)
    guest.assert_arrived(peer)


async def test_a_limit_that_is_lowered_lengthens_the_pause() -> None:
    guest, peer = Guest(), Peer()
    async with guest.sender(peer) as sender, asyncio.timeout(20):
        sender.limit(2 * MIB)  # a chunk takes half a second
        passing = await begun(sender, guest, peer)
        before = sender.totals.wire_bytes
        sender.limit(MIB // 64)
        await asyncio.wait({passing}, timeout=1.0)
        assert sender.totals.wire_bytes == before
        sender.limit(0)
        await passing
    guest.assert_arrived(peer)


async def test_how_far_it_has_come_is_told_with_every_chunk_however_slow_they_are() -> None:
    guest, peer, told = Guest(), Peer(), set[int]()
    async with guest.sender(peer) as sender, asyncio.timeout(20):
        sender.on_progress = lambda: told.add(sender.totals.wire_bytes)
        sender.limit(32 * MIB)
        await sender.send_pass(guest.tracker.scan(guest.memory))
        assert {size * MIB for size in range(1, 6)} <= told
