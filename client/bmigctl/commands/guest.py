"""`bmigctl guest`: define guests, power, consoles."""

from pathlib import Path

import click
from bmig.v1 import guest_pb2

from bmigctl import completing, exits, files, jsonlines, render, words
from bmigctl import definition as definitions
from bmigctl.client import Client
from bmigctl.cluster import FoundGuest
from bmigctl.console import Console, announce
from bmigctl.errors import UsageFault
from bmigctl.options import json_option, node_option
from bmigctl.session import Session

_STOP_TIMEOUT_S = 60
LONGEST_STOP_S = 3600  # the node's limit too

_not_on_option = click.option(
    "--not-on",
    metavar="NODE",
    multiple=True,
    shell_complete=completing.nodes,
    help="A node that cannot be asked and surely does not have the guest; may be repeated.",
)


@click.group()
def guest() -> None:
    """Define, start, stop and see guests."""


@guest.command()
@click.argument("file", type=click.Path(path_type=Path))
@_not_on_option
@node_option
@json_option
@click.pass_obj
def define(session: Session, file: Path, not_on: tuple[str, ...]) -> int:
    """Define a guest on a node from its description; it stays stopped.

    --node names the node; it may be left out when there is only one. A uuid
    is made when the description has none.

    Two guests of one name would write the same disks: it is refused when
    another node has a guest of that name, and when a node cannot be asked
    and is not named with --not-on. A guest that has moved away from the node
    comes back by a migration, or by "guest recover".

    \b
    The description (TOML):
      name = "vm1"
      uuid = "5d6e..."          # optional here
      driver = "bhyve"          # or "qemu"
      machine = "pc-q35-7.2"    # of qemu alone, with its version
      memory = "256M"           # K, M, G: KiB, MiB, GiB
      wired_memory = false
      options = []              # to the hypervisor as they are
      [cpu]
      sockets = 1
      cores = 2
      threads = 1
      [firmware]
      bootrom = "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd"
      variables = ""            # optional; or, with qemu, instead of both:
      kernel = "/boot/vmlinuz"
      initrd = "/boot/initrd"
      kernel_arguments = "console=ttyS0"
      [[device]]
      slot = "4:0"
      emulation = "virtio-blk"
      storage = "tank"          # a disk: storage and image
      image = "vm1.img"
      options = ["nocache"]
      [[device]]
      slot = "5:0"
      emulation = "virtio-net"
      network = "lan"           # a network card: network and mac
      mac = "58:9c:fc:00:00:01"

    \b
    Example:
      bmigctl guest define vm1.toml --node host1
    """
    try:
        text = files.text_of(file)
    except ValueError as error:
        raise UsageFault("FILE_UNREADABLE", str(error)) from error
    wanted = definitions.parse(text, str(file))

    async def action(client: Client) -> int:
        there = await client.define(wanted, await client.target(session.node), not_on)
        detail = f"; {there.guest.detail}" if there.guest.detail else ""
        _tell(session, there, f"defined on {there.node.name}{detail}")
        return exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name")
@_not_on_option
@node_option
@json_option
@click.pass_obj
def recover(session: Session, name: str, not_on: tuple[str, ...]) -> int:
    """Define a guest again that moved away, when its node is lost for good.

    --node names the node that it left, which still knows its description;
    it stays stopped. Every other node is asked; --not-on must name each one
    that does not answer. Make sure first that none of them runs the guest
    or ever will: power it off, or cut it off from the storage. Refused when
    a node has the guest. Needs the right "resolve", and is recorded.

    If vm1 moved from host1 to host2, and host2 burnt down:

    \b
    Example:
      bmigctl guest recover vm1 --node host1 --not-on host2
      bmigctl guest start vm1 --node host1
    """

    async def action(client: Client) -> int:
        there = await client.recover(name, await client.target(session.node), not_on)
        _tell(session, there, f"defined on {there.node.name} as it was when it left")
        return exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name", shell_complete=completing.guests)
@node_option
@json_option
@click.pass_obj
def start(session: Session, name: str) -> int:
    """Start a stopped guest where it is.

    Refused when another node has it running, or may: both would write the
    same disks. Nodes that could not be asked are named.

    \b
    Example:
      bmigctl guest start vm1
    """

    async def action(client: Client) -> int:
        found = await client.start_guest(name)
        session.warn(found.failures)
        _tell(session, found, f"{words.guest_state(found.guest.state)} on {found.node.name}")
        return exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name", shell_complete=completing.guests)
@click.option("--force", is_flag=True, help="End it at once, as if the power failed.")
@click.option(
    "--timeout",
    type=click.IntRange(1, LONGEST_STOP_S),
    default=_STOP_TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="How long the guest has to power off by itself, in seconds.",
)
@node_option
@json_option
@click.pass_obj
def stop(session: Session, name: str, force: bool, timeout: int) -> int:
    """Stop a guest: press its power button and wait, or end it with --force.

    \b
    Example:
      bmigctl guest stop vm1 --timeout 120
      bmigctl guest stop vm1 --force
    """

    async def action(client: Client) -> int:
        found = await client.stop_guest(name, force=force, timeout_s=timeout)
        _tell(session, found, f"{words.guest_state(found.guest.state)} on {found.node.name}")
        return exits.DONE

    return session.run(action)


@guest.command(name="list")
@node_option
@json_option
@click.pass_obj
def list_guests(session: Session) -> int:
    """List the guests of all nodes.

    Nodes that could not be asked are named, so that the list is not taken
    for whole. A guest that is in two places is an error, and the exit code
    is 1.

    \b
    Example:
      bmigctl guest list
      bmigctl guest list --node host1
    """

    async def action(client: Client) -> int:
        survey, twice = await client.guests_and_doubles()
        found = [(node, each) for node, there in sorted(survey.answers.items()) for each in there]
        session.tell((_line(*one) for one in found), render.guest_rows(survey.answers))
        session.warn(survey.failures)
        for error in twice:
            session.tell_error(error)
        return exits.FAILED if twice else exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name", shell_complete=completing.guests)
@node_option
@json_option
@click.pass_obj
def show(session: Session, name: str) -> int:
    """Show everything about one guest.

    \b
    Example:
      bmigctl guest show vm1
    """

    async def action(client: Client) -> int:
        found = await client.find_guest(name)
        card = render.guest_card(found.guest, found.node.name)
        session.tell([_line(found.node.name, found.guest)], card)
        return exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name", shell_complete=completing.guests)
@click.option("--history", is_flag=True, help="Print the recent output and end.")
@node_option
@click.pass_obj
def console(session: Session, name: str, history: bool) -> int:
    """Join a guest's serial console; Ctrl-] leaves it.

    The recent output comes first. Where input or output is not a terminal,
    only the output is printed, until the guest leaves the node.

    \b
    Example:
      bmigctl guest console vm1
      bmigctl guest console vm1 --history | tail
    """

    async def action(client: Client) -> int:
        found = await client.find_guest(name)
        if history:
            await Console(found).history()
            return exits.DONE
        announce(found)
        if await Console(found).join():
            click.echo(f"the console of {name} on {found.node.name} ended", err=True)
        return exits.DONE

    return session.run(action)


@guest.command()
@click.argument("name", shell_complete=completing.guests)
@node_option
@json_option
@click.pass_obj
def undefine(session: Session, name: str) -> int:
    """Forget a stopped guest; its disks are left alone.

    \b
    Example:
      bmigctl guest undefine vm1
    """

    async def action(client: Client) -> int:
        found = await client.undefine(name)
        session.tell(
            [jsonlines.line("undefined", guest=name, node=found.node.name)],
            [f"guest {name}: forgotten on {found.node.name}; its disks are left alone"],
        )
        return exits.DONE

    return session.run(action)


def _tell(session: Session, found: FoundGuest, what: str) -> None:
    words = f"guest {found.guest.definition.name}: {what}"
    session.tell([_line(found.node.name, found.guest)], [words])


def _line(node: str, guest: guest_pb2.Guest) -> str:
    """A guest as programs read it."""
    return jsonlines.line("guest", node=node, guest=jsonlines.plain(guest))
