"""The serial port: a 16550 reduced to what a console needs, on a terminal or a file.

Rule 1: what the guest has sent is kept until the reader took it; it travels in the
snapshot if it must, so that no line is lost or doubled by a move.
Rule 2: the guest waits for a slow reader, but for a bounded time only.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat

_BATCH_BYTES = 256
_QUEUE_BYTES = 256 << 10
_PATIENCE_MS = 2000

LINE_STATUS_EMPTY, LINE_STATUS_READY = 0x60, 0x01


class Serial:
    """One UART; without a backend it swallows output and has no input."""

    def __init__(self, path: str | None = None) -> None:
        self._out, self._in = _open_backend(path) if path else (-1, -1)
        self._sent = bytearray()
        self._received = bytearray()
        self._scratch = bytearray(8)

    def write(self, register: int, value: int) -> None:
        """A register; what is sent goes out by the line."""
        if register:
            self._scratch[register] = value & 0xFF
            return
        self._sent.append(value & 0xFF)
        if value == 0x0A or len(self._sent) >= _BATCH_BYTES:
            self.flush()

    def read(self, register: int) -> int:
        """A register."""
        if register == 0:
            return self._received.pop(0) if self._received else 0
        if register == 5:
            self._receive()
            return LINE_STATUS_EMPTY | (LINE_STATUS_READY if self._received else 0)
        return self._scratch[register]

    def flush(self) -> None:
        """Hand over what the reader takes now; wait only when the queue is full."""
        while self._sent:
            try:
                count = os.write(self._out, self._sent) if self._out >= 0 else len(self._sent)
            except BlockingIOError:
                if len(self._sent) < _QUEUE_BYTES:
                    return
                if not self._wait_for_reader():
                    del self._sent[: _QUEUE_BYTES // 2]
                    return
            except OSError:  # the terminal was hung up: nobody will ever read this
                self._sent.clear()
            else:
                del self._sent[:count]

    def drain(self) -> None:
        """Before the process ends: hand over the rest, as long as the reader takes any."""
        self.flush()
        while self._sent and self._wait_for_reader():
            self.flush()

    def _wait_for_reader(self) -> bool:
        import select

        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        return bool(poll.poll(_PATIENCE_MS))

    def _receive(self) -> None:
        if self._received or self._in < 0:
            return
        try:
            self._received += os.read(self._in, 256)
        except OSError:  # nothing there, or hung up
            return

    def save(self) -> bytes:
        """Its registers, and what is under way."""
        lengths = len(self._sent).to_bytes(4, "little") + len(self._received).to_bytes(4, "little")
        return bytes(self._scratch) + lengths + bytes(self._sent) + bytes(self._received)

    def load(self, blob: bytes) -> None:
        """The inverse; ValueError for anything else."""
        sent = 16 + int.from_bytes(blob[8:12], "little")
        received = sent + int.from_bytes(blob[12:16], "little")
        if received != len(blob):
            raise ValueError(f"serial state is {len(blob)} bytes, not {received}")
        self._scratch[:] = blob[:8]
        self._sent[:] = blob[16:sent]
        self._received[:] = blob[sent:received]


def _open_backend(path: str) -> tuple[int, int]:
    """(file to write, file to read or -1); both never block."""
    if path == "stdio":
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        return 1, 0
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        is_file = True
    if is_file:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), -1
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    if not os.isatty(fd):
        os.close(fd)
        raise OSError(f"{path}: neither a terminal nor a file")
    _make_raw(fd)
    return fd, fd


def _make_raw(fd: int) -> None:
    """No echo and no translation, or the guest would read its own output back."""
    import termios

    mode = termios.tcgetattr(fd)
    mode[0] = mode[1] = mode[3] = 0
    mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8 | termios.CLOCAL
    termios.tcsetattr(fd, termios.TCSANOW, mode)
