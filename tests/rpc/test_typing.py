"""What a caller types at a console goes on whole and in order, from its first message on."""

import asyncio
import socket
from collections.abc import AsyncIterator

from bmig.v1 import guest_pb2

from bmigd.rpc.guest import type_at

LONG = b"x" * 100_000


async def test_all_that_is_typed_goes_on() -> None:
    async def requests() -> AsyncIterator[guest_pb2.AttachConsoleRequest]:
        for typed in (LONG, b"", b"end"):
            yield guest_pb2.AttachConsoleRequest(input=typed)

    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    reader, other = await asyncio.open_connection(sock=theirs)
    async with asyncio.timeout(10):
        typing = asyncio.create_task(type_at(writer, b"begin", requests()))
        assert await reader.readexactly(len(LONG) + 8) == b"begin" + LONG + b"end"
        await typing
    writer.close()
    other.close()
