"""An operator cancels a migration, whatever it is at, before the guest is let go: that succeeds,
the guest runs where it was with all of its memory, and nothing of it is left on the other node.

A migration is caught at a moment by holding up what it waits for, until it was cancelled there.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import pytest

from tests.daemons import eventually
from tests.e2e.network.world import ANYHOW, World, mended, network
from tests.e2e.relay import Sound
from tests.e2e.way import Way

pytestmark = pytest.mark.e2e

HELD_S = 120.0  # at most, should the test have failed
SLOWLY = ("--bandwidth", "1M", "--codec", "raw")  # a busy machine takes its time to cancel
NEVER_STOPPED, RUNNING_AGAIN = "on {}, never stopped", "running on {}"

Meet = Callable[[World, Way], str]


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with network(relayed=True) as made:
        made.cluster.make_guest("vm1", "host1")
        yield made


@dataclass
class Held(Sound):
    """Of a method's requests, which are several, passes on two; or none of its answers."""

    method: str
    what: str
    has_come: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if self.what != "request" or method != self.method:
            return messages
        return self._after_two(messages)

    def _after_two(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        yield from islice(messages, 2)
        self._hold()
        yield from messages

    def answers(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            if self.what == "answer" and method == self.method:
                self._hold()
            yield message

    def _hold(self) -> None:
        self.has_come.set()
        self.is_over.wait(HELD_S)


def begin(world: World, way: Way, *options: str) -> str:
    return world.cluster.start_migration("vm1", way.destination, *options)


def held(world: World, way: Way, method: str, what: str) -> str:
    """A migration that waits for the rest of a call."""
    holding = world.relays[way.source].damage = Held(method, what)
    begun = begin(world, way, *ANYHOW)
    eventually(holding.has_come.is_set, what=f"the {what} of {method}")
    return begun


def preparing(world: World, way: Way) -> str:
    """The other node has made room, and the source has not heard of it."""
    return held(world, way, "ReceiveGuest", "answer")


def copying(world: World, way: Way) -> str:
    begun = begin(world, way, *SLOWLY)
    world.await_logged(way.source, begun, "phase precopy")
    return begun


def suspending(world: World, way: Way) -> str:
    """A suspend that takes its time, and then some until it was cancelled."""
    world.cluster.fault(way.source, "vm1", "suspend-slow", "1", "suspend-hangs")
    begun = begin(world, way, *ANYHOW)
    world.await_logged(way.source, begun, "phase switchover")
    return begun


def delivering(world: World, way: Way) -> str:
    """The other node has half of the device state."""
    begun = held(world, way, "DeliverState", "request")
    spool = world.cluster.nodes[way.destination].directory / "spool"
    eventually((spool / "vm1.in/state.kern.partial").exists, what="the delivery's beginning")
    return begun


def ready(world: World, way: Way) -> str:
    """The other node has all and has said so, and the source has not heard of it."""
    return held(world, way, "DeliverState", "answer")


def let_go_on(world: World, way: Way) -> None:
    """End what was held up; the migration is not there any more."""
    world.cluster.fault(way.source, "vm1")
    damage = world.relays[way.source].damage
    if isinstance(damage, Held):
        damage.is_over.set()


MOMENTS = {
    preparing: ("PHASE_PREPARING", NEVER_STOPPED),
    copying: ("PHASE_PRECOPY", NEVER_STOPPED),
    suspending: ("PHASE_SWITCHOVER", RUNNING_AGAIN),
    delivering: ("PHASE_SWITCHOVER", RUNNING_AGAIN),
    ready: ("PHASE_SWITCHOVER", RUNNING_AGAIN),
}


@pytest.mark.parametrize(
    ("meet", "phase", "location"),
    [(meet, *ends) for meet, ends in MOMENTS.items()],
    ids=[meet.__name__ for meet in MOMENTS],
)
def test_a_migration_is_cancelled_in_every_phase_before_the_guest_is_let_go(
    world: World, meet: Meet, phase: str, location: str
) -> None:
    with mended(world) as way, ThreadPoolExecutor(1) as beside:
        try:
            begun = meet(world, way)
            assert world.shown(begun, way.source)["phase"] == phase
            cancelling = beside.submit(world.cluster.ctl, "cancel", begun, check=False)
            world.await_logged(way.source, begun, "phase aborting")
        finally:
            let_go_on(world, way)
        done = cancelling.result()
        assert done.returncode == 0, done.stderr
        where = location.format(way.source)
        assert done.stdout == f"cancelled: guest vm1 is {where}\n"
        ended = world.shown(begun, way.source)
        assert (ended["phase"], ended["ownership"]) == ("PHASE_ABORTED", "ABORTED")
        assert (ended["failure"]["reason"], ended["failure"]["location"]) == ("CANCELLED", where)
        assert world.await_on(way.destination, begun, "PHASE_ABORTED")["ownership"] == "REFUSED"
        way.unharmed()
        world.cluster.beats_on("vm1")
