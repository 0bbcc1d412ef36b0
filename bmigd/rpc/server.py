"""The gRPC server: mutual TLS only, every caller known, every error told in full.

One interceptor wraps every method: it takes the caller's identity from the certificate, and turns
our errors into google.rpc.Status. Servicers stay short and never see a status code.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from bmig.v1 import (
    guest_pb2,
    guest_pb2_grpc,
    migration_pb2,
    migration_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    peer_pb2,
)
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from bmigd.errors import BmigError, Denied, LocalFault, Unknown
from bmigd.rpc import health
from bmigd.rpc.load import MOST_CALLS, Load, only_of
from bmigd.rpc.status import to_status
from bmigd.security.certificates import Credentials
from bmigd.security.identity import Identity, IdentityError, identity_of

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 5 << 20  # four chunks
MOST_CALLS_OF_ALL = 1024
SERVICES = (
    node_pb2.DESCRIPTOR.services_by_name["NodeService"].full_name,
    guest_pb2.DESCRIPTOR.services_by_name["GuestService"].full_name,
    migration_pb2.DESCRIPTOR.services_by_name["MigrationService"].full_name,
    peer_pb2.DESCRIPTOR.services_by_name["PeerService"].full_name,
)
CALLER: contextvars.ContextVar[Identity] = contextvars.ContextVar("caller")
OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
# A message in one HTTP/2 frame, read from the socket in few pieces: a tenth less processor time.
LARGE_MESSAGES = [
    ("grpc.http2.max_frame_size", 8 << 20),
    ("grpc.experimental.tcp_read_chunk_size", 256 << 10),
    ("grpc.experimental.tcp_min_read_chunk_size", 256 << 10),
    ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
]
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 2 * MOST_CALLS),  # of one connection
    *LARGE_MESSAGES,
    # What a stream may have here unread; gRPC's own guess grows to tens of MiB for each.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.server_handshake_timeout_ms", 10_000),  # strangers' connections end then
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.ping_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
]

if TYPE_CHECKING:  # generic in the type stubs only
    Context = aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Context = aio.ServicerContext
    Handler = grpc.RpcMethodHandler


class Border(aio.ServerInterceptor):  # type: ignore[type-arg]
    """Who calls, and what they are told when it fails."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._under_way: set[asyncio.Task[Any]] = set()
        self._load = Load()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap a method's handler."""
        handler = await continuation(details)
        if handler is None:  # no such method
            return handler  # type: ignore[unreachable]
        if handler.response_streaming:
            wrapped: Any = self._stream(handler, details.method)
            make: Any = grpc.stream_stream_rpc_method_handler
        else:
            wrapped = self._unary(handler, details.method)
            make = grpc.stream_unary_rpc_method_handler
        made: Handler = make(
            wrapped,
            # gRPC itself would wait for a single message for ever, before anybody counts the call.
            request_deserializer=handler.request_deserializer
            if handler.request_streaming
            else None,
            response_serializer=handler.response_serializer,
        )
        return made

    def _unary(self, handler: Any, method: str) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(requests: AsyncIterator[Any], context: Context) -> Any:
            try:
                self._note_caller(context, method)
                return await self._answered(handler, requests, context)
            except BmigError as error:
                await _refuse(context, method, error)
            except Exception as error:  # noqa: BLE001 - a bug: said to the log and the caller
                await _refuse(context, method, _bug(error))

        return call

    async def _answered(self, handler: Any, requests: AsyncIterator[Any], context: Context) -> Any:
        with self._load.one_more(CALLER.get(None)):
            if handler.request_streaming:  # its messages end with the call
                return await handler.stream_unary(requests, context)
            request = await only_of(requests, handler.request_deserializer)
        return await self._whole(self._counted(lambda: handler.unary_unary(request, context)))

    async def _counted(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        with self._load.one_more(CALLER.get(None)):
            return await begin()

    async def _whole(self, work: Coroutine[Any, Any, Any]) -> Any:
        """A request that has begun is carried out, even if the caller goes away meanwhile."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller, if there is one left

    async def drain(self, limit_s: float) -> None:
        """Let requests end whose callers have gone."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=limit_s)

    def _stream(self, handler: Any, method: str) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            try:
                self._note_caller(context, method)
                with self._load.one_more(CALLER.get(None)):
                    if handler.request_streaming:
                        responses = handler.stream_stream(requests, context)
                    else:
                        request = await only_of(requests, handler.request_deserializer)
                        responses = handler.unary_stream(request, context)
                    async for response in responses:
                        yield response
            except BmigError as error:
                await _refuse(context, method, error)
            except Exception as error:  # noqa: BLE001 - a bug: said to the log and the caller
                await _refuse(context, method, _bug(error))

        return call

    def _note_caller(self, context: Context, method: str) -> None:
        sans = context.auth_context().get("x509_subject_alternative_name", [])
        try:
            CALLER.set(identity_of(list(sans), self._cluster))
        except IdentityError as error:
            if not method.startswith(OPEN_TO_ALL):
                raise Denied("DENIED", f"the certificate names nobody here: {error}") from error


def _bug(error: Exception) -> BmigError:
    if isinstance(error, aio.AbortError):
        raise error
    log.error("bug", exc_info=error)
    words = f"{type(error).__name__}: {error}"
    return LocalFault("INTERNAL", words, "report this with the log of the node")


async def _refuse(context: Context, method: str, error: BmigError) -> None:
    caller = str(CALLER.get(None))
    # That something is not here is an answer: nodes ask each other before a guest is started.
    tell = log.debug if isinstance(error, Unknown) else log.warning
    tell("refused", method=method, caller=caller, error=str(error), guest=error.guest)
    error.__traceback__ = None  # whose frames hold the request, of up to 5 MiB
    await context.abort_with_status(  # type: ignore[attr-defined]
        rpc_status.to_status(to_status(error))
    )


class Server:
    """The node's server: every service, health and reflection, over mutual TLS only."""

    def __init__(
        self,
        cluster: str,
        node: node_pb2_grpc.NodeServiceServicer,
        guest: guest_pb2_grpc.GuestServiceServicer,
        migration: migration_pb2_grpc.MigrationServiceServicer,
        add_peer: Callable[[aio.Server], None],
    ) -> None:
        self._border = Border(cluster)
        self._server = aio.server(
            interceptors=[self._border], options=OPTIONS, maximum_concurrent_rpcs=MOST_CALLS_OF_ALL
        )
        node_pb2_grpc.add_NodeServiceServicer_to_server(node, self._server)
        guest_pb2_grpc.add_GuestServiceServicer_to_server(guest, self._server)
        migration_pb2_grpc.add_MigrationServiceServicer_to_server(migration, self._server)
        add_peer(self._server)
        self._health = health.Health(SERVICES)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*SERVICES, reflection.SERVICE_NAME, health.SERVICE], self._server
        )

    async def start(self, listen: str, credentials: Credentials) -> int:
        """Bind and serve; the port. There is no plaintext port."""
        try:
            port = self._server.add_secure_port(
                listen,
                grpc.ssl_server_credentials(
                    [(credentials.key_pem, credentials.certificate_pem)],
                    root_certificates=credentials.ca_pem,
                    require_client_auth=True,
                ),
            )
        except RuntimeError as error:
            raise LocalFault(
                "ADDRESS_UNUSABLE",
                f"cannot listen on {listen}: another program does, it is none of this host, or it"
                " takes more rights",
                "see node.listen, and whether another bmigd runs",
            ) from error
        await self._server.start()
        return port

    def announce_end(self) -> None:
        """Tell whoever asks for our health that we are going."""
        self._health.go()

    async def stop(self, grace_s: float) -> None:
        """Let calls end, then end them."""
        await self._server.stop(grace_s)
        await self._border.drain(grace_s)
