"""The block device: sectors of a file, moved to and from guest memory by port I/O.

Rule: nothing outside the file or the guest's memory is ever touched; a request that
would is refused with a status that the guest reads.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.memory import Node

SECTOR = 512
READ, WRITE, FLUSH = 1, 2, 3
OK, ERROR, NO_DISK = 0, 1, 2
_MAX_SECTORS = 2048

_LBA, _ADDRESS, _ADDRESS_HIGH, _COUNT, _STATUS = range(5)
_STATE = struct.Struct("<5I")


class Disk:
    """The registers of the device and the file behind it."""

    def __init__(self, path: str | None, node: Node, is_read_only: bool = False) -> None:
        self._node = node
        self._is_read_only = is_read_only
        self._registers = [0, 0, 0, 0, OK]
        self._fd = -1
        if path:
            self._fd = os.open(path, os.O_RDONLY if is_read_only else os.O_RDWR)

    def capacity(self) -> int:
        """Sectors of the disk."""
        return os.lseek(self._fd, 0, os.SEEK_END) // SECTOR if self._fd >= 0 else 0

    def set(self, register: int, value: int) -> None:
        """A register, 32 bits."""
        self._registers[register] = value & 0xFFFFFFFF

    def status(self) -> int:
        """What came of the last command."""
        return self._registers[_STATUS]

    def command(self, command: int) -> None:
        """Carry one out; what comes of it is in the status."""
        if self._fd < 0:
            self._registers[_STATUS] = NO_DISK
            return
        try:
            self._registers[_STATUS] = OK if self._transfer(command) else ERROR
        except OSError:
            self._registers[_STATUS] = ERROR

    def _transfer(self, command: int) -> bool:
        if command == FLUSH:
            os.fsync(self._fd)
            return True
        lba, low, high, count = self._registers[:4]
        address, length = high << 32 | low, count * SECTOR
        if not 0 < count <= _MAX_SECTORS or lba + count > self.capacity():
            return False
        if not self._node.layout.contains(address, length):
            return False
        if command == READ:
            source, at, target, to = self._fd, lba * SECTOR, self._node.fd, address
        elif command == WRITE and not self._is_read_only:
            source, at, target, to = self._node.fd, address, self._fd, lba * SECTOR
        else:
            return False
        content = os.pread(source, length, at)
        return len(content) == length and os.pwrite(target, content, to) == length

    def save(self) -> bytes:
        """Its registers."""
        return _STATE.pack(*self._registers)

    def load(self, blob: bytes) -> None:
        """The inverse."""
        self._registers[:] = _STATE.unpack(blob)
