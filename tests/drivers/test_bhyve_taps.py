"""Taps over a program in ifconfig's place: made, bridged, described and noted, or not there at all;
removed whatever happened meanwhile; those of other guests are not touched.
"""

import asyncio
from pathlib import Path

import pytest

from bmigd.drivers.bhyve.taps import BhyveTaps
from bmigd.errors import LocalFault
from tests.drivers.ifconfig import CARD, MAC, NETWORKS, SECOND, Host
from tests.guests.definitions import VALUES, a_guest

SECOND_CARD = {"slot": "6", "emulation": "e1000", "network": "dmz", "mac": SECOND}
GUEST = a_guest(devices=[*VALUES["devices"][:1], CARD, SECOND_CARD])


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
