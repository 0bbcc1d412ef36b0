"""A cluster whose daemons can be made to die where a test says, watched from outside all the time.

One cluster serves many cases; after a case that failed the next gets a new one.
"""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bmigd.crashpoints import VARIABLE
from tests.cluster import Cluster, cluster
from tests.daemons import Node, eventually, pids_below, with_suppressed_kill
from tests.judge.__main__ import journal
from tests.judge.observed import Observer
from tests.judge.verdict import Entry

GUEST = "vm1"
LEASE_S = 4.0
HANG_S = 2.0  # of what has no lease
LIMITS = {"lease_s": LEASE_S, "reconnect_s": 2.0, "peer_timeout_s": 2.0}
TIMES = {"suspend_timeout_s": 5.0, "start_timeout_s": 10.0}
ROM = ("--rate", "2", "--working-set", "16M", "--heartbeat-ms", "50", "--disk")
WIPED = ("spool", "run", "vm/vmm", "vm/run")  # in memory on a host, so gone after a crash


class Row(NamedTuple):
    """A migration in one journal."""

    state: str
    pending: str
    why: str


MakeGuest = Callable[[Cluster, str, str], None]


@dataclass
class Bench:
    """Two nodes, a guest, and an observer of its consoles."""

    world: Cluster
    observer: Observer
    stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def built(cls, make_guest: MakeGuest | None = None, **changes: Any) -> "Bench":
        """A guest that runs on host1: a micro-VM's, or what is made of the name on the node."""
        stack = ExitStack()
        changes = {"migration": LIMITS, "bhyve": TIMES, **changes}
        world = stack.enter_context(cluster(["host1", "host2"], **changes))
        have_obey(world)
        observer = Observer({name: node.directory / "run" for name, node in world.nodes.items()})
        observer.start()
        stack.callback(observer.stop)
        if make_guest:
            make_guest(world, GUEST, "host1")
        else:
            world.make_guest(GUEST, "host1", "32M", *ROM)
        return cls(world, observer, stack)

    def close(self) -> None:
        """End everything."""
        self.stack.close()


def have_obey(world: Cluster) -> None:
    """Start every daemon again, so that it dies or stops where a test orders it to."""
    for node in world.nodes.values():
        node.environment[VARIABLE] = str(order_path(node))
        node.stop()
        node.start()


def order_path(node: Node) -> Path:
    """Where a node's daemon looks for the point at which it is to die."""
    return node.directory / "order"


def order(node: Node, point: str, times: int = 1, number: str = "SIGKILL") -> None:
    """Have a daemon end (or stop) itself at a point."""
    order_path(node).write_text(f"{point} {times} {number}")


def await_death(node: Node) -> None:
    """Wait until a daemon has come to the point it was to die at."""
    assert node.process
    try:
        status = eventually(node.process.poll, 20, f"the end of {node.name} where it was ordered")
    finally:
        order_path(node).unlink(missing_ok=True)
    assert status == -signal.SIGKILL, node.log[-3000:]
    node.process = None


def await_stop(node: Node) -> None:
    """Wait until a daemon has stopped itself at its point."""
    assert node.process
    pid = node.process.pid
    eventually(lambda: state_of(pid) == "T", 20, f"the stop of {node.name} where it was ordered")


def state_of(pid: int) -> str:
    """A letter of the kernel's: T is stopped, Z is dead; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def crash_host(node: Node) -> None:
    """As if the power failed: all processes end, what is in memory is gone, the disk stays."""
    order_path(node).unlink(missing_ok=True)
    for pid in pids_below(node.directory):
        with_suppressed_kill(pid)
    if node.process:
        node.process.wait(10)
        node.process = None
    for part in WIPED:
        _empty(node.directory / part)


def _empty(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def process_of(node: Node, program: str, guest: str = GUEST) -> int:
    """The supervisor or the hypervisor of a guest on a node; 0 when there is none."""
    for pid in pids_below(node.directory):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        is_supervisor = "bmigd.guests.supervisor" in words
        is_daemon = node.process is not None and pid == node.process.pid
        kind = "supervisor" if is_supervisor else "daemon" if is_daemon else "vmm"
        if kind == program and (guest in words or is_daemon):
            return pid
    return 0


def journalled(node: Node, migration_id: str) -> Row | None:
    """What a node's journal says of a migration, read from outside."""
    path = node.directory / "state/journal.sqlite"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        query = "SELECT state, pending, why FROM migrations WHERE id = ?"
        found = connection.execute(query, (migration_id,)).fetchone()
    finally:
        connection.close()
    return Row(*found) if found else None


def journal_entries(world: Cluster) -> list[Entry]:
    """Every migration of both journals."""
    return [
        entry
        for name, node in world.nodes.items()
        for entry in journal(name, node.directory / "state/journal.sqlite")
    ]


def kill(pid: int, number: int) -> None:
    """Signal a process of a node."""
    assert pid
    os.kill(pid, number)
