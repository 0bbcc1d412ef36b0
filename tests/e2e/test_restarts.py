"""A daemon that is killed and started again finds its guests, and what it may not go on with ends
with the guest where it was.
"""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, cluster
from tests.daemons import BIN, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes and a guest on host1."""
    with cluster(["host1", "host2"], migration={"reconnect_s": 5.0}) as made:
        made.make_guest("vm1", "host1")
        yield made


@pytest.mark.parametrize(
    ("victim", "reasons"),
    [
        ("host1", {"DAEMON_RESTARTED"}),
        ("host2", {"DESTINATION_RESTARTED"}),
    ],
)
def test_a_daemon_killed_while_memory_is_copied_leaves_the_guest_at_home(
    world: Cluster, victim: str, reasons: set[str]
) -> None:
    started = world.start_migration("vm1", "host2", "--bandwidth", "2M", "--codec", "raw")
    eventually(lambda: world.phase("vm1", started) == "PHASE_PRECOPY")
    world.nodes[victim].stop(signal.SIGKILL)
    world.nodes[victim].start()
    eventually(lambda: world.phase("vm1", started) == "PHASE_ABORTED", 60)
    (ended,) = [one for one in world.migrations("vm1") if one["id"] == started]
    assert ended["failure"]["reason"] in reasons, ended["failure"]
    assert world.where("vm1") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")
    world.beats_on("vm1")


@pytest.mark.parametrize("node", ["host1", "host2"])
def test_a_second_daemon_on_the_same_files_does_nothing(world: Cluster, node: str) -> None:
    started = world.start_migration("vm1", "host2", "--bandwidth", "2M", "--codec", "raw")
    eventually(lambda: world.phase("vm1", started) == "PHASE_PRECOPY")
    command = [str(BIN / "bmigd"), "--config", str(world.nodes[node].config_path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    process = world.nodes[node].process
    assert process
    assert "ALREADY_RUNNING" in second.stderr
    assert f"as process {process.pid}" in second.stderr
    world.ctl("bandwidth", started, "none")
    eventually(lambda: world.phase("vm1", started) == "PHASE_COMPLETED", 60)
    assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    world.beats_on("vm1")
    assert world.migrate("vm1", "host1")["phase"] == "PHASE_COMPLETED"


def test_a_daemon_that_is_stopped_ends_what_it_copies_and_says_so(world: Cluster) -> None:
    started = world.start_migration("vm1", "host2", "--bandwidth", "2M", "--codec", "raw")
    eventually(lambda: world.phase("vm1", started) == "PHASE_PRECOPY")
    world.nodes["host1"].stop()
    world.nodes["host1"].start()
    (ended,) = [one for one in world.migrations("vm1") if one["id"] == started]
    assert (ended["phase"], ended["failure"]["reason"]) == ("PHASE_ABORTED", "DAEMON_STOPPED")
    assert ended["failure"]["message"] == "bmigd on host1 was stopped"
    assert world.where("vm1") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")


def test_guests_outlive_their_daemon_and_can_still_be_moved(world: Cluster) -> None:
    pid = world.guest("vm1")["pid"]
    world.nodes["host1"].stop()
    world.nodes["host1"].start()
    assert world.guest("vm1")["pid"] == pid
    for destination in ("host2", "host1"):
        assert world.migrate("vm1", destination)["phase"] == "PHASE_COMPLETED"
    world.beats_on("vm1")
