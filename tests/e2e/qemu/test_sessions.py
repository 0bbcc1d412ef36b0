"""TCP sessions with a guest bear its moves: an interactive one and a stream, from a client outside,
over two hosts and a switch. The guest's tap is where the guest is, and nowhere else.
"""

import sys
from collections.abc import Iterator

import pytest

from microvm.guest.rom import Program
from tests.daemons import eventually
from tests.e2e.faults.bench import await_death, have_obey, order
from tests.linuxguest.moving import ADDRESS, Build, LinuxGuest, linux_guest
from tests.linuxguest.session import session
from tests.linuxguest.settings import Settings
from tests.netlab import BRIDGE, Lab, Place, lab

pytestmark = pytest.mark.e2e

WORK = Program(
    rate_mib_per_s=20, set_bytes=32 << 20, heartbeat_ms=100, has_disk=True, disk_every=256
)
STREAM_BYTES_PER_S = "4000000"
SILENCE_LIMIT_MS = 10_000


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    """Two hosts and a client."""
    with lab() as made:
        yield made


@pytest.fixture(scope="module")
def guest(network: Lab) -> Iterator[LinuxGuest]:
    """A guest with a card and a disk; its daemons can be ordered to die."""
    build = Build(Settings(work=WORK, address=f"{ADDRESS}/24"), disk="raw")
    with linux_guest(build, network) as made:
        have_obey(made.world)
        yield made


def taps(host: Place, where: str) -> int:
    """How many taps of guests a host has, in its bridge or at all."""
    return host.ip(f"link show {where}").count("alias bmig/vm1/")


IN_BRIDGE, ANYWHERE = f"master {BRIDGE}", ""


def test_sessions_bear_the_way_there_and_back(
    guest: LinuxGuest, network: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        session(network.client, "keys", ADDRESS) as keys,
        session(network.client, "stream", ADDRESS, STREAM_BYTES_PER_S) as stream,
    ):
        silent_ms = []
        for destination in ("host2", "host1"):
            report = guest.move(destination, "--probe-address", ADDRESS)
            silent_ms.append(int(report["network_downtime_us"]) / 1000)
            keys.goes_on()
            stream.goes_on()
        ended = {"keys": keys.end(), "stream": stream.end()}
    guest.verdict()
    for name, one in ended.items():
        with capsys.disabled():
            sys.stdout.write(f"\n{name}: longest gap {one.longest_gap_ms:.0f} ms ")
        assert 0 < one.longest_gap_ms < SILENCE_LIMIT_MS
        assert one.longest_gap_ms > min(silent_ms) / 2, "the sessions did not see what was probed"


def test_the_tap_is_where_the_guest_is_and_nowhere_else(guest: LinuxGuest, network: Lab) -> None:
    assert (taps(network.host1, IN_BRIDGE), taps(network.host2, ANYWHERE)) == (1, 0)
    guest.move("host2")
    assert (taps(network.host1, ANYWHERE), taps(network.host2, IN_BRIDGE)) == (0, 1)
    guest.goes_on()
    guest.move("host1")
    guest.goes_on()


def test_a_guest_that_comes_back_is_on_its_network_again(guest: LinuxGuest, network: Lab) -> None:
    destination = guest.world.nodes["host2"]
    order(destination, "destination.written")  # the guest is down by then
    with session(network.client, "keys", ADDRESS) as keys:
        migration_id = guest.world.start_migration("vm1", "host2")
        await_death(destination)
        destination.start()
        aborted = "PHASE_ABORTED"
        eventually(lambda: guest.world.phase("vm1", migration_id) == aborted, 60, "the retreat")
        keys.goes_on()
        assert keys.end().longest_gap_ms < SILENCE_LIMIT_MS
    assert (taps(network.host1, IN_BRIDGE), taps(network.host2, ANYWHERE)) == (1, 0)
    guest.verdict()


def test_a_source_that_dies_with_its_qemu_there_is_in_nobodys_way(
    guest: LinuxGuest, network: Lab
) -> None:
    source = guest.world.nodes["host1"]
    order(source, "source.PEER_RUNS_IT.JOURNAL")  # it knows that the guest runs elsewhere
    with session(network.client, "keys", ADDRESS) as keys:
        guest.world.start_migration("vm1", "host2")
        await_death(source)
        keys.goes_on()
        assert (taps(network.host1, ANYWHERE), taps(network.host1, IN_BRIDGE)) == (1, 0)
        source.start()
        eventually(lambda: taps(network.host1, ANYWHERE) == 0, 30, "the end of the source's tap")
        keys.goes_on()
        keys.end()
    guest.verdict()
