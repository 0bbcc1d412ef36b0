"""A guest and the two nodes that it goes between, for tests of what must not move it.

Migrations are the same both ways, so a test takes the guest from wherever the last one left it: one
move a test instead of two.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import tomli_w

from tests.cluster import Cluster, cluster
from tests.daemons import Node, eventually
from tests.oracle import parse_heartbeats

NO, REFUSED, FAILED, UNREACHABLE = 1, 3, 4, 6
RUNNING = "GUEST_STATE_RUNNING"
OF_NO_SIDE = ("PROTOCOL_VERSION", "DRIVER_MISMATCH", "DENIED")


@dataclass
class Way:
    """From where a guest runs to the other node."""

    world: Cluster
    guest: str
    source: str
    destination: str
    beats: int  # operations that the guest had done when it was last looked at
    downtime_us: int = 0  # by the report of the last one that failed

    @classmethod
    def of(cls, world: Cluster, guest: str = "vm1") -> "Way":
        """As things are; the guest runs on host1 or on host2."""
        ((source, state),) = world.where(guest).items()
        assert state == RUNNING
        destination = "host2" if source == "host1" else "host1"
        return cls(world, guest, source, destination, await_pulse(world, guest, source, -1))

    def refused(self, *options: str, operator: str = "alice") -> dict[str, Any]:
        """The error that `bmigctl migrate` ends with when nothing was begun."""
        arguments = ("migrate", self.guest, self.destination, *options)
        error = refused(self.world, *arguments, operator=operator)
        assert error["guest"] == self.guest
        assert self.source in error["location"], error
        assert error["side"] in self._sides_of(error), error
        return error

    @staticmethod
    def _sides_of(error: dict[str, Any]) -> tuple[str, ...]:
        """Where it may be: one side, unless both differ or an operator has no right."""
        if error["reason"] in OF_NO_SIDE:
            return ("",)
        return ("source", "destination")

    def failed(self, *options: str) -> dict[str, Any]:
        """Why a migration that was begun ended with the guest where it was."""
        ended = self.world.migrate(self.guest, self.destination, *options, expect=FAILED)
        assert ended["phase"] == "PHASE_ABORTED"
        failure = cast("dict[str, Any]", ended["failure"])
        _require_complete(failure)
        assert self.source in failure["location"], failure
        self.downtime_us = int(ended["report"]["downtime_us"])
        return failure

    def unharmed(self) -> None:
        """It runs where it ran, with the memory that it had; the other node has nothing of it."""
        assert self.world.where(self.guest) == {self.source: RUNNING}
        self.beats = await_pulse(self.world, self.guest, self.source, self.beats)
        self.world.require_clean(self.destination)

    def next_one_works(self, *options: str) -> None:
        """The guest moves, and goes on over there from where it was here."""
        moved = self.world.migrate(self.guest, self.destination, *options)
        assert moved["phase"] == "PHASE_COMPLETED"
        await_pulse(self.world, self.guest, self.destination, self.beats)
        self.world.require_clean(self.source)


@contextmanager
def with_guest(name: str = "vm1") -> Iterator[Cluster]:
    """host1 and host2, and a guest that runs on host1; it is as it must be in the end."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest(name, "host1")
        yield made
        made.beats_on(name)


def refused(
    world: Cluster, *arguments: str, operator: str = "alice", code: int = REFUSED
) -> dict[str, Any]:
    """The error that a command ends with; it says everything that an operator needs."""
    done = world.ctl(*arguments, "--json", operator=operator, check=False)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    error = cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))
    assert (error["kind"], error["exit_code"]) == ("error", code), error
    _require_complete(error)
    return error


def pulse(world: Cluster, guest: str, node: str) -> int:
    """Operations in the guest's latest heartbeat on a node; fails if it ever found bad memory."""
    log = world.nodes[node].directory / "run" / guest / "console.log"
    found = parse_heartbeats(log.read_bytes() if log.exists() else b"")
    assert not [beat for beat in found if beat.bad]
    return found[-1].n if found else -1


def await_pulse(world: Cluster, guest: str, node: str, after: int) -> int:
    """Wait until the guest has done more operations than that; how many it has done then."""

    def risen() -> int:
        done = pulse(world, guest, node)
        return done if done > after else 0

    return cast("int", eventually(risen, what=f"a heartbeat of {guest} on {node} after {after}"))


@contextmanager
def reconfigured(
    world: Cluster, name: str, edit: Callable[[dict[str, Any]], object]
) -> Iterator[None]:
    """A daemon that runs with an edited configuration, and again with its own afterwards."""
    node = world.nodes[name]
    before = node.config_path.read_text()
    content = tomllib.loads(before)
    edit(content)
    try:
        restart(node, tomli_w.dumps(content))
        yield
    finally:
        restart(node, before)


def restart(node: Node, config: str) -> None:
    """Start a daemon again with another configuration file."""
    if node.process:
        node.stop()
    node.config_path.write_text(config)
    node.start()


def _require_complete(error: dict[str, Any]) -> None:
    """What happened, and what to do."""
    for part in ("reason", "message", "advice"):
        assert error[part], error
