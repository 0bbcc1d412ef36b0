"""What an operator sees on a terminal while a guest moves: figures that are known, whole, and in
time.
"""

import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.cluster import Cluster, cluster

pytestmark = pytest.mark.e2e

COLUMNS = 80
DRAWN_OVER = re.compile(r"\r(\x1b\[2K|\x1b\[1A)+")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
PICTURE = re.compile(
    r"^(vm1: host1 to|[━╸╺]+$|[0-9.]+ [KMG]?i?B/s|downtime ~|at least |[0-9.]+ m?s left)"
)


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """A guest that a slow link takes some seconds to carry."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest(
            "vm1", "host1", "64M", "--rate", "4", "--working-set", "16M", "--fill", "24M"
        )
        made.beats_on("vm1")
        yield made


def on_a_terminal(world: Cluster, *arguments: str) -> list[str]:
    """What a command writes on one, line by line, drawn over or not."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    command = [*world.bmigctl(), *arguments]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as one:
        os.close(slave)
        told = b""
        with suppress(OSError):  # that is how a terminal ends
            while some := os.read(master, 65536):
                told += some
        assert one.wait(30) == 0, told.decode()
    os.close(master)
    return CONTROL.sub("", DRAWN_OVER.sub("\n", told.decode())).split("\n")


def test_the_figures_are_seen_as_soon_as_they_are_known_and_never_cut(world: Cluster) -> None:
    seen = on_a_terminal(world, "migrate", "vm1", "host2", "--bandwidth", "12M")
    pictures = [line.rstrip() for line in seen if PICTURE.match(line)]
    assert [line for line in pictures if len(line) > COLUMNS] == []
    assert not [line for line in pictures if "…" in line]
    first = next(place for place, line in enumerate(pictures) if "guest dirties" in line)
    assert any(re.fullmatch(r"at least [0-9.]+ m?s left", line) for line in pictures[:first])
    told = pictures[first:]
    rates = re.compile(r"[0-9.]+ [KM]iB/s of memory, guest dirties [0-9.]+ [KM]iB/s$")
    assert any(rates.match(line) for line in told)
    assert any(re.match(r"downtime ~\d+ of 300 ms, [0-9.]+ m?s left$", one) for one in told)
    assert "guest vm1 runs on host2 now" in seen[-2]
