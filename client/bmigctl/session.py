"""What every verb shares: global options, the client for one run, and how its end is told.

Rule: whatever happens, the operator reads words and gets an exit code; a traceback only with
--debug.
"""

import asyncio
import errno
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from bmigctl import config, exits, files, jsonlines, render
from bmigctl.client import Client
from bmigctl.errors import BmigctlError, Unreachable, UsageFault

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@dataclass
class Session:
    """Options that hold for the whole run."""

    config_path: Path = Path(config.DEFAULT_PATH)
    node: str | None = None
    json: bool = False
    debug: bool = False

    def run(self, action: Callable[[Client], Awaitable[int]]) -> int:
        """Runs the action with a client; its result is the exit code."""

        async def main() -> int:
            settings = config.load(files.expanded(self.config_path))
            async with Client(settings, self.node) as client:
                return await action(client)

        return asyncio.run(main())

    def tell(self, objects: Iterable[str], words: Iterable[str]) -> None:
        """Lines of output: objects for programs, words for people."""
        for line in objects if self.json else words:
            click.echo(line)

    def warn(self, failures: Mapping[str, BmigctlError]) -> None:
        """Names the nodes that could not be asked or tell, so that no list is taken for whole."""
        for node, failure in sorted(failures.items()):
            said = failure.message
            message = said if said.startswith(node) else f"{node}: {said}"
            verb = "asked" if isinstance(failure, Unreachable) else "told"
            if self.json:
                click.echo(jsonlines.line(f"not_{verb}", message=message))
            else:
                click.echo(f"not {verb}: {message}", err=True)

    def warn_left_out(self, nodes: list[str]) -> None:
        """Names the nodes that have older migrations than they could tell at once."""
        for node in sorted(nodes):
            if self.json:
                click.echo(jsonlines.line("left_out", message=f"older migrations of {node}"))
            else:
                click.echo(f"left out: older migrations of {node}; see --guest", err=True)

    def tell_error(self, error: BmigctlError) -> None:
        """Programs read errors where they read the rest, people on standard error."""
        if self.json:
            click.echo(jsonlines.of_error(error))
        else:
            click.echo("\n".join(render.error(error)), err=True)


def conclude(session: Session, run: Callable[[], object]) -> int:
    """Runs the command line and tells how it ended; the result is the exit code."""
    try:
        _require_text(sys.argv[1:])
        result = run()
        sys.stdout.flush()
    except BmigctlError as error:
        session.tell_error(error)
        return _traced(session, error.exit_code)
    except click.ClickException as error:
        _tell_usage(session, error)
        return exits.USAGE
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        _leave_output()  # whoever read it has seen enough
        return exits.FAILED
    except Exception as error:  # noqa: BLE001 -- the last resort: no traceback for operators
        if _is_of_output(error):
            _leave_output()
            click.echo(f"bmigctl: the output could not be written: {error}", err=True)
        else:
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            session.tell_error(
                BmigctlError("BUG", f"bmigctl failed: {words}", advice="add --debug and report it")
            )
        return _traced(session, exits.FAILED)
    return result if isinstance(result, int) else exits.DONE


def _require_text(arguments: list[str]) -> None:
    """UsageFault for bytes that are none: they could be sent to no node."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            words = f"{argument!r} is not text in UTF-8"
            raise UsageFault("ARGUMENT_INVALID", words) from None


def _is_of_output(error: Exception) -> bool:
    """Nothing else is written than the output; what is read has a name."""
    return isinstance(error, OSError) and error.errno in _NOT_WRITTEN and error.filename is None


def _leave_output() -> None:
    """Keep the interpreter from writing again, at its end, what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_usage(session: Session, error: click.ClickException) -> None:
    if session.json:
        session.tell_error(UsageFault("USAGE", error.format_message()))
    else:
        error.show()


def _traced(session: Session, code: int) -> int:
    if session.debug:
        traceback.print_exc()
    return code
