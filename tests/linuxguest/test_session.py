"""What watches the guest sees what is wrong: a stream with a hole, a key that came back changed, a
guest that booted again. Against sockets and texts of our own.
"""

import socket
import struct
import threading
from collections.abc import Iterable

import pytest

from tests.linuxguest.session import keys, stream
from tests.linuxguest.settings import require_unbroken, uptimes

RIGHT = range(1000)


def taken(numbers: Iterable[int]) -> int:
    """How many bytes a stream of these words is worth."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(struct.pack("<Q", number) for number in numbers))
        theirs.shutdown(socket.SHUT_WR)
        total = 0
        try:
            for count in stream(ours, threading.Event(), "1000"):
                total += count
        except ConnectionError:  # as all of it was taken
            assert theirs.recv(16) == b"1000\n"
    return total


def test_a_stream_in_order_is_counted() -> None:
    assert taken(RIGHT) == 8000


@pytest.mark.parametrize(
    "numbers",
    [[*range(500), *range(501, 1000)], [*range(500), *range(499, 1000)], [1, 0, *range(2, 1000)]],
    ids=["missing", "doubled", "out of order"],
)
def test_a_stream_that_is_not_whole_is_seen(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="missing, doubled or out of order"):
        taken(numbers)


def test_a_key_that_comes_back_changed_is_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        typing = keys(ours, threading.Event())
        theirs.sendall(b"000000000000\n")
        assert next(typing) == 13
        theirs.sendall(b"000000000007\n")
        with pytest.raises(ValueError, match="came back as"):
            next(typing)


def test_uptimes_are_read_from_heartbeats_alone() -> None:
    text = (
        b"BOOT linux up=9.9\r\nHB n=1 chain=0 bad=0 up=10.50\r\nHB n=2 chain=0 bad=0 up=11.25\r\n"
    )
    assert uptimes(text) == [10.5, 11.25]


@pytest.mark.parametrize("ups", [[], [5.0, 1.0], [5.0, 50.0]], ids=["none", "booted", "leapt"])
def test_a_broken_uptime_is_seen(ups: list[float]) -> None:
    with pytest.raises(AssertionError):
        require_unbroken(ups, 30)
    require_unbroken([5.0, 5.0, 6.5], 30)
