"""A guest that dirties memory faster than its link carries it: what happens is what was asked for.

The link is slow for everything, the last pass too; --bandwidth is not, and so it does not keep a
guest from converging.
"""

import json
import re
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.cluster import Cluster
from tests.daemons import eventually
from tests.e2e.network.world import World, network
from tests.oracle import parse_heartbeats

pytestmark = pytest.mark.e2e

MIB = 1 << 20
BUSY = (
    *("--rate", "40", "--working-set", "32M", "--zero", "0", "--text", "0"),
    *("--heartbeat-ms", "50"),
)
EAGER = ("--rate", "4000", *BUSY[2:], "--working-set", str(4 << 20))  # as fast as it can


@pytest.fixture(scope="module")
def link() -> Iterator[World]:
    """Two nodes that serve every test; each test has its own guest, and its own link."""
    with network(judged=False) as made:
        yield made


@pytest.fixture
def world(link: World) -> Iterator[Cluster]:
    link.proxies["host1"].bytes_per_s = 20 * MIB
    yield link.cluster
    link.mend()


def finish(world: Cluster, guest: str) -> None:
    world.ctl("guest", "stop", "--force", guest)
    world.ctl("guest", "undefine", guest)


def speed(world: Cluster, guest: str) -> float:
    """Operations per second of a guest, between two looks at what it says."""
    looks = []
    for _ in range(2):
        said = world.ctl("guest", "console", "--history", guest).stdout
        looks.append((parse_heartbeats(said)[-1].n, time.monotonic()))
    (before, began_s), (after, ended_s) = looks
    return (after - before) / (ended_s - began_s)


def events(world: Cluster, migration_id: str) -> list[tuple[str, str]]:
    """Kind and words of what happened in a migration."""
    said = world.ctl("watch", migration_id, "--json", check=False).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    return [(line["kind"], line["message"]) for line in lines if line.get("sequence")]


def test_a_guest_faster_than_the_link_is_left_alone(world: Cluster) -> None:
    world.make_guest("busy", "host1", "64M", *BUSY)
    failed = world.migrate("busy", "host2", "--downtime-limit", "300", expect=4)
    assert failed["failure"]["reason"] == "NOT_CONVERGING"
    assert "--downtime-limit" in failed["failure"]["advice"]
    assert world.where("busy") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")
    world.beats_on("busy")
    finish(world, "busy")


def test_a_guest_faster_than_the_link_is_switched_over_when_asked(world: Cluster) -> None:
    world.make_guest("forced", "host1", "64M", *BUSY)
    moved = world.migrate("forced", "host2", "--on-timeout", "switch-over")
    assert moved["phase"] == "PHASE_COMPLETED"
    world.beats_on("forced")
    finish(world, "forced")


def test_a_limit_of_bandwidth_alone_keeps_no_guest_from_converging(
    link: World, world: Cluster
) -> None:
    """The last pass has no such limit, and the estimate knows it."""
    link.mend()
    world.make_guest("spared", "host1", "64M", *BUSY)
    world.beats_on("spared")
    moved = world.migrate("spared", "host2", "--bandwidth", "20M", "--downtime-limit", "500")
    estimate_ms = moved["progress"]["estimated_downtime_ms"]
    assert moved["phase"] == "PHASE_COMPLETED"
    assert estimate_ms <= 500  # at 20 MiB/s the last pass alone would take more than a second
    last = moved["report"]["rounds"][-1]
    assert int(last["dirty_bytes"]) > 10 * MIB
    assert int(last["duration_us"]) < 500_000
    world.beats_on("spared")
    finish(world, "spared")


def test_a_guest_faster_than_the_link_is_slowed_until_it_converges(world: Cluster) -> None:
    world.make_guest("slowed", "host1", "64M", *EAGER)
    world.beats_on("slowed")
    usual = speed(world, "slowed")
    wish = ("--on-timeout", "throttle", "--downtime-limit", "400")
    moved = world.migrate("slowed", "host2", *wish)
    *slowed, ended = [said for kind, said in events(world, moved["id"]) if kind == "throttle"]
    percents = [int(re.findall(r"slowed to (\d+) % .* MiB/s are sent", one)[0]) for one in slowed]
    assert percents == sorted(set(percents), reverse=True)
    assert ended == "the guest runs at full speed again"
    report = moved["report"]
    assert report["throttle_percent"] == 100 - percents[-1] >= 50
    assert 0 < report["throttled_us"] < report["total_us"]
    assert moved["progress"]["throttle_percent"] == 0
    assert world.where("slowed") == {"host2": "GUEST_STATE_RUNNING"}
    eventually(lambda: speed(world, "slowed") > 0.4 * usual, what="full speed on host2")
    world.beats_on("slowed")
    shown = world.ctl("show", moved["id"]).stdout
    assert f"down to {percents[-1]} % of its speed" in shown
    finish(world, "slowed")


def test_a_guest_whose_move_is_cancelled_is_not_slowed_any_more(world: Cluster) -> None:
    world.make_guest("unslowed", "host1", "64M", *EAGER)
    hypervisor = psutil.Process(int(world.guest("unslowed")["pid"]))
    wish = ("--on-timeout", "throttle", "--timeout", "1", "--downtime-limit", "300")
    started = world.start_migration("unslowed", "host2", *wish)
    eventually(lambda: hypervisor.status() == psutil.STATUS_STOPPED, what="a slowed guest")
    world.ctl("cancel", started)
    for _ in range(300):
        assert hypervisor.status() != psutil.STATUS_STOPPED
        time.sleep(0.001)
    happened = events(world, started)
    assert ("throttle", "the guest runs at full speed again") in happened
    words = [said for _, said in happened]
    aborting = next(one for one in words if one.startswith("the guest goes on here: CANCELLED"))
    assert words.index("the guest runs at full speed again") < words.index(aborting)
    assert world.where("unslowed") == {"host1": "GUEST_STATE_RUNNING"}
    world.beats_on("unslowed")
    finish(world, "unslowed")
