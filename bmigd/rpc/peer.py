"""PeerService: the destination's half, as other nodes call it.

Registered by hand and not by the generated code, for one reason: StreamMemory is read by
packing.py.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import TypeVar

import grpc
from bmig.v1 import peer_pb2, peer_pb2_grpc
from grpc import aio

from bmigd.errors import Denied
from bmigd.migration.destination import Destination
from bmigd.migration.node import Node
from bmigd.migration.ports import Answer, Invitation
from bmigd.migration.turns import Turn
from bmigd.rpc import packing
from bmigd.rpc.access import Access
from bmigd.rpc.ahead import one_ahead
from bmigd.rpc.convert import form, guests, migrations, peers
from bmigd.rpc.convert.form import invalid, migration_id
from bmigd.rpc.load import ALL_PARTS_S, NEXT_PART_S, begun_in_time, first_of, in_time
from bmigd.rpc.server import CALLER, Context
from bmigd.security.identity import IdentityError, parse_spiffe_id
from bmigd.security.policy import Action, decide
from bmigd.words import short

SERVICE = "bmig.v1.PeerService"
AnyAnswer = TypeVar("AnyAnswer", peer_pb2.CommitResponse, peer_pb2.QueryOutcomeResponse)


class PeerServicer(peer_pb2_grpc.PeerServiceServicer):
    """For nodes. The source of a migration is whoever's certificate opened it."""

    def __init__(self, node: Node, destination: Destination, access: Access) -> None:
        self._node = node
        self._destination = destination
        self._access = access

    async def ExchangeCapabilities(  # noqa: N802
        self, request: peer_pb2.ExchangeCapabilitiesRequest, context: Context
    ) -> peer_pb2.ExchangeCapabilitiesResponse:
        """Facts for the caller's prechecks; what is not allowed is among them."""
        self._access.node(Action.RECEIVE, None)
        definition = guests.definition_from(request.definition)
        denied = self._denied(definition.name, request.requested_by)
        probe = form.probe_name(request.probe_name)
        theirs = peers.firmware_from(request.firmware)
        facts = await self._node.facts(definition, probe, denied, theirs)
        if self._destination.earlier(definition.name, CALLER.get().name):
            facts = replace(facts, name_taken_by="")
        return peer_pb2.ExchangeCapabilitiesResponse(facts=peers.facts_to(facts))

    async def ReceiveGuest(  # noqa: N802
        self, request: peer_pb2.ReceiveGuestRequest, context: Context
    ) -> peer_pb2.ReceiveGuestResponse:
        """Reserve and prepare."""
        definition = guests.definition_from(request.definition)
        source = self._access.node(Action.RECEIVE, definition.name).name
        if denied := self._denied(definition.name, request.requested_by):
            raise Denied("DENIED", denied, guest=definition.name, side="destination")
        welcome = await self._destination.receive(
            Invitation(
                migration_id=migration_id(request.migration_id),
                epoch=form.epoch(request.epoch),
                definition=definition,
                regions=peers.regions_from(request.regions),
                protocol_version=request.protocol_version,
                journal_incarnation=short(request.journal_incarnation, 64),
                requested_by=request.requested_by,
                hash_seed=request.hash_seed,
                driver_build=request.driver_build,
                asks_for_memory=request.asks_for_memory,
                until_ready=request.until_ready,
            ),
            source,
        )
        return peer_pb2.ReceiveGuestResponse(
            journal_incarnation=welcome.journal_incarnation,
            lease_ms=round(welcome.lease_s * 1000),
            window_chunks=welcome.window_chunks,
            has_memory=welcome.has_memory,
            most_streams=welcome.most_streams,
            codecs=sorted(welcome.codecs),  # type: ignore[arg-type]
        )

    async def DescribeMemory(  # noqa: N802
        self, request: peer_pb2.DescribeMemoryRequest, context: Context
    ) -> AsyncIterator[peer_pb2.DescribeMemoryResponse]:
        """What is here of the guest's memory from when it left."""
        source = self._access.node(Action.RECEIVE, None).name
        whole = migration_id(request.migration_id)
        reception = await self._destination.reception(whole, request.epoch, source)
        async with contextlib.aclosing(reception.describe()) as stretches:
            async for one in stretches:
                yield peer_pb2.DescribeMemoryResponse(
                    region=one.region, first_page=one.first_page, page_hashes=one.page_hashes
                )

    async def StreamMemory(  # type: ignore[override]  # noqa: N802
        self, messages: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[peer_pb2.StreamMemoryResponse]:
        """Chunks in, several in a message; an acknowledgement of each message out."""
        source = self._access.node(Action.RECEIVE, None).name
        turn = Turn()
        async with contextlib.aclosing(one_ahead(begun_in_time(messages))) as arriving:
            while (sequence := await self._next_applied(turn, arriving, source)) is not None:
                yield peer_pb2.StreamMemoryResponse(sequence=sequence)

    async def _next_applied(
        self, turn: Turn, arriving: AsyncGenerator[bytes, None], source: str
    ) -> int | None:
        """Sequence number of the last chunk written; None at the end. A newer stream ends it."""
        async with turn.lasts():
            message = await anext(arriving, None)
            if message is None:
                return None
            chunks = packing.unpack(message)
            first = chunks[0]
            reception = await self._destination.reception(first.migration_id, first.epoch, source)
            reception.attach(turn, first.stream)
            await reception.apply(turn, chunks)
            return chunks[-1].sequence

    async def DeliverState(  # noqa: N802
        self, request_iterator: AsyncIterator[peer_pb2.DeliverStateRequest], context: Context
    ) -> peer_pb2.DeliverStateResponse:
        """Device state and root in, READY out."""
        source = self._access.node(Action.RECEIVE, None).name
        first = await first_of(request_iterator)
        if first is None or first.WhichOneof("message") != "header":
            raise invalid("header", "the first message must be the header")
        header = peers.state_header_from(first.header)
        whole = migration_id(first.header.migration_id)
        reception = await self._destination.reception(whole, first.header.epoch, source)
        receipt = await reception.deliver(header, _parts(request_iterator))
        return peer_pb2.DeliverStateResponse(
            memory_root=receipt.memory_root,
            parts=migrations.parts_to(receipt.parts),
            spent=migrations.parts_to(receipt.spent),
        )

    async def Commit(  # noqa: N802
        self, request: peer_pb2.CommitRequest, context: Context
    ) -> peer_pb2.CommitResponse:
        """Take the guest."""
        source = self._access.node(Action.RECEIVE, None).name
        answer = await self._destination.commit(
            *(migration_id(request.migration_id), form.epoch(request.epoch), source),
            request.journal_incarnation,
        )
        return _fill(peer_pb2.CommitResponse(), answer)

    async def Abort(  # noqa: N802
        self, request: peer_pb2.AbortRequest, context: Context
    ) -> peer_pb2.AbortResponse:
        """Withdraw it."""
        source = self._access.node(Action.RECEIVE, None).name
        answer = await self._destination.abort(
            *(migration_id(request.migration_id), form.epoch(request.epoch), source),
            *(request.journal_incarnation, short(request.reason, 500)),
        )
        return peer_pb2.AbortResponse(outcome=int(answer.outcome))  # type: ignore[arg-type]

    async def QueryOutcome(  # noqa: N802
        self, request: peer_pb2.QueryOutcomeRequest, context: Context
    ) -> peer_pb2.QueryOutcomeResponse:
        """What became of it."""
        source = self._access.node(Action.RECEIVE, None).name
        answer = await self._destination.query(
            *(migration_id(request.migration_id), form.epoch(request.epoch), source),
            request.journal_incarnation,
        )
        return _fill(peer_pb2.QueryOutcomeResponse(), answer)

    def _denied(self, guest: str, requested_by: str) -> str:
        """Why this node will not take the guest from that node for that operator; "" if it will."""
        decision = decide(self._node.policy, CALLER.get(), Action.RECEIVE, guest)
        if not decision.allowed:
            return decision.why
        try:
            operator = parse_spiffe_id(requested_by)
        except IdentityError as error:
            return str(error)
        decision = decide(self._node.policy, operator, Action.MIGRATE, guest)
        return "" if decision.allowed else decision.why


async def _parts(
    requests: AsyncIterator[peer_pb2.DeliverStateRequest],
) -> AsyncIterator[tuple[int, bytes]]:
    async for request in in_time(requests, NEXT_PART_S, ALL_PARTS_S):
        yield request.part.file, request.part.data


def _fill(response: AnyAnswer, answer: Answer) -> AnyAnswer:
    response.outcome = int(answer.outcome)  # type: ignore[assignment]
    response.parts.extend(migrations.parts_to(answer.parts))
    response.running_for_us = answer.running_for_us
    if answer.failure:
        response.failure.CopyFrom(migrations.failure_to(answer.failure))
    return response


def add_to_server(servicer: PeerServicer, server: aio.Server) -> None:
    """Register the service, then StreamMemory again: with bytes instead of messages."""
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.StreamMemory,
        request_deserializer=lambda message: message,
        response_serializer=peer_pb2.StreamMemoryResponse.SerializeToString,
    )
    peer_pb2_grpc.add_PeerServiceServicer_to_server(servicer, server)
    server.add_registered_method_handlers(  # type: ignore[attr-defined]
        SERVICE, {"StreamMemory": handler}
    )
