"""The other ceiling: bytes through a bare TLS 1.3 socket between two processes, certificates
checked on both ends. What is sent is dropped, or becomes files: so a snapshot is copied where there
is no bmig.

`python -m bench.tls CERTS PORT [DIRECTORY]` receives until it is killed.
"""

import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.running import other_end
from tests.daemons import free_port

PIECE = 1 << 20


def _context(certs: Path, name: str, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(certs / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    pair = certs / "nodes" / name
    context.load_cert_chain(pair.with_suffix(".pem"), pair.with_suffix(".key"))
    return context


def receive(certs: Path, port: int, directory: Path | None) -> None:
    """Take what connections bring, one after the other: a line that names it, then the bytes."""
    context = _context(certs, "host2", ssl.Purpose.CLIENT_AUTH)
    with socket.create_server(("127.0.0.1", port)) as listening:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            plain, _ = listening.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_side=True) as link:
                for name, size_bytes in json.loads(_line(link)):
                    _take(link, directory / name if directory else None, size_bytes)
                link.sendall(b"a")


def _line(link: ssl.SSLSocket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += link.recv(1)
    return line


def _take(link: ssl.SSLSocket, path: Path | None, size_bytes: int) -> None:
    """One file, which must not be there yet; without a path it is dropped."""
    buffer = memoryview(bytearray(PIECE))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    fd = os.open(path, flags, 0o600) if path else None
    while size_bytes:
        got = link.recv_into(buffer[: min(PIECE, size_bytes)])
        assert got, "the sender went away"
        if fd is not None:
            assert os.write(fd, buffer[:got]) == got
        size_bytes -= got
    if fd is not None:
        os.close(fd)


@contextmanager
def receiving(certs: Path, directory: Path | None = None) -> Iterator[int]:
    """A process that receives; its port."""
    port = free_port()
    words = [str(certs), str(port), *([str(directory)] if directory else [])]
    with other_end("bench.tls", *words):
        yield port


@contextmanager
def _connected(certs: Path, port: int) -> Iterator[ssl.SSLSocket]:
    context = _context(certs, "host1", ssl.Purpose.SERVER_AUTH)
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="host2") as link:
            assert link.version() == "TLSv1.3"
            yield link


def _announce(link: ssl.SSLSocket, files: Sequence[tuple[str, int]]) -> None:
    link.sendall(json.dumps(files).encode() + b"\n")


def send(certs: Path, port: int, chunk: bytes, count: int) -> float:
    """Seconds for a chunk, `count` times, until the other end has all of it."""
    with _connected(certs, port) as link:
        began = time.perf_counter()
        _announce(link, [("", len(chunk) * count)])
        for _ in range(count):
            link.sendall(chunk)
        assert link.recv(1) == b"a"
        return time.perf_counter() - began


def send_files(certs: Path, port: int, paths: Sequence[Path]) -> None:
    """Copy files; returns when the other end has written all of them."""
    buffer = memoryview(bytearray(PIECE))
    with _connected(certs, port) as link:
        _announce(link, [(path.name, path.stat().st_size) for path in paths])
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while got := file.readinto(buffer):
                    link.sendall(buffer[:got])
        assert link.recv(1) == b"a"


if __name__ == "__main__":
    PLACE = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    receive(Path(sys.argv[1]), int(sys.argv[2]), PLACE)
