"""TCP sessions with the guest, as a program for the place where its users are.

`python -m tests.linuxguest.session keys ADDRESS` types: the next key goes out when the last one has
come back. `... stream ADDRESS RATE` takes the guest's numbered words, at so many bytes a second,
and holds each to its number. Either says `going` and the time while it goes, and its report when
told to end (TERM).
"""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.netlab import Place

ECHO, NUMBERED = 7, 19
KEY_PAUSE_S = 0.01
SIGN_S = 0.1
SILENCE_S = 60.0
WORD = 8


@dataclass
class Report:
    """What became of a session: how much came, the longest time without, and how it broke."""

    received_bytes: int = 0
    longest_gap_ms: float = 0.0
    error: str = ""


def keys(link: socket.socket, over: threading.Event) -> Iterator[int]:
    """Type; the bytes that came back, each time."""
    number = 0
    while not over.is_set():
        key = b"%012d\n" % number
        link.sendall(key)
        said = b""
        while len(said) < len(key):
            said += _some(link)
        if said != key:
            raise ValueError(f"{key!r} came back as {said!r}")
        number += 1
        yield len(said)
        over.wait(KEY_PAUSE_S)


def stream(link: socket.socket, over: threading.Event, rate: str) -> Iterator[int]:
    """Take numbered words; the bytes that came, each time."""
    link.sendall(rate.encode() + b"\n")
    number, rest = 0, b""
    while not over.is_set():
        got = _some(link)
        rest += got
        whole = len(rest) // WORD
        words = np.frombuffer(rest, dtype="<u8", count=whole)
        if not np.array_equal(words, np.arange(number, number + whole, dtype="<u8")):
            raise ValueError(f"after word {number} something is missing, doubled or out of order")
        number += whole
        rest = rest[whole * WORD :]
        yield len(got)


def _some(link: socket.socket) -> bytes:
    got = link.recv(1 << 16)
    if not got:
        raise ConnectionError("the guest closed it")
    return got


def _watch(arrivals: Iterator[int]) -> Report:
    report, last_s, sign_s = Report(), time.monotonic(), 0.0
    try:
        for count in arrivals:
            now_s = time.monotonic()
            if report.received_bytes:
                report.longest_gap_ms = max(report.longest_gap_ms, (now_s - last_s) * 1e3)
            if now_s > sign_s + SIGN_S:
                _say(f"going {now_s}")
                sign_s = now_s
            report.received_bytes += count
            last_s = now_s
    except (OSError, ValueError) as error:
        report.error = f"{type(error).__name__}: {error}"
    return report


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(kind: str, address: str, *options: str) -> None:
    """Hold the session until TERM; its report is the last line."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    port = ECHO if kind == "keys" else NUMBERED
    with socket.create_connection((address, port), timeout=SILENCE_S) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        report = _watch(keys(link, over) if kind == "keys" else stream(link, over, *options))
    _say(json.dumps(asdict(report)))


class Session:
    """A session that goes on in a place."""

    def __init__(self, place: Place, kind: str, address: str, *options: str) -> None:
        self._process = subprocess.Popen(
            [*place.within, sys.executable, "-m", __name__, kind, address, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self.goes_on()

    def goes_on(self) -> None:
        """Wait until something has come from now on; AssertionError if it broke."""
        asked_s, said_s = time.monotonic(), 0.0
        assert self._process.stdout
        while said_s < asked_s:
            line = self._process.stdout.readline()
            assert line.startswith(b"going "), f"the session broke: {line.decode()}"
            said_s = float(line.split()[1])

    def end(self) -> Report:
        """End it; AssertionError if it broke before."""
        self._process.terminate()
        said = self._process.communicate(timeout=SILENCE_S)[0]
        report = Report(**json.loads(said.splitlines()[-1]))
        assert not report.error, report.error
        return report

    def close(self) -> None:
        """Whatever became of it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def session(place: Place, kind: str, address: str, *options: str) -> Iterator[Session]:
    """A session, gone afterwards."""
    made = Session(place, kind, address, *options)
    try:
        yield made
    finally:
        made.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
