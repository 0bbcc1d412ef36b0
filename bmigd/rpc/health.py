"""grpc.health.v1: whether this node serves, which is the same for everything that it serves.

Not the library's servicer: that one writes to a watcher's call by itself, where the border passes
on what a method yields, and holds a lock meanwhile, so that a watcher who takes nothing could keep
a node from stopping.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """SERVING until the node is going."""

    def __init__(self, services: Iterable[str]) -> None:
        self._names = frozenset(("", *services))
        self._going = asyncio.Event()

    def go(self) -> None:
        """Tell whoever asks or watches that the node is going."""
        self._going.set()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """As it is now; NOT_FOUND for a service that is not here."""
        status = self._status(request.service)
        if status == Response.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return Response(status=status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """As it is now, and when the node is going; it ends then, for the node not to wait."""
        told = self._status(request.service)
        yield Response(status=told)
        await self._going.wait()
        last = self._status(request.service)
        if last != told:
            yield Response(status=last)

    def _status(self, service: str) -> Any:
        if service not in self._names:
            return Response.SERVICE_UNKNOWN
        return Response.NOT_SERVING if self._going.is_set() else Response.SERVING
