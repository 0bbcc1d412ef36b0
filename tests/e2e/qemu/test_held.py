"""A guest that an operator holds in QEMU moves as it is, and goes on when it is told to."""

import pytest

from microvm.guest.rom import Program
from tests.linuxguest.machine import ask
from tests.linuxguest.moving import Build, linux_guest
from tests.linuxguest.settings import Settings
from tests.oracle import parse_heartbeats

pytestmark = pytest.mark.e2e

WORK = Program(rate_mib_per_s=10, set_bytes=8 << 20, heartbeat_ms=50)


def test_a_held_guest_stays_held_until_it_is_started() -> None:
    with linux_guest(Build(Settings(work=WORK), memory="128M")) as guest:
        ask(guest.world.nodes["host1"].directory / "run/vm1/qmp", "stop")
        printed = len(parse_heartbeats(guest.transcript.text))
        for host in ("host2", "host1", "host2"):
            guest.move(host)
            monitor = guest.world.nodes[host].directory / "run/vm1/qmp"
            assert not ask(monitor, "query-status")["running"]
        assert len(parse_heartbeats(guest.transcript.text)) <= printed + 1
        guest.world.ctl("guest", "start", "vm1")
        guest.goes_on()
        guest.verdict()
