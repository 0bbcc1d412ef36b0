"""A node as bmigctl sees it: the contract's services with answers laid down by the test."""

# The methods have the contract's names.
# ruff: noqa: N802

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from bmig.v1 import (
    guest_pb2,
    guest_pb2_grpc,
    migration_pb2,
    migration_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
)
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.bmigctl.pki import Authority, Holder

MIB = 1 << 20


@dataclass(frozen=True)
class Refusal:
    """An error answer with the contract's details; without a reason, as gRPC itself fails."""

    code: str
    message: str
    reason: str = ""
    violations: tuple[tuple[str, str], ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    async def raise_in(self, context: Any) -> NoReturn:
        """Ends the call with it."""
        if not self.reason:
            await context.abort(getattr(grpc.StatusCode, self.code), self.message)
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code), message=self.message)
        info = error_details_pb2.ErrorInfo(
            reason=self.reason, domain="bmig", metadata=self.metadata
        )
        failure = error_details_pb2.PreconditionFailure()
        for kind, words in self.violations:
            failure.violations.add(type=kind, description=words)
        for detail in (info, failure):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort raises")


def guest(name: str, state: guest_pb2.GuestState = guest_pb2.GUEST_STATE_RUNNING) -> Any:
    """A guest with 256 MiB."""
    definition = guest_pb2.GuestDefinition(
        name=name,
        uuid="5d6e0000-0000-4000-8000-000000000001",
        driver="bhyve",
        memory_bytes=256 * MIB,
        cpu=guest_pb2.CpuTopology(sockets=1, cores=2, threads=1),
    )
    return guest_pb2.Guest(definition=definition, state=state, epoch=1)


Step = migration_pb2.WatchMigrationResponse | Refusal | asyncio.Event


class FakeNode:
    """One node with its own port and certificate."""

    def __init__(self, name: str, authority: Authority, holder: Holder | None = None) -> None:
        self.name = name
        self._authority = authority
        self._holder = holder or authority.node(name)
        self.port = 0
        self.known: dict[str, str] = {}
        self.guests: dict[str, guest_pb2.Guest] = {}
        self.migrations: dict[str, migration_pb2.Migration] = {}
        self.answers: dict[str, Any] = {}  # method -> response, Refusal or function of the request
        self.streams: list[list[Step]] = []  # one for each watch, in order
        self.console: list[bytes] = []
        self.requests: list[Any] = []
        self.is_silent = False  # takes calls and answers none
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens; after a stop, on the same port."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        node_pb2_grpc.add_NodeServiceServicer_to_server(_NodeService(self), server)
        guest_pb2_grpc.add_GuestServiceServicer_to_server(_GuestService(self), server)
        migration_pb2_grpc.add_MigrationServiceServicer_to_server(_Migrations(self), server)
        pair = (self._holder.key.read_bytes(), self._holder.certificate.read_bytes())
        credentials = grpc.ssl_server_credentials(
            [pair], self._authority.path.read_bytes(), require_client_auth=True
        )
        self.port = server.add_secure_port(self.address, credentials)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Ends every call and stops listening."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    def seen(self, kind: type) -> list[Any]:
        """The requests of that kind, in order."""
        return [request for request in self.requests if isinstance(request, kind)]

    async def answer(self, method: str, request: Any, context: Any, default: Any) -> Any:
        """What the test laid down for the method, or the default."""
        self.requests.append(request)
        if self.is_silent:
            await asyncio.Event().wait()
        answer = self.answers.get(method, default)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Refusal):
            await answer.raise_in(context)
        return answer

    def find(self, beginning: str) -> migration_pb2.Migration | Refusal:
        """The migration whose id begins like that."""
        for each in self.migrations.values():
            if each.id.startswith(beginning):
                return each
        return Refusal("NOT_FOUND", f"no migration {beginning}", "MIGRATION_UNKNOWN")


class _NodeService(node_pb2_grpc.NodeServiceServicer):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def GetNode(self, request: Any, context: Any) -> Any:
        node = node_pb2.Node(
            name=self._node.name,
            version="0.1.0",
            protocol_versions=[1],
            drivers=["bhyve"],
            memory_available_bytes=512 * MIB,
            memory_total_bytes=1024 * MIB,
        )
        known = [
            node_pb2.KnownNode(name=name, address=address)
            for name, address in self._node.known.items()
        ]
        response = node_pb2.GetNodeResponse(node=node, known_nodes=known)
        return await self._node.answer("GetNode", request, context, response)

    async def ListGuests(self, request: Any, context: Any) -> Any:
        response = node_pb2.ListGuestsResponse(guests=self._node.guests.values())
        return await self._node.answer("ListGuests", request, context, response)

    async def GetGuest(self, request: Any, context: Any) -> Any:
        response = node_pb2.GetGuestResponse(guest=self._node.guests.get(request.name))
        return await self._node.answer("GetGuest", request, context, response)


class _GuestService(guest_pb2_grpc.GuestServiceServicer):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def DefineGuest(self, request: Any, context: Any) -> Any:
        stopped = guest_pb2.GUEST_STATE_STOPPED
        made = guest_pb2.Guest(definition=request.definition, state=stopped)
        self._node.guests.setdefault(request.definition.name, made)
        response = guest_pb2.DefineGuestResponse(guest=made)
        return await self._node.answer("DefineGuest", request, context, response)

    async def RecoverGuest(self, request: Any, context: Any) -> Any:
        stopped = guest(request.name, guest_pb2.GUEST_STATE_STOPPED)
        response = guest_pb2.RecoverGuestResponse(guest=stopped)
        return await self._node.answer("RecoverGuest", request, context, response)

    async def UndefineGuest(self, request: Any, context: Any) -> Any:
        response = guest_pb2.UndefineGuestResponse()
        return await self._node.answer("UndefineGuest", request, context, response)

    async def StartGuest(self, request: Any, context: Any) -> Any:
        response = guest_pb2.StartGuestResponse(guest=guest(request.name))
        return await self._node.answer("StartGuest", request, context, response)

    async def StopGuest(self, request: Any, context: Any) -> Any:
        stopped = guest(request.name, guest_pb2.GUEST_STATE_STOPPED)
        response = guest_pb2.StopGuestResponse(guest=stopped)
        return await self._node.answer("StopGuest", request, context, response)

    async def AttachConsole(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        first = await anext(aiter(request_iterator))
        await self._node.answer("AttachConsole", first, context, None)
        for output in self._node.console:
            yield guest_pb2.AttachConsoleResponse(output=output)
        async for request in request_iterator:
            self._node.requests.append(request)
            yield guest_pb2.AttachConsoleResponse(output=b"<" + request.input + b">")


class _Migrations(migration_pb2_grpc.MigrationServiceServicer):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def CheckMigration(self, request: Any, context: Any) -> Any:
        response = migration_pb2.CheckMigrationResponse(allowed=True)
        return await self._node.answer("CheckMigration", request, context, response)

    async def StartMigration(self, request: Any, context: Any) -> Any:
        migration = migration_pb2.Migration(
            id=request.id,
            guest=request.guest,
            source=self._node.name,
            destination=request.destination,
            side=migration_pb2.SIDE_SOURCE,
            phase=migration_pb2.PHASE_CHECKING,
            options=request.options,
            started_at_ms=1_700_000_000_000,
        )
        response = migration_pb2.StartMigrationResponse(migration=migration)
        answer = await self._node.answer("StartMigration", request, context, response)
        self._node.migrations.setdefault(request.id, migration)
        return answer

    async def GetMigration(self, request: Any, context: Any) -> Any:
        def found(_: Any) -> Any:
            there = self._node.find(request.id)
            if isinstance(there, Refusal):
                return there
            return migration_pb2.GetMigrationResponse(migration=there)

        return await self._node.answer("GetMigration", request, context, found)

    async def ListMigrations(self, request: Any, context: Any) -> Any:
        response = migration_pb2.ListMigrationsResponse(migrations=self._node.migrations.values())
        return await self._node.answer("ListMigrations", request, context, response)

    async def WatchMigration(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._node.requests.append(request)
        for step in self._node.streams.pop(0):
            if isinstance(step, Refusal):
                await step.raise_in(context)
            elif isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def CancelMigration(self, request: Any, context: Any) -> Any:
        return await self._node.answer("CancelMigration", request, context, None)

    async def LimitBandwidth(self, request: Any, context: Any) -> Any:
        return await self._node.answer("LimitBandwidth", request, context, None)

    async def ResolveMigration(self, request: Any, context: Any) -> Any:
        return await self._node.answer("ResolveMigration", request, context, None)


def event(
    sequence: int,
    kind: str,
    message: str = "",
    phase: migration_pb2.Phase = migration_pb2.PHASE_PRECOPY,
    **progress: Any,
) -> migration_pb2.WatchMigrationResponse:
    """One event of a watch."""
    made = migration_pb2.Event(
        sequence=sequence, at_ms=1_700_000_000_000, kind=kind, message=message, phase=phase
    )
    if progress:
        made.progress.CopyFrom(migration_pb2.Progress(phase=phase, **progress))
    return migration_pb2.WatchMigrationResponse(event=made)


def last(migration: migration_pb2.Migration) -> migration_pb2.WatchMigrationResponse:
    """The last message of a watch."""
    return migration_pb2.WatchMigrationResponse(migration=migration)
