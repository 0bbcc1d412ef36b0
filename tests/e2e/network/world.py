"""Two nodes whose ways to each other go through a proxy each, and, if asked for, a relay behind it.

Every case is judged: what the guest printed, where and when, and what both journals say.
"""

import json
import os
import signal
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import tomli_w

from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.e2e.faults.results import Name, Result, keep
from tests.e2e.network.proxy import Mode, Proxy, proxy
from tests.e2e.relay import Relay, Sound, relay
from tests.e2e.way import RUNNING, Way, await_pulse, restart
from tests.judge.__main__ import journal
from tests.judge.observed import POLL_S, Observer
from tests.judge.verdict import SILENCE_S, judge
from tests.oracle import params_of

# Through a relay a loaded machine may need more than 300 ms, which is not what is tested here.
ANYHOW = ("--on-timeout", "switch-over")


@dataclass
class World:
    """A cluster, and the ways between its nodes by source."""

    cluster: Cluster
    proxies: dict[str, Proxy] = field(default_factory=dict)
    relays: dict[str, Relay] = field(default_factory=dict)

    def mend(self) -> None:
        """Every way is sound again."""
        for each in self.proxies.values():
            each.mode, each.bytes_per_s = Mode.SOUND, 0.0
        for one in self.relays.values():
            one.damage = Sound()
        for node in self.cluster.nodes.values():
            if node.process:
                os.kill(node.process.pid, signal.SIGCONT)

    def shown(self, migration_id: str, node: str) -> dict[str, Any]:
        """A migration with its report, as a node tells it."""
        done = self.cluster.ctl("show", migration_id, "--node", node, "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return cast("dict[str, Any]", next(one["migration"] for one in lines if "migration" in one))

    def note(self, name: Name, way: Way, migration_id: str, since_s: float) -> None:
        """Keep what a fault of that time (seconds since 1970) came to, as the source tells it."""
        ended = self.shown(migration_id, way.source)
        outcome = "moved" if ended["phase"] == "PHASE_COMPLETED" else "stayed"
        settle_s = int(ended["ended_at_ms"]) / 1000 - since_s
        downtime_s = int(ended["report"].get("downtime_us", 0)) / 1e6
        keep(name, Result(outcome, max(0.0, settle_s), downtime_s))

    def await_on(self, node: str, migration_id: str, phase: str) -> dict[str, Any]:
        """A migration as a node tells it, once it is in that phase."""

        def reached() -> dict[str, Any]:
            found = self.shown(migration_id, node)
            return found if found["phase"] == phase else {}

        return cast("dict[str, Any]", eventually(reached, 30, f"{phase} on {node}"))

    def await_logged(self, node: str, migration_id: str, words: str, timeout_s: float = 30) -> None:
        """A line of a node's log that is seen sooner than bmigctl can ask."""
        path = self.cluster.nodes[node].directory / "log"

        def logged() -> bool:
            lines = path.read_text(errors="replace").splitlines()
            return any(f'"{words}"' in line and migration_id in line for line in lines)

        eventually(logged, timeout_s, f"{words!r} in the log of {node}")

    def await_phase(self, way: Way, migration_id: str, *phases: str, timeout_s: float = 60) -> str:
        """The first of the phases that it is in."""

        def reached() -> str:
            phase = self.shown(migration_id, way.source)["phase"]
            return phase if phase in phases else ""

        return cast("str", eventually(reached, timeout_s, f"{' or '.join(phases)} of {way.guest}"))


@contextmanager
def network(*, relayed: bool = False, judged: bool = True, **changes: Any) -> Iterator[World]:
    """Two running nodes; all that happens is judged, which guests that are stopped do not bear."""
    with cluster(["host1", "host2"], **changes) as made, ExitStack() as open_ones:
        world = World(made)
        for source, destination in (("host1", "host2"), ("host2", "host1")):
            target = made.nodes[destination].port
            if relayed:
                through = relay(made, source, destination)
                world.relays[source], target = open_ones.enter_context(through)
            world.proxies[source] = open_ones.enter_context(proxy(target))
            node = made.nodes[source]
            config = tomllib.loads(node.config_path.read_text())
            config["nodes"][destination] = f"127.0.0.1:{world.proxies[source].port}"
            restart(node, tomli_w.dumps(config))
        if judged:
            open_ones.enter_context(_judged(world))
        yield world


@contextmanager
def mended(world: World, guest: str = "vm1", *, again: bool = True) -> Iterator[Way]:
    """The guest's way; afterwards everything is mended, and it moves once more.

    Not again where the guest moved: the next case is its next migration.
    """
    try:
        way = _way_on(world.cluster, guest)
        yield way
        world.mend()
        if again:
            _way_on(world.cluster, guest).next_one_works(*ANYHOW)
    finally:
        world.mend()
        world.cluster.fault("host1", guest)
        world.cluster.fault("host2", guest)


def _way_on(world: Cluster, guest: str) -> Way:
    """From where it runs; the other node may still wait for a source that gave up unheard."""
    (source,) = [node for node, state in world.where(guest).items() if state == RUNNING]
    destination = "host2" if source == "host1" else "host1"
    return Way(world, guest, source, destination, await_pulse(world, guest, source, -1))


@contextmanager
def _judged(world: World) -> Iterator[None]:
    """All that happens is judged: what every guest printed, and what both journals say."""
    nodes = world.cluster.nodes
    observer = Observer({name: node.directory / "run" for name, node in nodes.items()})
    observer.start()
    try:
        yield
        ended_s = time.monotonic()
        eventually(lambda: observer.lines[-1].at_s > ended_s + SILENCE_S + POLL_S, 30, "an end")
    finally:
        lines = observer.stop()
    guests = {line.guest for line in lines}
    roms = {guest: (world.cluster.storage / f"{guest}.rom").read_bytes() for guest in guests}
    entries = [
        entry
        for name, node in nodes.items()
        for entry in journal(name, node.directory / "state/journal.sqlite")
    ]
    found = judge(lines, {guest: params_of(rom) for guest, rom in roms.items()}, entries)
    assert not found.problems, "\n".join(found.problems)
    assert found.heartbeats
    for guest in filter(world.cluster.where, guests):
        world.cluster.beats_on(guest)  # all of its memory came along
