"""The ceiling: bytes through a bare grpc.aio stream over mutual TLS, and nothing else.

`python -m bench.bare serve CERTS PORT` acknowledges every message; send() measures the other end.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc import aio

from bench.running import other_end
from tests.daemons import free_port

METHOD = "/bench.Bare/Stream"
OPTIONS = [("grpc.max_receive_message_length", 4 << 20)]
WINDOW = 16
ACKNOWLEDGEMENT = b"a"
Context = grpc.aio.ServicerContext[bytes, bytes]
Stream = Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]


@dataclass(frozen=True)
class End:
    """A process that acknowledges."""

    port: int
    pid: int

    def processor_s(self) -> float:
        """What it took so far."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


@dataclass(frozen=True)
class Sent:
    """What it took until all was acknowledged."""

    duration_s: float
    processor_s: float  # of both processes


def _pems(certs: Path, name: str) -> tuple[bytes, bytes, bytes]:
    pair = certs / "nodes" / name
    return (
        (certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )


async def _stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield ACKNOWLEDGEMENT


async def serve(certs: Path, port: int, stream: Stream = _stream) -> None:
    """Acknowledge everything until killed."""
    ca, key, certificate = _pems(certs, "host2")
    server = aio.server(options=OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(stream)
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
def serving(certs: Path, module: str = "bench.bare", *words: str) -> Iterator[End]:
    """A process of a module that serves."""
    port = free_port()
    with other_end(module, "serve", str(certs), str(port), *words) as pid:
        yield End(port, pid)


async def send(certs: Path, end: End, messages: Iterable[bytes], count: int) -> Sent:
    """All of the messages, whose count that is, acknowledged, at most a window under way.

    AioRpcError if the other end refuses one.
    """
    ca, key, certificate = _pems(certs, "host1")
    channel = aio.secure_channel(
        f"127.0.0.1:{end.port}",
        grpc.ssl_channel_credentials(ca, key, certificate),
        options=[("grpc.ssl_target_name_override", "host2"), *OPTIONS],
    )
    credit = asyncio.Semaphore(WINDOW)
    async with channel:
        await channel.channel_ready()
        before_s, began = time.process_time() + end.processor_s(), time.perf_counter()
        call: Any = channel.stream_stream(METHOD, None, None)(None)

        async def acknowledgements() -> None:
            try:
                for _ in range(count):
                    assert await call.read() == ACKNOWLEDGEMENT
                    credit.release()
            except BaseException:
                call.cancel()
                credit.release()  # so that whoever waits for it finds the call at an end
                raise

        reading = asyncio.create_task(acknowledgements())
        with suppress(aio.AioRpcError, asyncio.InvalidStateError):
            for message in messages:  # why they cannot be written is told to who reads
                await credit.acquire()
                await call.write(message)
        await reading
        duration_s = time.perf_counter() - began
        sent = Sent(duration_s, time.process_time() + end.processor_s() - before_s)
        await call.done_writing()
        await call.code()  # the other end has let go of everything
        return sent


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
