"""A way between two nodes that breaks on demand: TCP in, TCP out, nothing known of what it carries.

What a network can do to a connection, at any moment:
- SOUND: nothing;
- CUT: every connection is reset, and none is accepted;
- HALF_OPEN: connections are accepted, and nothing is passed on any more, either way;
- DEAF, DUMB: nothing is passed on to, or from, the callee;
- a rate: so many bytes a second, each way.
What was not passed on waits in the sender's buffers, as after lost packets, and goes on later.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

READ_BYTES = 256 << 10
TICK_S = 0.02


class Mode(Enum):
    """What is done with connections."""

    SOUND = "sound"
    CUT = "cut"
    HALF_OPEN = "half-open"
    DEAF = "deaf"
    DUMB = "dumb"


@dataclass(eq=False)
class Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    to_callee: bool
    waiting: bytes = b""
    free_at_s: float = 0.0


@dataclass(eq=False)  # a thread is itself and no other
class Proxy(threading.Thread):
    """Passes connections on to a port of this machine until stopped."""

    target: int
    mode: Mode = Mode.SOUND
    bytes_per_s: float = 0.0  # 0.0: no limit
    to_callee_bytes: int = 0
    from_callee_bytes: int = 0
    _pipes: list[Pipe] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Until stop()."""
        while not self._over.is_set():
            if self.mode is Mode.CUT:
                self._reset_all()
            self._accept()
            if not self._pass_on():
                self._wait()
        self._reset_all()
        self._listener.close()

    def stop(self) -> None:
        """Reset everything and end."""
        self._over.set()
        self.join()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            caller, _ = self._listener.accept()
            if self.mode is Mode.CUT:
                _reset(caller)
                return
            try:
                callee = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                _reset(caller)
                return
            for end in (caller, callee):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pipes += [Pipe(caller, callee, True), Pipe(callee, caller, False)]

    def _stops(self, pipe: Pipe) -> bool:
        held = {Mode.DEAF: pipe.to_callee, Mode.DUMB: not pipe.to_callee, Mode.HALF_OPEN: True}
        return held.get(self.mode, False) or pipe.free_at_s > time.monotonic()

    def _pass_on(self) -> bool:
        """Whether anything moved."""
        moved = False
        for pipe in list(self._pipes):
            if self._stops(pipe) or pipe not in self._pipes:
                continue
            try:
                moved |= self._move(pipe)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(pipe)
        return moved

    def _move(self, pipe: Pipe) -> bool:
        if not pipe.waiting:
            pipe.waiting = pipe.source.recv(self._most_bytes)
            if not pipe.waiting:
                raise ConnectionResetError
        sent = pipe.sink.send(pipe.waiting)
        pipe.waiting = pipe.waiting[sent:]
        if pipe.to_callee:
            self.to_callee_bytes += sent
        else:
            self.from_callee_bytes += sent
        if self.bytes_per_s:
            pipe.free_at_s = time.monotonic() + sent / self.bytes_per_s
        return sent > 0

    @property
    def _most_bytes(self) -> int:
        """To be taken at once: at a rate, what it lets through between two looks."""
        if not self.bytes_per_s:
            return READ_BYTES
        return max(16 << 10, min(READ_BYTES, int(self.bytes_per_s * TICK_S)))

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            for pipe in self._pipes:
                if not self._stops(pipe):
                    _register(selector, pipe)
            selector.select(TICK_S)

    def _drop(self, pipe: Pipe) -> None:
        """Both directions of its connection."""
        for other in [one for one in self._pipes if one.source in (pipe.source, pipe.sink)]:
            self._pipes.remove(other)
        _reset(pipe.source)
        _reset(pipe.sink)

    def _reset_all(self) -> None:
        while self._pipes:
            self._drop(self._pipes[0])


def _register(selector: selectors.BaseSelector, pipe: Pipe) -> None:
    end, event = (
        (pipe.sink, selectors.EVENT_WRITE) if pipe.waiting else (pipe.source, selectors.EVENT_READ)
    )
    if end.fileno() in selector.get_map():
        known = selector.get_key(end)
        selector.modify(end, known.events | event)
    else:
        selector.register(end, event)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A running proxy to a port."""
    made = Proxy(target)
    made.start()
    try:
        yield made
    finally:
        made.stop()
