"""Move after move after move: of a guest that dirties 80 MiB/s, and of one in which memtester
looks at its memory the whole time, which nobody here wrote.
"""

import re

import pytest

from microvm.guest.rom import Program
from tests.daemons import eventually
from tests.linuxguest.moving import Build, linux_guest
from tests.linuxguest.settings import Settings

pytestmark = pytest.mark.e2e

BUSY = Program(rate_mib_per_s=80, set_bytes=32 << 20, heartbeat_ms=100)
TOGGLING = Program(rate_mib_per_s=80, set_bytes=8 << 20, heartbeat_ms=100, is_toggling=True)
MEMORY = "128M"
HOSTS = ("host2", "host1")


@pytest.mark.parametrize(
    ("program", "moves"), [(BUSY, 20), (TOGGLING, 4)], ids=["busy", "toggling"]
)
def test_moves_in_a_row_lose_nothing(program: Program, moves: int) -> None:
    with linux_guest(Build(Settings(work=program), memory=MEMORY)) as guest:
        before = guest.verdict().last_n
        for number in range(moves):
            report = guest.move(HOSTS[number % 2], "--verify")  # both read all of it once more
            assert report["verified"]
            guest.goes_on()
        assert guest.verdict().last_n > before


def test_memtester_finds_nothing_in_ten_moves() -> None:
    with linux_guest(Build(Settings(memtester="24M"), memory=MEMORY)) as guest:
        for number in range(10):
            guest.move(HOSTS[number % 2])
        runs = len(_runs(guest.transcript.text))
        eventually(lambda: len(_runs(guest.transcript.text)) > runs, 120, "another run")
        assert b"FAIL" not in guest.transcript.text
        assert guest.transcript.text.count(b"BOOT") == 1


def _runs(text: bytes) -> list[bytes]:
    return re.findall(rb"MEMTESTER run=\d+ ok", text)
