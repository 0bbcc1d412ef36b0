"""Each request and reply between two nodes is lost once, as is the connection while a request is
being served: exactly one copy runs in the end, both sides say so, and the next migration works.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.faults.results import Name
from tests.e2e.network.world import ANYHOW, World, mended, network
from tests.e2e.relay import Lost, Sound
from tests.e2e.way import RUNNING, Way

pytestmark = pytest.mark.e2e

ENDS = {"PHASE_COMPLETED": ("RELEASED", "RUNNING"), "PHASE_ABORTED": ("ABORTED", "REFUSED")}


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with network(relayed=True) as made:
        made.cluster.make_guest("vm1", "host1")
        yield made


@dataclass
class Losing(Sound):
    """Loses the first of some methods' requests or replies, or cuts them off while served."""

    methods: set[str]
    what: str
    lost: list[str] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if self.what == "request" and self._now(method):
            raise Lost
        return messages

    def answers(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if self.what == "request" or not self._now(method):
            yield from messages
            return
        if self.what == "reply":
            for _ in messages:  # it was served
                continue
        raise Lost

    def _now(self, method: str) -> bool:
        with self._lock:
            if method not in self.methods:
                return False
            self.methods.remove(method)
            self.lost.append(method)
            self.at_s.append(time.time())
            return True


def on_both_sides(world: World, way: Way, migration_id: str, phase: str) -> dict[str, Any]:
    """What the source tells, once both sides tell the same."""
    there = world.await_on(way.destination, migration_id, phase)
    here = world.shown(migration_id, way.source)
    assert (here["ownership"], there["ownership"]) == ENDS[phase]
    return here


@pytest.mark.parametrize("what", ["request", "reply", "connection"])
@pytest.mark.parametrize(
    "methods",
    [
        {"ReceiveGuest"},
        {"DeliverState"},
        {"Commit"},
        {"QueryOutcome"},
        {"Commit", "QueryOutcome"},
    ],
    ids=lambda methods: "-".join(sorted(methods)),
)
def test_a_guest_moves_though_a_message_is_lost(world: World, methods: set[str], what: str) -> None:
    with mended(world, again=False) as way:
        losing = world.relays[way.source].damage = Losing(set(methods), what)
        begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
        world.await_phase(way, begun, "PHASE_COMPLETED")
        here = on_both_sides(world, way, begun, "PHASE_COMPLETED")
        assert set(losing.lost) == methods
        assert not here.get("failure")
        name = Name(f"{what} lost", " and ".join(sorted(methods)), "between")
        world.note(name, way, begun, losing.at_s[0])
        parts = {part["name"] for part in here["report"]["downtime_parts"]}
        assert {"suspend", "last pass", "compare memory", "start"} <= parts
        told = {one["waited_for"] for one in here["report"].get("interruptions", ())}
        asked = methods - {"QueryOutcome"}
        assert {f"answer to {method}" for method in asked} <= told | {"answer to Query"}
        assert world.cluster.where("vm1") == {way.destination: RUNNING}


@pytest.mark.parametrize("what", ["request", "reply", "connection"])
def test_a_cancelled_guest_stays_though_the_message_is_lost(world: World, what: str) -> None:
    with mended(world) as way:
        losing = world.relays[way.source].damage = Losing({"Abort"}, what)
        begun = world.cluster.start_migration(
            "vm1", way.destination, "--bandwidth", "2M", "--codec", "raw"
        )
        world.await_logged(way.source, begun, "phase precopy")
        world.cluster.ctl("cancel", begun)
        assert losing.lost == ["Abort"]
        way.next_one_works(*ANYHOW)  # which ends whatever was left of it there
        here = on_both_sides(world, way, begun, "PHASE_ABORTED")
        assert here["failure"]["reason"] == "CANCELLED"
        world.note(Name(f"{what} lost", "Abort", "between"), way, begun, losing.at_s[0])
