"""Who runs a QEMU guest is never in doubt, whatever ends: its QEMU on either side, or a daemon.
A source's QEMU stays, stopped, until the guest is surely another node's; it goes on from there.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmigd.drivers.qemu.monitor import session
from tests import qemu
from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.e2e.faults.bench import await_death, have_obey, order
from tests.e2e.qemu.world import CONFIG, QUIET, finish, make_guest

pytestmark = [pytest.mark.e2e, qemu.needed]

SLOW = ("--bandwidth", "4M", "--codec", "raw")  # for as long as a test needs


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes that die where they are told to; each test has its own guest."""
    with cluster(["host1", "host2"], qemu=CONFIG) as made:
        have_obey(made)
        yield made


def pid_of(world: Cluster, node: str, guest: str) -> int:
    """The guest's QEMU on a node, while it is received too."""

    async def found() -> int:
        async with session(world.nodes[node].directory / f"run/{guest}/qmp") as monitor:
            await monitor.run_state()
        name = f"guest={guest}".encode()
        where = str(world.nodes[node].directory).encode()
        for entry in os.listdir("/proc"):  # noqa: PTH208 - numbers
            if entry.isdigit():
                line = _command_line(int(entry))
                if name in line.split(b"\0") and where in line and b"-accel" in line:
                    return int(entry)
        raise AssertionError(f"no QEMU of {guest} on {node}")

    return asyncio.run(found())


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""


def ask(world: Cluster, node: str, guest: str, command: str) -> Any:
    """By hand, on a guest's monitor."""

    async def asked() -> Any:
        async with session(world.nodes[node].directory / f"run/{guest}/qmp") as monitor:
            return await monitor.ask(command)

    return asyncio.run(asked())


def ended(world: Cluster, guest: str, migration_id: str) -> dict[str, Any]:
    """The migration once it is over."""
    eventually(lambda: world.phase(guest, migration_id) in ("PHASE_COMPLETED", "PHASE_ABORTED"), 60)
    return next(one for one in world.migrations(guest) if one["id"] == migration_id)


def stays(world: Cluster, guest: str, destination: str = "host2") -> None:
    """The guest runs on host1 with all of its memory, and the next migration takes it along."""
    assert world.where(guest) == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean(destination)
    world.beats_on(guest)
    assert world.migrate(guest, destination)["phase"] == "PHASE_COMPLETED"
    world.beats_on(guest)
    finish(world, guest)


def test_a_cancelled_migration_leaves_the_guest_where_it_was(world: Cluster) -> None:
    make_guest(world, "cancel", "host1")
    started = world.start_migration("cancel", "host2", *SLOW)
    eventually(lambda: world.phase("cancel", started) == "PHASE_PRECOPY")
    world.ctl("cancel", started)
    assert ended(world, "cancel", started)["failure"]["reason"] == "CANCELLED"
    stays(world, "cancel")


def test_a_destination_whose_qemu_ends_while_it_waits_refuses(world: Cluster) -> None:
    make_guest(world, "waits", "host1")
    started = world.start_migration("waits", "host2", *SLOW)
    eventually(lambda: world.phase("waits", started) == "PHASE_PRECOPY")
    os.kill(pid_of(world, "host2", "waits"), signal.SIGKILL)
    done = ended(world, "waits", started)
    assert (done["phase"], done["failure"]["reason"]) == ("PHASE_ABORTED", "HYPERVISOR_LOST")
    stays(world, "waits")


def test_a_destination_whose_qemu_ends_before_the_guest_is_set_off_gives_it_back(
    world: Cluster,
) -> None:
    make_guest(world, "given", "host1")
    before = pid_of(world, "host1", "given")
    order(world.nodes["host2"], "destination.EXECUTING.EXECUTE")
    started = world.start_migration("given", "host2")
    await_death(world.nodes["host2"])  # STARTED is journalled, and the guest was not set off
    os.kill(pid_of(world, "host2", "given"), signal.SIGKILL)
    world.nodes["host2"].start()
    done = ended(world, "given", started)
    assert (done["phase"], done["ownership"]) == ("PHASE_ABORTED", "RECLAIMED")
    assert pid_of(world, "host1", "given") == before  # it never went
    stays(world, "given")


def test_a_destination_that_dies_before_it_sets_the_guest_off_gives_it_back(
    world: Cluster,
) -> None:
    make_guest(world, "marked", "host1")
    order(world.nodes["host2"], "destination.EXECUTING.EXECUTE")
    started = world.start_migration("marked", "host2")
    await_death(world.nodes["host2"])
    world.nodes["host2"].start()
    done = ended(world, "marked", started)
    assert (done["phase"], done["ownership"]) == ("PHASE_ABORTED", "RECLAIMED")
    stays(world, "marked")


def test_a_destination_that_dies_once_it_set_the_guest_off_keeps_it(world: Cluster) -> None:
    make_guest(world, "kept", "host1")
    order(world.nodes["host2"], "destination.EXECUTING.end")
    started = world.start_migration("kept", "host2")
    await_death(world.nodes["host2"])
    world.nodes["host2"].start()
    assert ended(world, "kept", started)["phase"] == "PHASE_COMPLETED"
    assert world.where("kept") == {"host2": "GUEST_STATE_RUNNING"}
    world.require_clean("host1")
    world.beats_on("kept")
    finish(world, "kept")


@pytest.mark.parametrize("point", ["source.suspend", "source.suspended", "source.copied"])
def test_a_source_that_dies_in_the_blackout_goes_on_with_its_guest(
    world: Cluster, point: str
) -> None:
    name = point.replace(".", "-")
    make_guest(world, name, "host1")
    before = pid_of(world, "host1", name)
    order(world.nodes["host1"], point)
    started = world.start_migration(name, "host2")
    await_death(world.nodes["host1"])
    world.nodes["host1"].start()
    assert ended(world, name, started)["failure"]["reason"] == "DAEMON_RESTARTED"
    assert pid_of(world, "host1", name) == before
    stays(world, name)


def test_a_source_that_dies_once_it_let_go_asks_and_lets_the_guest_run_there(
    world: Cluster,
) -> None:
    make_guest(world, "let", "host1")
    order(world.nodes["host1"], "source.PEER_READY.end")
    started = world.start_migration("let", "host2")
    await_death(world.nodes["host1"])
    world.nodes["host1"].start()
    assert ended(world, "let", started)["phase"] == "PHASE_COMPLETED"
    assert world.where("let") == {"host2": "GUEST_STATE_RUNNING"}
    world.beats_on("let")
    finish(world, "let")


def test_a_guest_that_powers_off_while_it_is_copied_is_off_at_home(world: Cluster) -> None:
    make_guest(world, "off", "host1")
    started = world.start_migration("off", "host2", *SLOW)
    eventually(lambda: world.phase("off", started) == "PHASE_PRECOPY")
    ask(world, "host1", "off", "system_powerdown")
    done = ended(world, "off", started)
    assert (done["phase"], done["failure"]["reason"]) == ("PHASE_ABORTED", "GUEST_STOPPED")
    assert "stopped on host1" in done["failure"]["location"]
    assert world.where("off") == {"host1": "GUEST_STATE_STOPPED"}
    world.require_clean("host2")
    finish(world, "off")


def test_a_guest_that_is_reset_while_it_is_copied_moves_as_it_is_then(world: Cluster) -> None:
    # A reset leaves memory as it is, and the program takes pages for zero that it never wrote.
    make_guest(world, "reset", "host1", program=replace(QUIET, zero_percent=0))
    started = world.start_migration("reset", "host2", "--bandwidth", "8M", "--codec", "raw")
    eventually(lambda: world.phase("reset", started) == "PHASE_PRECOPY")
    ask(world, "host1", "reset", "system_reset")
    assert ended(world, "reset", started)["phase"] == "PHASE_COMPLETED"
    assert world.where("reset") == {"host2": "GUEST_STATE_RUNNING"}
    world.beats_on("reset")
    finish(world, "reset")


def test_a_held_guest_is_shown_as_held_and_goes_on_when_it_is_started(world: Cluster) -> None:
    make_guest(world, "held", "host1")
    world.beats_on("held")
    ask(world, "host1", "held", "stop")
    assert world.migrate("held", "host2")["phase"] == "PHASE_COMPLETED"
    shown = world.guest("held")
    assert (shown["state"], "held" in shown["detail"]) == ("GUEST_STATE_RUNNING", True)
    world.ctl("guest", "start", "held")
    assert not world.guest("held").get("detail")
    eventually(lambda: "HB n=" in world.ctl("guest", "console", "--history", "held").stdout)
    world.beats_on("held")
    finish(world, "held")


def test_a_guest_that_may_run_unwatched_is_told_of_and_only_ended_by_force(world: Cluster) -> None:
    make_guest(world, "alone", "host1")
    pid = pid_of(world, "host1", "alone")
    os.kill(parent_of(pid), signal.SIGKILL)
    seen = eventually(lambda: world.guest("alone").get("detail"), what="word of it")
    assert f"pid {pid}" in seen
    assert "guest stop --force" in seen
    for words in ("undefine", "stop", "start"):
        refused = world.ctl("guest", words, "alone", check=False)
        assert refused.returncode, words
        assert "stop --force alone" in refused.stderr, refused.stderr
    moved = world.ctl("migrate", "alone", "host2", check=False)
    assert "GUEST_NOT_RUNNING" in moved.stderr + moved.stdout, moved
    assert pid_of(world, "host1", "alone") == pid
    world.ctl("guest", "stop", "--force", "alone")
    world.ctl("guest", "start", "alone")
    world.beats_on("alone")
    finish(world, "alone")


def parent_of(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
