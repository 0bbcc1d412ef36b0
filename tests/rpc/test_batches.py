"""Batches keep every frame, in order; an error comes after what came before it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.rpc.batches import in_batches

FRAMES = [bytes([number]) for number in range(20)]


async def stream(frames: list[bytes], pauses: set[int]) -> AsyncIterator[bytes]:
    """Frames, with a pause before some."""
    for number, frame in enumerate(frames):
        if number in pauses:
            await asyncio.sleep(0)
        yield frame


async def collect(frames: AsyncIterator[bytes], most: int) -> list[list[bytes]]:
    return [batch async for batch in in_batches(frames, most)]


@given(st.integers(0, 20), st.sets(st.integers(0, 20)), st.integers(1, 6))
def test_every_frame_comes_once_and_in_order(count: int, pauses: set[int], most: int) -> None:
    batches = asyncio.run(collect(stream(FRAMES[:count], pauses), most))
    assert [frame for batch in batches for frame in batch] == FRAMES[:count]
    assert all(1 <= len(batch) <= most for batch in batches)


async def test_what_arrives_during_a_write_is_written_together() -> None:
    batches = in_batches(stream(FRAMES[:5], set()), 4)
    first = await anext(batches)
    for _ in range(10):  # the reader's turn: as much as it may hold
        await asyncio.sleep(0)
    rest = [batch async for batch in batches]
    assert [frame for batch in [first, *rest] for frame in batch] == FRAMES[:5]
    assert len(rest) <= 2


async def test_no_more_is_read_than_may_be_held() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    batches = in_batches(endless(), 4)
    await anext(batches)
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken <= 2 * 4 + 1
    await batches.aclose()


async def test_an_error_comes_after_what_arrived_before_it() -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"
        raise ConnectionError("reset")

    batches = in_batches(breaks(), 1)
    assert [await anext(batches), await anext(batches)] == [[b"1"], [b"2"]]
    with pytest.raises(ConnectionError, match="reset"):
        await anext(batches)
