"""The gRPC server: mutual TLS only, every caller known, every error told in full.

One interceptor wraps every method: it takes the caller's identity from the certificate, and turns
our errors into google.rpc.Status. Servicers stay short and never see a status code.
"""

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from bmig.v1 import (
    guest_pb2,
    guest_pb2_grpc,
    migration_pb2,
    migration_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    peer_pb2,
    peer_pb2_grpc,
)
from bmigd.errors import BmigError, Denied
from bmigd.rpc.status import to_status
from bmigd.security.certificates import Credentials
from bmigd.security.identity import Identity, IdentityError, identity_of

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 2 << 20
CALLER: contextvars.ContextVar[Identity] = contextvars.ContextVar("caller")
OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
]

Context = aio.ServicerContext[Any, Any]
Handler = grpc.RpcMethodHandler[Any, Any]


class Border(aio.ServerInterceptor):
    """Who calls, and what they are told when it fails."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap a method's handler."""
        handler = await continuation(details)
        if handler is None:
            return handler
        if handler.response_streaming:
            wrapped: Any = self._stream(handler, details.method)
            make: Any = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            wrapped = self._unary(handler, details.method)
            make = (
                grpc.stream_unary_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        made: Handler = make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made

    def _unary(self, handler: Any, method: str) -> Callable[[Any, Context], Awaitable[Any]]:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def call(request: Any, context: Context) -> Any:
            try:
                self._note_caller(context, method)
                return await behaviour(request, context)
            except BmigError as error:
                await _refuse(context, method, error)

        return call

    def _stream(self, handler: Any, method: str) -> Callable[[Any, Context], AsyncIterator[Any]]:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._note_caller(context, method)
                async for response in behaviour(request, context):
                    yield response
            except BmigError as error:
                await _refuse(context, method, error)

        return call

    def _note_caller(self, context: Context, method: str) -> None:
        sans = context.auth_context().get("x509_subject_alternative_name", [])
        try:
            CALLER.set(identity_of(list(sans), self._cluster))
        except IdentityError as error:
            if not method.startswith(OPEN_TO_ALL):
                raise Denied("DENIED", f"the certificate names nobody here: {error}") from error


async def _refuse(context: Context, method: str, error: BmigError) -> None:
    caller = CALLER.get(None)
    log.warning("refused", method=method, caller=str(caller), error=str(error), guest=error.guest)
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


def make_server(
    credentials: Credentials,
    node: node_pb2_grpc.NodeServiceServicer,
    guest: guest_pb2_grpc.GuestServiceServicer,
    migration: migration_pb2_grpc.MigrationServiceServicer,
    peer: Callable[[aio.Server], None],
) -> aio.Server:
    """A server with every service, health and reflection; not yet bound."""
    server = aio.server(
        interceptors=[Border(credentials.identity.cluster)],
        options=OPTIONS,
    )
    node_pb2_grpc.add_NodeServiceServicer_to_server(node, server)
    guest_pb2_grpc.add_GuestServiceServicer_to_server(guest, server)
    migration_pb2_grpc.add_MigrationServiceServicer_to_server(migration, server)
    peer(server)
    names = [
        module.DESCRIPTOR.services_by_name[name].full_name
        for module, name in (
            (node_pb2, "NodeService"),
            (guest_pb2, "GuestService"),
            (migration_pb2, "MigrationService"),
            (peer_pb2, "PeerService"),
        )
    ]
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server_health[server] = (servicer, ["", *names])
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME, health.SERVICE_NAME], server)
    return server


server_health: dict[aio.Server, tuple[Any, list[str]]] = {}


async def set_health(server: aio.Server, is_serving: bool) -> None:
    """Tell whoever watches health."""
    servicer, names = server_health[server]
    states = health_pb2.HealthCheckResponse
    state = states.SERVING if is_serving else states.NOT_SERVING
    for name in names:
        await servicer.set(name, state)


def bind(server: aio.Server, listen: str, credentials: Credentials) -> int:
    """Bind with mutual TLS; the port. There is no plaintext port."""
    return server.add_secure_port(
        listen,
        grpc.ssl_server_credentials(
            [(credentials.key_pem, credentials.certificate_pem)],
            root_certificates=credentials.ca_pem,
            require_client_auth=True,
        ),
    )
