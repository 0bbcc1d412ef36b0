"""Guest memory as drivers have it: mapped from a file or a device, or written into a file."""

import errno
import mmap
import os
import stat
import sys
from pathlib import Path

from bmigd import host
from bmigd.chunk import Bytes
from bmigd.drivers.base import Region
from bmigd.errors import LocalFault, spool_full
from bmigd.words import why

GRAIN_BYTES = 64 << 10  # holes are looked for by this much


class MappedMemory:
    """Memory to read. Each region is one mapping: a VM node can be mapped only that way."""

    def __init__(self, path: Path, regions: tuple[Region, ...], offsets: list[int]) -> None:
        self.regions = regions
        self._offsets = offsets
        self._descriptor = -1
        self._maps: list[mmap.mmap] = []
        self._views: list[memoryview] = []
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            self._knows_holes = is_file and host.is_in_memory(path.parent)
            for region, offset in zip(regions, offsets, strict=True):
                mapped = mmap.mmap(
                    self._descriptor,
                    region.size_bytes,
                    mmap.MAP_SHARED,
                    mmap.PROT_READ,
                    offset=offset,
                )
                self._maps.append(mapped)
                self._views.append(memoryview(mapped))
        except (OSError, ValueError) as error:
            self.close()
            raise LocalFault("MEMORY_UNREADABLE", f"cannot map {path}: {error}") from error

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return bool(self._views)

    def view(self, region: int) -> memoryview:
        """All bytes of a region."""
        return self._views[region]

    def shared(self) -> tuple[int, list[int]]:
        """The file or device, and the offset of each region in it."""
        return self._descriptor, self._offsets

    def populated(self, region: int) -> list[tuple[int, int]]:
        """All but the holes of a sparse file in memory; all of anything else.

        On disks what a file system says of holes lags behind what was written through a mapping.
        """
        size_bytes, base = self.regions[region].size_bytes, self._offsets[region]
        if not self._knows_holes:
            return [(0, size_bytes)]
        found, position = [], 0
        while position < size_bytes:
            data = self._seek(base + position, os.SEEK_DATA) - base
            if data >= size_bytes:
                break
            hole = self._seek(base + data, os.SEEK_HOLE) - base
            begins = data // GRAIN_BYTES * GRAIN_BYTES
            position = min(size_bytes, -(-hole // GRAIN_BYTES) * GRAIN_BYTES)
            found.append((begins, position - begins))
        return found

    def _seek(self, position: int, whence: int) -> int:
        """Where data or a hole begins, from that position on."""
        try:
            return os.lseek(self._descriptor, position, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more of it
                return sys.maxsize
            raise LocalFault("MEMORY_UNREADABLE", f"cannot look for holes: {why(error)}") from error

    def close(self) -> None:
        """Unmap. Idempotent."""
        for view in self._views:
            view.release()
        for mapped in self._maps:
            mapped.close()
        self._views, self._maps = [], []
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SpoolMemory:
    """Memory of a guest on its way in, written into the file that its hypervisor will use."""

    def __init__(self, file: Path, regions: tuple[Region, ...]) -> None:
        """Open the file, which must exist and have the size of all regions."""
        self.regions = regions
        self._offsets = file_offsets(regions)
        self._file = file
        self._descriptor = os.open(file, os.O_RDWR)

    def write(self, region: int, offset_bytes: int, content: Bytes) -> None:
        """Write bytes within a region; written, not mapped, so that a full disk is an error."""
        position, rest = self._position(region, offset_bytes, len(content)), memoryview(content)
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, position)
                position, rest = position + written, rest[written:]
        except OSError as error:
            raise spool_full(
                f"{self._file}: guest memory cannot be written: {why(error)}"
            ) from error

    def read(self, region: int, offset_bytes: int, length_bytes: int) -> bytes:
        """Read bytes within a region."""
        position, parts = self._position(region, offset_bytes, length_bytes), list[bytes]()
        try:
            while length_bytes and (part := os.pread(self._descriptor, length_bytes, position)):
                position, length_bytes = position + len(part), length_bytes - len(part)
                parts.append(part)
        except OSError as error:
            raise LocalFault(
                "MEMORY_UNREADABLE", f"{self._file}: guest memory cannot be read: {why(error)}"
            ) from error
        if length_bytes:
            raise LocalFault("MEMORY_UNREADABLE", "the file of guest memory became shorter")
        return b"".join(parts)

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _position(self, region: int, offset_bytes: int, length_bytes: int) -> int:
        size_bytes = self.regions[region].size_bytes
        assert 0 <= offset_bytes <= offset_bytes + length_bytes <= size_bytes, "checked above"
        return self._offsets[region] + offset_bytes


def make_file(file: Path, size_bytes: int, image: Path | None = None) -> None:
    """A new file of zeroes, or with what is in `image`, which is moved there if it is given.

    LocalFault (SPOOL_FULL) if it cannot be made.
    """
    try:
        if image:
            image.rename(file)
        exclusively = 0 if image else os.O_EXCL
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | exclusively, 0o600)
    except OSError as error:
        raise spool_full(f"{file} cannot be made: {why(error)}") from error
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError as error:
        file.unlink()
        raise spool_full(f"{file} cannot be made: {why(error)}") from error
    finally:
        os.close(descriptor)


def reserve(file: Path, offset_bytes: int, length_bytes: int) -> None:
    """Have room for a part of a file, whatever is written to it later: LocalFault (SPOOL_FULL).

    For what a hypervisor maps: on a full file system a write through a mapping ends it. Where there
    is no room for all of the file no part is taken, so that nobody else finds the spool full.

    Only in memory may others write to the part meanwhile: elsewhere the C library may have to fill
    it by reading and writing.
    """
    try:
        _require_room(file)
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, offset_bytes, length_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        words = f"{file}: {length_bytes} bytes cannot be reserved: {why(error)}"
        raise spool_full(words) from error


def _require_room(file: Path) -> None:
    there, held = os.statvfs(file), file.stat()
    wanted_bytes = held.st_size - held.st_blocks * 512
    free_bytes = there.f_bavail * there.f_frsize
    if there.f_blocks and wanted_bytes > free_bytes:  # no blocks: a tmpfs without a limit
        words = f"{file}: {wanted_bytes} bytes cannot be reserved: only {free_bytes} are free"
        raise spool_full(words)


def file_offsets(regions: tuple[Region, ...]) -> list[int]:
    """Where each region begins in a file in which they follow one another."""
    offsets, end = [], 0
    for region in regions:
        offsets.append(end)
        end += region.size_bytes
    return offsets
