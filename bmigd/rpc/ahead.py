"""What a stream brings, one message ahead: the next is received while this one is being written."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator


async def one_ahead(messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """All of them, in order; no more than three are held.

    An error of the stream comes after everything that arrived before it.
    """
    arrived: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)
    reader = asyncio.create_task(_read(messages, arrived))
    try:
        while isinstance(message := await arrived.get(), bytes):
            yield message
        if message is not None:
            raise message
    finally:
        reader.cancel()


async def _read(
    messages: AsyncIterator[bytes], arrived: "asyncio.Queue[bytes | Exception | None]"
) -> None:
    try:
        async for message in messages:
            await arrived.put(message)
    except Exception as error:  # noqa: BLE001 - told to whoever takes the messages
        await arrived.put(error)
    else:
        await arrived.put(None)
