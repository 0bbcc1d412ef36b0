"""What a stream brings, by batches: the next frames are received while these are being written."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator


async def in_batches(frames: AsyncIterator[bytes], most: int) -> AsyncGenerator[list[bytes], None]:
    """Whatever has arrived, in order, at most that many at once; no more than twice that is held.

    An error of the stream comes after everything that arrived before it.
    """
    arrived: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(most)
    reader = asyncio.create_task(_read(frames, arrived))
    try:
        while True:
            batch, end = [], await arrived.get()
            while isinstance(end, bytes):
                batch.append(end)
                if len(batch) == most or arrived.empty():
                    break
                end = arrived.get_nowait()
            if batch:
                yield batch
            if isinstance(end, Exception):
                raise end
            if end is None:
                return
    finally:
        reader.cancel()


async def _read(
    frames: AsyncIterator[bytes], arrived: "asyncio.Queue[bytes | Exception | None]"
) -> None:
    try:
        async for frame in frames:
            await arrived.put(frame)
    except Exception as error:  # noqa: BLE001 - told to whoever takes the batches
        await arrived.put(error)
    else:
        await arrived.put(None)
