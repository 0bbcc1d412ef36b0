"""A guest that reboots or powers itself off while it is on its way: it ends up in one place, and
the migration's report says what happened.

The guest does it after a time of its own. The source's daemon is held at a point of the way: where
the guest still runs, until it has done it; where it is down, it does it when it is up again.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmigd.crashpoints import VARIABLE
from microvm.guest import rom
from tests.cluster import eventually
from tests.e2e.faults.bench import await_stop, order, order_path
from tests.linuxguest.moving import Build, LinuxGuest, linux_guest
from tests.linuxguest.settings import Settings
from tests.linuxguest.typist import typist
from tests.oracle import check_heartbeats, params_of, parse_heartbeats

pytestmark = pytest.mark.e2e

WORK = rom.Program(rate_mib_per_s=10, set_bytes=8 << 20, heartbeat_ms=50)
RUNS_AT = {"preparing": "source.met_peer", "going down": "source.suspend"}
DOWN_AT = {"down": "source.suspended", "handed over": "source.PEER_READY.JOURNAL"}
DELAY_S = 4
ENDED = ("PHASE_COMPLETED", "PHASE_ABORTED")
RUNNING, STOPPED = "GUEST_STATE_RUNNING", "GUEST_STATE_STOPPED"


@pytest.fixture(scope="module")
def guest() -> Iterator[LinuxGuest]:
    """A guest without a disk and without a card; its daemons can be ordered to stop."""
    with linux_guest(Build(Settings(work=WORK), memory="128M")) as made:
        for node in made.world.nodes.values():
            node.stop()
            node.environment[VARIABLE] = str(order_path(node))
            node.start()
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


def held(guest: LinuxGuest, point: str, command: str) -> dict[str, Any]:
    """Move it, with the source held at a point while it does what it is told; how that ended."""
    world, before = guest.world, boots(guest)
    (here,) = world.where("vm1")
    source = world.nodes[here]
    told = guest.transcript.text.count(b"RX ")
    with typist(world, "vm1") as console:
        console.type(f"{command} {DELAY_S}")
        eventually(lambda: guest.transcript.text.count(b"RX ") > told, 30, "the guest's answer")
    order(source, point, number="SIGSTOP")
    migration_id = world.start_migration("vm1", "host2" if here == "host1" else "host1")
    await_stop(source)
    assert source.process
    try:
        if point in RUNS_AT.values() and command == "reboot":
            eventually(lambda: boots(guest) > before, 60, "another boot")
        elif point in RUNS_AT.values():
            eventually(lambda: not has_qemu(source.directory), 60, "the end of its QEMU")
    finally:
        os.kill(source.process.pid, signal.SIGCONT)
    eventually(lambda: world.phase("vm1", migration_id) in ENDED, 60, "the end of the migration")
    if point in DOWN_AT.values() and command == "reboot":
        eventually(lambda: boots(guest) > before, 60, "another boot")
    return next(one for one in world.migrations("vm1") if one["id"] == migration_id)


def place_of(migration: dict[str, Any]) -> str:
    """Where the guest is after it."""
    moved = migration["phase"] == "PHASE_COMPLETED"
    return str(migration["destination" if moved else "source"])


@pytest.mark.parametrize("point", [*RUNS_AT.values(), *DOWN_AT.values()], ids=[*RUNS_AT, *DOWN_AT])
def test_a_guest_that_reboots_on_its_way_has_moved_and_runs(guest: LinuxGuest, point: str) -> None:
    ended = held(guest, point, "reboot")
    assert ended["phase"] == "PHASE_COMPLETED"
    eventually(lambda: guest.world.where("vm1") == {place_of(ended): RUNNING}, 30, "the guest")
    guest.goes_on()
    since = guest.transcript.text.rpartition(b"BOOT linux")[2]
    check_heartbeats(params_of(rom.build(WORK)), parse_heartbeats(since))


@pytest.mark.parametrize("point", [*RUNS_AT.values(), *DOWN_AT.values()], ids=[*RUNS_AT, *DOWN_AT])
def test_a_guest_that_powers_off_on_its_way_is_off_where_it_was(
    guest: LinuxGuest, point: str
) -> None:
    ended = held(guest, point, "poweroff")
    assert ended["phase"] == ("PHASE_ABORTED" if point in RUNS_AT.values() else "PHASE_COMPLETED")
    if point in RUNS_AT.values():
        assert ended["failure"]["reason"] == "GUEST_STOPPED"
    place, before = place_of(ended), boots(guest)
    eventually(lambda: guest.world.where("vm1") == {place: STOPPED}, 60, f"off on {place}")
    guest.world.ctl("guest", "start", "vm1")
    eventually(lambda: boots(guest) > before, 60, "another boot")
    guest.goes_on()
