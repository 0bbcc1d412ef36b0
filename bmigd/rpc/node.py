"""NodeService: what this node is and which guests it has."""

import asyncio
import time

from bmig.v1 import node_pb2, node_pb2_grpc

from bmigd import host
from bmigd.migration.inventory import Inventory
from bmigd.migration.node import Node
from bmigd.migration.ports import PROTOCOL_VERSIONS
from bmigd.rpc.access import Access
from bmigd.rpc.convert.form import fitting
from bmigd.rpc.convert.guests import guest_to
from bmigd.rpc.server import Context


class NodeServicer(node_pb2_grpc.NodeServiceServicer):
    """For operators and nodes, reading only."""

    def __init__(self, node: Node, inventory: Inventory, access: Access) -> None:
        self._node = node
        self._inventory = inventory
        self._access = access
        self._started_at_s = int(time.time())

    async def GetNode(  # noqa: N802
        self, request: node_pb2.GetNodeRequest, context: Context
    ) -> node_pb2.GetNodeResponse:
        """This node and the others that it knows."""
        self._access.reader(None)
        memory, spool = await asyncio.to_thread(self._node.room.available)
        _, total = await asyncio.to_thread(host.memory_bytes)
        described = node_pb2.Node(
            name=self._node.name,
            version=self._node.version,
            protocol_versions=PROTOCOL_VERSIONS,
            drivers=sorted(self._node.drivers),
            memory_available_bytes=memory,
            memory_total_bytes=total,
            spool_available_bytes=spool,
            certificate_expires_at_s=self._node.certificate_expires_at_s,
            started_at_s=self._started_at_s,
        )
        return node_pb2.GetNodeResponse(
            node=described,
            known_nodes=[
                node_pb2.KnownNode(name=name, address=address)
                for name, address in sorted(self._node.config.nodes.items())
            ],
        )

    async def ListGuests(  # noqa: N802
        self, request: node_pb2.ListGuestsRequest, context: Context
    ) -> node_pb2.ListGuestsResponse:
        """The guests that the caller may see."""
        self._access.reader(None)
        views = await self._inventory.all()
        seen = self._access.visible(view.name for view in views)
        guests, has_more = fitting(
            guest_to(view) for view in views if view.name in seen and view.name > request.after
        )
        return node_pb2.ListGuestsResponse(guests=guests, has_more=has_more)

    async def GetGuest(  # noqa: N802
        self, request: node_pb2.GetGuestRequest, context: Context
    ) -> node_pb2.GetGuestResponse:
        """One guest."""
        self._access.reader(request.name)
        return node_pb2.GetGuestResponse(guest=guest_to(await self._inventory.get(request.name)))
