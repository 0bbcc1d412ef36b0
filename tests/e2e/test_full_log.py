"""Disks under logs are full: guests move all the same, and nothing is left half-way."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.daemons import BIN, Node, eventually
from tests.e2e.way import Way, with_guest

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    with with_guest() as made:
        yield made


def with_a_full_log(world: Cluster, node: Node) -> None:
    """Start a daemon again; every line that it logs is refused by its disk."""
    node.stop()
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        node.process = subprocess.Popen(
            [BIN / "bmigd", "--config", node.config_path], stdin=subprocess.DEVNULL, stderr=full
        )
    eventually(
        lambda: world.ctl("node", "show", node.name, check=False).returncode == 0, what="a start"
    )


def test_a_guest_goes_there_and_back_and_stays_when_it_must(world: Cluster) -> None:
    for node in world.nodes.values():
        with_a_full_log(world, node)
    Way.of(world).next_one_works()
    Way.of(world).next_one_works()
    way = Way.of(world)
    world.fault(way.source, "vm1", "suspend-fails")
    assert way.failed()["reason"] == "SUSPEND_FAILED"  # what brings it back logs as well
    world.fault(way.source, "vm1")
    way.unharmed()
    way.next_one_works()
