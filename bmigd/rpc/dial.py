"""The way to another node: its certificate must name it, whatever its address is.

Implements the Peer port. Every call has a deadline; every gRPC error becomes one of ours.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
from bmig.v1 import node_pb2, node_pb2_grpc, peer_pb2, peer_pb2_grpc
from grpc import aio

from bmigd.chunk import MIB, Chunk
from bmigd.errors import PeerLost, PeerSaidNo
from bmigd.guests.state import GuestState, Seen
from bmigd.migration.handoff import Outcome
from bmigd.migration.ports import Answer, Delivery, Inquiry, Invitation, Receipt, Stretch, Welcome
from bmigd.prechecks.facts import Facts
from bmigd.rpc import packing
from bmigd.rpc.convert import guests, migrations, peers
from bmigd.rpc.server import LARGE_MESSAGES, MAX_MESSAGE_BYTES
from bmigd.rpc.status import from_rpc_error
from bmigd.security.certificates import Credentials
from bmigd.security.probe import Explanation, explain
from bmigd.transfer.lane import ChunkStream

T = TypeVar("T")
STREAM_METHOD = "/bmig.v1.PeerService/StreamMemory"
COMMIT_S = 45.0
DELIVER_S = 120.0
READY_S = 120.0  # it starts a hypervisor; keepalives notice a silent one
DESCRIBE_S = 600.0  # it reads and hashes all of the guest's memory; keepalives notice a silent one


class GrpcPeer:
    """Another node, over one channel."""

    def __init__(self, name: str, address: str, credentials: Credentials, timeout_s: float) -> None:
        self.name = name
        self._address = address
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._channel = self._dial()
        self._more: dict[int, aio.Channel] = {}  # by the number of the stream
        self._stub = peer_pb2_grpc.PeerServiceStub(self._channel)

    def _dial(self) -> aio.Channel:
        """A connection, once it is used."""
        credentials = self._credentials
        keepalive_ms = max(1000, round(self._timeout_s * 500))
        return aio.secure_channel(
            self._address,
            grpc.ssl_channel_credentials(
                credentials.ca_pem, credentials.key_pem, credentials.certificate_pem
            ),
            options=[
                ("grpc.ssl_target_name_override", self.name),
                ("grpc.default_authority", self.name),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.keepalive_time_ms", keepalive_ms),
                ("grpc.keepalive_timeout_ms", keepalive_ms),
                # Without it a keepalive that is not answered is waited for a minute.
                ("grpc.http2.ping_timeout_ms", keepalive_ms),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.initial_reconnect_backoff_ms", 100),
                # Its name is misleading: how long connecting, handshake included, may take.
                ("grpc.min_reconnect_backoff_ms", keepalive_ms),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.enable_http_proxy", 0),
                *LARGE_MESSAGES,
                # Not shared with other channels to the same node: one broken one breaks no other.
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )

    async def exchange(self, inquiry: Inquiry) -> Facts:
        """The destination's facts."""
        response = await self._call(
            self._stub.ExchangeCapabilities,
            peer_pb2.ExchangeCapabilitiesRequest(
                definition=guests.definition_to(inquiry.definition),
                requested_by=inquiry.requested_by,
                protocol_versions=inquiry.protocol_versions,
                probe_name=inquiry.probe_name,
                firmware=peers.firmware_to(inquiry.firmware),
            ),
            self._timeout_s,
        )
        return peers.facts_from(response.facts)

    async def receive(self, invitation: Invitation) -> Welcome:
        """Reserve and prepare, or answer once all is ready."""
        timeout_s = READY_S if invitation.until_ready else self._timeout_s
        response = await self._call(
            self._stub.ReceiveGuest,
            peer_pb2.ReceiveGuestRequest(
                migration_id=invitation.migration_id,
                epoch=invitation.epoch,
                definition=guests.definition_to(invitation.definition),
                regions=[
                    peer_pb2.MemoryRegion(
                        name=one.name,
                        guest_address_bytes=one.guest_address_bytes,
                        size_bytes=one.size_bytes,
                    )
                    for one in invitation.regions
                ],
                protocol_version=invitation.protocol_version,
                journal_incarnation=invitation.journal_incarnation,
                requested_by=invitation.requested_by,
                hash_seed=invitation.hash_seed,
                driver_build=invitation.driver_build,
                asks_for_memory=invitation.asks_for_memory,
                until_ready=invitation.until_ready,
            ),
            timeout_s,
        )
        return peers.welcome_from(response)

    async def describe(self, migration_id: str, epoch: int) -> AsyncIterator[Stretch]:
        """What the destination still has of the guest."""
        request = peer_pb2.DescribeMemoryRequest(migration_id=migration_id, epoch=epoch)
        call = self._stub.DescribeMemory(request, timeout=DESCRIBE_S)
        try:
            async for one in call:
                yield Stretch(one.region, one.first_page, one.page_hashes)
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self.name) from error
        finally:
            call.cancel()

    async def open_stream(self, number: int) -> ChunkStream:
        """One of the streams for chunks; all but the first have a connection of their own."""
        channel = self._channel if number == 0 else self._more.get(number)
        if channel is None:
            channel = self._more[number] = self._dial()
        call: Any = channel.stream_stream(
            STREAM_METHOD,
            request_serializer=packing.pack,
            response_deserializer=peer_pb2.StreamMemoryResponse.FromString,
        )
        return GrpcChunkStream(call(), self.name)

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Device state and root."""
        response = await self._call(self._stub.DeliverState, _state(delivery), DELIVER_S)
        return Receipt(
            response.memory_root,
            migrations.parts_from(response.parts),
            migrations.parts_from(response.spent),
        )

    async def commit(self, migration_id: str, epoch: int, incarnation: str) -> Answer:
        """Hand over."""
        request = peer_pb2.CommitRequest(
            migration_id=migration_id, epoch=epoch, journal_incarnation=incarnation
        )
        return _answer(await self._call(self._stub.Commit, request, COMMIT_S))

    async def abort(self, migration_id: str, epoch: int, incarnation: str, why: str) -> Answer:
        """Withdraw."""
        request = peer_pb2.AbortRequest(
            migration_id=migration_id, epoch=epoch, journal_incarnation=incarnation, reason=why
        )
        response = await self._call(self._stub.Abort, request, self._timeout_s)
        return Answer(_outcome(response.outcome))

    async def query(self, migration_id: str, epoch: int, incarnation: str) -> Answer:
        """What became of it?"""
        request = peer_pb2.QueryOutcomeRequest(
            migration_id=migration_id, epoch=epoch, journal_incarnation=incarnation
        )
        return _answer(await self._call(self._stub.QueryOutcome, request, self._timeout_s))

    async def see_guest(self, name: str) -> Seen | None:
        """What a guest of that name does there, if there is one; PeerFault if that is not told."""
        nodes = node_pb2_grpc.NodeServiceStub(self._channel)
        request = node_pb2.GetGuestRequest(name=name)
        try:
            answer = await self._call(nodes.GetGuest, request, self._timeout_s)
            return Seen(GuestState(answer.guest.state), answer.guest.migration_id)
        except ValueError as error:
            raise PeerSaidNo("PEER_FAILED", f"{self.name} tells a state that is unknown") from error
        except PeerSaidNo as error:
            if error.reason == "DEFINITION_UNREADABLE":  # whatever it is, it is there
                return Seen(GuestState.FAILED)
            if error.reason == "GUEST_UNKNOWN":
                return None
            raise

    async def explain(self, error: Exception) -> Explanation:
        """Why it cannot be reached."""
        host, _, port = self._address.rpartition(":")
        return await explain(host.strip("[]"), int(port), self.name, self._credentials)

    async def close(self) -> None:
        """Hang up."""
        for channel in (self._channel, *self._more.values()):
            await channel.close(None)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self.name) from error


class GrpcChunkStream:
    """StreamMemory as a ChunkStream."""

    def __init__(self, call: Any, peer: str) -> None:
        self._call = call
        self._peer = peer

    async def send(self, chunks: Sequence[Chunk]) -> None:
        """Send one message of them."""
        try:
            await self._call.write(chunks)
        except (aio.AioRpcError, aio.UsageError, asyncio.InvalidStateError) as error:
            # A write only says that the call has ended; why is in the call's status.
            raise await self._ended() from error

    async def acknowledged(self) -> int:
        """The next acknowledgement."""
        try:
            response = await self._call.read()
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self._peer) from error
        except (aio.UsageError, asyncio.InvalidStateError) as error:
            raise await self._ended() from error
        if response is aio.EOF:  # type: ignore[attr-defined]
            raise await self._ended()
        return int(response.sequence)

    async def close(self) -> None:
        """End the stream."""
        self._call.cancel()

    async def _ended(self) -> Exception:
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return PeerLost("PEER_LOST", f"{self._peer} ended the stream")
        error = aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            await self._call.details(),
            "",
        )
        return from_rpc_error(error, self._peer)


async def _state(delivery: Delivery) -> AsyncIterator[peer_pb2.DeliverStateRequest]:
    contents = [file.path.read_bytes() for file in delivery.files]
    header = peer_pb2.StateHeader(
        migration_id=delivery.migration_id,
        epoch=delivery.epoch,
        memory_root=delivery.memory_root,
        files=[
            peer_pb2.StateFile(
                name=file.name,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).digest(),
            )
            for file, content in zip(delivery.files, contents, strict=True)
        ],
        verify=delivery.verify,
    )
    yield peer_pb2.DeliverStateRequest(header=header)
    for number, content in enumerate(contents):
        for position in range(0, len(content), MIB):
            part = peer_pb2.StatePart(file=number, data=content[position : position + MIB])
            yield peer_pb2.DeliverStateRequest(part=part)


def _outcome(number: int) -> Outcome:
    """A peer's outcome; what we do not know tells us nothing."""
    try:
        return Outcome(number)
    except ValueError:
        return Outcome.UNKNOWN


def _answer(response: Any) -> Answer:
    failure = migrations.failure_from(response.failure) if response.HasField("failure") else None
    parts = migrations.parts_from(response.parts)
    return Answer(_outcome(response.outcome), parts, failure, response.running_for_us)
