"""How much one caller may have under way, and how long it may keep others' places."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import DecodeError

from bmigd.errors import Busy, Invalid
from bmigd.security.identity import Identity

T = TypeVar("T")

MOST_CALLS = 256  # of one caller at a time; half of them may be streams of 32 guests
FIRST_MESSAGE_S = 10.0
MOST_BYTES = 256 << 10  # of the message of a call that has one; a guest's description has 64 KiB
NEXT_PART_S, ALL_PARTS_S = 10.0, 120.0  # of device state, which is sent while a guest is down


class Load:
    """Calls under way, by caller."""

    def __init__(self) -> None:
        self._calls = Counter[Identity | None]()

    @contextmanager
    def one_more(self, caller: Identity | None) -> Iterator[None]:
        """While a call is under way; Busy (TOO_MANY_CALLS) for one too many."""
        if self._calls[caller] >= MOST_CALLS:
            raise Busy("TOO_MANY_CALLS", f"{caller} has {MOST_CALLS} calls under way", "end some")
        self._calls[caller] += 1
        try:
            yield
        finally:
            self._calls[caller] -= 1
            self._calls += Counter()  # forgets who has none


async def first_of(messages: AsyncIterator[T]) -> T | None:
    """The first message of a stream, None if there is none; Invalid if it does not come."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            return await anext(aiter(messages), None)
    except TimeoutError as error:
        raise _late(FIRST_MESSAGE_S) from error


async def only_of(messages: AsyncIterator[bytes], read: Callable[[bytes], T]) -> T:
    """The message of a call that has one; Invalid if it does not come, or is none."""
    message = await first_of(messages)
    if message is None:
        raise Invalid("REQUEST_INVALID", "the call ended without a message")
    if len(message) > MOST_BYTES:
        raise Invalid("REQUEST_INVALID", f"a message of {len(message)} bytes, at most {MOST_BYTES}")
    try:
        return read(message)
    except DecodeError as error:
        raise Invalid("REQUEST_INVALID", f"not the message of this call: {error}") from error


async def begun_in_time(messages: AsyncIterator[T]) -> AsyncIterator[T]:
    """A stream whose first message must come soon; later ones may take their time."""
    message = await first_of(messages)
    if message is None:
        return
    yield message
    async for message in messages:  # the same name: the first is not kept as long as the stream
        yield message


async def in_time(
    messages: AsyncIterator[T], each_s: float, all_s: float = float("inf")
) -> AsyncIterator[T]:
    """Messages, each of which must come in time, and all together; Invalid if one does not."""
    iterator = aiter(messages)
    until = asyncio.get_running_loop().time() + all_s
    while True:
        left_s = min(each_s, until - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left_s):
                message = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise _late(left_s) from error
        yield message


def _late(limit_s: float) -> Invalid:
    return Invalid("REQUEST_INVALID", f"no message came within {limit_s:.0f} s")
