"""Watching a migration from the command line: shared by `migrate` and `watch`.

Rule: Ctrl-C ends the watching and never the migration, and says so.
"""

import asyncio
import functools
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

import click
from bmig.v1 import migration_pb2

from bmigctl import exits, words
from bmigctl.client import Client, exit_code
from bmigctl.cluster import FoundMigration
from bmigctl.errors import BmigctlError, Unreachable
from bmigctl.progress import teller
from bmigctl.session import Session
from bmigctl.watch import Patience

__all__ = ["Patience", "follow", "patience_options"]

F = TypeVar("F", bound=Callable[..., Any])


def patience_options(function: F) -> F:
    """--patience and --doubt-wait, given to the verb as one Patience."""

    @functools.wraps(function)
    def wrapped(*args: Any, patience_s: float, doubt_wait_s: float, **rest: Any) -> Any:
        return function(*args, patience=Patience(patience_s, doubt_wait_s), **rest)

    doubt = click.option(
        "--doubt-wait",
        "doubt_wait_s",
        type=click.FloatRange(0),
        default=Patience.in_doubt_s,
        show_default=True,
        metavar="S",
        help="How long to stay with a migration that is in doubt, in seconds.",
    )
    lost = click.option(
        "--patience",
        "patience_s",
        type=click.FloatRange(0),
        default=Patience.unreachable_s,
        show_default=True,
        metavar="S",
        help="How long to try again when the node stops answering, in seconds.",
    )
    return lost(doubt(wrapped))  # type: ignore[return-value]


async def follow(
    session: Session, client: Client, found: FoundMigration, patience: Patience
) -> int:
    """Tells everything until the migration has ended; the result is the exit code."""
    migration = found.migration
    if not session.json:
        route = f"{migration.source} to {migration.destination}"
        click.echo(f"migration {migration.id} of {migration.guest}, {route}")
    voice = teller(migration, session.json)
    try:
        async with aclosing(client.watch(found, patience)) as updates:
            async for update in updates:
                voice.tell(update)
                if isinstance(update, migration_pb2.Migration):
                    return exit_code(update)
    except asyncio.CancelledError:
        voice.close()
        _tell_interrupted(migration)
        raise
    except Unreachable as error:
        record = await _other_record(client, found)
        if record is None or not record.ended_at_ms:
            raise _given_up(error, found, record) from error
        voice.tell(record)
        return exit_code(record)
    finally:
        voice.close()
    return exits.FAILED


async def _other_record(client: Client, found: FoundMigration) -> migration_pb2.Migration | None:
    """What the other side's journal says, where it can be asked."""
    try:
        return (await client.find_migration(found.migration.id)).migration
    except BmigctlError:
        return None


def _given_up(
    error: Unreachable, found: FoundMigration, record: migration_pb2.Migration | None
) -> Unreachable:
    known = "unknown"
    if record is not None:
        known = f"not settled: the {words.side(record.side)} says {record.ownership}"
    error.advice = f"{error.advice}; then bmigctl watch {found.migration.id}".removeprefix("; ")
    return error.about(
        guest=found.migration.guest,
        location=f"{known}; the migration goes on whoever watches",
    )


def _tell_interrupted(migration: migration_pb2.Migration) -> None:
    click.echo(
        f"\nno longer watching; the migration of {migration.guest} goes on\n"
        f"  watch:  bmigctl watch {migration.id}\n"
        f"  cancel: bmigctl cancel {migration.id}",
        file=sys.stderr,
    )
