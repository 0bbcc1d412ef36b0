"""One node's channel and its three services.

Rule 1: the certificate must be the one of the node's NAME, whatever the address is.
Rule 2: every call has a deadline.
Rule 3: nobody above sees a gRPC error; a call that reached nobody is explained by diagnose.
"""

from collections.abc import Awaitable
from typing import TypeVar

import grpc
from bmig.v1 import guest_pb2_grpc, migration_pb2_grpc, node_pb2_grpc
from grpc.aio import AioRpcError

from bmigctl import status
from bmigctl.config import Credentials
from bmigctl.diagnose import diagnose
from bmigctl.errors import BmigctlError, Unreachable
from bmigctl.identity import Identity

# Deadlines, in seconds.
SURVEY_S = 5.0  # asked of every node at once: one that is slow must not hold up the others
CALL_S = 15.0
CHECK_S = 60.0  # prechecks ask the other node and look at disks
POWER_S = 120.0
STREAM_S = 3600.0  # a watch is renewed quietly after that
CONSOLE_S = 86400.0

T = TypeVar("T")


def _options(name: str) -> list[tuple[str, str | int]]:
    return [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


class Node:
    """A node that can be called."""

    def __init__(
        self,
        name: str,
        address: str,
        credentials: Credentials,
        identity: Identity,
        *,
        diagnoses: bool = True,
    ) -> None:
        self.name = name
        self.address = address
        self._credentials = credentials
        self._diagnoses = diagnoses
        secured = grpc.ssl_channel_credentials(identity.ca, identity.key, identity.certificate)
        self._channel = grpc.aio.secure_channel(address, secured, options=_options(name))
        self.nodes = node_pb2_grpc.NodeServiceStub(self._channel)
        self.guests = guest_pb2_grpc.GuestServiceStub(self._channel)
        self.migrations = migration_pb2_grpc.MigrationServiceStub(self._channel)

    async def answer(self, call: Awaitable[T]) -> T:
        """What the node answered; raises BmigctlError in the operator's words."""
        try:
            return await call
        except AioRpcError as error:
            raise await self.explain(error) from error

    async def explain(self, error: AioRpcError) -> BmigctlError:
        """Turns a gRPC error into ours, looking for the real cause when no node spoke."""
        told = status.translate(error, self.name)
        if told is not None:
            return told
        wanted = self._diagnoses
        cause = await diagnose(self.name, self.address, self._credentials) if wanted else None
        if cause is not None:
            return Unreachable(cause.reason, cause.message, advice=cause.advice)
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            words = "accepts connections but did not answer in time"
        else:
            words = f"broke the call off: {error.details()}"
        return Unreachable(
            "NO_ANSWER",
            f"{self.name} at {self.address} {words}",
            advice=f"try again; if it lasts, see the log of bmigd on {self.name}",
        )

    def is_connected(self) -> bool:
        """Whether the channel stands now."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close(None)
