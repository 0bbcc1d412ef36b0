"""What operators may make of guests: nothing that the node does not take, and nothing is kept of
guests that do not exist.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmigd.errors import NotPossible, Unknown
from bmigd.migration.inventory import Inventory
from bmigd.migration.node import Node
from tests.migration.node import DEVICES, guest, ledger_of, make_node


@pytest.fixture(name="node")
def make_a_node(tmp_path: Path) -> Node:
    return make_node(tmp_path)


@pytest.fixture(name="inventory")
def make_inventory(node: Node) -> Iterator[Inventory]:
    with ledger_of(node) as ledger:
        yield Inventory(node, ledger)


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
