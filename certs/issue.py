"""Make, renew and list the certificates of a cluster: `python -m certs.issue`, or run this file.

Everything that is written is written by `authority`; this is its command line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from cryptography import x509

# Run as a file, its folder is what is on the import path, and there is no package.
if TYPE_CHECKING or __package__:
    from certs import authority, placing
else:
    import authority
    import placing

DEFAULT_OUT = Path(__file__).resolve().with_name("out")
SOON = timedelta(days=30)
MOST_DAYS = 36500

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True)
class Issued:
    """A certificate that is there, for people."""

    kind: str
    identity: str
    serial: int
    expires_at: datetime


def issued_in(out: Path) -> Iterator[tuple[str, Path]]:
    """Kinds and files: the CA, then every node, then every operator, by name."""
    yield "ca", out / "ca.pem"
    for kind in authority.Kind:
        folder = out / f"{kind}s"
        if folder.exists():
            found = [path for path in folder.iterdir() if path.suffix == ".pem"]
            yield from ((kind, path) for path in sorted(found))


def _out(command: Command) -> Command:
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_OUT,
        show_default="out, next to this program",
        help="Directory of the CA and of all it issued.",
    )(command)


def _days(default: int) -> Callable[[Command], Command]:
    return click.option(
        "--days",
        type=click.IntRange(min=1, max=MOST_DAYS),
        default=default,
        show_default=True,
        help="How long it is valid from now; never longer than its CA.",
    )


class _Commands(click.Group):
    """What the file system refuses is told in words, with the file."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OSError as error:
            path = placing.final_path(Path(error.filename or "."))
            raise authority.Refused(
                f"{path}: {placing.why(error)}; nothing more was done"
            ) from error


@click.group(cls=_Commands)
@_out
@click.pass_context
def cli(context: click.Context, out: Path) -> None:
    """The certificate authority of a bmig cluster."""
    # --out may stand before the command or after it.
    context.default_map = {name: {"out": out} for name in cli.commands}


@cli.command("ca")
@click.option("--cluster", required=True, help="Name of the cluster; part of every identity.")
@_days(authority.CA_DAYS)
@_out
def _ca(cluster: str, days: int, out: Path) -> None:
    """Make the cluster's CA. Never overwrites one."""
    _tell([authority.make_ca(out, cluster, authority.Validity.of_days(days))])


@cli.command("node")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_days(authority.LEAF_DAYS)
@_out
def _node(names: Sequence[str], days: int, out: Path) -> None:
    """Issue certificates for nodes."""
    authority.refuse_known(out, authority.Kind.NODE, names)
    _tell([authority.issue_node(out, name, authority.Validity.of_days(days)) for name in names])


@cli.command("operator")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_days(authority.LEAF_DAYS)
@_out
def _operator(names: Sequence[str], days: int, out: Path) -> None:
    """Issue certificates for operators."""
    authority.refuse_known(out, authority.Kind.OPERATOR, names)
    _tell([authority.issue_operator(out, name, authority.Validity.of_days(days)) for name in names])


@cli.command("renew")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([*authority.Kind]),
    help="Needed when a node and an operator share the name.",
)
@_days(authority.LEAF_DAYS)
@_out
def _renew(name: str, kind: str | None, days: int, out: Path) -> None:
    """Replace a holder's certificate and key by new ones."""
    known = authority.Kind(kind) if kind else None
    _tell([authority.renew(out, name, known, authority.Validity.of_days(days))])


@cli.command("show")
@_out
@click.pass_context
def _show(context: click.Context, out: Path) -> None:
    """List what was issued. Exits 1 if something has expired or is damaged."""
    now = datetime.now(UTC)
    is_well = True
    for kind, path in issued_in(out):
        try:
            issued = _describe(kind, path)
        except authority.Refused as error:
            click.echo(f"{kind:8}  DAMAGED: {error.message}", err=True)
            is_well = False
            continue
        left = issued.expires_at - now
        is_well &= left > timedelta()
        mark = "EXPIRED" if left <= timedelta() else "soon" if left < SOON else ""
        line = (
            f"{issued.kind:8}  {issued.identity:44}  {issued.expires_at:%Y-%m-%d}  "
            f"{left.days:5} days left  {mark:7}  serial {issued.serial:x}"
        )
        click.echo(line)
    context.exit(0 if is_well else 1)


def _describe(kind: str, path: Path) -> Issued:
    remedy = "restore it" if kind == "ca" else f"`renew {path.stem} --kind {kind}` makes a new one"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        identity = authority.identity_in(certificate)
    except OSError as error:
        raise authority.Refused(f"{path}: {placing.why(error)}; {remedy}") from error
    except ValueError as error:
        raise authority.Refused(f"{path}: is not a certificate made here; {remedy}") from error
    return Issued(kind, identity, certificate.serial_number, certificate.not_valid_after_utc)


def _tell(pairs: Sequence[authority.Pair]) -> None:
    for pair in pairs:
        click.echo(f"{pair.certificate}\n{pair.key}")


if __name__ == "__main__":
    sys.exit(cli())
