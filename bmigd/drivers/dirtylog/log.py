"""A DirtyLog kept by the kernel for a hypervisor that was started with the preloaded object.

Rules that must not break:
- Watched only while the connection to the hypervisor lasts: a daemon that dies leaves nothing.
- What cannot be seen is refused when the log is opened, never found out later.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from bmigd.drivers.base import Region
from bmigd.drivers.dirtylog.pagemap import Pagemap
from bmigd.drivers.dirtylog.unseen import unseen_writer
from bmigd.errors import LocalFault

ANSWER_TIMEOUT_S = 10.0  # the guest runs meanwhile; a busy host is not one that cannot
UNWATCH_TIMEOUT_S = 30.0  # it takes about 0.1 s for each GiB
VARIABLE = "BMIG_DIRTYLOG_SOCKET"
TOO_OLD = "this kernel has no asynchronous write protection of shared memory; Linux 6.7 has"


def preloaded(socket_path: Path) -> dict[str, str]:
    """What to add to a hypervisor's environment, so that a log can be kept of it.

    The socket lies in a private directory (0700). Empty where the object was not built.
    """
    stem = Path(__file__).with_name("preload")
    for suffix in EXTENSION_SUFFIXES:
        if (built := stem.with_name(stem.name + suffix)).exists():
            return {"LD_PRELOAD": str(built), VARIABLE: str(socket_path)}
    return {}


@dataclass(frozen=True)
class Watched:
    """A hypervisor whose memory is watched, and where it has it mapped."""

    pid: int
    start: int
    length_bytes: int
    file_offset: int

    def addresses(self, file_offset: int, region: Region) -> tuple[int, int]:
        """Where a region that begins there in the file is; ValueError if it is not all mapped."""
        begins = file_offset - self.file_offset
        if begins < 0 or begins + region.size_bytes > self.length_bytes:
            raise ValueError("part of the guest's memory is not mapped")
        return self.start + begins, self.start + begins + region.size_bytes


class PreloadedLog:
    """Writes to a file of guest memory in which the regions follow one another.

    `unseen` is what the driver knows of that writes or discards memory behind the hypervisor's page
    tables, in words; "" for nothing.
    """

    def __init__(
        self, socket_path: Path, ram_file: Path, regions: tuple[Region, ...], unseen: str
    ) -> None:
        self._socket_path = socket_path
        self._ram_file = ram_file
        self._regions = regions
        self._unseen = unseen
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._pagemap: Pagemap | None = None
        self._stretches: list[tuple[int, int]] = []  # addresses of each region

    async def open(self) -> None:
        """Begin; LocalFault (TRACKER_NOT_AVAILABLE) with the reason in words."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._open()
        except BaseException as error:
            await self.close()
            if not isinstance(error, OSError | ValueError):
                raise
            raise LocalFault(
                "TRACKER_NOT_AVAILABLE",
                f"writes to the guest's memory cannot be logged: {_words(error)}",
                "use --tracker auto or content",
            ) from error

    def take(self, region: int) -> list[tuple[int, int]]:
        """What was written since the last take."""
        assert self._pagemap, "open() first"
        start, end = self._stretches[region]
        try:
            written = self._pagemap.take_written(start, end)
        except OSError as error:
            raise LocalFault(
                "TRACKER_LOST", f"the guest's memory is no longer watched: {error.strerror}"
            ) from error
        return [(begins - start, ends - begins) for begins, ends in written]

    async def close(self) -> None:
        """The guest's memory is watched no more. Idempotent."""
        if self._pagemap:
            self._pagemap.close()
        if self._connection:
            await _hang_up(*self._connection)
        self._connection = self._pagemap = None

    async def _open(self) -> None:
        if self._unseen:
            raise ValueError(self._unseen)
        watched = await self._watch()
        self._stretches = [
            watched.addresses(sum(one.size_bytes for one in self._regions[:number]), region)
            for number, region in enumerate(self._regions)
        ]
        self._pagemap = Pagemap(watched.pid)
        for start, end in self._stretches:
            self._pagemap.require_watched(start, end)
        if writer := await asyncio.to_thread(unseen_writer, watched.pid, watched.start):
            raise ValueError(writer)

    async def _watch(self) -> Watched:
        """Have the hypervisor's memory watched as long as the connection lasts."""
        reader, writer = self._connection = await asyncio.open_unix_connection(self._socket_path)
        writer.write(os.fsencode(self._ram_file.resolve()) + b"\n")
        answer = await reader.readline()
        # Its credentials are those of who listens: the hypervisor.
        end = writer.get_extra_info("socket")
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return understood(answer.decode("ascii", "replace"), pid)


def understood(answer: str, pid: int) -> Watched:
    """The preloaded object's answer; ValueError with its refusal in words. Pure."""
    match answer.split():
        case ["ok", start, length, offset]:
            return Watched(pid, int(start, 16), int(length, 16), int(offset, 16))
        case ["no", step, number] if number.isdecimal():
            raise ValueError(refusal(step, int(number)))
    raise ValueError("the hypervisor's preloaded object gave no answer")


def refusal(step: str, number: int) -> str:
    """Why memory could not be watched, in words, from the step that failed and its errno. Pure."""
    match step, number:
        case "mapping", errno.ENOENT:
            return "the hypervisor does not have it mapped, shared, from its file"
        case "mapping", errno.EEXIST:
            return "the hypervisor has it mapped in more than one place"
        case ("features", errno.EINVAL) | ("userfaultfd", errno.ENOSYS | errno.EINVAL):
            return TOO_OLD
        case "register", errno.EBUSY:
            return "the hypervisor uses userfaultfd for it already"
    return f"{step}: {os.strerror(number)}"


def _words(error: OSError | ValueError) -> str:
    """Why a log could not be opened."""
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            built = "" if preloaded(Path()) else "; the object is not built on this node"
            return f"the hypervisor was started without the preloaded object{built}"
        case TimeoutError():
            return f"the preloaded object did not answer within {ANSWER_TIMEOUT_S:g} s"
        case OSError(errno=errno.ENOTTY):
            return TOO_OLD
        case OSError():
            return error.strerror or str(error)
    return str(error)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close, and see that the other end did too: then nothing is protected any more."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(UNWATCH_TIMEOUT_S):
            writer.write_eof()
            await reader.read()
    writer.close()
