"""Guest memory: the VM node, a sparse file that another process may map live.

Rule 1: the offset in the node is the guest-physical address, as in /dev/vmm/NAME.
Rule 2: a page that the guest never touched stays a hole.
Rule 3: the process that runs the guest holds the node's lock, so that a second one
with the same name is refused instead of sharing its memory.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH108

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os

from microvm import processors

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAGE = 4 * KIB
LOWMEM_LIMIT = 3 * GIB
HIGHMEM_BASE = 4 * GIB


class NodeError(Exception):
    """The VM node cannot be opened, made or had alone."""


class Layout:
    """Where the memory of a guest of a given size lies."""

    __slots__ = ("high", "low", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.low = min(size, LOWMEM_LIMIT)
        self.high = size - self.low

    def segments(self) -> list[tuple[int, int, int]]:
        """(offset in the RAM file, guest-physical address, length) of each part."""
        parts = [(0, 0, self.low)]
        if self.high:
            parts.append((self.low, HIGHMEM_BASE, self.high))
        return parts

    def contains(self, address: int, length: int) -> bool:
        """Whether a stretch of guest memory is in one segment."""
        return any(base <= address <= base + size - length for _, base, size in self.segments())


def node_path(home: str, name: str) -> str:
    """Where the VM node of a guest is."""
    return f"{home}/vmm/{name}"


def create_node(path: str) -> None:
    """Make an empty node, as bhyvectl --create does."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class Node:
    """The node of one running guest."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = os.strerror(errno.EBUSY) if error.errno == errno.EAGAIN else error.strerror
            raise NodeError(f"{path}: {reason}") from error
        os.ftruncate(self.fd, 0)
        _, base, length = layout.segments()[-1]
        os.ftruncate(self.fd, base + length)
        self._maps: list[mmap.mmap] = []

    def map(self) -> list[tuple[int, int, int]]:
        """Map the memory; (guest-physical address, length, host address) of each part."""
        mapped = []
        for _, base, length in self.layout.segments():
            memory = mmap.mmap(self.fd, length, offset=base)
            self._maps.append(memory)
            host = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            mapped.append((base, length, host))
        return mapped

    def is_destroyed(self) -> bool:
        """Whether somebody removed it."""
        return os.fstat(self.fd).st_nlink == 0

    def destroy(self) -> None:
        """vm_destroy: the name goes at once, a mapping that others hold stays readable."""
        processors.forget(self.path)
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return


class Rom:
    """The boot ROM, mapped privately; not part of the guest's memory or its snapshot."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            self.length = os.fstat(fd).st_size
            if not 0 < self.length <= 16 * MIB or self.length % PAGE:
                raise NodeError(f"{path}: a bootrom is whole pages up to 16 MiB")
            self.image = mmap.mmap(fd, self.length, flags=mmap.MAP_PRIVATE)
        finally:
            os.close(fd)
        self.pointer = ctypes.addressof(ctypes.c_char.from_buffer(self.image))
