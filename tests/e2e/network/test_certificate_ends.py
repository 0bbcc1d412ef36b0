"""A node's certificate ends while memory comes to it: a connection that is there carries the guest
to its end; one that must be made again is not, and the guest stays where it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from certs import authority
from tests.daemons import eventually
from tests.e2e.network.proxy import Mode
from tests.e2e.network.world import ANYHOW, World, mended, network
from tests.e2e.way import RUNNING, Way, reconfigured

pytestmark = pytest.mark.e2e

LASTS_S = 12.0  # from when the daemon has it, so that a copy can begin
SLOW = ("--codec", "raw", "--bandwidth", "2M", *ANYHOW)  # so a copy lasts for 16 s at least


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    """Two nodes that do not wait for each other for long, and a guest full of noise."""
    with network(migration={"reconnect_s": 4.0}) as made:
        rom = ("--rate", "1", "--working-set", "16M", "--fill", "32M")
        made.cluster.make_guest("vm1", "host1", "64M", *rom)
        yield made


@contextmanager
def with_a_short_certificate(world: World, way: Way) -> Iterator[datetime]:
    """At the destination; when it ends. It has a good one again afterwards."""
    certs, over = world.cluster.certs, datetime.now(UTC) + timedelta(seconds=LASTS_S)
    short = authority.Validity(over - timedelta(days=1), over)
    authority.renew(certs, way.destination, validity=short)
    with reconfigured(world.cluster, way.destination, lambda _: None):
        try:
            yield over
        finally:
            authority.renew(certs, way.destination)


def started_and_over(world: World, way: Way, over: datetime) -> str:
    """A migration that began before the end and goes on after it."""
    started = world.cluster.start_migration(way.guest, way.destination, *SLOW)
    world.await_phase(way, started, "PHASE_PRECOPY")
    assert datetime.now(UTC) < over, "the machine is too slow for this test"
    eventually(lambda: datetime.now(UTC) > over + timedelta(seconds=1), what="the end")
    assert world.shown(started, way.source)["phase"] == "PHASE_PRECOPY"
    return started


def test_a_connection_that_is_there_carries_the_guest_over(world: World) -> None:
    with mended(world) as way:
        with with_a_short_certificate(world, way) as over:
            started = started_and_over(world, way, over)
            world.await_phase(way, started, "PHASE_COMPLETED", "PHASE_ABORTED")
            ended = world.shown(started, way.source)
            assert ended["phase"] == "PHASE_COMPLETED", ended["failure"]
        assert world.cluster.where(way.guest) == {way.destination: RUNNING}


def test_one_that_must_be_made_again_is_not_and_the_guest_stays(world: World) -> None:
    with mended(world) as way:
        with with_a_short_certificate(world, way) as over:
            started = started_and_over(world, way, over)
            proxy = world.proxies[way.source]
            proxy.mode = Mode.CUT
            eventually(lambda: not proxy._pipes, 10, "the end of every connection")
            proxy.mode = Mode.SOUND
            world.await_phase(way, started, "PHASE_ABORTED", "PHASE_COMPLETED")
            failure = world.shown(started, way.source)["failure"]
        assert failure["reason"] == "PEER_LOST", failure
        assert "has a certificate that has expired" in failure["message"], failure
        assert f"renew the certificate of {way.destination}" in failure["advice"], failure
        way.unharmed()
