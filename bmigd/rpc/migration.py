"""MigrationService: what operators ask of migrations."""

from collections.abc import AsyncIterator

from bmig.v1 import migration_pb2, migration_pb2_grpc

from bmigd import prechecks
from bmigd.migration.archive import Archive
from bmigd.migration.destination import Destination
from bmigd.migration.picture import DESTINATION, IN_DOUBT, Picture
from bmigd.migration.running import Migrations
from bmigd.rpc.access import Access
from bmigd.rpc.convert import form, migrations
from bmigd.rpc.server import Context
from bmigd.security.policy import Action

DEFAULT_LIMIT, LIMIT = 100, 1000


class MigrationServicer(migration_pb2_grpc.MigrationServiceServicer):
    """For operators."""

    def __init__(
        self, migrations: Migrations, destination: Destination, archive: Archive, access: Access
    ) -> None:
        self._migrations = migrations
        self._destination = destination
        self._archive = archive
        self._access = access

    async def CheckMigration(  # noqa: N802
        self, request: migration_pb2.CheckMigrationRequest, context: Context
    ) -> migration_pb2.CheckMigrationResponse:
        """Every precheck; changes nothing."""
        operator = self._access.operator(Action.MIGRATE, request.guest)
        options = migrations.options_from(request.options)
        checked = await self._migrations.check(
            request.guest, request.destination, options, str(operator)
        )
        return migration_pb2.CheckMigrationResponse(
            findings=[migrations.finding_to(finding) for finding in checked.findings],
            allowed=not prechecks.failures(checked.findings),
        )

    async def StartMigration(  # noqa: N802
        self, request: migration_pb2.StartMigrationRequest, context: Context
    ) -> migration_pb2.StartMigrationResponse:
        """Start one; idempotent by id."""
        operator = self._access.operator(Action.MIGRATE, request.guest)
        picture = await self._migrations.start(
            form.migration_id(request.id),
            request.guest,
            request.destination,
            migrations.options_from(request.options),
            str(operator),
        )
        return migration_pb2.StartMigrationResponse(migration=migrations.picture_to(picture))

    async def GetMigration(  # noqa: N802
        self, request: migration_pb2.GetMigrationRequest, context: Context
    ) -> migration_pb2.GetMigrationResponse:
        """One migration."""
        picture = await self._get(request.id, Action.READ)
        return migration_pb2.GetMigrationResponse(migration=migrations.picture_to(picture))

    async def ListMigrations(  # noqa: N802
        self, request: migration_pb2.ListMigrationsRequest, context: Context
    ) -> migration_pb2.ListMigrationsResponse:
        """Those that the caller may see, newest first."""
        self._access.operator(Action.READ, None)
        may_see = self._access.may_see()
        pictures = await self._archive.newest(
            lambda guest: request.guest in ("", guest) and may_see(guest),
            min(request.limit or DEFAULT_LIMIT, LIMIT),
        )
        shown, left_out = form.fitting(migrations.picture_to(one) for one in pictures)
        return migration_pb2.ListMigrationsResponse(migrations=shown, left_out=left_out)

    async def WatchMigration(  # noqa: N802
        self, request: migration_pb2.WatchMigrationRequest, context: Context
    ) -> AsyncIterator[migration_pb2.WatchMigrationResponse]:
        """Events until it has ended, then the migration."""
        picture = await self._get(request.id, Action.READ)
        async for event in self._archive.watch(picture.id, request.after_sequence):
            response = migration_pb2.WatchMigrationResponse(event=migrations.event_to(event))
            if event.kind == IN_DOUBT:
                response.migration.CopyFrom(migrations.picture_to(picture))
            yield response
        ended = await self._archive.find(picture.id)
        yield migration_pb2.WatchMigrationResponse(migration=migrations.picture_to(ended))

    async def CancelMigration(  # noqa: N802
        self, request: migration_pb2.CancelMigrationRequest, context: Context
    ) -> migration_pb2.CancelMigrationResponse:
        """End it where the guest was."""
        picture = await self._get(request.id, Action.MIGRATE)
        operator = self._access.operator(Action.MIGRATE, picture.guest)
        if picture.side == DESTINATION:
            await self._destination.cancel(picture, str(operator))
        else:
            picture = await self._migrations.cancel(picture.id, str(operator))
        return migration_pb2.CancelMigrationResponse(migration=migrations.picture_to(picture))

    async def LimitBandwidth(  # noqa: N802
        self, request: migration_pb2.LimitBandwidthRequest, context: Context
    ) -> migration_pb2.LimitBandwidthResponse:
        """How fast it may send from now on."""
        picture = await self._get(request.id, Action.MIGRATE)
        operator = self._access.operator(Action.MIGRATE, picture.guest)
        picture = await self._migrations.limit_bandwidth(
            picture.id, request.bandwidth_limit_bytes_per_s, str(operator)
        )
        return migration_pb2.LimitBandwidthResponse(migration=migrations.picture_to(picture))

    async def ResolveMigration(  # noqa: N802
        self, request: migration_pb2.ResolveMigrationRequest, context: Context
    ) -> migration_pb2.ResolveMigrationResponse:
        """Cut the knot."""
        whole = form.migration_id(request.id)
        picture = await self._get(whole, Action.RESOLVE)
        operator = self._access.operator(Action.RESOLVE, picture.guest)
        picture = await self._migrations.resolve(whole, request.confirm_guest, str(operator))
        return migration_pb2.ResolveMigrationResponse(migration=migrations.picture_to(picture))

    async def _get(self, migration_id: str, action: Action) -> Picture:
        self._access.operator(action, None)
        picture = await self._archive.find(migration_id, self._access.may_see(action))
        self._access.operator(action, picture.guest)
        return picture
