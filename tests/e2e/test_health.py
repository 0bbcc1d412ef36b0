"""Monitoring finds what it expects: the standard health service, of a real daemon."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cluster import Cluster, cluster
from tests.e2e.test_exhaustion import dial

pytestmark = pytest.mark.e2e

NAMES = (
    "bmig.v1.GuestService",
    "bmig.v1.MigrationService",
    "bmig.v1.NodeService",
    "bmig.v1.PeerService",
)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """One node."""
    with cluster(["host1"]) as made:
        yield made


def question(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


def test_who_watches_is_told_that_the_node_is_going_before_it_is_gone(world: Cluster) -> None:
    host1 = world.nodes["host1"]
    assert host1.process
    with dial(world, "host1", "operators/alice") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watches = {name: health.Watch(question(name), timeout=60) for name in ("", *NAMES)}
        for name, watch in watches.items():
            assert next(watch).status == SERVING, name
        host1.process.send_signal(signal.SIGTERM)
        for name, watch in watches.items():
            assert [one.status for one in watch] == [NOT_SERVING], name
    assert host1.process.wait(30) == 0
    host1.process = None
    host1.start()
