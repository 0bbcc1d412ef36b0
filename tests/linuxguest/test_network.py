"""The guest on the network lab: a client far away has sessions with it over its tap. They bear an
interruption and measure it: while the tap is out of its bridge nobody hears the guest.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmigd.drivers.qemu.taps import LinuxTaps
from tests.guests.definitions import a_guest
from tests.linuxguest.machine import machine
from tests.linuxguest.session import session
from tests.linuxguest.settings import Settings
from tests.netlab import BRIDGE, Lab, lab

pytestmark = pytest.mark.e2e

MAC, ADDRESS = "58:9c:fc:00:00:01", "10.9.0.5"
INTERRUPTION_S = 0.5
GUEST = a_guest(devices=[{"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": MAC}])


@dataclass
class World:
    """A lab, and the taps of its first host."""

    lab: Lab
    taps: LinuxTaps


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Without a guest."""
    with lab() as made:
        ip = ("ip", "-n", made.host1.namespace)
        yield World(made, LinuxTaps({"lan": BRIDGE}, tmp_path / "taps", ip))


async def test_a_client_has_sessions_with_it_and_sees_every_interruption(
    world: World, tmp_path: Path
) -> None:
    tap = (await world.taps.ensure(GUEST))[MAC]
    card = (
        *("-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no,vhost=off"),
        *("-device", f"virtio-net-pci,netdev=n,mac={MAC}"),
    )
    settings = Settings(address=f"{ADDRESS}/24")
    inside = world.lab.host1.namespace
    with machine(tmp_path, settings, *card, within=inside) as guest:
        guest.says(b"BOOT")
        with (
            session(world.lab.client, "keys", ADDRESS) as keys,
            session(world.lab.client, "stream", ADDRESS, "1000000") as stream,
        ):
            await world.taps.detach("web1")
            await asyncio.sleep(INTERRUPTION_S)
            await world.taps.attach("web1")
            keys.goes_on()
            stream.goes_on()
            typed, taken = keys.end(), stream.end()
    await world.taps.remove("web1")
    for report in (typed, taken):
        assert INTERRUPTION_S <= report.longest_gap_ms / 1e3 < INTERRUPTION_S + 10
