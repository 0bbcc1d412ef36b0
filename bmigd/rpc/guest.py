"""GuestService: define, start, stop, and the console."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bmig.v1 import guest_pb2, guest_pb2_grpc

from bmigd.errors import LocalFault, NotPossible
from bmigd.guests.state import OFF, GuestState
from bmigd.guests.supervision import Supervision
from bmigd.migration.inventory import Inventory
from bmigd.migration.node import Node
from bmigd.rpc.access import Access
from bmigd.rpc.convert.form import invalid
from bmigd.rpc.convert.guests import definition_from, guest_to
from bmigd.rpc.load import first_of
from bmigd.rpc.server import Context
from bmigd.security.policy import Action

DEFAULT_STOP_S = 60
LONGEST_STOP_S = 3600
OUTPUT_BYTES = 65536
MAX_NODES = 1024
SILENT = {*OFF, GuestState.IN_DOUBT}


class GuestServicer(guest_pb2_grpc.GuestServiceServicer):
    """For operators."""

    def __init__(self, node: Node, inventory: Inventory, access: Access) -> None:
        self._node = node
        self._inventory = inventory
        self._access = access

    async def DefineGuest(  # noqa: N802
        self, request: guest_pb2.DefineGuestRequest, context: Context
    ) -> guest_pb2.DefineGuestResponse:
        """Keep a new guest."""
        self._access.operator(Action.DEFINE, request.definition.name)
        not_on = frozenset(request.not_on[:MAX_NODES])
        view = await self._inventory.define(definition_from(request.definition), not_on)
        return guest_pb2.DefineGuestResponse(guest=guest_to(view))

    async def RecoverGuest(  # noqa: N802
        self, request: guest_pb2.RecoverGuestRequest, context: Context
    ) -> guest_pb2.RecoverGuestResponse:
        """Define a guest that went away once more."""
        operator = self._access.operator(Action.RESOLVE, request.name)
        not_on = frozenset(request.not_on[:MAX_NODES])
        view = await self._inventory.recover(request.name, not_on, str(operator))
        return guest_pb2.RecoverGuestResponse(guest=guest_to(view))

    async def UndefineGuest(  # noqa: N802
        self, request: guest_pb2.UndefineGuestRequest, context: Context
    ) -> guest_pb2.UndefineGuestResponse:
        """Forget a stopped guest."""
        self._access.operator(Action.DEFINE, request.name)
        await self._inventory.undefine(request.name)
        return guest_pb2.UndefineGuestResponse()

    async def StartGuest(  # noqa: N802
        self, request: guest_pb2.StartGuestRequest, context: Context
    ) -> guest_pb2.StartGuestResponse:
        """Start it; not abandoned half-way if the caller goes away."""
        self._access.operator(Action.POWER, request.name)
        view = await asyncio.shield(self._inventory.start(request.name))
        return guest_pb2.StartGuestResponse(guest=guest_to(view))

    async def StopGuest(  # noqa: N802
        self, request: guest_pb2.StopGuestRequest, context: Context
    ) -> guest_pb2.StopGuestResponse:
        """Stop it."""
        self._access.operator(Action.POWER, request.name)
        timeout_s = request.timeout_s or DEFAULT_STOP_S
        if timeout_s > LONGEST_STOP_S:
            raise invalid("timeout_s", f"is more than {LONGEST_STOP_S}")
        view = await asyncio.shield(
            self._inventory.stop(request.name, request.force, float(timeout_s))
        )
        return guest_pb2.StopGuestResponse(guest=guest_to(view))

    async def AttachConsole(  # noqa: N802
        self, request_iterator: AsyncIterator[guest_pb2.AttachConsoleRequest], context: Context
    ) -> AsyncIterator[guest_pb2.AttachConsoleResponse]:
        """Recent output, then both ways until either side ends."""
        self._access.operator(Action.CONSOLE, None)  # before anything is waited for
        first = await first_of(request_iterator)
        if first is None:
            raise invalid("name", "the first message must name the guest")
        self._access.operator(Action.CONSOLE, first.name)
        view = await self._inventory.get(first.name)
        no_console = _no_console(first.name, view.state, self._node.name)
        is_silent = view.state in SILENT or (view.state is GuestState.MIGRATING_IN and not view.pid)
        if view.definition is None:
            raise no_console
        supervision = Supervision(self._node.driver(view.definition).console_directory(first.name))
        try:
            history, reader, writer = await supervision.console()
        except LocalFault as error:
            raise (no_console if is_silent else error) from error
        typing = asyncio.create_task(type_at(writer, first.input, request_iterator))
        try:
            yield guest_pb2.AttachConsoleResponse(output=history)
            if is_silent:  # it says no more; what it said may be read
                raise no_console
            async for output in _printed(reader):
                yield guest_pb2.AttachConsoleResponse(output=output)
            status = await supervision.status()
            if status and status.is_alive and status.pid == view.pid:
                raise _let_go(first.name, self._node.name)
        finally:
            typing.cancel()
            writer.close()


async def _printed(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Until the supervisor closes the console, in whatever way."""
    with contextlib.suppress(ConnectionError):
        while output := await reader.read(OUTPUT_BYTES):
            yield output


def _no_console(guest: str, state: GuestState, node: str) -> NotPossible:
    list_it = f"bmigctl list --guest {guest} says what becomes of it"
    return NotPossible(
        "GUEST_NOT_RUNNING",
        f"guest {guest} does not run on {node}, so it has no console there",
        f"start it: bmigctl guest start {guest}" if state in OFF else list_it,
        guest=guest,
        location=f"{state.words} on {node}",
    )


def _let_go(guest: str, node: str) -> LocalFault:
    return LocalFault(
        "CONSOLE_LET_GO",
        f"the console of {guest} on {node} was closed: the guest takes nothing of what is typed,"
        " or what it prints was not taken",
        f"join it again: bmigctl guest console {guest}; what was typed last may be lost",
        guest=guest,
        location=f"running on {node}",
    )


async def type_at(
    writer: asyncio.StreamWriter,
    first: bytes,
    requests: AsyncIterator[guest_pb2.AttachConsoleRequest],
) -> None:
    """All that a caller types, as fast as the guest takes it."""
    with contextlib.suppress(ConnectionError):  # the reader of the same console tells why
        writer.write(first)
        async for request in requests:
            writer.write(request.input)
            await writer.drain()
