"""A guest that comes back finds what it left: only what differs is sent, and memory is as right as
ever; a node that the guest did not come from is told nothing.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster, cluster
from tests.daemons import eventually

pytestmark = pytest.mark.e2e

MIB = 1 << 20
ROM = ("--rate", "2", "--working-set", "16M", "--fill", "64M", "--heartbeat-ms", "50", "--disk")
KEEPING = {"keep_memory_mib": 256}


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    with cluster(["host1", "host2", "host3"], migration=KEEPING) as made:
        made.make_guest("vm1", "host1", "128M", *ROM)
        eventually(lambda: made.heartbeats("vm1").last_n > 0, 60, "a filled guest")
        yield made


def moved(world: Cluster, to: str) -> dict[str, Any]:
    """A migration there, complete and right."""
    done = world.migrate("vm1", to, "--codec", "raw", "--verify")
    assert done["phase"] == "PHASE_COMPLETED"
    assert done["report"]["source_memory_root"] == done["report"]["destination_memory_root"]
    world.beats_on("vm1")
    return done


def wire(done: dict[str, Any]) -> int:
    """Bytes of memory on the wire."""
    return int(done["report"]["wire_bytes"])


def images(world: Cluster, node: str) -> list[str]:
    """What a node has kept."""
    return sorted(path.name for path in (world.nodes[node].directory / "spool/images").glob("vm1*"))


def test_the_way_back_carries_only_what_changed(world: Cluster) -> None:
    there = moved(world, "host2")
    assert wire(there) > 48 * MIB
    assert len(images(world, "host1")) == 2  # the memory and its note
    back = moved(world, "host1")
    assert wire(back) < wire(there) / 3  # two seconds of a guest that dirties 16 MiB of 80
    assert images(world, "host1") == []
    assert len(images(world, "host2")) == 2
    events = world.ctl("watch", back["id"]).stdout
    assert "only what differs is sent: host1 still has" in events


def test_a_node_that_the_guest_did_not_go_to_gets_nothing_of_it(world: Cluster) -> None:
    moved(world, "host2")
    moved(world, "host3")  # host1 has what went to host2
    home = moved(world, "host1")
    assert wire(home) > 48 * MIB
    moved(world, "host2")
    moved(world, "host1")


def test_a_migration_that_failed_on_the_way_back_leaves_the_guest_and_the_next_one_works(
    world: Cluster,
) -> None:
    moved(world, "host2")
    world.fault("host1", "vm1", "restore-fails")
    failed = world.migrate("vm1", "host1", "--codec", "raw", expect=4)
    assert failed["phase"] == "PHASE_ABORTED"
    world.fault("host1", "vm1")
    world.beats_on("vm1")
    moved(world, "host1")
