"""Every message comes, in order, at most one ahead; an error comes after what came before it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.rpc.ahead import one_ahead
from bmigd.rpc.load import begun_in_time

MESSAGES = [bytes([number]) for number in range(20)]


async def stream(messages: list[bytes], pauses: set[int]) -> AsyncIterator[bytes]:
    """Messages, with a pause before some."""
    for number, message in enumerate(messages):
        if number in pauses:
            await asyncio.sleep(0)
        yield message


async def collect(messages: AsyncIterator[bytes], pauses: set[int]) -> list[bytes]:
    """All that comes, whoever takes it pausing before some."""
    found = list[bytes]()
    async for message in one_ahead(messages):
        if len(found) in pauses:
            await asyncio.sleep(0)
        found.append(message)
    return found


@given(st.integers(0, 20), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_every_message_comes_once_and_in_order(
    count: int, pauses: set[int], ours: set[int]
) -> None:
    assert asyncio.run(collect(stream(MESSAGES[:count], pauses), ours)) == MESSAGES[:count]


async def test_the_next_one_is_received_during_a_write_and_no_more_than_may_be_held() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    arriving = one_ahead(endless())
    await anext(arriving)
    for _ in range(100):
        await asyncio.sleep(0)
    assert 2 <= taken <= 3
    await arriving.aclose()


class Counted(bytes):
    """A message that tells whether it is still held."""

    held = 0

    def __new__(cls) -> Self:
        cls.held += 1
        return super().__new__(cls, b"x")

    def __del__(self) -> None:
        Counted.held -= 1


async def test_no_message_is_held_as_long_as_the_stream() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield Counted()

    arriving = one_ahead(begun_in_time(endless()))
    for _ in range(10):
        await anext(arriving)
        await asyncio.sleep(0)
    assert Counted.held <= 3
    await arriving.aclose()


async def test_an_error_comes_after_what_arrived_before_it() -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"
        raise ConnectionError("reset")

    arriving = one_ahead(breaks())
    assert [await anext(arriving), await anext(arriving)] == [b"1", b"2"]
    with pytest.raises(ConnectionError, match="reset"):
        await anext(arriving)
