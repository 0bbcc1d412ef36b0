"""What happens to a guest whose destination is lost, or restarted, while it starts the guest; and
that a daemon that died between a decision and its effects carries them out.
"""

import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bmigd.journal import Journal
from bmigd.migration.handoff import DestinationEvent, SourceEvent
from tests.cluster import Cluster, cluster
from tests.daemons import eventually, pids_below, with_suppressed_kill

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """Two nodes, a guest on host1, and a host2 that takes its time to restore it."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest("vm1", "host1")
        made.fault("host2", "vm1", "restore-slow 4")
        yield made


def test_a_daemon_restarted_while_the_guest_is_restored_waits_for_what_comes_of_it(
    world: Cluster,
) -> None:
    started = world.start_migration("vm1", "host2")
    eventually(lambda: world.phase("vm1", started) == "PHASE_HANDOFF")
    world.nodes["host2"].stop(signal.SIGKILL)
    world.nodes["host2"].start()
    eventually(lambda: world.phase("vm1", started) == "PHASE_COMPLETED", 60)
    assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    world.beats_on("vm1")  # all of its memory came along


def test_an_operator_gets_the_guest_back_afresh_when_the_other_host_is_gone(
    world: Cluster,
) -> None:
    started = world.start_migration("vm1", "host2")
    eventually(lambda: world.phase("vm1", started) == "PHASE_HANDOFF")
    refused = world.ctl("resolve", started, "--run-here", "--confirm", "vm1", check=False)
    assert refused.returncode
    assert "PEER_ANSWERS" in refused.stdout + refused.stderr
    world.nodes["host2"].stop(signal.SIGKILL)
    for pid in pids_below(world.nodes["host2"].directory):
        with_suppressed_kill(pid)
    for _ in range(2):  # whoever misses the answer may ask again
        world.ctl("resolve", started, "--run-here", "--confirm", "vm1")
    assert world.phase("vm1", started) == "PHASE_ABORTED"
    assert world.where("vm1") == {"host1": "GUEST_STATE_RUNNING"}


@pytest.mark.parametrize(
    ("faults", "ends", "here", "there"),
    [
        ((), 0, SourceEvent.PEER_RUNS_IT, DestinationEvent.GUEST_RUNS),
        (("restore-fails",), 4, SourceEvent.PEER_GAVE_IT_BACK, DestinationEvent.NEVER_RAN),
    ],
)
def test_what_was_journalled_and_not_done_is_done_after_a_restart_and_may_be_done_twice(
    world: Cluster,
    faults: tuple[str, ...],
    ends: int,
    here: SourceEvent,
    there: DestinationEvent,
) -> None:
    world.fault("host2", "vm1", *faults)
    world.migrate("vm1", "host2", expect=ends)
    where, pid = world.where("vm1"), world.guest("vm1")["pid"]
    definition = _definition(world.nodes["host1"].directory / "state/journal.sqlite")
    for name, event in (("host1", here), ("host2", there)):
        node = world.nodes[name]
        node.stop(signal.SIGKILL)
        _leave_pending(node.directory / "state/journal.sqlite", event, definition)
        node.start()
        assert _pending(node.directory / "state/journal.sqlite") == [""]  # done before it serves
    assert (world.where("vm1"), world.guest("vm1")["pid"]) == (where, pid)
    world.fault("host2", "vm1")
    world.migrate("vm1", "host2" if "host1" in where else "host1")
    world.beats_on("vm1")


def _definition(path: Path) -> str:
    """The guest's, as the source's journal has it."""
    journal = Journal(path)
    (record,) = journal.all()
    journal.close()
    return record.definition


def _leave_pending(path: Path, event: str, definition: str) -> None:
    """As if the daemon had died right after it journalled the event.

    What closes a reception that came to nothing drops the guest's definition with it.
    """
    journal = Journal(path)
    (record,) = journal.all()
    assert record.pending == ""
    journal.put(replace(record, pending=event))
    journal.close()
    with sqlite3.connect(path) as connection:  # what a journal drops it never takes again
        connection.execute("UPDATE migrations SET definition = ?", (definition,))
    connection.close()


def _pending(path: Path) -> list[str]:
    journal = Journal(path)
    found = [record.pending for record in journal.all()]
    journal.close()
    return found
