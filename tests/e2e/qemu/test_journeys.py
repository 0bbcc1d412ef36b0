"""Real QEMU guests move between real daemons and lose nothing: the chain that the guest prints is
what an independent computation says it must be, of memory and disk, before and after every move.
"""

from collections.abc import Iterator

import pytest

from tests import qemu
from tests.cluster import Cluster, cluster
from tests.e2e.qemu.world import CONFIG, finish, make_guest

pytestmark = [pytest.mark.e2e, qemu.needed]


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes; each test has its own guest."""
    with cluster(["host1", "host2"], qemu=CONFIG) as made:
        yield made


def test_a_guest_goes_there_and_back_and_carries_its_memory_and_disk(world: Cluster) -> None:
    make_guest(world, "back", "host1")
    for destination in ("host2", "host1", "host2"):
        world.beats_on("back")
        moved = world.migrate("back", destination, "--verify")
        assert moved["phase"] == "PHASE_COMPLETED"
        assert moved["report"]["verified"]
        roots = moved["report"]["source_memory_root"], moved["report"]["destination_memory_root"]
        assert roots[0] == roots[1] != ""
        assert world.where("back") == {destination: "GUEST_STATE_RUNNING"}
        assert world.beats_on("back").count > 0
    finish(world, "back")
