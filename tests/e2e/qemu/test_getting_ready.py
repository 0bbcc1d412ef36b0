"""A destination's QEMU starts while memory arrives: the guest waits for it running, not down, and a
QEMU that does not start leaves the guest where it was and nothing on the other side.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import qemu
from tests.cluster import Cluster, cluster
from tests.e2e.qemu.world import CONFIG, finish, make_guest
from tests.e2e.way import Way

pytestmark = [pytest.mark.e2e, qemu.needed]

# As the file of orders says before a QEMU is started that waits for a guest.
WRAPPER = """#!/bin/sh
for word; do
  case $word in -incoming) . {orders}; break;; esac
done
exec {program} "$@"
"""


@pytest.fixture(name="orders", scope="module")
def make_orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of lines for a shell."""
    orders = tmp_path_factory.mktemp("wrapped") / "orders"
    orders.touch()
    return orders


@pytest.fixture(name="world", scope="module")
def make_world(orders: Path) -> Iterator[Cluster]:
    """Two nodes whose QEMU does what the orders say."""
    wrapper = orders.with_name("qemu")
    wrapper.write_text(WRAPPER.format(orders=orders, program=CONFIG["qemu"]))
    wrapper.chmod(0o700)
    with cluster(["host1", "host2"], qemu={**CONFIG, "qemu": str(wrapper)}) as made:
        yield made


def test_a_guest_is_copied_and_runs_until_a_slow_destination_is_ready(
    world: Cluster, orders: Path
) -> None:
    make_guest(world, "patient", "host1")
    world.beats_on("patient")
    orders.write_text("sleep 3\n")
    moved = world.migrate("patient", "host2")
    assert moved["phase"] == "PHASE_COMPLETED"
    assert int(moved["report"]["total_us"]) >= 3_000_000
    assert int(moved["report"]["downtime_us"]) < 2_000_000  # it did not wait for it
    world.beats_on("patient")
    finish(world, "patient")


def test_a_destination_that_does_not_get_ready_leaves_the_guest_where_it_was(
    world: Cluster, orders: Path
) -> None:
    make_guest(world, "stays", "host1")
    world.beats_on("stays")
    orders.write_text("echo no room for more >&2; exit 7\n")
    failure = Way.of(world, "stays").failed("--bandwidth", "4M", "--codec", "raw")
    assert (failure["reason"], failure["side"]) == ("START_FAILED", "SIDE_DESTINATION")
    assert "no room for more" in failure["message"]
    assert world.where("stays") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")
    orders.write_text("")
    assert world.migrate("stays", "host2")["phase"] == "PHASE_COMPLETED"
    world.beats_on("stays")
    finish(world, "stays")
