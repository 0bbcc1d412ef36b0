"""Taps over a program in ifconfig's place, which notes what it is asked and keeps interfaces as
files: made, bridged and described before bhyve opens them, and gone on every way out.

No card of the micro-VM exists in truth: the guest only has its taps made and removed.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmigd.drivers.bhyve.taps import BhyveTaps
from bmigd.errors import LocalFault, StartFailed
from tests.drivers.bed import Fault, nothing_left, received, suspended
from tests.drivers.bhyve_bed import DEVICES, BhyveBed, BhyveNode
from tests.guests.definitions import VALUES, a_guest

IFCONFIG = """\
#!/bin/sh
# Interfaces are files beside this one; `refuse` names an argument that fails.
cd "${0%/*}" || exit 9
echo "$*" >> calls
for word in $(cat refuse 2>/dev/null); do
    case " $* " in *" $word "*) echo "ifconfig: $word: refused" >&2; exit 1 ;; esac
done
if [ "$1 $2" = "tap create" ]; then
    n=0; while [ -e "tap$n" ]; do n=$((n + 1)); done
    : > "tap$n"; echo "tap$n"; exit
fi
case $1 in tap*)
    [ -e "$1" ] || { echo "ifconfig: interface $1 does not exist" >&2; exit 1; } ;;
esac
case $2 in
    "") cat "$1" ;;
    description) printf '%s: flags=8902\\n\\tdescription: %s\\n' "$1" "$3" > "$1" ;;
    destroy) rm "$1" ;;
esac
"""
MAC, SECOND = "58:9c:fc:00:00:01", "58:9c:fc:00:00:02"
CARD = {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": MAC}
SECOND_CARD = {"slot": "6", "emulation": "e1000", "network": "dmz", "mac": SECOND}
NETWORKS = {"lan": "bridge0", "dmz": "bridge1"}
GUEST = a_guest(devices=[*VALUES["devices"][:1], CARD, SECOND_CARD])


class Host:
    """A directory of interfaces with its ifconfig."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.ifconfig = directory / "ifconfig"
        self.ifconfig.write_text(IFCONFIG)
        self.ifconfig.chmod(0o700)
        self.taps = BhyveTaps(self.ifconfig, NETWORKS, directory / "notes")

    def calls(self) -> list[str]:
        """What it was asked since it was last looked at."""
        path = self.directory / "calls"
        said = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return said

    def interfaces(self) -> list[str]:
        """Those that exist."""
        return sorted(path.name for path in self.directory.glob("tap*"))

    def refuse(self, *words: str) -> None:
        """Have calls with such an argument fail."""
        (self.directory / "refuse").write_text(" ".join(words))

    def restart(self) -> None:
        """Interfaces are gone with the host's run; notes stay."""
        for name in self.interfaces():
            (self.directory / name).unlink()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without taps."""
    return Host(tmp_path / "if")


async def test_a_tap_is_made_named_bridged_and_brought_up(host: Host) -> None:
    assert await host.taps.ensure(GUEST) == {MAC: "tap0", SECOND: "tap1"}
    assert host.calls() == [
        *("tap create", f"tap0 description bmig/web1/{MAC}", "bridge0 addm tap0", "tap0 up"),
        *("tap create", f"tap1 description bmig/web1/{SECOND}", "bridge1 addm tap1", "tap1 up"),
    ]


async def test_a_tap_that_exists_is_kept_and_brought_up_again(host: Host) -> None:
    await host.taps.ensure(GUEST)
    host.calls()
    assert await host.taps.ensure(GUEST) == {MAC: "tap0", SECOND: "tap1"}
    assert host.calls() == ["tap0", "tap1", "tap0 up", "tap1 up"]


async def test_taps_are_removed_once(host: Host) -> None:
    await host.taps.ensure(GUEST)
    host.calls()
    await host.taps.remove("web1")
    assert host.calls() == ["tap0", "tap1", "tap0 destroy", "tap1 destroy"]
    await host.taps.remove("web1")
    assert host.calls() == []
    assert host.interfaces() == []
    assert list((host.directory / "notes").iterdir()) == []


async def test_guests_without_cards_ask_for_nothing(host: Host) -> None:
    assert await host.taps.ensure(a_guest(devices=[])) == {}
    await host.taps.remove("web1")
    assert host.calls() == []


async def test_taps_are_made_again_after_a_restart_of_the_host(host: Host) -> None:
    await host.taps.ensure(GUEST)
    host.restart()
    assert await host.taps.ensure(GUEST) == {MAC: "tap0", SECOND: "tap1"}
    assert host.interfaces() == ["tap0", "tap1"]


async def test_a_tap_of_another_guest_with_an_old_number_is_not_touched(host: Host) -> None:
    await host.taps.ensure(GUEST)
    host.restart()
    other = GUEST.model_copy(update={"name": "web2"})
    assert await host.taps.ensure(other) == {MAC: "tap0", SECOND: "tap1"}
    await host.taps.remove("web1")
    assert host.interfaces() == ["tap0", "tap1"]
    assert await host.taps.ensure(GUEST) == {MAC: "tap2", SECOND: "tap3"}


@pytest.mark.parametrize("note", ["", "{", "[]", "1"])
async def test_a_note_that_a_crash_cut_is_no_obstacle(host: Host, note: str) -> None:
    await host.taps.ensure(GUEST)
    (host.directory / "notes" / "web1.json").write_text(note)
    assert len(await host.taps.ensure(GUEST)) == 2


@pytest.mark.parametrize("word", ["create", "description", "addm", "up"])
async def test_a_refusal_is_named_and_leaves_no_tap(host: Host, word: str) -> None:
    host.refuse(word)
    with pytest.raises(LocalFault, match=f"{word}: refused") as fault:
        await host.taps.ensure(GUEST)
    assert fault.value.reason == "TAP_FAILED"
    assert host.interfaces() == []


async def test_the_reason_of_a_refusal_is_told_though_cleaning_fails_too(host: Host) -> None:
    host.refuse("addm", "destroy")
    with pytest.raises(LocalFault, match="addm: refused"):
        await host.taps.ensure(GUEST)


async def test_what_was_made_before_a_refusal_is_noted_for_removal(host: Host) -> None:
    host.refuse("bridge1")
    with pytest.raises(LocalFault):
        await host.taps.ensure(GUEST)
    assert host.interfaces() == ["tap0"]
    await host.taps.remove("web1")
    assert host.interfaces() == []


async def test_a_tap_that_was_being_made_when_it_was_not_wanted_any_more_is_removed(
    host: Host,
) -> None:
    making = asyncio.create_task(host.taps.ensure(GUEST))
    while not (host.directory / "calls").exists():
        await asyncio.sleep(0.001)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await host.taps.remove("web1")
    assert host.calls()[-1].endswith("destroy")
    assert host.interfaces() == []


async def test_a_tap_that_cannot_be_removed_stays_noted(host: Host) -> None:
    await host.taps.ensure(GUEST)
    host.refuse("destroy")
    with pytest.raises(LocalFault):
        await host.taps.remove("web1")
    host.refuse()
    await host.taps.remove("web1")
    assert host.interfaces() == []


async def test_a_network_that_is_not_configured_is_named(host: Host) -> None:
    taps = BhyveTaps(host.ifconfig, {}, host.directory / "notes")
    with pytest.raises(LocalFault, match="'lan'") as fault:
        await taps.ensure(GUEST)
    assert fault.value.reason == "NETWORK_MISSING"
    assert host.calls() == []


async def test_a_missing_ifconfig_is_named(tmp_path: Path) -> None:
    taps = BhyveTaps(tmp_path / "nothing", NETWORKS, tmp_path)
    with pytest.raises(LocalFault, match="cannot run") as fault:
        await taps.ensure(GUEST)
    assert fault.value.reason == "TAP_FAILED"


# On a guest's way


@pytest.fixture
def bed() -> Iterator[BhyveBed]:
    """A guest with a card."""
    bed = BhyveBed(devices=[*DEVICES, CARD])
    try:
        yield bed
    finally:
        bed.close()


def on(bed: BhyveBed, name: str) -> tuple[BhyveNode, Host]:
    """A node with its interfaces."""
    host = Host(bed.directory / f"if-{name}")
    node = bed.node(name)
    node.networks = NETWORKS
    return node.again(ifconfig=host.ifconfig), host


@pytest.mark.slow
async def test_a_guest_has_its_tap_while_it_runs_and_not_longer(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    await node.start()
    assert host.interfaces() == ["tap0"]
    notes = json.loads((node.directory / "db/taps/web1.json").read_text())
    assert notes == {MAC: {"interface": "tap0", "bridge": "bridge0"}}
    await node.driver.stop(bed.definition, force=True, timeout_s=0)
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_guest_that_does_not_start_has_no_tap(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    node.fault(Fault.DIES_ON_START)
    with pytest.raises(StartFailed):
        await node.driver.start(bed.definition)
    assert host.calls()[:2] == ["tap create", f"tap0 description bmig/web1/{MAC}"]
    assert host.interfaces() == []


@pytest.mark.slow
async def test_a_guest_whose_tap_is_refused_is_not_started_and_leaves_nothing(
    bed: BhyveBed,
) -> None:
    node, host = on(bed, "a")
    host.refuse("addm")
    with pytest.raises(LocalFault) as fault:
        await node.driver.start(bed.definition)
    assert fault.value.reason == "TAP_FAILED"
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_guest_whose_tap_is_refused_is_not_received_and_leaves_nothing(
    bed: BhyveBed,
) -> None:
    node, host = on(bed, "a")
    host.refuse("addm")
    guest = node.driver.incoming(bed.definition)
    with pytest.raises(LocalFault) as fault:
        await guest.prepare()
    assert fault.value.reason == "TAP_FAILED"
    await guest.discard()
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_moved_guest_has_a_tap_at_its_new_place_alone(bed: BhyveBed) -> None:
    (node, host), (other, there) = on(bed, "a"), on(bed, "b")
    async with received(node, other) as (guest, _):
        assert host.interfaces() == there.interfaces() == ["tap0"]  # made before it goes down
        await guest.start()
        await node.driver.outgoing(bed.definition).release()
        assert host.interfaces() == []
        assert there.interfaces() == ["tap0"]
        await nothing_left(node)
    assert there.interfaces() == []
    await nothing_left(other)


@pytest.mark.slow
async def test_a_guest_that_goes_on_here_keeps_its_tap_and_has_it_brought_up(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    async with suspended(node) as (guest, _):
        host.calls()
        await guest.resume()
        assert host.calls() == ["tap0", "tap0 up"]
        await node.beats_on()


async def test_a_tap_that_cannot_be_noted_is_not_kept_and_costs_no_older_note(host: Host) -> None:
    notes = host.directory / "notes"
    await host.taps.ensure(GUEST)
    before = (notes / "web1.json").read_text()
    (host.directory / "tap1").unlink()
    (notes / "web1.partial").mkdir()  # in the way of what is written
    with pytest.raises(LocalFault) as fault:
        await host.taps.ensure(GUEST)
    assert (fault.value.reason, fault.value.guest) == ("TAP_NOT_NOTED", "web1")
    assert host.interfaces() == ["tap0"]
    assert (notes / "web1.json").read_text() == before
    (notes / "web1.partial").rmdir()
    assert await host.taps.ensure(GUEST) == {MAC: "tap0", SECOND: "tap1"}
