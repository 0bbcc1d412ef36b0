"""A process that writes guest memory, as a hypervisor does: `python writer.py RAM_FILE`.

Commands come on standard input, one a line, and each is answered with a line. `storm SEED` has it
write pages at random, between two contents mostly, until `calm`.
"""

import ctypes
import itertools
import mmap
import os
import random
import subprocess
import sys
import threading
import time

PAGE_BYTES = 4096
CONTENTS = [b"A" * PAGE_BYTES, b"B" * PAGE_BYTES, b"A" * PAGE_BYTES, bytes(PAGE_BYTES)]
PUNCH_HOLE_KEEP_SIZE = 3
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


class Writer:
    """The mapping and what is done to it."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR)
        self.pages = os.fstat(self.file).st_size // PAGE_BYTES
        self.memory = mmap.mmap(self.file, self.pages * PAGE_BYTES)
        self.extra: list[mmap.mmap] = []
        self.stopping = threading.Event()
        self.storming: threading.Thread | None = None

    def write(self, page: int, value: int, count: int = 1) -> None:
        """Fill pages."""
        content = bytes([value]) * PAGE_BYTES
        for at in range(page * PAGE_BYTES, (page + count) * PAGE_BYTES, PAGE_BYTES):
            self.memory[at : at + PAGE_BYTES] = content

    def scatter(self, value: int) -> None:
        """Write to every other page."""
        for at in range(0, self.pages * PAGE_BYTES, 2 * PAGE_BYTES):
            self.memory[at] = value

    def read(self, page: int) -> None:
        """Look at one byte."""
        assert self.memory[page * PAGE_BYTES] < 256

    def receive(self, page: int) -> None:
        """Have the kernel write a page, as an emulated disk does."""
        at = page * PAGE_BYTES
        source = os.open("/dev/urandom", os.O_RDONLY)
        assert os.readv(source, [memoryview(self.memory)[at : at + PAGE_BYTES]]) == PAGE_BYTES
        os.close(source)

    def discard(self, page: int) -> None:
        """Give a page back to the host, as a balloon does."""
        assert not LIBC.fallocate(self.file, PUNCH_HOLE_KEEP_SIZE, page * PAGE_BYTES, PAGE_BYTES), (
            os.strerror(ctypes.get_errno())
        )

    def map_again(self) -> None:
        """Map it in a second place."""
        self.extra.append(mmap.mmap(self.file, self.pages * PAGE_BYTES))

    def directly(self, path: str) -> None:
        """Open a file for direct I/O, and keep it."""
        os.open(path, os.O_RDWR | os.O_DIRECT)

    def start_another(self) -> None:
        """Start a process that has the object preloaded too, and wait for its end."""
        assert "LD_PRELOAD" in os.environ
        subprocess.run(["/bin/true"], check=True)

    def become_another(self, path: str) -> None:
        """Leave a child behind and execute the same program anew, as wrappers do."""
        if os.fork() == 0:
            self.memory.close()
            time.sleep(5)
            os._exit(0)
        os.execv(sys.executable, [sys.executable, __file__, path])  # noqa: S606

    def storm(self, seed: int) -> None:
        """Write at random from now on."""
        self.stopping.clear()
        self.storming = threading.Thread(target=self._storm, args=(random.Random(seed),))  # noqa: S311
        self.storming.start()

    def calm(self) -> None:
        """Write no more; returns when that is so."""
        self.stopping.set()
        assert self.storming
        self.storming.join()

    def _storm(self, chance: random.Random) -> None:
        hot = max(self.pages // 8, 1)
        for count in itertools.count():
            if self.stopping.is_set():
                return
            page = chance.randrange(hot if count % 4 else self.pages)
            at = page * PAGE_BYTES
            if count % 64:
                self.memory[at : at + PAGE_BYTES] = chance.choice(CONTENTS)
            else:
                self.memory[at + chance.randrange(PAGE_BYTES)] = chance.randrange(256)


def main() -> None:
    """Do what is asked until nobody asks any more."""
    writer = Writer(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, *words = line.split()
        operation = getattr(writer, name)
        operation(*(int(word) if word.isdecimal() else word for word in words))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
