"""`bmigctl check` and `bmigctl migrate`: may a guest go, and go.

Rule: nothing here ends a migration that was started; interrupting only ends the watching.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import click
from bmig.v1 import migration_pb2

from bmigctl import completing, exits, jsonlines, render, units
from bmigctl.client import Client
from bmigctl.following import Patience, follow, patience_options
from bmigctl.options import json_option, node_option
from bmigctl.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_ACTIONS = {
    "abort": migration_pb2.TIMEOUT_ACTION_ABORT,
    "switch-over": migration_pb2.TIMEOUT_ACTION_SWITCH_OVER,
    "throttle": migration_pb2.TIMEOUT_ACTION_THROTTLE,
}
_CODECS = {
    "auto": migration_pb2.CODEC_UNSPECIFIED,
    "raw": migration_pb2.CODEC_RAW,
    "zstd": migration_pb2.CODEC_ZSTD,
}
_TRACKERS = {
    "auto": migration_pb2.TRACKER_AUTO,
    "content": migration_pb2.TRACKER_CONTENT,
    "pagemap": migration_pb2.TRACKER_PAGEMAP,
}
_UINT32 = click.IntRange(1, (1 << 32) - 1)


def rate(context: click.Context, parameter: click.Parameter, value: str | None) -> int:
    """A rate, of an option or an argument, in bytes per second; 0 for none."""
    try:
        return units.parse_rate(value) if value is not None else 0
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _uuid(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(uuid.UUID(value))
    except ValueError:
        raise click.BadParameter(f'"{value}" is not a UUID') from None


# How the migration is to be done; shared by check and migrate.
_WISHES = (
    click.option(
        "--downtime-limit",
        type=_UINT32,
        default=300,
        show_default=True,
        metavar="MS",
        help="Longest time that the guest may be down, in milliseconds.",
    ),
    click.option(
        "--timeout",
        type=_UINT32,
        default=3600,
        show_default=True,
        metavar="S",
        help="Time for all rounds before --on-timeout, in seconds.",
    ),
    click.option(
        "--on-timeout",
        type=click.Choice(list(_ACTIONS)),
        default="abort",
        show_default=True,
        help="What to do when the rounds do not converge in time: leave the guest"
        " where it is, switch over however long it is down, or slow it down until they do.",
    ),
    click.option(
        "--bandwidth",
        callback=rate,
        metavar="RATE",
        help="Upper bound of memory traffic while the guest runs, for example 100M"
        " (MiB/s); the last pass, with the guest down, has none. Default: none.",
    ),
    click.option(
        "--codec",
        type=click.Choice(list(_CODECS)),
        default="auto",
        show_default=True,
        help="How memory is encoded on the wire.",
    ),
    click.option(
        "--streams",
        type=click.IntRange(0, 4),
        default=0,
        metavar="N",
        help="How many connections carry memory at the same time. Default: by the"
        " processors of both hosts.",
    ),
    click.option(
        "--tracker",
        type=click.Choice(list(_TRACKERS)),
        default="auto",
        show_default=True,
        help="How dirty pages are found: by comparing all memory, or by a log of"
        " what the guest writes where there can be one.",
    ),
    click.option(
        "--verify",
        is_flag=True,
        help="Have the destination read its memory back and compare it while the guest is down.",
    ),
    click.option(
        "--probe-address",
        default="",
        metavar="IP",
        help="An address of the guest, asked for an echo every 10 ms during the"
        " switchover; the report says how long it was silent.",
    ),
)


def _wish_options(function: F) -> F:
    """All of them, in their order."""
    for option in reversed(_WISHES):
        function = option(function)
    return function


def _wish(values: dict[str, Any]) -> migration_pb2.MigrationOptions:
    return migration_pb2.MigrationOptions(
        downtime_limit_ms=values["downtime_limit"],
        timeout_s=values["timeout"],
        on_timeout=_ACTIONS[values["on_timeout"]],
        bandwidth_limit_bytes_per_s=values["bandwidth"],
        codec=_CODECS[values["codec"]],
        verify=values["verify"],
        probe_address=values["probe_address"],
        tracker=_TRACKERS[values["tracker"]],
        streams=values["streams"],
    )


@click.command()
@click.argument("guest", shell_complete=completing.guests)
@click.argument("host", shell_complete=completing.nodes)
@_wish_options
@node_option
@json_option
@click.pass_obj
def check(session: Session, /, guest: str, host: str, **values: Any) -> int:
    """Tell whether GUEST could go to HOST, and change nothing.

    Every check is listed with its verdict, failures first. The exit code is
    0 when a migration would start, 1 when a check says no, and 3 when there
    is nothing to check: HOST is unknown, or cannot be asked.

    \b
    Example:
      bmigctl check vm1 host2
    """

    async def action(client: Client) -> int:
        found, answer = await client.check(guest, host, _wish(values))
        facts = jsonlines.plain(answer)
        session.tell(
            [jsonlines.line("check", guest=guest, node=found.node.name, **facts)],
            render.findings(answer, guest, host),
        )
        return exits.DONE if answer.allowed else exits.FAILED

    return session.run(action)


@click.command()
@click.argument("guest", shell_complete=completing.guests)
@click.argument("host", shell_complete=completing.nodes)
@_wish_options
@click.option(
    "--id",
    "migration_id",
    callback=_uuid,
    metavar="UUID",
    help="Identity of the migration; the same one never starts twice. Default: a new one.",
)
@click.option("--detach", is_flag=True, help="Print the id and do not watch.")
@patience_options
@node_option
@json_option
@click.pass_obj
def migrate(
    session: Session,
    /,
    guest: str,
    host: str,
    migration_id: str | None,
    detach: bool,
    patience: Patience,
    **values: Any,
) -> int:
    """Move GUEST, running, to HOST, and watch until it is there.

    The guest is found by itself. Ctrl-C ends the watching, not the
    migration; cancel it with "bmigctl cancel ID".

    The exit code tells how it ended: 0 moved, 3 refused and not started,
    4 failed with the guest where it was, 5 in doubt, 6 a node could not be
    asked.

    \b
    Example:
      bmigctl migrate vm1 host2
      bmigctl migrate vm1 host2 --downtime-limit 500 --bandwidth 100M
      bmigctl migrate vm1 host2 --json | jq -r '.message // empty'
    """

    async def action(client: Client) -> int:
        try:
            started = await client.start(guest, host, _wish(values), migration_id)
        except asyncio.CancelledError:
            words = f"interrupted; bmigctl list --guest {guest} shows whether it began"
            click.echo(words, err=True)
            raise
        if session.json:
            migration = jsonlines.plain(started.migration)
            click.echo(jsonlines.line("started", migration=migration))
        elif detach:
            click.echo(started.migration.id)
        if detach:
            return exits.DONE
        return await follow(session, client, started, patience)

    return session.run(action)
