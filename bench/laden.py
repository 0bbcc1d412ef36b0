"""The floor: the bare stream of bench.bare whose ends do the work that a first round cannot do
without. It copies memory out of a mapping, hashes the copy's pages, and sends it with a digest;
over there the pages are hashed again, the digest is compared, and they are written into a new file.

There are no rounds, no state, no messages with fields, no pacing. Of the daemon nothing but the
hash of pages may be used here, and everything is done in the event loops: threads beside them made
it slower (bench/README.md).

`python -m bench.laden serve CERTS PORT FILE` writes a stream into the file, which must not exist;
`python -m bench.laden send CERTS PORT PID FILE` sends one, and prints what it took.
"""

import asyncio
import ctypes
import json
import mmap
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import grpc

from bench import bare
from bench.guest import MIB
from bmigd.chunk import PAGE_BYTES, Bytes
from bmigd.transfer.pages import chunk_digest, page_hashes

SEED = 7
DIGEST_BYTES, OFFSET_BYTES = 16, 8
TEXT = (
    b"All of the memory of a guest is copied, hashed, sent, hashed again, compared, and written. "
)
TEXT_PERCENT = 30
KEPT = {-1: 32 << 20, -3: 8 << 20, -8: 2}  # of mallopt, as the daemons have it


@dataclass(frozen=True)
class Pair:
    """One end, and the file at either."""

    certs: Path
    end: bare.End
    source: Path
    copy: Path

    def fill(self, size_mib: int) -> None:
        """The source, with text and random pages, none of them zero."""
        with self.source.open("wb") as file:
            for number in range(size_mib * MIB // PAGE_BYTES):
                is_text = number * 7 % 100 < TEXT_PERCENT
                file.write(_text(number) if is_text else os.urandom(PAGE_BYTES))

    def send(self) -> bare.Sent:
        """All of the source, from a process of its own; the copy is gone before this returns."""
        words = ["send", str(self.certs), str(self.end.port), str(self.end.pid), str(self.source)]
        command = [sys.executable, "-m", "bench.laden", *words]
        try:
            done = subprocess.run(command, capture_output=True, check=True)
        finally:
            self.copy.unlink(missing_ok=True)
        return bare.Sent(**json.loads(done.stdout))


@contextmanager
def pair(certs: Path, directory: Path) -> Iterator[Pair]:
    """With an empty source, in a directory."""
    source, copy = directory / "laden-source", directory / "laden-copy"
    with bare.serving(certs, "bench.laden", str(copy)) as end:
        source.touch()
        try:
            yield Pair(certs, end, source, copy)
        finally:
            source.unlink()


def frames(source: Path) -> Iterator[bytes]:
    """Each MiB of a file: its digest, its offset, and itself, copied before it is hashed."""
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as memory,
    ):
        for at in range(0, len(memory), MIB):
            copy = memory[at : at + MIB]
            yield b"".join((_digest(copy), at.to_bytes(OFFSET_BYTES, "little"), copy))


async def _stream(
    copy: Path, requests: AsyncIterator[bytes], context: bare.Context
) -> AsyncIterator[bytes]:
    fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        async for frame in requests:
            content = memoryview(frame)[DIGEST_BYTES + OFFSET_BYTES :]
            if _digest(content) != frame[:DIGEST_BYTES]:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the digest does not match")
            offset = frame[DIGEST_BYTES : DIGEST_BYTES + OFFSET_BYTES]
            assert os.pwrite(fd, content, int.from_bytes(offset, "little")) == len(content)
            yield bare.ACKNOWLEDGEMENT
    finally:
        os.close(fd)


def _digest(content: Bytes) -> bytes:
    return chunk_digest(page_hashes(content, SEED).tobytes())


def _text(number: int) -> bytes:
    return (b"%d: " % number + TEXT * (PAGE_BYTES // len(TEXT) + 1))[:PAGE_BYTES]


def _keep_freed_memory() -> None:
    """Else a chunk's megabyte is returned and faulted in again each time. For good: only at the
    start of a process of our own, since the bare stream has no such thing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in KEPT.items():
            mallopt(parameter, value)


def main(way: str, certs: str, port: str, *words: str) -> None:
    """One of the two ends."""
    _keep_freed_memory()
    if way == "serve":
        stream = partial(_stream, Path(words[0]))
        asyncio.run(bare.serve(Path(certs), int(port), stream))
        return
    end, source = bare.End(int(port), int(words[0])), Path(words[1])
    count = source.stat().st_size // MIB
    sent = asyncio.run(bare.send(Path(certs), end, frames(source), count))
    sys.stdout.write(json.dumps(asdict(sent)))


if __name__ == "__main__":
    main(*sys.argv[1:])
