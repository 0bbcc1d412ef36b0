"""Guests of every shape move: more than 3 GiB, several processors, a VGA card, disks and cards."""

import pytest

from microvm.guest.rom import Program
from tests.linuxguest.moving import ADDRESS, Build, linux_guest
from tests.linuxguest.settings import Settings
from tests.netlab import lab

pytestmark = pytest.mark.e2e

WORK = Program(
    rate_mib_per_s=10, set_bytes=8 << 20, heartbeat_ms=50, has_disk=True, disk_sectors=256
)


def test_a_guest_with_four_processors_vga_and_more_disks_and_cards_moves() -> None:
    more = (
        {"slot": "2", "emulation": "vga"},
        {"slot": "6", "emulation": "e1000", "network": "lan", "mac": "58:9c:fc:00:00:06"},
    )
    build = Build(
        Settings(work=WORK, address=f"{ADDRESS}/24"), processors=4, disk="qcow2", more=more
    )
    with lab() as network, linux_guest(build, network) as guest:
        for host in ("host2", "host1"):
            guest.move(host)
            guest.goes_on()
        guest.verdict()


def test_a_guest_of_more_than_3_gib_moves() -> None:
    with linux_guest(Build(Settings(work=WORK), memory="3200M", processors=2, disk="raw")) as guest:
        guest.move("host2")
        guest.goes_on()
        guest.verdict()
