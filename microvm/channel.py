"""Requests over the control socket: one packed list and at most one descriptor each.

`_socket` is used instead of `socket`, which takes 10 ms to import: it would be in
the downtime of every guest that is restored.
"""

from __future__ import annotations

import _socket
import os

from microvm import nvlist

TYPE_CHECKING = False
if TYPE_CHECKING:
    Request = dict[str, str | bool | nvlist.Descriptor]

ADDRESS_LIMIT = 103  # sun_path of FreeBSD has 104 bytes, with the final NUL
_BACKLOG = 10
_PATIENCE_S = 5.0
_INT = 4


class ChannelError(Exception):
    """The socket cannot be made or the request cannot be read."""


def address(rundir: str, name: str) -> str:
    """Where a guest's socket is; refused when the system would cut it short."""
    path = f"{rundir}/{name}"
    if len(os.fsencode(path)) > ADDRESS_LIMIT:
        raise ChannelError(f"{path}: longer than the {ADDRESS_LIMIT} bytes of a socket address")
    return path


def listen(path: str) -> _socket.socket:
    """Bind, replacing what an earlier process left there."""
    if os.path.lexists(path):  # pathlib costs start-up time
        os.unlink(path)  # noqa: PTH108
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        server.bind(path)
        server.listen(_BACKLOG)
    except OSError as error:
        raise ChannelError(f"Failed to bind {path}: {error}") from error
    return server


def receive(server: _socket.socket) -> tuple[Request, int]:
    """(the next request, the descriptor sent with it or -1)."""
    accepted, _ = server._accept()  # type: ignore[attr-defined]  # noqa: SLF001
    peer = _socket.socket(fileno=accepted)
    try:
        peer.settimeout(_PATIENCE_S)
        size, descriptors = nvlist.unpack_header(_exactly(peer, nvlist.HEADER_BYTES))
        request = nvlist.unpack_pairs(_exactly(peer, size))
        return request, _descriptor(peer) if descriptors else -1
    except (OSError, nvlist.NvlistError) as error:
        raise ChannelError(f"unusable request: {error}") from error
    finally:
        peer.close()


def send(path: str, request: Request, descriptor: int = -1) -> None:
    """Send one request and close; raises the OSError of whichever step failed."""
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        client.connect(path)
        client.sendall(nvlist.pack(request))
        if descriptor >= 0:
            rights = descriptor.to_bytes(_INT, "little")
            client.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    finally:
        client.close()


def _exactly(peer: _socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = peer.recv(size - len(received))
        if not part:
            raise nvlist.NvlistError("the peer closed early")
        received += part
    return received


def _descriptor(peer: _socket.socket) -> int:
    _, ancillary, _, _ = peer.recvmsg(1, _socket.CMSG_SPACE(_INT))
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS) and len(data) >= _INT:
            return int.from_bytes(data[:_INT], "little")
    raise nvlist.NvlistError("no descriptor came with it")
