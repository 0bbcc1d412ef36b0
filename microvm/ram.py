"""Guest memory to and from the RAM file, as fast as two threads copy it.

Rule 1: the file holds every byte of the guest's memory, zeros included, the low part
first; nothing stands for the gap below 4 GiB.
Rule 2: a block of zeros is not written into a node that is still empty, so that a
guest that uses little memory costs little.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microvm.memory import Node

_STRIPE = 16 << 20
_WRITE = 1 << 20
_BLOCK = 64 << 10
_THREADS = 2


class RamError(Exception):
    """The RAM file cannot be that of this guest."""


def _stripes(node: Node) -> Iterator[tuple[int, int, int]]:
    """(offset in the file, address, length) of pieces for one thread at a time."""
    for offset, base, length in node.layout.segments():
        for at in range(0, length, _STRIPE):
            yield offset + at, base + at, min(_STRIPE, length - at)


def _in_threads(work: Callable[[int, int, int], None], node: Node) -> None:
    """Do every stripe, or raise; a stripe counts only when it is done."""
    left = list(_stripes(node))
    expected, done = len(left), list[int]()
    failures: list[OSError] = []

    def take() -> None:
        while left and not failures:
            try:
                stripe = left.pop()
            except IndexError:
                return
            try:
                work(*stripe)
            except OSError as error:
                failures.append(error)
            else:
                done.append(stripe[0])

    threads = [threading.Thread(target=take) for _ in range(min(_THREADS, expected) - 1)]
    for thread in threads:
        thread.start()
    take()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    if len(done) != expected:
        raise RamError(f"{expected - len(done)} stripes of memory were not copied")


def _write_whole(fd: int, content: memoryview, at: int) -> None:
    """A full disk may take a part of a write and say so only in its count."""
    if os.pwrite(fd, content, at) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _extents(fd: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether there is data) over a range of a sparse file."""
    at = start
    while at < end:
        try:
            data = min(os.lseek(fd, at, os.SEEK_DATA), end)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = end
        if data > at:
            yield at, data, False
        if data == end:
            return
        at = min(os.lseek(fd, data, os.SEEK_HOLE), end)
        yield data, at, True


def save(node: Node, fd: int) -> None:
    """Write the whole memory; the guest is held still."""
    zeros = bytes(_WRITE)

    def write(offset: int, base: int, length: int) -> None:
        # a descriptor of its own: SEEK_DATA moves the offset that threads would share
        own = os.open(node.path, os.O_RDONLY)
        buffer = bytearray(_WRITE)
        try:
            for start, end, is_data in _extents(own, base, base + length):
                for at in range(start, end, _WRITE):
                    piece = memoryview(buffer if is_data else zeros)[: min(_WRITE, end - at)]
                    if is_data:
                        os.preadv(own, [piece], at)
                    _write_whole(fd, piece, offset + at - base)
        finally:
            os.close(own)

    _in_threads(write, node)


def load(path: str, node: Node) -> None:
    """Fill an empty node from a RAM file of exactly the guest's size."""
    size = os.stat(path).st_size
    if size != node.layout.size:
        raise RamError(f"mem size mismatch: {path} has {size}, the guest {node.layout.size} bytes")

    def read(offset: int, base: int, length: int) -> None:
        fd = os.open(path, os.O_RDONLY)
        buffer, zeros = bytearray(_BLOCK), bytes(_BLOCK)
        try:
            for start, end, is_data in _extents(fd, offset, offset + length):
                for at in range(start, end, _BLOCK) if is_data else ():
                    count = os.preadv(fd, [memoryview(buffer)[: min(_BLOCK, end - at)]], at)
                    # bytes compare as one memcmp, memoryviews byte by byte
                    if count == _BLOCK and buffer == zeros:
                        continue
                    _write_whole(node.fd, memoryview(buffer)[:count], base + at - offset)
        finally:
            os.close(fd)

    _in_threads(read, node)
