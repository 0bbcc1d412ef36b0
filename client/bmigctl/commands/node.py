"""`bmigctl node`: which nodes there are and how they are."""

import click
from bmig.v1 import node_pb2

from bmigctl import completing, exits, jsonlines, render
from bmigctl.client import Client
from bmigctl.options import json_option
from bmigctl.session import Session


@click.group()
def node() -> None:
    """See the nodes of the cluster."""


@node.command(name="list")
@json_option
@click.pass_obj
def list_nodes(session: Session) -> int:
    """List every node, those included that the configured ones know.

    A node that cannot be asked is listed with the cause; the exit code is 6
    only when none could.

    \b
    Example:
      bmigctl node list
    """

    async def action(client: Client) -> int:
        survey = (await client.survey(client.describe)).require_any()
        session.tell(
            (_line(answer) for _, answer in sorted(survey.answers.items())),
            render.node_rows(survey.answers, survey.failures),
        )
        session.warn(survey.failures)
        return exits.DONE

    return session.run(action)


@node.command()
@click.argument("name", shell_complete=completing.nodes)
@json_option
@click.pass_obj
def show(session: Session, name: str) -> int:
    """Show everything about one node.

    \b
    Example:
      bmigctl node show host2
    """

    async def action(client: Client) -> int:
        there = await client.node(name)
        answer = await client.describe(there)
        session.tell([_line(answer)], render.node_card(answer, there.address))
        return exits.DONE

    return session.run(action)


def _line(answer: node_pb2.GetNodeResponse) -> str:
    """A node as programs read it."""
    return jsonlines.line("node", **jsonlines.plain(answer))
