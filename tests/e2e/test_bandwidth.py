"""How fast guests are copied is changed while they are, and shared among those of a node.

Rates are those of the payload that the source itself reports, between two looks at it.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest

from certs import authority
from tests.cluster import ALL_OPERATOR, Cluster, cluster
from tests.daemons import eventually
from tests.e2e.way import await_pulse, refused

pytestmark = pytest.mark.e2e

MIB = 1 << 20
NODE_MIB_PER_S = 16
LARGER = ("--rate", "1", "--working-set", "16M", "--fill", "128M", "--text", "0", "--zero", "0")
GUEST = ("--rate", "1", "--working-set", "16M", "--fill", "32M", "--text", "0", "--zero", "0")
FEW_BYTES = 3 * MIB  # that were sent just before, and are told only now


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes with a limit, and an operator who may only look."""
    rules = [
        {"names": ["alice"], "allow": ALL_OPERATOR},
        {"names": ["viewer"], "allow": ["read"]},
    ]
    migration = {"bandwidth_mib_per_s": NODE_MIB_PER_S}
    with cluster(["host1", "host2"], migration=migration, operators=rules) as made:
        authority.issue_operator(made.certs, "viewer")
        made.write_client("viewer")
        yield made


def told(world: Cluster, migration_id: str) -> list[str]:
    """Every change of how fast it may send, once it has ended."""
    watched = world.ctl("watch", migration_id, "--json", check=False).stdout
    events = map(json.loads, watched.splitlines())
    return [one["message"] for one in events if one["kind"] == "bandwidth"]


def finish(world: Cluster, *guests: str) -> None:
    for guest in guests:
        world.ctl("guest", "stop", "--force", guest)
        world.ctl("guest", "undefine", guest)


def filled(world: Cluster, guest: str, *options: str) -> None:
    """A guest on host1 whose memory is what it is to be."""
    world.make_guest(guest, "host1", *options)
    await_pulse(world, guest, "host1", -1)


def begun(world: Cluster, guest: str, *options: str) -> str:
    started = world.start_migration(guest, "host2", "--codec", "raw", *options)
    eventually(lambda: world.phase(guest, started) == "PHASE_PRECOPY")
    return started


def record(world: Cluster, guest: str, migration_id: str) -> dict[str, Any]:
    """The migration as its source tells it."""
    return next(one for one in world.migrations(guest) if one["id"] == migration_id)


def test_a_slow_migration_holds_nobody_up_is_let_go_faster_and_ends(world: Cluster) -> None:
    for guest in ("slow", "goes"):
        filled(world, guest, "64M", *GUEST)
    started = begun(world, "slow", "--bandwidth", "512K")  # it would take more than a minute
    assert world.migrate("goes", "host2", "--codec", "raw")["phase"] == "PHASE_COMPLETED"
    assert record(world, "slow", started)["phase"] == "PHASE_PRECOPY"
    answer = world.ctl("bandwidth", started[:8], "none").stdout
    assert answer == "guest slow is copied as fast as it goes\n"
    who = "spiffe://test/operator/alice"
    assert f"limit changed from 512 KiB/s to none by {who}" in told(world, started)
    ended = record(world, "slow", started)
    assert ended["phase"] == "PHASE_COMPLETED"
    assert int(ended["report"]["total_us"]) < 60e6
    assert ended["options"]["bandwidth_limit_bytes_per_s"] == 0
    over = refused(world, "bandwidth", started, "10M")
    assert (over["reason"], over["guest"], over["location"]) == (
        *("MIGRATION_OVER", "slow", "on host2"),
    )
    world.beats_on("slow")
    finish(world, "slow", "goes")


def test_a_migration_is_slowed_down_by_whoever_may_and_only_where_it_sends(world: Cluster) -> None:
    filled(world, "fast", "192M", *LARGER)
    started = begun(world, "fast", "--bandwidth", "2M")
    denied = refused(world, "bandwidth", started, "none", operator="viewer")
    assert denied["reason"] == "DENIED"
    elsewhere = refused(world, "--node", "host2", "bandwidth", started, "512K")
    assert elsewhere["reason"] == "SOURCE_NOT_ASKED"
    unknown = refused(world, "bandwidth", "00000000", "512K")
    assert unknown["reason"] == "MIGRATION_UNKNOWN"
    for _ in range(2):
        world.ctl("bandwidth", started, "512K")
    slowed = record(world, "fast", started)
    assert int(slowed["options"]["bandwidth_limit_bytes_per_s"]) == MIB // 2
    began, before = time.monotonic(), int(slowed["progress"]["wire_bytes"])
    assert slowed["phase"] == "PHASE_PRECOPY"

    def more_bytes() -> int:
        return int(record(world, "fast", started)["progress"]["wire_bytes"]) - before

    went = eventually(more_bytes, what="more memory")
    assert (
        went <= (time.monotonic() - began) * MIB / 2 + FEW_BYTES
    )  # the node's limit allows 16 MiB
    world.ctl("cancel", started)
    assert [one for one in told(world, started) if "changed" in one] == [
        "limit changed from 2 MiB/s to 512 KiB/s by spiffe://test/operator/alice"
    ]
    world.beats_on("fast")
    finish(world, "fast")


@dataclass
class Several:
    """Migrations of several guests at a time."""

    world: Cluster
    ids: dict[str, str]

    def sent_bytes(self) -> tuple[float, dict[str, int]]:
        """When, and how much of each guest's memory has gone over; all of them are at it."""
        lines = map(json.loads, self.world.ctl("list", "--json").stdout.splitlines())
        at_s = time.monotonic()
        found = [one["migration"] for one in lines if one["kind"] == "migration"]
        ours = [one for one in found if one["id"] in self.ids.values()]
        assert {one["phase"] for one in ours} == {"PHASE_PRECOPY"}
        return at_s, {one["guest"]: int(one["progress"].get("wire_bytes", 0)) for one in ours}

    def sent_until(self, guest: str, size_bytes: int) -> tuple[float, dict[str, int]]:
        """For how long, and how much of each, from now until so much of one has gone over."""
        began, before = self.sent_bytes()

        def ended() -> tuple[float, dict[str, int]] | None:
            now = self.sent_bytes()
            return now if now[1][guest] - before[guest] >= size_bytes else None

        at_s, now = cast("tuple[float, dict[str, int]]", eventually(ended, what="some of a guest"))
        return at_s - began, {one: now[one] - before[one] for one in self.ids}


def test_migrations_of_a_node_share_what_it_may_send(world: Cluster) -> None:
    guests = ["one", "two", "three", "frugal"]
    for guest in guests:
        filled(world, guest, "192M", *LARGER)
    with ThreadPoolExecutor(len(guests)) as threads:
        ids = dict(zip(guests, threads.map(partial(begun, world), guests), strict=True))
    several = Several(world, ids)
    took_s, went = several.sent_until("one", 8 * MIB)
    fair = took_s * NODE_MIB_PER_S * MIB / 4
    assert all(fair / 2 < one < fair * 2 for one in went.values()), (fair, went)
    world.ctl("bandwidth", ids["frugal"], "1M")
    took_s, went = several.sent_until("one", 12 * MIB)
    fair = took_s * (NODE_MIB_PER_S - 1) * MIB / 3
    assert went.pop("frugal") <= took_s * MIB + FEW_BYTES, took_s
    assert all(fair / 2 < one < fair * 2 for one in went.values()), (fair, went)
    world.ctl("cancel", ids["one"])
    words = told(world, ids["one"])
    assert f"4 MiB/s, a quarter of the node's {NODE_MIB_PER_S} MiB/s" in words
    assert f"5 MiB/s of the node's {NODE_MIB_PER_S} MiB/s" in words
    world.beats_on("one")
