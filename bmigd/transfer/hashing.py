"""Hashes of guest memory as it is, made by processes beside the daemon: they use other processors,
and the daemon's event loop never waits for an interpreter that hashes.

A hash made here only says where to look: what is sent is copied and hashed again (batch.py).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable
from typing import Protocol

import numpy as np

from bmigd.chunk import MIB, PAGE_BYTES, Extent
from bmigd.drivers.base import Memory
from bmigd.errors import LocalFault
from bmigd.transfer.hasher import HASH, REGION, REQUEST, SHOW, STARTED
from bmigd.transfer.pages import Hashes
from bmigd.transfer.stretches import pieces
from bmigd.words import why

MOST = 4  # processes for one migration
PIECE_BYTES = 4 * MIB  # about a millisecond's worth
AHEAD = 2  # pieces asked for of each process before the first is waited for
HASH_BYTES = 8
START_S = 30.0  # until it says that it has started, on a busy host
ANSWER_S = 5.0  # for a piece, of a process that does nothing else

Asked = tuple[socket.socket, Extent, int]  # of whom, for what, bytes for each hash
Hashed = Generator[tuple[Extent, Hashes], None, None]


class LiveHashes(Protocol):
    """Hashes of pages that a guest may be writing."""

    def hashes(
        self,
        memory: Memory,
        region: int,
        stretches: Iterable[Extent],
        unit_bytes: int = PAGE_BYTES,
    ) -> Hashed:
        """Piece after piece of the stretches, in their order, with a hash for each page, or for
        each larger unit, of which stretches are multiples then, and a piece is.
        """

    def close(self) -> None:
        """Nothing holds the memory any more. Idempotent."""


class Hashers:
    """Some processes for one migration. One caller at a time, in whatever thread."""

    def __init__(self, seed: int) -> None:
        """None is started yet."""
        self._seed = seed
        self._is_closed = False
        self._shown: Memory | None = None
        self._first: subprocess.Popen[bytes] | None = None  # and the others are of its group
        self._sockets: list[socket.socket] = []
        self._starting: list[socket.socket] = []  # of them, whose process has not said so yet
        self._waiting: deque[Asked] = deque()  # in order

    def start(self) -> None:
        """Be ready for the first question, which does this otherwise; LocalFault (TRACKER_LOST)."""
        argv = [sys.executable, "-P", "-m", "bmigd.transfer.hasher"]
        try:
            with contextlib.ExitStack() as given:
                theirs = [given.enter_context(self._new_socket()) for _ in range(_count())]
                numbers = [one.fileno() for one in theirs]
                self._first = subprocess.Popen(
                    [*argv, *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=numbers,
                    process_group=0,  # all end with one signal; a terminal's reach none of them
                )
        except OSError as error:
            self.close()
            raise LocalFault("TRACKER_LOST", f"cannot start a process: {why(error)}") from error

    def _new_socket(self) -> socket.socket:
        """A process's end; ours is kept."""
        ours, theirs = socket.socketpair()
        ours.settimeout(START_S)
        self._sockets.append(ours)
        self._starting.append(ours)
        return theirs

    def ready(self) -> None:
        """Until those that were started answer as fast as they do from then on: to be awaited
        while the guest runs. LocalFault (TRACKER_LOST).
        """
        try:
            self._greet()
        except OSError as error:
            raise self._lost(error) from error

    def _greet(self) -> None:
        while self._starting:
            if self._starting[-1].recv(len(STARTED)) != STARTED:
                raise ConnectionResetError("it ended when it was started")
            self._starting.pop().settimeout(ANSWER_S)

    def _lost(self, error: OSError) -> LocalFault:
        self.close()  # an answer that came late would be taken for the next one's
        words = "did not answer" if isinstance(error, TimeoutError) else f"ended: {why(error)}"
        return LocalFault("TRACKER_LOST", f"a process that reads the guest's memory {words}")

    def hashes(
        self,
        memory: Memory,
        region: int,
        stretches: Iterable[Extent],
        unit_bytes: int = PAGE_BYTES,
    ) -> Hashed:
        """As LiveHashes has it; LocalFault (TRACKER_LOST) if a process ended."""
        waiting = self._waiting
        if not self._sockets and not self._is_closed:
            self.start()
        try:
            self._greet()
            while waiting:  # what a pass asked for that was given up
                _answer(waiting)
            self._show(memory)
            for number, piece in enumerate(pieces(stretches, PIECE_BYTES)):
                asked = self._sockets[number % len(self._sockets)]
                asked.sendall(REQUEST.pack(HASH, region, *piece, unit_bytes))
                waiting.append((asked, piece, unit_bytes))
                if len(waiting) >= AHEAD * len(self._sockets):
                    yield _answer(waiting)
            while waiting:
                yield _answer(waiting)
        except OSError as error:
            raise self._lost(error) from error

    def _show(self, memory: Memory) -> None:
        if not self._sockets:
            raise ConnectionResetError("it was ended")
        if memory is self._shown:
            return
        descriptor, offsets = memory.shared()
        layout = b"".join(
            REGION.pack(offset, region.size_bytes)
            for offset, region in zip(offsets, memory.regions, strict=True)
        )
        for one in self._sockets:
            socket.send_fds(one, [REQUEST.pack(SHOW, len(offsets), self._seed, 0, 0)], [descriptor])
            one.sendall(layout)
        self._shown = memory

    def close(self) -> None:
        """End them, so that nobody has the guest's memory mapped. Idempotent."""
        if self._first:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._first.pid, signal.SIGKILL)  # they have nothing to lose
            for one in self._sockets:
                _await_end(one)
            self._first.wait()
        for one in self._sockets:
            one.close()
        self._waiting.clear()
        self._sockets, self._starting, self._first, self._shown = [], [], None, None
        self._is_closed = True


def _count() -> int:
    return min(MOST, os.cpu_count() or 1)


def _await_end(ours: socket.socket) -> None:
    """Until the process at the other end is gone, which was killed: it is not a child of ours."""
    ours.settimeout(START_S)
    with contextlib.suppress(OSError):
        while ours.recv(PIECE_BYTES):
            pass


def _answer(waiting: deque[Asked]) -> tuple[Extent, Hashes]:
    """To the question that was asked first."""
    asked, piece, unit_bytes = waiting.popleft()
    found = bytearray(piece.length_bytes // unit_bytes * HASH_BYTES)
    rest = memoryview(found)
    while rest:
        received = asked.recv_into(rest)
        if not received:
            raise ConnectionResetError("it answers no more")
        rest = rest[received:]
    return piece, np.frombuffer(found, dtype="<u8")
