"""Guests move between real daemons and lose nothing: the chain that the guest prints is equal to
what an independent computation says it must be, before and after every move.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, cluster
from tests.daemons import eventually

pytestmark = pytest.mark.e2e

QUICK = ("--rate", "5", "--working-set", "16M", "--heartbeat-ms", "50", "--disk")


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Three nodes that serve every test of this file; each test has its own guest."""
    with cluster(["host1", "host2", "host3"]) as made:
        yield made


def finish(world: Cluster, guest: str) -> None:
    """Stop and forget a guest; nothing of it is left on any node."""
    world.ctl("guest", "stop", "--force", guest)
    world.ctl("guest", "undefine", guest)
    world.require_clean(*world.nodes)


def test_a_guest_goes_there_and_back_and_carries_its_memory_and_disk(world: Cluster) -> None:
    world.make_guest("back", "host1")
    for destination in ("host2", "host1"):
        world.beats_on("back")
        moved = world.migrate("back", destination, "--verify")
        assert moved["phase"] == "PHASE_COMPLETED"
        assert moved["report"]["verified"]
        roots = moved["report"]["source_memory_root"], moved["report"]["destination_memory_root"]
        assert roots[0] == roots[1] != ""
        assert world.where("back") == {destination: "GUEST_STATE_RUNNING"}
        assert world.beats_on("back").count > 0
    finish(world, "back")


def test_downtime_parts_add_up_to_the_downtime(world: Cluster) -> None:
    world.make_guest("parts", "host1")
    report = world.migrate("parts", "host2")["report"]
    assert report["downtime_us"] == sum(part["duration_us"] for part in report["downtime_parts"])
    assert {part["side"] for part in report["downtime_parts"]} == {
        "SIDE_SOURCE",
        "SIDE_DESTINATION",
    }
    finish(world, "parts")


def test_several_streams_carry_a_guest_and_the_report_says_where_the_time_went(
    world: Cluster,
) -> None:
    world.make_guest("lanes", "host1", "64M", "--rate", "40", "--working-set", "24M")
    world.beats_on("lanes")
    moved = world.migrate("lanes", "host2", "--streams", "4", "--verify")
    report = moved["report"]
    assert (report["streams"], report["verified"]) == (4, True)
    spent = {(one["side"], one["name"]): int(one["duration_us"]) for one in report["spent"]}
    for part in ("find", "read", "hash", "encode", "send", "wait for acknowledgements"):
        assert ("SIDE_SOURCE", part) in spent
    for part in ("decode", "hash", "write", "wait for chunks"):
        assert spent["SIDE_DESTINATION", part] > 0
    shown = world.ctl("show", moved["id"]).stdout
    assert "streams 4" in shown
    assert "SPENT ON MEMORY" in shown
    world.beats_on("lanes")
    finish(world, "lanes")


def test_three_nodes_pass_a_guest_on(world: Cluster) -> None:
    world.make_guest("chain", "host1")
    for destination in ("host2", "host3", "host1"):
        assert world.migrate("chain", destination)["phase"] == "PHASE_COMPLETED"
        world.beats_on("chain")
    finish(world, "chain")


@pytest.mark.slow
def test_twenty_migrations_in_a_row(world: Cluster) -> None:
    world.make_guest("twenty", "host1")
    for number in range(20):
        destination = ("host2", "host1")[number % 2]
        moved = world.migrate("twenty", destination)
        assert (moved["phase"], moved["epoch"]) == ("PHASE_COMPLETED", number + 1)
    world.beats_on("twenty")
    finish(world, "twenty")


def test_pages_that_toggle_between_two_contents_arrive_right(world: Cluster) -> None:
    world.make_guest(
        "toggle", "host1", "64M", "--rate", "40", "--working-set", "16M", "--toggle",
        "--heartbeat-ms", "50",
    )  # fmt: skip
    for destination in ("host2", "host1", "host2"):
        moved = world.migrate("toggle", destination, "--downtime-limit", "3000")
        assert moved["phase"] == "PHASE_COMPLETED"
        world.beats_on("toggle")
    finish(world, "toggle")


@pytest.mark.slow
def test_a_guest_of_five_gib_keeps_its_memory_above_four_gib(world: Cluster) -> None:
    world.make_guest("large", "host1", "5G", *QUICK)
    moved = world.migrate("large", "host2")
    assert moved["phase"] == "PHASE_COMPLETED"
    assert moved["report"]["sent_bytes"] < 1 << 30  # zero pages are not sent
    world.beats_on("large")
    finish(world, "large")


def test_a_cancelled_migration_leaves_the_guest_where_it_was(world: Cluster) -> None:
    world.make_guest("cancel", "host1")
    started = world.start_migration("cancel", "host2", "--bandwidth", "1M", "--codec", "raw")
    eventually(lambda: world.phase("cancel", started) == "PHASE_PRECOPY")
    world.ctl("cancel", started)
    done = next(one for one in world.migrations("cancel") if one["id"] == started)
    assert (done["phase"], done["failure"]["reason"]) == ("PHASE_ABORTED", "CANCELLED")
    assert done["failure"]["message"] == "cancelled by spiffe://test/operator/alice"
    assert world.where("cancel") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")
    world.beats_on("cancel")
    assert world.migrate("cancel", "host2")["phase"] == "PHASE_COMPLETED"
    late = world.ctl("cancel", started[:8], check=False)
    assert late.returncode == 0  # it was cancelled: asking again changes nothing
    finish(world, "cancel")


def test_a_cancel_after_the_handoff_is_refused(world: Cluster) -> None:
    world.make_guest("late", "host1")
    moved = world.migrate("late", "host2")
    refused = world.ctl("cancel", moved["id"], check=False)
    assert refused.returncode == 3
    assert "TOO_LATE" in refused.stderr
    assert "has completed: guest late went to host2" in refused.stderr
    assert "late, on host2" in refused.stderr
    assert "bmigctl migrate late host1" in refused.stderr
    finish(world, "late")


BUSY = (
    "--rate",
    "40",
    "--working-set",
    "32M",
    "--zero",
    "0",
    "--text",
    "0",
    "--heartbeat-ms",
    "50",
)


def test_the_timeout_cuts_a_round_short(world: Cluster) -> None:
    world.make_guest("short", "host1", "64M", *BUSY)
    failed = world.migrate("short", "host2", "--bandwidth", "4M", "--timeout", "2", expect=4)
    assert failed["failure"]["reason"] == "TIMEOUT"
    world.beats_on("short")
    finish(world, "short")


def test_an_exact_tracker_is_used_only_where_there_is_one(world: Cluster) -> None:
    world.make_guest("tracked", "host1")
    refused = world.ctl("migrate", "tracked", "host2", "--tracker", "pagemap", check=False)
    assert refused.returncode == 3
    assert "TRACKER_NOT_AVAILABLE" in refused.stderr
    moved = world.ctl("migrate", "tracked", "host2")
    assert "tracker content: the driver keeps no log" in moved.stdout
    assert world.migrate("tracked", "host1")["report"]["tracker"] == "content"
    finish(world, "tracked")


def test_the_client_may_go_away(world: Cluster) -> None:
    world.make_guest("alone", "host1")
    started = world.start_migration("alone", "host2")
    eventually(lambda: world.phase("alone", started) == "PHASE_COMPLETED")
    assert world.where("alone") == {"host2": "GUEST_STATE_RUNNING"}
    watched = world.ctl("watch", started, "--json")
    assert '"ended"' in watched.stdout
    finish(world, "alone")


def test_the_definition_is_on_the_destination_only(world: Cluster) -> None:
    world.make_guest("once", "host1")
    world.migrate("once", "host2")
    kept = [
        node.name
        for node in world.nodes.values()
        if Path(node.directory / "state/guests/once.toml").exists()
    ]
    assert kept == ["host2"]
    finish(world, "once")
