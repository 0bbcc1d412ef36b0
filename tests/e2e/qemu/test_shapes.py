"""Guests of every shape move: more than 3 GiB, several processors, a VGA card, disks and cards."""

import re

import pytest

from microvm.guest.rom import Program
from tests.daemons import eventually
from tests.linuxguest.moving import ADDRESS, Build, LinuxGuest, linux_guest
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


def test_what_a_guest_wrote_on_several_disks_is_there_after_each_move() -> None:
    build = Build(Settings(work=WORK), disk="raw", more_disks=("raw", "qcow2"))
    with linux_guest(build) as guest:
        at_first = disk_sums(guest, "host1", "fill")
        assert set(at_first) == {"vdb", "vdc"}
        guest.move("host2")
        assert disk_sums(guest, "host2") == at_first
        over_there = disk_sums(guest, "host2", "fill")
        assert set(over_there.values()).isdisjoint(at_first.values())
        guest.move("host1")
        assert disk_sums(guest, "host1") == over_there
        guest.verdict()


def disk_sums(guest: LinuxGuest, host: str, before: str = "") -> dict[str, str]:
    """What the guest reads on its disks, after it obeyed a command."""
    if before:
        told = guest.transcript.text.count(b"FILLED")
        guest.type(host, before)
        eventually(lambda: guest.transcript.text.count(b"FILLED") > told, 60, "filled disks")
    told = guest.transcript.text.count(b"SUMMED")
    guest.type(host, "sums")
    eventually(lambda: guest.transcript.text.count(b"SUMMED") > told, 60, "sums of disks")
    found = re.findall(rb"SUM (vd[b-z]) ([0-9a-f]{32})", guest.transcript.text)
    return {name.decode(): digest.decode() for name, digest in found[-2:]}


def test_a_guest_of_more_than_3_gib_moves() -> None:
    with linux_guest(Build(Settings(work=WORK), memory="3200M", processors=2, disk="raw")) as guest:
        guest.move("host2")
        guest.goes_on()
        guest.verdict()
