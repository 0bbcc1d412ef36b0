"""`bmigctl list|show|watch|cancel|bandwidth|resolve`: migrations that were started before."""

import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from bmig.v1 import migration_pb2

from bmigctl import completing, exits, jsonlines, render, report, units, words
from bmigctl.client import Client, exit_code
from bmigctl.commands.migrate import rate
from bmigctl.errors import Refused, UsageFault
from bmigctl.following import Patience, follow, patience_options
from bmigctl.options import json_option, node_option
from bmigctl.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_ID = re.compile(r"[0-9a-fA-F-]{4,36}")


def _id(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _ID.fullmatch(value):
        raise click.BadParameter(
            f'"{value}" is not the beginning of an id (at least 4 hexadecimal digits)'
        )
    return value.lower()


def _id_argument(names: completing.Completer) -> Callable[[F], F]:
    return click.argument("migration_id", metavar="ID", callback=_id, shell_complete=names)


@click.command(name="list")
@click.option(
    "--guest",
    default="",
    metavar="NAME",
    shell_complete=completing.guests,
    help="Only those of this guest.",
)
@node_option
@json_option
@click.pass_obj
def list_migrations(session: Session, guest: str) -> int:
    """List the migrations of all nodes, newest first.

    A migration is listed once, as its source tells it where that can be
    asked. Nodes that could not be asked are named.

    \b
    Example:
      bmigctl list --guest vm1
    """

    async def action(client: Client) -> int:
        left_out: list[str] = []
        survey = (await client.migrations(guest, left_out)).require_any()
        records = render.merged(
            (node, each) for node, there in survey.answers.items() for each in there
        )
        session.tell(
            (jsonlines.line("migration", migration=jsonlines.plain(one)) for one in records),
            render.migration_rows(records),
        )
        session.warn(survey.failures)
        session.warn_left_out(left_out)
        return exits.DONE

    return session.run(action)


@click.command()
@_id_argument(completing.migrations)
@node_option
@json_option
@click.pass_obj
def show(session: Session, migration_id: str) -> int:
    """Show everything about one migration.

    The report tells the downtime by its parts on both sides, every round,
    whether the memory is equal, and where the guest is. ID may be cut to its
    first 4 or more characters where that is unambiguous.

    \b
    Example:
      bmigctl show 7f3a
    """

    async def action(client: Client) -> int:
        found = await client.find_migration(migration_id)
        records = {node.name: jsonlines.plain(record) for node, record in found.records}
        migration = jsonlines.plain(found.migration)
        session.tell(
            [jsonlines.line("migration", migration=migration, records=records)],
            report.full(found.migration, render.sides(found), is_sources=found.on_source),
        )
        ends = (found.migration.source, found.migration.destination)
        session.warn({name: one for name, one in found.failures.items() if name in ends})
        return exits.DONE

    return session.run(action)


@click.command()
@_id_argument(completing.migrations)
@patience_options
@node_option
@json_option
@click.pass_obj
def watch(session: Session, migration_id: str, patience: Patience) -> int:
    """Watch a migration from its first event to its end.

    The exit code tells how it ended, as for "bmigctl migrate". ID may be cut
    to its first 4 or more characters. Ctrl-C ends the watching only.

    \b
    Example:
      bmigctl watch 7f3a
    """

    async def action(client: Client) -> int:
        return await follow(session, client, await client.find_migration(migration_id), patience)

    return session.run(action)


@click.command()
@_id_argument(completing.unfinished)
@node_option
@json_option
@click.pass_obj
def cancel(session: Session, migration_id: str) -> int:
    """End a migration with the guest running where it was.

    Answers once that is so. Too late once the guest was let go: then the
    exit code is 3 and nothing is changed.

    \b
    Example:
      bmigctl cancel 7f3a
    """

    async def action(client: Client) -> int:
        migration = await client.cancel(migration_id)
        if session.json:
            click.echo(jsonlines.line("result", migration=jsonlines.plain(migration)))
        else:
            click.echo("\n".join(report.cancelled(migration)))
        code = exit_code(migration)
        # what was asked for is that it did not move
        return exits.DONE if code == exits.NOT_MOVED else code or exits.FAILED

    return session.run(action)


@click.command()
@_id_argument(completing.unfinished)
@click.argument("limit", metavar="RATE", callback=rate)
@node_option
@json_option
@click.pass_obj
def bandwidth(session: Session, migration_id: str, limit: int) -> int:
    """Change how fast a migration may send while its guest runs.

    RATE is as for "bmigctl migrate --bandwidth", for example 100M (MiB/s);
    "none" lifts the limit. It holds at once. Too late once the guest is
    down, where nothing is limited, or the migration has ended: then the exit
    code is 3 and nothing is changed.

    \b
    Example:
      bmigctl bandwidth 7f3a 100M
      bmigctl bandwidth 7f3a none
    """

    async def action(client: Client) -> int:
        migration = await client.limit_bandwidth(migration_id, limit)
        if session.json:
            click.echo(jsonlines.line("result", migration=jsonlines.plain(migration)))
        else:
            words = f"at most {units.rate(limit)}" if limit else "as fast as it goes"
            click.echo(f"guest {migration.guest} is copied {words}")
        return exits.DONE

    return session.run(action)


@click.command()
@_id_argument(completing.unfinished)
@click.option("--run-here", is_flag=True, help="Give the guest back to the source.")
@click.option("--confirm", metavar="NAME", help="The guest's name, instead of asking for it.")
@node_option
@json_option
@click.pass_obj
def resolve(session: Session, migration_id: str, run_here: bool, confirm: str | None) -> int:
    """Settle a migration in doubt whose other host is gone for good.

    With --run-here the source starts the guest again, from its firmware: what
    it had in memory is lost, because the destination may have run it since.
    Say so ONLY when the destination, or its journal, will never come back: if
    it took the guest and returns, the guest runs twice and its disks are
    ruined. As long as the destination can be asked, this is refused. The
    guest's name is asked for as confirmation, and the decision is recorded.

    \b
    Example:
      bmigctl resolve 7f3a --run-here
      bmigctl resolve 7f3a --run-here --confirm vm1
    """
    if not run_here:
        raise click.UsageError("say how to settle it: --run-here is the only way")

    async def action(client: Client) -> int:
        found = await client.find_migration(migration_id)
        guest = found.migration.guest
        if not found.on_source:
            raise Refused(
                "SOURCE_NOT_ASKED",
                f"{found.migration.source} could not be asked, and only it can run {guest} again",
                guest=guest,
                location="unknown",
                advice=f"bring {found.migration.source} back first",
            )
        migration = found.migration
        # Else the node says that there is nothing to settle, and nobody need confirm it.
        is_open = not words.is_over(migration) and report.was_let_go(migration)
        name = confirm or ""
        if confirm is None and is_open:
            name = _ask(session, migration.destination)
        if name or is_open:
            _require_confirmed(name, migration)
        migration = await client.resolve(found, name)
        if session.json:
            click.echo(jsonlines.line("result", migration=jsonlines.plain(migration)))
        else:
            source = found.migration.source
            click.echo(f"settled: guest {guest} belongs to {source}; recorded on {source}")
            click.echo("\n".join(report.summary(migration)))
        return exits.DONE

    return session.run(action)


def _require_confirmed(name: str, migration: migration_pb2.Migration) -> None:
    if name != migration.guest:
        raise UsageFault(
            "CONFIRMATION_WRONG",
            f'"{name}" is not the guest of migration {migration.id}',
            advice="nothing was changed; bmigctl show ID names the guest",
        )


def _ask(session: Session, destination: str) -> str:
    if session.json:
        raise UsageFault("CONFIRMATION_MISSING", "with --json, confirm with --confirm NAME")
    click.echo(
        f"If {destination} took the guest and ever comes back, it may run twice. The guest is"
        " started afresh on the source: what it had in memory is lost.",
        err=True,
    )
    question = "Type the guest's name to start it on the source"
    if sys.stdin.isatty():
        answer: str = click.prompt(question, err=True)
        return answer
    if not (line := sys.stdin.readline()):
        raise UsageFault("CONFIRMATION_MISSING", "nobody can be asked; confirm with --confirm NAME")
    return line.strip()


VERBS = (list_migrations, show, watch, cancel, bandwidth, resolve)
