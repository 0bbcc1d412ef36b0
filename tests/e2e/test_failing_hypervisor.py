"""Whatever the hypervisors do on the way, and whatever the guest does itself: the operator is told,
nothing is left on the other node, and the guest is where it was and moves the next time.
"""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.e2e.way import RUNNING, Way

pytestmark = pytest.mark.e2e

SLOWLY = ("--bandwidth", "4M", "--codec", "raw")


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes that do not wait long, and a guest."""
    with cluster(["host1", "host2"], bhyve={"suspend_timeout_s": 2.0, "start_timeout_s": 2.0}) as w:
        w.make_guest("vm1", "host1")
        yield w
        w.beats_on("vm1")


@pytest.fixture(name="way")
def make_way(world: Cluster) -> Way:
    return Way.of(world)


@contextmanager
def faulty(way: Way, node: str, fault: str) -> Iterator[None]:
    """A hypervisor with a fault for as long as it lasts."""
    way.world.fault(node, way.guest, *fault.split("/"))
    try:
        yield
    finally:
        way.world.fault(node, way.guest)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("suspend-fails", "SUSPEND_FAILED", "bhyve could not save the guest"),
        ("suspend-hangs", "SUSPEND_TIMEOUT", "did not finish the suspend in 2 s"),
    ],
)
def test_a_guest_that_cannot_be_suspended_runs_on(
    way: Way, fault: str, reason: str, words: str
) -> None:
    with faulty(way, way.source, fault):
        failure = way.failed()
    assert (failure["reason"], failure["side"]) == (reason, "SIDE_SOURCE")
    assert words in failure["message"]
    assert failure["location"] == f"running on {way.source}"
    way.unharmed()
    way.next_one_works()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("restore-fails", "bhyve exited with 1"),
        ("dies-on-start", "bhyve exited with 4"),
        ("restore-slow 30", "was not up after 2 s"),
    ],
)
def test_a_guest_that_does_not_start_over_there_is_given_back(
    way: Way, fault: str, words: str
) -> None:
    with faulty(way, way.destination, fault):
        failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("START_FAILED", "SIDE_DESTINATION")
    assert way.downtime_us > 0
    assert words in failure["message"]
    assert failure["location"] == f"running on {way.source}"
    way.unharmed()
    way.next_one_works()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("short-meta", ".meta"), ("broken-meta", ".meta"), ("short-ram", "memory of")],
)
def test_a_guest_that_was_not_saved_is_started_afresh_at_home_and_this_is_said(
    way: Way, fault: str, words: str
) -> None:
    before = lives(way)
    with faulty(way, way.source, fault):
        failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("GUEST_RESTARTED", "SIDE_SOURCE")
    assert way.downtime_us > 0
    assert words in failure["message"]
    assert failure["location"] == f"on {way.source}, started afresh"
    await_rebirth(way, before)
    way.unharmed()
    way.next_one_works()


def lives(way: Way) -> tuple[int, int]:
    """A number that changes whenever the guest boots where it is, and how often its log says so."""
    log = way.world.nodes[way.source].directory / "run" / way.guest / "console.log"
    return log.stat().st_ino, log.read_bytes().count(b"BOOT ")


def await_rebirth(way: Way, before: tuple[int, int]) -> None:
    """Wait until the guest counts from the beginning again."""
    eventually(lambda: lives(way) != before and lives(way)[1], what="a new life")
    way.beats = -1


def begun(way: Way) -> str:
    """A migration in the middle of its copy; its id."""
    started = way.world.start_migration(way.guest, way.destination, *SLOWLY)
    eventually(lambda: way.world.phase(way.guest, started) == "PHASE_PRECOPY")
    return started


def ended(way: Way, migration_id: str) -> dict[str, Any]:
    """Why a migration was aborted, once it was."""
    eventually(lambda: way.world.phase(way.guest, migration_id) == "PHASE_ABORTED")
    (found,) = [one for one in way.world.migrations(way.guest) if one["id"] == migration_id]
    failure: dict[str, Any] = found["failure"]
    assert failure["advice"]
    return failure


def test_a_guest_that_powers_off_in_the_middle_stays_off(world: Cluster, way: Way) -> None:
    started = begun(way)
    os.kill(world.guests("vm1")[way.source]["pid"], signal.SIGTERM)  # its power button
    failure = ended(way, started)
    assert (failure["reason"], failure["side"]) == ("GUEST_STOPPED", "SIDE_SOURCE")
    assert "stopped by itself" in failure["message"]
    assert failure["location"] == f"stopped on {way.source}"
    assert world.where("vm1") == {way.source: "GUEST_STATE_STOPPED"}
    world.require_clean(way.destination)
    before = lives(way)
    world.ctl("guest", "start", "vm1")
    await_rebirth(way, before)
    way.next_one_works()


def test_a_guest_that_reboots_in_the_middle_goes_on_where_it_was(world: Cluster, way: Way) -> None:
    started = begun(way)
    before = lives(way)
    bhyvectl = world.nodes[way.source].home / "bin/bhyvectl"
    subprocess.run([bhyvectl, "--vm=vm1", "--force-reset"], check=True)
    failure = ended(way, started)
    assert (failure["reason"], failure["side"]) == ("GUEST_STOPPED", "SIDE_SOURCE")
    assert "rebooted" in failure["message"]
    assert failure["location"] == f"running on {way.source}"
    assert world.where("vm1") == {way.source: RUNNING}
    await_rebirth(way, before)
    way.unharmed()
    way.next_one_works()


@contextmanager
def largest_file(world: Cluster, node: str, size_bytes: int) -> Iterator[None]:
    """A daemon whose files cannot grow beyond a size, as on a disk that is full."""
    process = world.nodes[node].process
    assert process
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)


def test_a_spool_that_is_full_at_the_beginning_is_told(world: Cluster, way: Way) -> None:
    with largest_file(world, way.destination, 32 << 20):
        failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("SPOOL_FULL", "SIDE_DESTINATION"), failure
    assert "node.spool_dir" in failure["advice"]
    assert failure["location"] == f"on {way.source}, never stopped"
    way.unharmed()
    way.next_one_works()


def test_a_spool_that_fills_up_in_the_middle_is_told(world: Cluster, way: Way) -> None:
    started = begun(way)
    with largest_file(world, way.destination, 1 << 20):
        failure = ended(way, started)
    assert (failure["reason"], failure["side"]) == ("SPOOL_FULL", "SIDE_DESTINATION"), failure
    assert failure["location"] == f"on {way.source}, never stopped"
    way.unharmed()
    way.next_one_works()


def test_a_spool_of_the_source_that_is_full_leaves_the_guest_running(
    world: Cluster, way: Way
) -> None:
    pid = int(world.guests("vm1")[way.source]["pid"])
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        failure = way.failed()
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert (failure["reason"], failure["side"]) == ("SUSPEND_FAILED", "SIDE_SOURCE"), failure
    assert failure["location"] == f"running on {way.source}"
    way.unharmed()
    way.next_one_works()
