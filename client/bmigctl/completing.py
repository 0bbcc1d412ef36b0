"""Names for the shell's completion: guests, nodes and migrations, as the nodes tell them.

Rule: a shell that completes reads of no error and waits for WAIT_S at most; who has not answered by
then is left out. What nodes say goes into a line that the operator's shell will run: nothing but
names may.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import click
from bmig.v1 import migration_pb2
from click.shell_completion import CompletionItem

from bmigctl import config, files, words
from bmigctl.client import Client
from bmigctl.cluster import list_guests
from bmigctl.dial import SURVEY_S, Node
from bmigctl.errors import BmigctlError
from bmigctl.session import Session

WAIT_S = 2.0
NEWEST, MOST = 50, 1000  # migrations of a node; one in doubt may be old
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNPRINTABLE = re.compile(r"[^ -~]")

Told = dict[str, str]  # names, and what a shell may show beside each
Question = Callable[[Node], Awaitable[Told]]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


async def _guests(node: Node) -> Told:
    return {
        one.definition.name: f"{words.guest_state(one.state)} on {node.name}"
        for one in await list_guests(node)
    }


async def _nodes(node: Node) -> Told:
    return {node.name: node.address}


async def _migrations(node: Node) -> Told:
    return {one.id: _summary(one) for one in await _newest(node)}


async def _unfinished(node: Node) -> Told:
    known = await _newest(node, MOST)
    return {one.id: _summary(one) for one in known if one.phase not in words.OVER}


async def _newest(node: Node, limit: int = NEWEST) -> list[migration_pb2.Migration]:
    request = migration_pb2.ListMigrationsRequest(limit=limit)
    answer = await node.answer(node.migrations.ListMigrations(request, timeout=SURVEY_S))
    return list(answer.migrations)


def _summary(one: migration_pb2.Migration) -> str:
    return f"{one.guest} from {one.source} to {one.destination}: {words.phase(one.phase)}"


def _completer(question: Question) -> Completer:
    def complete(
        context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        told: Told = {}
        with suppress(BmigctlError):
            asyncio.run(_ask(context, question, told))
        matching = sorted(name for name in told if name.startswith(incomplete))
        return [
            CompletionItem(name, help=UNPRINTABLE.sub("?", told[name]))
            for name in matching
            if NAME.fullmatch(name)
        ]

    return complete


async def _ask(context: click.Context, question: Question, told: Told) -> None:
    async def ask(node: Node) -> None:
        told.update(await question(node))

    path = context.find_root().params["config_path"]
    only = context.ensure_object(Session).node
    async with Client(config.load(files.expanded(path)), only, diagnoses=False) as client:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await client.survey(ask)


guests = _completer(_guests)
nodes = _completer(_nodes)
migrations = _completer(_migrations)
unfinished = _completer(_unfinished)
