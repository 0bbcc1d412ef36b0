"""The library: what a program does with a cluster, typed and asynchronous.

    async with Client(config.load(path)) as client:
        started = await client.start("vm1", "host2")
        async for update in client.watch(started): ...

Rule: a start is repeated only under the same id, so that it can never become two migrations.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from bmig.v1 import migration_pb2

from bmigctl import exits
from bmigctl.cluster import FoundGuest, FoundMigration, Survey
from bmigctl.dial import CHECK_S, POWER_S, SURVEY_S, Node
from bmigctl.errors import BmigctlError, Refused, Unreachable
from bmigctl.guests import Guests, whereabouts
from bmigctl.watch import Patience, Update, Watch

_START_ATTEMPTS = 3
_START_PAUSE_S = 0.5


def exit_code(migration: migration_pb2.Migration) -> int:
    """What a migration that is no longer watched came to."""
    if migration.in_doubt_since_ms:
        return exits.IN_DOUBT
    if migration.phase == migration_pb2.PHASE_COMPLETED:
        return exits.DONE
    if migration.phase == migration_pb2.PHASE_ABORTED:
        return exits.NOT_MOVED
    return exits.FAILED


class Client(Guests):
    """A cluster with everything that can be done in it."""

    async def check(
        self, guest: str, destination: str, options: migration_pb2.MigrationOptions | None = None
    ) -> tuple[FoundGuest, migration_pb2.CheckMigrationResponse]:
        """Runs every precheck where the guest is; changes nothing."""
        found = await self.find_guest(guest)
        request = migration_pb2.CheckMigrationRequest(
            guest=guest, destination=destination, options=options
        )
        call = found.node.migrations.CheckMigration(request, timeout=CHECK_S)
        try:
            return found, await found.node.answer(call)
        except BmigctlError as error:
            raise error.about(guest=guest, location=whereabouts(found)) from error

    async def start(
        self,
        guest: str,
        destination: str,
        options: migration_pb2.MigrationOptions | None = None,
        migration_id: str | None = None,
    ) -> FoundMigration:
        """Starts a migration; one that was started before under this id is answered as it is."""
        if migration_id is not None:
            known = await self._started_before(migration_id, guest, destination)
            if known is not None:
                return known
        found = await self.find_guest(guest)
        request = migration_pb2.StartMigrationRequest(
            id=migration_id or str(uuid.uuid4()),
            guest=guest,
            destination=destination,
            options=options,
        )
        return FoundMigration(((found.node, await self._start(found, request)),))

    def watch(
        self, found: FoundMigration, patience: Patience | None = None
    ) -> AsyncGenerator[Update, None]:
        """Every event from the first on, and at last the migration."""
        return Watch(found.node, found.migration.id, patience or Patience()).updates()

    async def wait(
        self, found: FoundMigration, patience: Patience | None = None
    ) -> migration_pb2.Migration:
        """The migration once it has ended or is in doubt for longer than the patience."""
        watching = Watch(found.node, found.migration.id, patience or Patience()).updates()
        async with aclosing(watching) as updates:
            async for update in updates:
                if isinstance(update, migration_pb2.Migration):
                    return update
        raise AssertionError("a watch ends with the migration")

    async def cancel(self, migration_id: str) -> migration_pb2.Migration:
        """Ends a migration with the guest where it was; answers once that is so."""
        found = await self.find_migration(migration_id)
        request = migration_pb2.CancelMigrationRequest(id=found.migration.id)
        return await _changed(
            found, found.node.migrations.CancelMigration(request, timeout=POWER_S)
        )

    async def limit_bandwidth(self, migration_id: str, bytes_per_s: int) -> migration_pb2.Migration:
        """Changes how fast a migration may send while its guest runs; 0 for no limit."""
        found = await self.find_migration(migration_id)
        guest, source = found.migration.guest, found.migration.source
        if not found.on_source:
            raise Refused(
                "SOURCE_NOT_ASKED",
                f"{source} could not be asked, and only it can change how fast it sends {guest}",
                guest=guest,
                location="unknown",
                advice=f"ask {source} itself once it answers; bmigctl node list tells why not",
            )
        request = migration_pb2.LimitBandwidthRequest(
            id=found.migration.id, bandwidth_limit_bytes_per_s=bytes_per_s
        )
        return await _changed(
            found, found.node.migrations.LimitBandwidth(request, timeout=SURVEY_S)
        )

    async def resolve(self, found: FoundMigration, confirm_guest: str) -> migration_pb2.Migration:
        """Settles a migration in doubt with the guest on the source."""
        request = migration_pb2.ResolveMigrationRequest(
            id=found.migration.id, confirm_guest=confirm_guest
        )
        return await _changed(
            found, found.node.migrations.ResolveMigration(request, timeout=POWER_S)
        )

    async def migrations(
        self, guest: str = "", left_out: list[str] | None = None
    ) -> Survey[list[migration_pb2.Migration]]:
        """Every migration by node; `left_out` is given the nodes that have older ones besides."""

        async def ask(node: Node) -> list[migration_pb2.Migration]:
            request = migration_pb2.ListMigrationsRequest(guest=guest, limit=1000)
            answer = await node.answer(node.migrations.ListMigrations(request, timeout=SURVEY_S))
            if answer.left_out and left_out is not None:
                left_out.append(node.name)
            return list(answer.migrations)

        return await self.survey(ask)

    async def _started_before(
        self, migration_id: str, guest: str, destination: str
    ) -> FoundMigration | None:
        try:
            known = await self.find_migration(migration_id)
        except Refused:
            return None
        if (known.migration.guest, known.migration.destination) != (guest, destination):
            raise Refused(
                "ID_TAKEN",
                f"id {migration_id} is the migration of {known.migration.guest} "
                f"to {known.migration.destination}",
                guest=guest,
                advice="leave --id out, or use a new UUID",
            )
        return known

    async def _start(
        self, found: FoundGuest, request: migration_pb2.StartMigrationRequest
    ) -> migration_pb2.Migration:
        attempt = 1
        while True:
            call = found.node.migrations.StartMigration(request, timeout=CHECK_S)
            try:
                return (await found.node.answer(call)).migration
            except Unreachable as error:
                if attempt == _START_ATTEMPTS:
                    raise error.about(
                        guest=request.guest,
                        side="source",
                        location=f"{found.node.name} could not say whether the migration started",
                        advice=f"bmigctl show {request.id} tells whether it started",
                    ) from error
            except BmigctlError as error:
                if len(error.violations) > 1:
                    each = f"bmigctl check {request.guest} {request.destination}"
                    error.advice = f"{each} tells what to do about each"
                raise error.about(guest=request.guest, location=whereabouts(found)) from error
            attempt += 1
            await asyncio.sleep(_START_PAUSE_S)


async def _changed(
    found: FoundMigration,
    call: Awaitable[
        migration_pb2.CancelMigrationResponse
        | migration_pb2.LimitBandwidthResponse
        | migration_pb2.ResolveMigrationResponse
    ],
) -> migration_pb2.Migration:
    """What became of a migration by a call; whatever goes wrong names its guest."""
    try:
        return (await found.node.answer(call)).migration
    except BmigctlError as error:
        raise error.about(guest=found.migration.guest) from error
