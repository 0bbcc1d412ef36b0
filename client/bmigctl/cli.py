"""The command line: the root group with its global options, and the program's entry.

Verbs are in commands/; they parse, call the client and print, nothing else.
"""

import sys
from pathlib import Path

import click

from bmigctl import config, exits
from bmigctl.commands import guest, migrate, migrations, node
from bmigctl.options import json_option, node_option
from bmigctl.session import Session, conclude

_CODES = "\n".join(f"  {code:<4} {meaning}" for code, meaning in exits.MEANINGS)

_EPILOG = f"""\
\b
Exit codes:
{_CODES}

\b
Configuration (TOML; paths are relative to the file, the key must be 0600):
  ca = "ca.pem"
  certificate = "alice.pem"
  key = "alice.key"
  [nodes]
  host1 = "host1.example.org:7117"

One node is enough: it names the others. With --json, errors are an object
of the kind "error" on standard output.
"""


@click.group(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="BMIGCTL_CONFIG",
    default=config.DEFAULT_PATH,
    show_default=True,
    show_envvar=True,
    help="Where the nodes and our certificate are named.",
)
@node_option
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="bmig", prog_name="bmigctl", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, config_path: Path, debug: bool) -> None:
    """Move running guests between hosts, and see to guests and nodes.

    \b
    Example:
      bmigctl check vm1 host2
      bmigctl migrate vm1 host2
    """
    session = context.ensure_object(Session)
    session.config_path, session.debug = config_path, debug


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    Besides verbs and options it completes the names of guests and nodes and
    the ids of migrations, as the nodes tell them within two seconds.

    \b
    Example:
      bmigctl completion bash > ~/.local/share/bash-completion/completions/bmigctl
      bmigctl completion zsh > ~/.zfunc/_bmigctl
      bmigctl completion fish > ~/.config/fish/completions/bmigctl.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    complete = found(cli, {}, "bmigctl", "_BMIGCTL_COMPLETE")
    # not source(): for bash that would run a bash first, and only to look at its version
    click.echo(complete.source_template % complete.source_vars())


cli.add_command(node.node)
cli.add_command(guest.guest)
for verb in (migrate.check, migrate.migrate, *migrations.VERBS):
    cli.add_command(verb)


def main(arguments: list[str] | None = None) -> int:
    """Runs bmigctl and returns its exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
    # click stops at the first wrong option and may not have come to this one
    session = Session(json="--json" in arguments)

    def run() -> object:
        return cli.main(arguments, prog_name="bmigctl", standalone_mode=False, obj=session)

    return conclude(session, run)
