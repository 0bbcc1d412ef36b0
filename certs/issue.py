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
    from certs import authority
else:
    import authority

DEFAULT_OUT = Path(__file__).resolve().with_name("out")
SOON = timedelta(days=30)

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True)
class Issued:
    """A certificate that is there, for people."""

    kind: str
    identity: str
    serial: int
    expires_at: datetime


def list_issued(out: Path) -> Iterator[Issued]:
    """The CA, then every node, then every operator, by name."""
    yield _describe("ca", out / "ca.pem")
    for kind in authority.Kind:
        for path in sorted((out / f"{kind}s").glob("*.pem")):
            yield _describe(kind, path)


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
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="How long it is valid from now; never longer than its CA.",
    )


@click.group()
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
    """List what was issued. Exits 1 if something has expired."""
    now = datetime.now(UTC)
    expired = False
    for issued in list_issued(out):
        left = issued.expires_at - now
        expired |= left <= timedelta()
        mark = "EXPIRED" if left <= timedelta() else "soon" if left < SOON else ""
        line = (
            f"{issued.kind:8}  {issued.identity:44}  {issued.expires_at:%Y-%m-%d}  "
            f"{left.days:5} days left  {mark:7}  serial {issued.serial:x}"
        )
        click.echo(line)
    context.exit(1 if expired else 0)


def _describe(kind: str, path: Path) -> Issued:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        identity = authority.identity_in(certificate)
    except (OSError, ValueError, x509.ExtensionNotFound, IndexError) as error:
        raise authority.Refused(f"{path}: is not a certificate made here ({error})") from error
    return Issued(kind, identity, certificate.serial_number, certificate.not_valid_after_utc)


def _tell(pairs: Sequence[authority.Pair]) -> None:
    for pair in pairs:
        click.echo(f"{pair.certificate}\n{pair.key}")


if __name__ == "__main__":
    sys.exit(cli())
