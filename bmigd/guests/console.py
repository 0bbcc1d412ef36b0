"""A guest's serial console: a pseudo-terminal, a log, and whoever is attached.

The guest must never wait for a reader: output goes to the log, and a slow reader is dropped. What
is typed reaches the guest whole and as fast as it reads, or its writer is dropped.
"""

import asyncio
import contextlib
import os
import tty
from pathlib import Path

LOG_BYTES = 1 << 20  # the log is cut to its newer half beyond this
HISTORY_BYTES = 256 << 10  # what a newly attached reader sees first
READER_BACKLOG_BYTES = 1 << 20
AGAIN_S = 0.02  # before what a guest has no room for is tried again
PATIENCE_S = 10.0  # with a guest that reads nothing at all


class Console:
    """The console of one guest, inside its supervisor."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._master, self._slave = os.openpty()  # the slave stays open: no hang-up between runs
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.tty_path = os.ttyname(self._slave)
        self._log = (directory / "console.log").open("ab", buffering=0)
        self._readers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Read the guest's output and serve the console socket."""
        asyncio.get_running_loop().add_reader(self._master, self._from_guest)
        path = self._directory / "console"
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._attach, path)
        path.chmod(0o600)

    def close(self) -> None:
        """Let every reader go."""
        asyncio.get_running_loop().remove_reader(self._master)
        if self._server:
            self._server.close()
        for writer in self._readers:
            writer.close()
        (self._directory / "console").unlink(missing_ok=True)
        self._log.close()

    def _from_guest(self) -> None:
        output = os.read(self._master, 65536)
        with contextlib.suppress(OSError):  # a full disk: whoever is attached sees it all the same
            self._log.write(output)
            if self._log.tell() > LOG_BYTES:
                self._cut_log()
        for writer in list(self._readers):
            if writer.transport.get_write_buffer_size() > READER_BACKLOG_BYTES:
                self._readers.discard(writer)
                writer.transport.abort()
            else:
                writer.write(output)

    async def _to_guest(self, typed: bytes) -> None:
        """All of it; TimeoutError if nothing of it is taken for long."""
        idle_s = 0.0
        while typed:
            taken = self._write(typed)
            idle_s = 0.0 if taken else idle_s + AGAIN_S
            if idle_s > PATIENCE_S:
                raise TimeoutError
            typed = typed[taken:]
            await asyncio.sleep(0 if taken else AGAIN_S)

    def _write(self, typed: bytes) -> int:
        """How much there was room for."""
        try:
            return os.write(self._master, typed)
        except BlockingIOError:
            return 0

    def _cut_log(self) -> None:
        newer = self._history(LOG_BYTES // 2)
        self._log.truncate(0)
        self._log.write(newer)

    def _history(self, size_bytes: int) -> bytes:
        return (self._directory / "console.log").read_bytes()[-size_bytes:]

    async def _attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        history = self._history(HISTORY_BYTES)
        writer.write(len(history).to_bytes(4) + history)
        self._readers.add(writer)
        try:
            while typed := await reader.read(4096):
                await self._to_guest(typed)
        except (ConnectionError, TimeoutError):
            pass  # the reader left, or the guest does not read
        finally:
            self._readers.discard(writer)
            writer.close()
