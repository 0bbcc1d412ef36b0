"""The ceiling: bytes through a bare grpc.aio stream over mutual TLS, and nothing else.

`python -m bench.bare serve CERTS PORT` acknowledges every message; send() measures the other end.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from bench.running import other_end
from tests.cluster import free_port

METHOD = "/bench.Bare/Stream"
OPTIONS = [("grpc.max_receive_message_length", 4 << 20)]
WINDOW = 16


def _pems(certs: Path, name: str) -> tuple[bytes, bytes, bytes]:
    pair = certs / "nodes" / name
    return (
        (certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )


async def _stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield b"a"


async def serve(certs: Path, port: int) -> None:
    """Acknowledge everything until killed."""
    ca, key, certificate = _pems(certs, "host2")
    server = aio.server(options=OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(_stream)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bare", {"Stream": handler}),)
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.wait_for_termination()


@contextmanager
def serving(certs: Path) -> Iterator[int]:
    """A process that acknowledges; its port."""
    port = free_port()
    with other_end("bench.bare", "serve", str(certs), str(port)):
        yield port


async def send(certs: Path, port: int, chunk: bytes, count: int) -> float:
    """Seconds for `count` chunks, all acknowledged, at most a window under way."""
    ca, key, certificate = _pems(certs, "host1")
    channel = aio.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(ca, key, certificate),
        options=[("grpc.ssl_target_name_override", "host2"), *OPTIONS],
    )
    credit = asyncio.Semaphore(WINDOW)
    async with channel:
        await channel.channel_ready()
        began = time.perf_counter()
        call: Any = channel.stream_stream(METHOD, None, None)(None)

        async def acknowledgements() -> None:
            for _ in range(count):
                await call.read()
                credit.release()

        reading = asyncio.create_task(acknowledgements())
        for _ in range(count):
            await credit.acquire()
            await call.write(chunk)
        await reading
        return time.perf_counter() - began


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
