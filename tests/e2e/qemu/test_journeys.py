"""Real QEMU guests move between real daemons and lose nothing: the chain that the guest prints is
what an independent computation says it must be, of memory and disk, before and after every move.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests import qemu
from tests.cluster import Cluster, cluster
from tests.e2e.network.world import network
from tests.e2e.qemu.world import CONFIG, MIB, QUIET, Machine, finish, make_guest

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


def test_pages_that_toggle_between_two_contents_arrive_right(world: Cluster) -> None:
    program = replace(QUIET, rate_mib_per_s=40, is_toggling=True, has_disk=False)
    make_guest(world, "toggle", "host1", program=program)
    for destination in ("host2", "host1", "host2"):
        assert world.migrate("toggle", destination)["phase"] == "PHASE_COMPLETED"
        world.beats_on("toggle")
    finish(world, "toggle")


@pytest.mark.slow
def test_a_guest_keeps_its_memory_above_four_gib(world: Cluster) -> None:
    """Its file has no hole where the guest's addresses have one."""
    program = replace(QUIET, fill_bytes=64 * MIB)  # every second page lies above 4 GiB
    make_guest(world, "large", "host1", Machine(memory="3328M"), program)
    moved = world.migrate("large", "host2")
    assert moved["phase"] == "PHASE_COMPLETED"
    assert moved["report"]["sent_bytes"] < 512 * MIB  # what was never touched is not sent
    world.beats_on("large")
    finish(world, "large")


def test_the_older_machine_with_more_processors_and_devices_moves(world: Cluster) -> None:
    others = ("vga", "virtio-rng", "virtio-balloon")
    more = [{"slot": str(slot), "emulation": one} for slot, one in enumerate(others, 5)]
    make_guest(world, "older", "host1", Machine("64M", "pc-i440fx-7.2", 4, "qcow2", more))
    for destination in ("host2", "host1"):
        assert world.migrate("older", destination)["phase"] == "PHASE_COMPLETED"
        world.beats_on("older")
    finish(world, "older")


def test_a_machine_that_the_hypervisor_does_not_have_is_told_in_its_words(world: Cluster) -> None:
    with pytest.raises(AssertionError, match=r"START_FAILED.*\n*.*unsupported machine type"):
        make_guest(world, "future", "host1", Machine(machine="pc-q35-99.9"))
    world.ctl("guest", "undefine", "future")
    world.require_clean("host1")


def test_a_guest_faster_than_the_link_is_slowed_until_it_converges() -> None:
    """Its monitor is stopped with it, in turns, and is asked all the same."""
    program = replace(QUIET, rate_mib_per_s=4000, set_bytes=4 * MIB, zero_percent=0, text_percent=0)
    with network(judged=False, qemu=CONFIG) as link:
        world, link.proxies["host1"].bytes_per_s = link.cluster, 40.0 * MIB
        make_guest(world, "slowed", "host1", program=program)
        wish = ("--on-timeout", "throttle", "--downtime-limit", "100")
        moved = world.migrate("slowed", "host2", *wish)
        assert moved["phase"] == "PHASE_COMPLETED"
        assert moved["report"]["throttle_percent"] >= 50
        assert world.where("slowed") == {"host2": "GUEST_STATE_RUNNING"}
        world.beats_on("slowed")
        finish(world, "slowed")
