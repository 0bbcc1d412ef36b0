"""A node that is half dead is noticed within ten seconds in every phase, and within two while the
guest is down and not yet let go, which ends with the guest running where it was.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.daemons import eventually
from tests.e2e.faults.results import Name
from tests.e2e.network.proxy import Mode
from tests.e2e.network.world import ANYHOW, World, mended, network
from tests.e2e.relay import Sound
from tests.e2e.way import RUNNING, Way, refused

pytestmark = pytest.mark.e2e

MIB = 1 << 20
NOTICED_S, NOTICED_DOWN_S = 10.0, 2.0
LIMIT_S = 5.0

Fault = Callable[[World, Way], None]


def half_open(world: World, way: Way) -> None:
    world.proxies[way.source].mode = Mode.HALF_OPEN


def deaf(world: World, way: Way) -> None:
    world.proxies[way.source].mode = Mode.DEAF


def dumb(world: World, way: Way) -> None:
    world.proxies[way.source].mode = Mode.DUMB


def reset(world: World, way: Way) -> None:
    world.proxies[way.source].mode = Mode.CUT


def stopped(world: World, way: Way) -> None:
    daemon = world.cluster.nodes[way.destination].process
    assert daemon
    os.kill(daemon.pid, signal.SIGSTOP)


FAULTS = [half_open, deaf, dumb, reset, stopped]
NAMES: dict[Fault, str] = {
    half_open: "connection half open",
    deaf: "only the way there is cut",
    dumb: "only the way back is cut",
    reset: "connection cut and refused",
    stopped: "destination's daemon stopped",
}


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with network(relayed=True, migration={"blackout_limit_s": LIMIT_S}) as made:
        rom = ("--rate", "1", "--working-set", "16M", "--fill", "32M", "--heartbeat-ms", "50")
        made.cluster.make_guest("vm1", "host1", "64M", *rom)
        yield made


@dataclass
class At(Sound):
    """Does something when a request of a method comes by."""

    method: str
    do: Callable[[], object]
    at_s: list[float] = field(default_factory=list)

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if method == self.method:
            self.at_s.append(time.time())
            self.do()
        return messages


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_copy_is_told_to_be_interrupted_within_ten_seconds_and_goes_on(
    world: World, fault: Fault
) -> None:
    with mended(world, again=False) as way:
        begun = world.cluster.start_migration("vm1", way.destination, "--codec", "raw",
                                              "--bandwidth", "8M", *ANYHOW)  # fmt: skip
        world.await_phase(way, begun, "PHASE_PRECOPY")
        before = world.proxies[way.source].to_callee_bytes
        eventually(lambda: world.proxies[way.source].to_callee_bytes > before + MIB)
        fault(world, way)
        since_s = time.time()
        world.await_logged(way.source, begun, "interrupted")
        noticed_s = time.time() - since_s
        print(f"copy, {fault.__name__}: noticed after {noticed_s:.1f} s")  # noqa: T201
        assert noticed_s < NOTICED_S
        waiting = world.shown(begun, way.source)["waiting_for"]
        assert waiting.endswith(f" from {way.destination}")
        world.mend()
        world.await_phase(way, begun, "PHASE_COMPLETED", "PHASE_ABORTED")
        ended = world.shown(begun, way.source)
        assert not ended["waiting_for"]
        assert ended["phase"] == "PHASE_COMPLETED", ended["failure"]
        assert ended["report"]["interruptions"][0]["heard_again"]
        world.note(Name(NAMES[fault], "precopy", "between"), way, begun, since_s)


@pytest.mark.parametrize("fault", [half_open, stopped], ids=lambda fault: fault.__name__)
def test_prechecks_do_not_wait_for_a_silent_node(world: World, fault: Fault) -> None:
    with mended(world, again=False) as way:
        fault(world, way)
        since_s = time.time()
        error = refused(world.cluster, "migrate", "vm1", way.destination)
        # Of a daemon that is stopped what stands in between answers the handshake.
        assert error["reason"] == ("PEER_LOST" if fault is stopped else "PEER_TIMEOUT")
        took_s = time.time() - since_s
        print(f"checks, {fault.__name__}: told after {took_s:.1f} s")  # noqa: T201
        assert took_s < NOTICED_S + 3.5  # and looked into for at most as long as that
        world.mend()
        way.unharmed()


@pytest.mark.parametrize("fault", [half_open, stopped], ids=lambda fault: fault.__name__)
def test_a_node_that_falls_silent_while_it_makes_room_is_noticed_and_asked_again(
    world: World, fault: Fault
) -> None:
    with mended(world, again=False) as way:
        at = At("ReceiveGuest", lambda: fault(world, way))
        world.relays[way.source].damage = at
        begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
        world.await_logged(way.source, begun, "interrupted")
        noticed_s = time.time() - at.at_s[0]
        print(f"preparing, {fault.__name__}: noticed after {noticed_s:.1f} s")  # noqa: T201
        assert noticed_s < NOTICED_S
        world.mend()
        assert world.await_phase(way, begun, "PHASE_COMPLETED", "PHASE_ABORTED") == (
            "PHASE_COMPLETED"
        )
        world.note(Name(NAMES[fault], "preparing", "between"), way, begun, at.at_s[0])


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        *(("suspend", fault) for fault in FAULTS),
        # A destination that is only deaf has been told all and answers: the guest is let go then.
        *(("deliver", fault) for fault in FAULTS if fault is not deaf),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_silence_while_the_guest_is_down_brings_it_back_within_two_seconds(
    world: World, when: str, fault: Fault
) -> None:
    since_s, at = 0.0, At("", lambda: None)
    with mended(world) as way:
        source = world.relays[way.source]
        if when == "suspend":
            world.cluster.fault(way.source, "vm1", "suspend-slow 2.5")
            begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
            world.await_logged(way.source, begun, "phase switchover")
            fault(world, way)
            since_s = time.time()
        else:
            source.damage = at = At("DeliverState", lambda: fault(world, way))
            begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
        world.await_phase(way, begun, "PHASE_ABORTED", "PHASE_COMPLETED")
        ended = world.shown(begun, way.source)
        assert ended["phase"] == "PHASE_ABORTED", ended["report"]
        failure, report = ended["failure"], ended["report"]
        assert failure["reason"] == "PEER_LOST"
        assert "silent" in failure["message"]
        assert failure["location"] == f"running on {way.source}"
        (last,) = report["interruptions"][-1:]
        assert last["guest_down"]
        assert not last.get("heard_again")
        silent_s = int(last["duration_us"]) / 1e6
        print(f"{when}, {fault.__name__}: no {last['waited_for']} for {silent_s:.2f} s,"  # noqa: T201
              f" down {int(report['downtime_us']) / 1e6:.2f} s")  # fmt: skip
        assert silent_s < NOTICED_DOWN_S
        world.mend()
        assert world.cluster.where("vm1")[way.source] == RUNNING
        since_s = since_s or at.at_s[0]
        world.note(Name(NAMES[fault], f"switchover, {when}", "between"), way, begun, since_s)


@dataclass
class Slow(Sound):
    """Holds a call up for a time; everything else goes on."""

    method: str
    for_s: float

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if method == self.method:
            time.sleep(self.for_s)
        return messages


def test_a_node_that_works_for_long_and_answers_is_not_silent(world: World) -> None:
    with mended(world, again=False) as way:
        world.relays[way.source].damage = Slow("DeliverState", 3.0)
        begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
        world.await_phase(way, begun, "PHASE_COMPLETED", "PHASE_ABORTED")
        ended = world.shown(begun, way.source)
        assert ended["phase"] == "PHASE_COMPLETED", ended["failure"]
        assert not ended["report"].get("interruptions")
        assert int(ended["report"]["downtime_us"]) > 3e6


def test_a_node_that_answers_and_never_gets_ready_is_waited_for_no_longer_than_the_limit(
    world: World,
) -> None:
    with mended(world) as way:
        world.relays[way.source].damage = Slow("DeliverState", 20.0)
        began_s = time.time()
        failure = way.failed(*ANYHOW)
        assert failure["reason"] == "PEER_LOST"
        assert f"within {LIMIT_S:g} s" in failure["message"]
        assert time.time() - began_s < LIMIT_S + 10
        world.mend()
        way.unharmed()


@pytest.mark.parametrize("fault", [half_open, reset, stopped], ids=lambda fault: fault.__name__)
def test_a_node_that_falls_silent_on_a_commit_is_in_doubt_soon_and_settled_when_it_answers(
    world: World, fault: Fault
) -> None:
    with mended(world, again=False) as way:
        at = At("Commit", lambda: fault(world, way))
        world.relays[way.source].damage = at
        begun = world.cluster.start_migration("vm1", way.destination, *ANYHOW)
        eventually(lambda: at.at_s, 30, "a commit")
        eventually(
            lambda: world.shown(begun, way.source).get("in_doubt_since_ms"), 15, "being in doubt"
        )
        noticed_s = time.time() - at.at_s[0]
        print(f"commit, {fault.__name__}: in doubt after {noticed_s:.1f} s")  # noqa: T201
        assert noticed_s < NOTICED_S
        world.mend()
        phase = world.await_phase(way, begun, "PHASE_COMPLETED", "PHASE_ABORTED")
        (interruption,) = world.shown(begun, way.source)["report"]["interruptions"]
        assert interruption["guest_down"]
        assert interruption["heard_again"]
        assert phase == "PHASE_COMPLETED"
        world.note(Name(NAMES[fault], "Commit", "between"), way, begun, at.at_s[0])
