"""How fast guests are copied is changed while they are, and shared among those of a node."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, cluster, eventually

pytestmark = pytest.mark.e2e

MIB = 1 << 20
NODE_MIB_PER_S = 16
LARGER = ("--rate", "1", "--working-set", "16M", "--fill", "112M", "--text", "0", "--zero", "0")
GUEST = ("--rate", "1", "--working-set", "16M", "--fill", "32M", "--text", "0", "--zero", "0")


@pytest.fixture(scope="module")
def world() -> Iterator[Cluster]:
    migration = {"bandwidth_mib_per_s": NODE_MIB_PER_S}
    with cluster(["host1", "host2"], migration=migration) as made:
        yield made


def told(world: Cluster, migration_id: str) -> list[str]:
    """Every change of how fast it may send, once it has ended."""
    watched = world.ctl("watch", migration_id, "--json", check=False).stdout
    events = map(json.loads, watched.splitlines())
    return [one["message"] for one in events if one["kind"] == "bandwidth"]


def finish(world: Cluster, guest: str) -> None:
    world.ctl("guest", "stop", "--force", guest)
    world.ctl("guest", "undefine", guest)


def begun(world: Cluster, guest: str, *options: str) -> str:
    started = world.start_migration(guest, "host2", "--codec", "raw", *options)
    eventually(lambda: world.phase(guest, started) == "PHASE_PRECOPY")
    return started


def test_a_slow_migration_is_let_go_faster_and_ends(world: Cluster) -> None:
    world.make_guest("slow", "host1", "64M", *GUEST)
    world.beats_on("slow")
    started = begun(world, "slow", "--bandwidth", "512K")  # it would take more than a minute
    answer = world.ctl("bandwidth", started[:8], "none").stdout
    assert answer == "guest slow is copied as fast as it goes\n"
    assert any("from 0.5 MiB/s to no limit, by spiffe://" in one for one in told(world, started))
    ended = next(one for one in world.migrations("slow") if one["id"] == started)
    assert ended["phase"] == "PHASE_COMPLETED"
    assert ended["report"]["total_us"] < 30e6
    late = world.ctl("bandwidth", started, "10M", check=False)
    assert (late.returncode, "TOO_LATE" in late.stderr) == (3, True)
    unknown = world.ctl("bandwidth", "0000", "10M", check=False)
    assert unknown.returncode == 3
    assert "MIGRATION_UNKNOWN" in unknown.stderr
    world.beats_on("slow")
    finish(world, "slow")


def sent_bytes(world: Cluster, ids: dict[str, str]) -> dict[str, int]:
    """How much of each guest's memory has gone over, by guest."""
    lines = map(json.loads, world.ctl("list", "--json").stdout.splitlines())
    found = [one["migration"] for one in lines if one["kind"] == "migration"]
    ours = [one for one in found if one["id"] in ids.values()]
    assert {one["phase"] for one in ours} == {"PHASE_PRECOPY"}
    return {one["guest"]: one["progress"].get("wire_bytes", 0) for one in ours}


def test_migrations_of_a_node_share_what_it_may_send(world: Cluster) -> None:
    guests = ["one", "two", "three", "frugal"]
    for guest in guests:
        world.make_guest(guest, "host1", "160M", *LARGER)
    for guest in guests:
        world.beats_on(guest)
    ids = {guest: begun(world, guest) for guest in guests}
    world.ctl("bandwidth", ids["frugal"], "1M")
    before, went = sent_bytes(world, ids), dict[str, int]()

    def is_enough() -> bool:
        now = sent_bytes(world, ids)
        went.update({guest: now[guest] - before[guest] for guest in guests})
        return went["one"] >= 12 * MIB

    eventually(is_enough, what="12 MiB of a guest")
    for other in ("two", "three"):
        assert went["one"] / 2 < went[other] < went["one"] * 2, went
    assert went["frugal"] < went["one"] / 2
    world.ctl("cancel", ids["one"])
    words = f"its share of the {NODE_MIB_PER_S} MiB/s of this node"
    assert any(words in one for one in told(world, ids["one"]))
    world.beats_on("one")
