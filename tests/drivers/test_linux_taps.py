"""Linux's taps on real bridges in a network namespace: made, marked, bridged, taken out and put
back, and gone; nothing that is not ours is touched.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmigd.drivers.qemu.taps import LinuxTaps
from bmigd.errors import LocalFault
from tests.guests.definitions import VALUES, a_guest
from tests.netlab import Place, place

MAC, SECOND = "58:9c:fc:00:00:01", "58:9c:fc:00:00:02"
CARD = {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": MAC}
SECOND_CARD = {"slot": "6", "emulation": "e1000", "network": "dmz", "mac": SECOND}
GUEST = a_guest(devices=[*VALUES["devices"][:1], CARD, SECOND_CARD])
NETWORKS = {"lan": "bridge0", "dmz": "bridge1"}
JUMBO = 9000
# TUNSETIFF, with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR
HOLDER = """
import fcntl, os, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x5002))
print("held", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Host:
    """A namespace with two bridges, and a daemon's taps on it."""

    place: Place
    notes: Path

    @property
    def taps(self) -> LinuxTaps:
        """As after a start of the daemon."""
        return LinuxTaps(NETWORKS, self.notes, self.ip)

    @property
    def ip(self) -> tuple[str, ...]:
        """ip(8), in that namespace."""
        return ("ip", "-n", self.place.namespace)

    def links(self) -> dict[str, dict[str, Any]]:
        """The taps that are there, by their alias."""
        shown = json.loads(self.place.ip("-json -details link show"))
        return {
            one.get("ifalias", one["ifname"]): one
            for one in shown
            if one.get("linkinfo", {}).get("info_kind") == "tun"
        }


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host without taps."""
    with place("taps") as where:
        where.ip(
            f"link add bridge0 mtu {JUMBO} type bridge",
            "link add bridge1 type bridge",
            "link set bridge0 up",
            "link set bridge1 up",
        )
        yield Host(where, tmp_path / "notes")


def is_up(link: dict[str, Any]) -> bool:
    """As an operator wants it."""
    return "UP" in link["flags"]


async def test_a_tap_is_made_marked_bridged_and_up_with_the_bridges_mtu(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    links = host.links()
    assert {mac: links[f"bmig/web1/{mac}"]["ifname"] for mac in (MAC, SECOND)} == taps
    assert all(len(name) <= 15 for name in taps.values())
    first, second = links[f"bmig/web1/{MAC}"], links[f"bmig/web1/{SECOND}"]
    assert (first["master"], second["master"]) == ("bridge0", "bridge1")
    assert is_up(first)
    assert is_up(second)
    assert (first["mtu"], second["mtu"]) == (JUMBO, 1500)
    assert first["linkinfo"]["info_data"]["persist"] is True


async def test_a_bridge_does_not_take_the_address_of_a_tap(host: Host) -> None:
    uplink = "80:00:00:00:00:01"  # the guest's is lower
    host.place.ip(f"link add up0 address {uplink} type veth peer name far0")
    host.place.ip("link set up0 master bridge0")
    await host.taps.ensure(GUEST)
    assert host.links()[f"bmig/web1/{MAC}"]["address"] == "fe:9c:fc:00:00:01"
    (bridge,) = json.loads(host.place.ip("-json link show dev bridge0"))
    assert bridge["address"] == uplink


async def test_a_guest_that_goes_on_has_its_taps_again(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    await host.taps.detach("web1")
    await host.taps.detach("web1")
    for link in host.links().values():
        assert "master" not in link
        assert not is_up(link)
    await host.taps.attach("web1")
    assert {link["master"] for link in host.links().values()} == {"bridge0", "bridge1"}
    await host.taps.detach("web1")
    assert await host.taps.ensure(GUEST) == taps
    assert {link["master"] for link in host.links().values()} == {"bridge0", "bridge1"}
    assert all(map(is_up, host.links().values()))


async def test_taps_are_removed_once_even_out_of_their_bridges(host: Host) -> None:
    await host.taps.ensure(GUEST)
    await host.taps.detach("web1")
    await host.taps.remove("web1")
    await host.taps.remove("web1")
    assert host.links() == {}
    assert list(host.notes.iterdir()) == []


async def test_a_tap_whose_note_was_lost_is_found_again(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    shutil.rmtree(host.notes)
    assert await host.taps.ensure(GUEST) == taps
    assert len(host.links()) == 2
    await host.taps.remove("web1")
    assert host.links() == {}


async def test_taps_are_made_again_after_a_restart_of_the_host(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    for tap in taps.values():
        host.place.ip(f"link delete {tap}")
    assert await host.taps.ensure(GUEST) == taps
    assert len(host.links()) == 2


async def test_two_daemons_on_one_host_have_taps_of_their_own(host: Host, tmp_path: Path) -> None:
    other = LinuxTaps(NETWORKS, tmp_path / "other", host.ip)
    taps, others = await host.taps.ensure(GUEST), await other.ensure(GUEST)
    assert not {*taps.values()} & {*others.values()}
    await host.taps.remove("web1")
    assert {link["ifname"] for link in host.links().values()} == {*others.values()}


async def test_an_interface_of_somebody_else_is_not_touched(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    host.place.ip(f"link set {taps[MAC]} alias theirs nomaster")
    with pytest.raises(LocalFault, match="not bmig's: theirs") as fault:
        await host.taps.ensure(GUEST)
    assert fault.value.reason == "TAP_FAILED"
    await host.taps.detach("web1")
    await host.taps.remove("web1")
    assert [*host.links()] == ["theirs"]
    assert is_up(host.links()["theirs"])


async def test_a_missing_bridge_is_named_and_leaves_no_tap(host: Host) -> None:
    host.place.ip("link delete bridge0")
    with pytest.raises(LocalFault, match="no bridge bridge0") as fault:
        await host.taps.ensure(GUEST)
    assert fault.value.reason == "TAP_FAILED"
    assert host.links() == {}


async def test_what_is_no_bridge_is_named_and_leaves_no_tap(host: Host) -> None:
    host.place.ip("link delete bridge1", "link add bridge1 type veth")
    with pytest.raises(LocalFault) as fault:
        await host.taps.ensure(GUEST)
    assert fault.value.reason == "TAP_FAILED"
    assert [*host.links()] == [f"bmig/web1/{MAC}"]
    await host.taps.remove("web1")
    assert host.links() == {}


async def test_a_tap_that_a_program_holds_can_be_taken_out_and_removed(host: Host) -> None:
    taps = await host.taps.ensure(GUEST)
    with _held(host.place, taps[MAC]):
        await host.taps.detach("web1")
        assert "master" not in host.links()[f"bmig/web1/{MAC}"]
        await host.taps.remove("web1")
    assert host.links() == {}


@contextmanager
def _held(where: Place, tap: str) -> Iterator[None]:
    """A program has the tap open, as QEMU does."""
    command = [*where.within, sys.executable, "-c", HOLDER, tap]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()
