"""A guest that reboots or powers itself off while it is on its way: it ends up in one place, and
the migration's report says what happened.
"""

import json
import subprocess
from collections.abc import Iterator

import pytest

from microvm.guest import rom
from microvm.guest.rom import Program
from tests.cluster import eventually
from tests.linuxguest.moving import Build, LinuxGuest, linux_guest
from tests.linuxguest.settings import Settings
from tests.linuxguest.typist import typist
from tests.oracle import check_heartbeats, params_of, parse_heartbeats

pytestmark = pytest.mark.e2e

WORK = Program(rate_mib_per_s=10, set_bytes=8 << 20, heartbeat_ms=50)
PHASES = ("PHASE_PREPARING", "PHASE_PRECOPY", "PHASE_SWITCHOVER")
SLOWLY = ("--bandwidth", "12M", "--downtime-limit", "5000", "--on-timeout", "switch-over")
RUNNING, STOPPED = "GUEST_STATE_RUNNING", "GUEST_STATE_STOPPED"


@pytest.fixture(scope="module")
def guest() -> Iterator[LinuxGuest]:
    """A guest without a disk and without a card."""
    with linux_guest(Build(Settings(work=WORK), memory="128M")) as made:
        yield made


def _during(guest: LinuxGuest, phase: str, command: str) -> dict[str, object]:
    """Migrate it, and type a command at its console as the phase begins; how it ended."""
    (here,) = guest.world.where("vm1")
    there = "host2" if here == "host1" else "host1"
    migrate = [*guest.world.bmigctl(), "migrate", "vm1", there, *SLOWLY, "--json"]
    with (
        typist(guest.world, "vm1") as console,
        subprocess.Popen(migrate, stdout=subprocess.PIPE, text=True) as migration,
    ):
        assert migration.stdout
        ended: dict[str, object] = {}
        for line in map(json.loads, migration.stdout):
            if line.get("phase") == phase and line["kind"] == "phase":
                console.type(command)
            if line["kind"] == "result":
                ended = line["migration"]
    assert ended, "no result"
    return ended


@pytest.mark.parametrize("phase", PHASES)
def test_a_guest_that_reboots_on_its_way_runs_in_one_place(guest: LinuxGuest, phase: str) -> None:
    boots = guest.transcript.text.count(b"BOOT")
    ended = _during(guest, phase, "reboot")
    place = ended["destination" if ended["phase"] == "PHASE_COMPLETED" else "source"]
    eventually(lambda: guest.transcript.text.count(b"BOOT") > boots, 60, "another boot")
    assert guest.world.where("vm1") == {place: RUNNING}
    guest.goes_on()
    since = guest.transcript.text.rpartition(b"BOOT")[2]
    check_heartbeats(params_of(rom.build(WORK)), parse_heartbeats(since))


@pytest.mark.parametrize("phase", PHASES)
def test_a_guest_that_powers_off_on_its_way_is_off_in_one_place(
    guest: LinuxGuest, phase: str
) -> None:
    ended = _during(guest, phase, "poweroff")
    place = str(ended["destination" if ended["phase"] == "PHASE_COMPLETED" else "source"])
    eventually(lambda: guest.world.where("vm1") == {place: STOPPED}, 60, f"off on {place}")
    if place == ended["source"]:
        failure = ended["failure"]
        assert isinstance(failure, dict)
        assert failure["reason"] == "GUEST_STOPPED"
    boots = guest.transcript.text.count(b"BOOT")
    guest.world.ctl("guest", "start", "vm1")
    eventually(lambda: guest.transcript.text.count(b"BOOT") > boots, 60, "another boot")
    guest.goes_on()
