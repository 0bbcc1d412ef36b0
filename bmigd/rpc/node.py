"""NodeService: what this node is and which guests it has."""

import asyncio
import time
from dataclasses import replace

from bmig.v1 import guest_pb2, node_pb2, node_pb2_grpc

from bmigd import host
from bmigd.migration.inventory import GuestView, Inventory
from bmigd.migration.node import Node
from bmigd.migration.ports import PROTOCOL_VERSIONS
from bmigd.rpc.access import Access
from bmigd.rpc.convert.form import Page
from bmigd.rpc.convert.guests import guest_to
from bmigd.rpc.server import Context
from bmigd.security.identity import Identity, Kind


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
        caller, may_see = self._access.reader(None), self._access.may_see()
        page = Page[guest_pb2.Guest]()
        async for view in self._inventory.all(lambda one: one > request.after and may_see(one)):
            if not page.takes(guest_to(_told(view, caller))):
                break
        return node_pb2.ListGuestsResponse(guests=page.messages, has_more=page.has_more)

    async def GetGuest(  # noqa: N802
        self, request: node_pb2.GetGuestRequest, context: Context
    ) -> node_pb2.GetGuestResponse:
        """One guest."""
        caller = self._access.reader(request.name)
        view = _told(await self._inventory.get(request.name), caller)
        return node_pb2.GetGuestResponse(guest=guest_to(view))


def _told(view: GuestView, caller: Identity) -> GuestView:
    """A migration's id is for operators and for its two nodes: another one could end it with that
    before the other has heard of it.
    """
    is_party = caller.kind is Kind.OPERATOR or caller.name == view.peer
    return view if is_party else replace(view, migration_id="")
