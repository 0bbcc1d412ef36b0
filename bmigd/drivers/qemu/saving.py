"""Device state out of a QEMU and into one, through a passed descriptor.

QEMU's migration runs over a socket pair whose other end is ours: memory stays where it is, because
it is shared (x-ignore-shared), and everything else comes as one stream. A stream that is longer
than devices account for has guest memory in it, and is refused.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from bmigd.drivers.qemu.monitor import Monitor
from bmigd.errors import LocalFault

STEP_BYTES = 1 << 20
POLL_S = 0.001
OVER = ("completed", "failed", "cancelled")
DESCRIPTOR = "bmig"


async def save(monitor: Monitor, file: Path, most_bytes: int) -> int:
    """Write the state of a stopped guest's devices into a file; how long it is.

    LocalFault (SUSPEND_FAILED, MEMORY_NOT_SHARED). The file is to be written behind its head.
    """
    await monitor.set_capabilities(x_ignore_shared=True)
    with _pair() as (ours, theirs):
        await monitor.pass_descriptor(DESCRIPTOR, theirs.fileno())
        theirs.close()
        await monitor.ask("migrate", uri=f"fd:{DESCRIPTOR}")
        size_bytes = await _drain(ours, file, most_bytes)
    status, words = await _outcome(monitor)
    if status != "completed":
        raise LocalFault("SUSPEND_FAILED", f"QEMU could not save the guest: {status} {words}")
    return size_bytes


async def load(monitor: Monitor, stream: bytes) -> None:
    """Give a waiting QEMU the state of its devices; QEMU ends itself if it cannot use it."""
    with _pair() as (ours, theirs):
        await monitor.pass_descriptor(DESCRIPTOR, theirs.fileno())
        theirs.close()
        await monitor.ask("migrate-incoming", uri=f"fd:{DESCRIPTOR}")
        with contextlib.suppress(ConnectionError):  # what went wrong is told by the outcome
            await asyncio.get_running_loop().sock_sendall(ours, stream)
        ours.close()
        status, words = await _outcome(monitor)
    if status != "completed":
        raise LocalFault(
            "HYPERVISOR_REFUSED", f"QEMU did not take the device state: {status} {words}"
        )


async def _outcome(monitor: Monitor) -> tuple[str, str]:
    while True:
        status, words = await monitor.migration()
        if status in OVER:
            return status, words
        await asyncio.sleep(POLL_S)


async def _drain(ours: socket.socket, file: Path, most_bytes: int) -> int:
    """Read until QEMU has closed its end."""
    loop, size_bytes = asyncio.get_running_loop(), 0
    with file.open("ab") as written:
        while part := await loop.sock_recv(ours, STEP_BYTES):
            size_bytes += len(part)
            written.write(part)
            if size_bytes > most_bytes:
                raise LocalFault(
                    "MEMORY_NOT_SHARED",
                    f"QEMU sent more than {most_bytes} bytes of device state: its memory is not"
                    " a shared file",
                    "start the guest again with bmigd, and with a QEMU that has x-ignore-shared",
                )
    return size_bytes


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs
