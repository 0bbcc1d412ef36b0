"""bmigd: the daemon of one node.

Exit status: 0 stopped as asked, 1 could not start or went wrong, 2 wrong arguments or
configuration.
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO, cast

import click
import structlog

from bmigd import config as configuration
from bmigd import host, newjournal
from bmigd.daemon import Daemon, journal_path, load_credentials, make_policy
from bmigd.errors import BmigError, Invalid
from bmigd.sink import Sink
from bmigd.unmet import unmet
from bmigd.words import short

log = structlog.get_logger()

DEFAULT_CONFIG = "/usr/local/etc/bmigd.toml"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The node's configuration file.",
)
@click.option(
    "--check-config",
    is_flag=True,
    help="Check the file and what it names; exit.",
)
@click.version_option(package_name="bmig", prog_name="bmigd")
@click.pass_context
def command(context: click.Context, path: Path, check_config: bool) -> None:
    """Run this node's migration daemon until SIGTERM.

    On a new node run `bmigd init` once before: it makes the ownership journal.
    """
    if check_config and context.invoked_subcommand:
        raise click.UsageError("--check-config only checks: it goes with no command")
    config = configuration.load(path)
    context.obj = config
    if context.invoked_subcommand:
        return
    if check_config:
        policy, credentials = make_policy(config), load_credentials(config)
        for words in unmet(config, policy, journal_path(config)):
            click.echo(f"{path}: warning: {words}", err=True)
        days = (credentials.expires_at.timestamp() - time.time()) / 86400
        click.echo(f"{path}: correct; node {config.node.name}, certificate ends in {days:.0f} days")
        return
    _set_up_logging(config.log)
    os.umask(0o077)
    host.keep_freed_memory()
    host.raise_file_limit()
    asyncio.run(Daemon(config).run())


@command.command()
@click.pass_obj
def init(config: configuration.Config) -> None:
    """Make this node's ownership journal, once in its life."""
    incarnation = newjournal.create(journal_path(config))
    click.echo(f"made {journal_path(config)}, incarnation {incarnation}")


def _set_up_logging(wanted: configuration.Log) -> None:
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if wanted.format == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    # gRPC and asyncio report through the standard library; what they say must not be lost.
    logging.basicConfig(level=logging.WARNING, handlers=[_Others()])
    structlog.configure(
        processors=[
            bounded,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[wanted.level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Sink(sys.stderr))),
    )


class _Others(logging.Handler):
    """What libraries log, in lines like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            raised = record.exc_info[1] if record.exc_info else None
            facts = {"logger": record.name, "words": record.getMessage(), "exc_info": raised}
            log.log(record.levelno, "library", **facts)
        except Exception:  # noqa: BLE001 - never the library's
            self.handleError(record)


def bounded(
    logger: object, method: str, facts: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """No value of a caller makes a line long or steers a terminal; what is raised is ours."""
    for key, value in facts.items():
        if value is not None and not isinstance(value, int | float | BaseException):
            facts[key] = short(str(value))
    return facts


def main() -> None:
    """The console script."""
    try:
        command()
    except BmigError as error:
        click.echo(f"bmigd: {error}", err=True)
        if error.advice:
            click.echo(f"  do next: {error.advice}", err=True)
        sys.exit(2 if isinstance(error, Invalid) else 1)


if __name__ == "__main__":
    main()
