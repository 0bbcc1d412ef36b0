"""A way between two daemons that can damage what goes over it.

It has both nodes' certificates, as a broken network card or a bug behind TLS would have their
bytes: everything is passed on as it is, until a test says what to change.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from tests.cluster import Cluster

if TYPE_CHECKING:  # generic in the type stubs only
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler

LONGEST_CALL_S = 600.0
DETAILS = "grpc-status-details-bin"


class Lost(Exception):
    """Raised by a damage: the connection breaks here."""


class Sound:
    """Passes on what it gets. Damages override one of the two."""

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        """What the callee gets."""
        return messages

    def answers(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        """What the caller gets."""
        return messages


@dataclass
class Relay(Handler):
    """Takes calls for one node and makes them in the name of another."""

    target: grpc.Channel
    damage: Sound = field(default_factory=Sound)

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """Every method, as a stream of bytes both ways."""

        def pass_on(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            method, damage = call.method.rpartition("/")[2], self.damage
            onward: Any = self.target.stream_stream(call.method, None, None)
            timeout_s = min(context.time_remaining(), LONGEST_CALL_S)  # infinite for some
            try:
                messages = damage.requests(method, requests)
            except Lost:
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            calling = onward(messages, timeout=timeout_s)
            context.add_callback(calling.cancel)
            try:
                yield from damage.answers(method, calling)
            except Lost:
                calling.cancel()
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            except grpc.RpcError as error:
                _fail_likewise(context, error)

        return grpc.stream_stream_rpc_method_handler(pass_on)


def _fail_likewise(context: grpc.ServicerContext, error: Any) -> None:
    if not context.is_active():
        return
    details = [(key, value) for key, value in error.trailing_metadata() or () if key == DETAILS]
    context.set_trailing_metadata(tuple(details))
    context.abort(error.code(), error.details())


@contextmanager
def relay(world: Cluster, caller: str, callee: str) -> Iterator[tuple[Relay, int]]:
    """Between two nodes, in one direction; the relay, and the port where it takes calls."""
    ca = (world.certs / "ca.pem").read_bytes()
    ours, theirs = _pair(world, caller), _pair(world, callee)
    address = f"127.0.0.1:{world.nodes[callee].port}"
    options = [("grpc.ssl_target_name_override", callee), ("grpc.use_local_subchannel_pool", 1)]
    credentials = grpc.ssl_channel_credentials(ca, *ours)
    with grpc.secure_channel(address, credentials, options) as target:
        made = Relay(target)
        server = grpc.server(ThreadPoolExecutor(32), handlers=[made])
        secured = grpc.ssl_server_credentials([theirs], ca, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", secured)
        server.start()
        try:
            yield made, port
        finally:
            server.stop(None).wait()


def _pair(world: Cluster, node: str) -> tuple[bytes, bytes]:
    base = world.certs / "nodes"
    return (base / f"{node}.key").read_bytes(), (base / f"{node}.pem").read_bytes()
