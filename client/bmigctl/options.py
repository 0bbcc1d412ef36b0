"""Options that verbs share with the root group; each may stand before the verb or after it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bmigctl import completing
from bmigctl.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def node_option(function: F) -> F:
    """--node, on the root and on every verb that may be limited to one."""

    def take(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.ensure_object(Session).node = value

    return click.option(
        "--node",
        metavar="NAME",
        shell_complete=completing.nodes,
        expose_value=False,
        callback=take,
        help="Ask this node only, instead of finding out which.",
    )(function)


def json_option(function: F) -> F:
    """--json, on the root and on every verb that prints something to read."""

    def take(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Session).json |= value

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=take,
        help="Print one JSON object a line, errors included.",
    )(function)
