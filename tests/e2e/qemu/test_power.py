"""A guest that reboots or powers itself off while it is on its way: it ends up in one place, and
the migration's report says what happened.

The source's daemon is held at a point where the guest still runs. There the guest does it at once;
or it is told to do it soon, and is down by then, so that it does it where it has come to.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microvm.guest import rom
from tests.daemons import Node, eventually
from tests.e2e.faults.bench import await_stop, have_obey, order
from tests.linuxguest.moving import Build, LinuxGuest, linux_guest
from tests.linuxguest.settings import Settings
from tests.oracle import check_heartbeats, params_of, parse_heartbeats

pytestmark = pytest.mark.e2e

WORK = rom.Program(rate_mib_per_s=10, set_bytes=8 << 20, heartbeat_ms=50)
GOING_DOWN = "source.suspend"
RUNS_AT = {"preparing": "source.met_peer", "going down": GOING_DOWN}
SOON_S = 5  # of the guest's time; it is down at once
ENDED = ("PHASE_COMPLETED", "PHASE_ABORTED")
RUNNING, STOPPED = "GUEST_STATE_RUNNING", "GUEST_STATE_STOPPED"


@pytest.fixture(scope="module")
def guest() -> Iterator[LinuxGuest]:
    """A guest without a disk and without a card; its daemons can be ordered to stop."""
    with linux_guest(Build(Settings(work=WORK), memory="128M")) as made:
        have_obey(made.world)
        yield made


def boots(guest: LinuxGuest) -> int:
    """How often it has booted."""
    return guest.transcript.text.count(b"BOOT linux")


def has_qemu(directory: Path) -> bool:
    """Whether a QEMU of a node is there, asked of the kernel: its daemon is held."""
    needle = str(directory).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in words.partition(b"\0")[0] and needle in words:
            return True
    return False


def begin(guest: LinuxGuest, point: str) -> tuple[Node, str]:
    """Begin to move it, up to a point where the source is held; the source, and the migration."""
    (here,) = guest.world.where("vm1")
    source = guest.world.nodes[here]
    order(source, point, number="SIGSTOP")
    there = "host2" if here == "host1" else "host1"
    migration_id = guest.world.start_migration("vm1", there)
    await_stop(source)
    return source, migration_id


def end(guest: LinuxGuest, source: Node, migration_id: str) -> dict[str, Any]:
    """Let the source go on; how the migration ended."""
    assert source.process
    os.kill(source.process.pid, signal.SIGCONT)
    eventually(lambda: guest.world.phase("vm1", migration_id) in ENDED, 60, "its end")
    return next(one for one in guest.world.migrations("vm1") if one["id"] == migration_id)


def runs_afresh(guest: LinuxGuest, place: str) -> None:
    """It runs there alone, and what it has printed since its last boot is right."""
    eventually(lambda: guest.world.where("vm1") == {place: RUNNING}, 60, f"it on {place}")
    guest.goes_on()
    since = guest.transcript.text.rpartition(b"BOOT linux")[2]
    check_heartbeats(params_of(rom.build(WORK)), parse_heartbeats(since))


def is_off(guest: LinuxGuest, place: str) -> None:
    """It is off there alone, and starts again."""
    eventually(lambda: guest.world.where("vm1") == {place: STOPPED}, 60, f"off on {place}")
    before = boots(guest)
    guest.world.ctl("guest", "start", "vm1")
    eventually(lambda: boots(guest) > before, 120, "another boot")
    runs_afresh(guest, place)


@pytest.mark.parametrize("point", RUNS_AT.values(), ids=RUNS_AT)
def test_a_guest_that_reboots_on_its_way_moves(guest: LinuxGuest, point: str) -> None:
    before = boots(guest)
    source, migration_id = begin(guest, point)
    guest.type(source.name, "reboot")
    eventually(lambda: boots(guest) > before, 120, "another boot")
    ended = end(guest, source, migration_id)
    assert ended["phase"] == "PHASE_COMPLETED"
    runs_afresh(guest, ended["destination"])


@pytest.mark.parametrize("point", RUNS_AT.values(), ids=RUNS_AT)
def test_a_guest_that_powers_off_on_its_way_stays(guest: LinuxGuest, point: str) -> None:
    source, migration_id = begin(guest, point)
    guest.type(source.name, "poweroff")
    eventually(lambda: not has_qemu(source.directory), 60, "the end of its QEMU")
    ended = end(guest, source, migration_id)
    assert ended["phase"] == "PHASE_ABORTED"
    assert ended["failure"]["reason"] == "GUEST_STOPPED"
    is_off(guest, source.name)


def test_a_guest_that_was_about_to_reboot_does_it_where_it_has_come_to(guest: LinuxGuest) -> None:
    before = boots(guest)
    source, migration_id = begin(guest, GOING_DOWN)
    guest.type(source.name, f"reboot {SOON_S}")
    ended = end(guest, source, migration_id)
    assert ended["phase"] == "PHASE_COMPLETED"
    eventually(lambda: boots(guest) > before, 120, "another boot")
    runs_afresh(guest, ended["destination"])


def test_a_guest_that_was_about_to_power_off_does_it_where_it_has_come_to(
    guest: LinuxGuest,
) -> None:
    source, migration_id = begin(guest, GOING_DOWN)
    guest.type(source.name, f"poweroff {SOON_S}")
    ended = end(guest, source, migration_id)
    assert ended["phase"] == "PHASE_COMPLETED"
    is_off(guest, ended["destination"])
