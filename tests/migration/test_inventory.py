"""What operators may make of guests: nothing that the node does not take, and nothing is kept of
guests that do not exist.
"""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bmigd.errors import Busy, LocalFault, NotPossible, Unknown
from bmigd.guests.definition import render_toml
from bmigd.guests.state import GuestState
from bmigd.journal import Record
from bmigd.migration import inventory as inventories
from bmigd.migration.handoff import DestinationState
from bmigd.migration.inventory import Inventory
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION, SOURCE
from bmigd.rpc.convert.guests import guest_to
from tests.migration.node import DEVICES, guest, inventory_of, ledger_of, make_node


@pytest.fixture(name="node")
def make_a_node(tmp_path: Path) -> Node:
    return make_node(tmp_path)


@pytest.fixture(name="inventory")
def make_inventory(node: Node) -> Iterator[Inventory]:
    with ledger_of(node) as ledger:
        yield inventory_of(node, ledger)


async def test_nothing_is_kept_of_names_that_no_guest_has(inventory: Inventory) -> None:
    for number in range(20):
        name = f"nobody{number}"
        for asked in (
            inventory.start(name),
            inventory.stop(name, True, 1),
            inventory.undefine(name),
        ):
            with pytest.raises(Unknown):
                await asked
    assert len(inventory._changing) == 0


async def test_a_guest_that_is_being_received_is_no_stranger(
    inventory: Inventory, node: Node
) -> None:
    coming = guest(node)
    record = Record(
        id="m1",
        side=DESTINATION,
        guest=coming.name,
        peer="host9",
        epoch=1,
        state=DestinationState.RECEIVING.value,
        definition=render_toml(coming),
    )
    await inventory._ledger.open(record)
    node.claims.take(coming.name, "m1")
    [listed] = [one async for one in inventory.all()]
    assert listed == await inventory.get(coming.name)
    assert (listed.state, listed.migration_id) == (GuestState.MIGRATING_IN, "m1")
    assert listed.detail == "being received from host9"
    for asked in (
        inventory.start(coming.name),
        inventory.stop(coming.name, True, 1),
        inventory.undefine(coming.name),
        inventory.define(coming),
    ):
        with pytest.raises(Busy, match="part of migration m1"):
            await asked
    assert node.store.names() == []


async def test_others_hear_what_is_about_to_be_here_before_it_is(
    inventory: Inventory, node: Node
) -> None:
    """Of two nodes that ask each other at the same time at least one hears of the other."""
    new = guest(node)
    for change in ("defined", "recovered"):
        with node.claims.by_hand(new.name, change):
            assert (await inventory.get(new.name)).detail == f"being {change}"
        with pytest.raises(Unknown):
            await inventory.get(new.name)
    node.store.add(new)
    with node.claims.by_hand(new.name, "started"):
        assert (await inventory.get(new.name)).state is GuestState.STARTING
    assert (await inventory.get(new.name)).state is GuestState.STOPPED


PASSTHROUGH = {"slot": "7", "emulation": "passthru", "options": ["2/0/0"]}
SHARE = {"slot": "7", "emulation": "virtio-9p", "options": ["root=/"]}


@pytest.mark.parametrize("device", [PASSTHROUGH, SHARE], ids=["passthru", "9p"])
async def test_a_device_that_reaches_the_host_is_refused_by_name(
    inventory: Inventory, node: Node, device: dict[str, Any]
) -> None:
    reaching = guest(node, devices=[*DEVICES, device])
    with pytest.raises(NotPossible, match=device["emulation"]) as refused:
        await inventory.define(reaching)
    assert refused.value.reason == "GUEST_NOT_MIGRATABLE"
    assert node.store.names() == []
    node.store.add(reaching)  # defined before it was refused
    with pytest.raises(NotPossible, match=device["emulation"]):
        await inventory.start(reaching.name)


async def test_a_description_that_cannot_be_read_hides_no_other_guest(
    inventory: Inventory, node: Node, tmp_path: Path
) -> None:
    node.store.add(guest(node))
    (tmp_path / "state/guests/broken.toml").write_text("name = ")
    (tmp_path / "state/guests/strange.toml").write_bytes(b"\xff\xfe")
    seen = {view.name: view for view in [one async for one in inventory.all()]}
    assert set(seen) == {guest(node).name, "broken", "strange"}
    assert seen[guest(node).name].state is GuestState.STOPPED
    for name in ("broken", "strange"):
        assert seen[name].state is GuestState.FAILED
        assert f"guests/{name}.toml" in seen[name].detail
        assert guest_to(seen[name]).definition.name == name
    with pytest.raises(LocalFault, match=r"broken\.toml") as fault:
        await inventory.start("broken")
    assert fault.value.reason == "DEFINITION_UNREADABLE"


async def test_a_guest_on_its_way_is_listed_and_those_that_came_to_nothing_are_not(
    node: Node,
) -> None:
    with ledger_of(node) as ledger:
        for number, state in enumerate((DestinationState.REFUSED, DestinationState.RECEIVING)):
            coming = guest(node, f"web{number}")
            await ledger.open(
                Record(
                    *(f"id{number}", DESTINATION, coming.name, "host2", 1, state.value),
                    definition=render_toml(coming),
                )
            )
        node.claims.take("web1", "id1")
        node.claims.take("web2", "not journalled yet")
        (view,) = [one async for one in inventory_of(node, ledger).all()]
    assert (view.name, view.state, view.migration_id) == ("web1", GuestState.MIGRATING_IN, "id1")


@pytest.mark.parametrize(
    ("side", "state", "is_back", "seen", "words"),
    [
        (DESTINATION, "STARTED", False, GuestState.MIGRATING_IN, "coming from host2"),
        (SOURCE, "MIGRATING", False, GuestState.SUSPENDED, "down while it moves to host2"),
        (SOURCE, "LET_GO", False, GuestState.IN_DOUBT, "let go to host2"),
        (SOURCE, "LET_GO", True, GuestState.STOPPED, "yet to be written"),
        (SOURCE, "RELEASED", False, GuestState.MIGRATING_OUT, "it is host2's"),
        (SOURCE, "RECLAIMED", False, GuestState.STOPPED, "yet to be written"),
    ],
)
async def test_a_guest_is_shown_by_its_side_of_a_migration_and_where_it_goes_on(
    node: Node, side: str, state: str, *, is_back: bool, seen: GuestState, words: str
) -> None:
    here = guest(node)
    node.store.add(here)
    with ledger_of(node) as ledger:
        await ledger.open(Record("m1", side, here.name, "host2", 1, state))
        node.claims.take(here.name, "m1")
        if is_back:
            node.claims.note_back(here.name, "m1")
        view = await inventory_of(node, ledger).get(here.name)
    assert view.state is seen
    assert words in view.detail


async def test_a_guest_that_does_not_answer_hides_no_other(
    inventory: Inventory, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventories, "SEEN_S", 0.3)
    monkeypatch.setattr(inventories, "AT_ONCE", 2)
    for name in ("web1", "web2", "web3", "web4"):
        node.store.add(guest(node, name))
    with supervisor_that_is_stopped(node, "web1"), supervisor_that_is_stopped(node, "web2"):
        began_s = time.monotonic()
        views = [view async for view in inventory.all()]
        assert time.monotonic() - began_s < 5, "they were waited for as long as others are"
    assert [view.name for view in views] == ["web1", "web2", "web3", "web4"]
    failed, stopped = [GuestState.FAILED] * 2, [GuestState.STOPPED] * 2
    assert [view.state for view in views] == [*failed, *stopped]
    assert "did not answer" in views[0].detail


@contextmanager
def supervisor_that_is_stopped(node: Node, name: str) -> Iterator[None]:
    """It takes connections, as the kernel does for it, and says nothing."""
    directory = node.driver(guest(node, name)).console_directory(name)
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "control"))
        listener.listen()
        yield
    shutil.rmtree(directory)
