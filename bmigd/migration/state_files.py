"""Device state on its way in: announced, written beside its place, compared, then moved.

Nothing has the name that a hypervisor reads before all of it is what was announced. It goes to the
spool as it comes, and its room is counted, so that no peer can fill the daemon's memory.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from bmigd.drivers.base import IncomingGuest
from bmigd.errors import BadBytes, spool_full
from bmigd.unbroken import unbroken

StateParts = AsyncIterator[tuple[int, bytes]]  # number of the file in the header, its next bytes

STATE_BYTES = 256 << 20  # all device state files together


@dataclass(frozen=True)
class StateHeader:
    """What the source announces before device state."""

    memory_root: bytes
    files: tuple[tuple[str, int, bytes], ...]  # name, size in bytes, SHA-256
    verify: bool


async def gather_state(
    incoming: IncomingGuest, header: StateHeader, parts: StateParts, count: Callable[[int], None]
) -> "Arrived":
    """Take the files in beside their places; BadBytes (STATE_INVALID) for more than was announced.

    `count` is told how much room they take, before any of it is taken.
    """
    announced = sum(size for _, size, _ in header.files)
    if announced > STATE_BYTES:
        raise BadBytes("STATE_INVALID", "device state is larger than 256 MiB")
    paths = [incoming.state_path(name) for name, _, _ in header.files]
    if len(set(paths)) != len(paths):
        raise BadBytes("STATE_INVALID", "a file of device state is announced twice")
    count(announced)
    files = [_Coming(path, *file) for path, file in zip(paths, header.files, strict=True)]
    try:
        await asyncio.to_thread(_begin, files)
        async for index, data in parts:
            if index >= len(files):
                raise BadBytes("STATE_INVALID", "device state exceeds what was announced")
            await asyncio.to_thread(files[index].add, data)
    except BaseException:
        await unbroken(asyncio.to_thread(_drop, files))  # else it takes a newer call's files
        raise
    return Arrived(files)


class Arrived:
    """What has come, not compared yet."""

    def __init__(self, files: "list[_Coming]") -> None:
        self._files = files

    async def place(self) -> None:
        """Put it where it is read; BadBytes (STATE_INVALID) if it is not what was announced."""
        try:
            for step in (_Coming.require_whole, _Coming.place):
                for file in self._files:
                    await asyncio.to_thread(step, file)
        finally:
            await asyncio.to_thread(_drop, self._files)


class _Coming:
    """One file. Its methods are for threads; a caller that was cancelled may leave one at work."""

    def __init__(self, path: Path, name: str, size_bytes: int, sha256: bytes) -> None:
        self._path, self._partial = path, path.with_name(path.name + ".partial")
        self._name, self._left, self._sha256 = name, size_bytes, sha256
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._over = False

    def begin(self) -> None:
        """Nothing of an earlier call is left."""
        self._partial.unlink(missing_ok=True)

    def add(self, data: bytes) -> None:
        """Write and hash the next bytes."""
        with self._lock:
            self._left -= len(data)
            if self._left < 0:
                raise BadBytes("STATE_INVALID", "device state exceeds what was announced")
            self._digest.update(data)
            if not self._over:
                self._append(data)

    def require_whole(self) -> None:
        """BadBytes (STATE_INVALID) unless it is what was announced."""
        if self._left or self._digest.digest() != self._sha256:
            raise BadBytes("STATE_INVALID", f"device state {self._name!r} is short or damaged")

    def place(self) -> None:
        """Give it its name."""
        with self._lock:
            if not self._over:
                self._append(b"")  # an empty file is a file
                self._partial.rename(self._path)

    def drop(self) -> None:
        """What has not got its name is removed; nothing more is written."""
        with self._lock:
            self._over = True
            self._partial.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        try:
            self._partial.touch(mode=0o600)
            with self._partial.open("ab") as file:
                file.write(data)
        except OSError as error:
            words = f"cannot write {self._partial}: {error}"
            raise spool_full(words) from error


def _begin(files: list[_Coming]) -> None:
    for file in files:
        file.begin()


def _drop(files: list[_Coming]) -> None:
    for file in files:
        file.drop()
