"""Monitoring and tools of others find what they expect: the standard health service and server
reflection, of a real daemon, for anyone whose certificate the cluster's CA signed.
"""

import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from bmig.v1 import node_pb2, node_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from certs import authority
from tests.cluster import Cluster, cluster
from tests.e2e.dial import dial

pytestmark = pytest.mark.e2e

OPERATOR, STRANGER = "operators/alice", "strangers/alice"
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
    """One node, and a certificate of its CA that names an operator of another cluster."""
    with cluster(["host1"]) as made:
        elsewhere = replace(authority._open_authority(made.certs), cluster="elsewhere")
        pair = authority.Pair(made.certs / f"{STRANGER}.pem", made.certs / f"{STRANGER}.key")
        issued = authority._sign(
            elsewhere, authority.Kind.OPERATOR, "alice", authority.Validity.of_days(1)
        )
        authority._write_pair(pair, *issued, replace=False)
        yield made


@pytest.fixture(name="who", params=[OPERATOR, STRANGER])
def make_who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def question(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


def test_every_service_is_healthy(world: Cluster, who: str) -> None:
    with dial(world, "host1", who) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *NAMES):
            assert health.Check(question(name), timeout=10).status == SERVING, name
        with pytest.raises(grpc.RpcError) as refused:
            health.Check(question("bmig.v1.OtherService"), timeout=10)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_tells_the_services_and_what_they_take(world: Cluster, who: str) -> None:
    with dial(world, "host1", who) as channel:
        told = ProtoReflectionDescriptorDatabase(channel)
        others = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert set(told.get_services()) == {*NAMES, *others}
        for name in NAMES:
            file = told.FindFileContainingSymbol(name)
            assert f"{file.package}.{file.service[0].name}" == name


def test_a_stranger_is_told_nothing_else(world: Cluster) -> None:
    with dial(world, "host1", STRANGER) as channel, pytest.raises(grpc.RpcError) as refused:
        node_pb2_grpc.NodeServiceStub(channel).GetNode(node_pb2.GetNodeRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "is not of the cluster test" in str(refused.value.details())


def test_who_watches_is_told_that_the_node_is_going_before_it_is_gone(world: Cluster) -> None:
    host1 = world.nodes["host1"]
    assert host1.process
    with dial(world, "host1", OPERATOR) as channel:
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
