"""A stream that does not begin, or stops in the middle, ends; a caller has so many calls."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bmigd.errors import Busy, Invalid
from bmigd.rpc.load import MOST_CALLS, Load, first_of, in_time
from bmigd.security.identity import parse_spiffe_id

ALICE, BOB = (parse_spiffe_id(f"spiffe://test/operator/{name}") for name in ("alice", "bob"))


async def stream(*messages: int, ends: bool = True) -> AsyncIterator[int]:
    """Some messages at once, then nothing."""
    for message in messages:
        yield message
    if not ends:
        await asyncio.Event().wait()


async def test_a_stream_that_is_in_time_is_as_it_came() -> None:
    assert [one async for one in in_time(stream(1, 2, 3), 5)] == [1, 2, 3]
    assert await first_of(stream(1, 2)) == 1
    assert await first_of(stream()) is None


async def test_a_stream_that_stops_in_the_middle_ends() -> None:
    came: list[int] = []

    async def take() -> None:
        async for one in in_time(stream(1, 2, ends=False), 0.01):
            came.append(one)

    with pytest.raises(Invalid, match="no message came"):
        await take()
    assert came == [1, 2]


async def test_messages_that_never_end_end() -> None:
    async def drops() -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(0.001)
            yield 1

    with pytest.raises(Invalid):
        [one async for one in in_time(drops(), 5, 0.05)]


def test_a_caller_has_so_many_calls_and_others_have_theirs() -> None:
    load = Load()
    begun = [load.one_more(ALICE) for _ in range(MOST_CALLS)]
    for call in begun:
        call.__enter__()
    with pytest.raises(Busy, match="calls under way"), load.one_more(ALICE):
        pass
    with load.one_more(BOB):
        pass
    begun[0].__exit__(None, None, None)
    with load.one_more(ALICE):
        pass
