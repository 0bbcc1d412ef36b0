"""A node says that it serves until it is going; nobody who watches can hold that up."""

import asyncio
from typing import Any

from grpc_health.v1 import health_pb2

from bmigd.rpc.health import Health, Response

NAME = "bmig.v1.NodeService"


def question(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


async def test_whoever_watches_is_told_now_and_when_the_node_goes() -> None:
    health = Health([NAME])
    watch = health.Watch(question(NAME), None)
    assert (await anext(watch)).status == Response.SERVING
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    health.go()
    assert (await waiting).status == Response.NOT_SERVING
    assert [one async for one in watch] == []


async def test_a_watcher_who_takes_nothing_keeps_nobody_from_being_told() -> None:
    health = Health([NAME])
    stuck = health.Watch(question(NAME), None)
    await anext(stuck)  # and what it was told stays where it is
    health.go()
    assert (await health.Check(question(NAME), None)).status == Response.NOT_SERVING
    late = [one.status async for one in health.Watch(question(""), None)]
    assert late == [Response.NOT_SERVING]


async def test_a_service_that_is_not_here_is_unknown_to_whoever_watches_it() -> None:
    health = Health([NAME])
    watch = health.Watch(question("other"), None)
    assert (await anext(watch)).status == Response.SERVICE_UNKNOWN
    health.go()
    assert [one async for one in watch] == []
