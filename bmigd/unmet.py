"""What a configuration asks for and does not get: from this host, or from its own rules.

Rule: these are warnings. The daemon starts without any of it, and what is missing is told again
when it is needed; a directory may be mounted later. Nothing is made or changed here.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from bmigd.config import Config
from bmigd.mark import mark_path
from bmigd.security.policy import Action, Policy, peer_may
from bmigd.words import why

MADE = ("state_dir", "spool_dir", "run_dir")
BHYVE_PROGRAMS = ("bhyve", "bhyvectl", "ifconfig")


def unmet(config: Config, policy: Policy, journal: Path) -> list[str]:
    """Sentences, each beginning with the field that it is about."""
    return [*_programs(config), *_directories(config, journal), *_names(config, policy)]


def _programs(config: Config) -> Iterator[str]:
    bhyve, qemu = config.bhyve, config.qemu
    if not bhyve and not qemu:
        yield "bhyve, qemu: neither table is there: no guest can run on this node"
    programs = {"qemu.qemu": qemu.qemu} if qemu else {}
    if bhyve:
        programs |= {f"bhyve.{one}": getattr(bhyve, one) for one in BHYVE_PROGRAMS}
    for field, path in programs.items():
        if not os.access(path, os.X_OK):
            yield f"{field}: no program {path}"


def _directories(config: Config, journal: Path) -> Iterator[str]:
    node = config.node
    named = [(f"storage.{name}", path) for name, path in config.storage.items()]
    named += [("node.firmware_dirs", path) for path in node.firmware_dirs]
    named += [("node.variables_dirs", path) for path in node.variables_dirs]
    for field, path in named:
        if not _seen(path.is_dir):
            yield f"{field}: no directory {path}"
    for name in MADE:
        path = getattr(node, name)
        if why := _why_not_made(path):
            yield f"node.{name}: {path} cannot be used: {why}"
    yield from _journal(journal)


def _journal(journal: Path) -> Iterator[str]:
    try:
        journal.stat()
    except FileNotFoundError:
        if _seen(mark_path(journal).exists):
            yield (
                f"node.state_dir: {journal} is gone and its mark is there: read docs/FAILURES.md,"
                ' "The journal", before anything else'
            )
        else:
            yield f"node.state_dir: no journal at {journal}: run bmigd init, once in a node's life"
    except OSError as error:
        yield f"node.state_dir: {journal}: {why(error)}: check as the user that bmigd runs as"


def _why_not_made(path: Path) -> str:
    """What keeps us from having this directory; "" if nothing does."""
    there = next(one for one in (path, *path.parents) if _seen(one.exists))
    if not _seen(there.is_dir):
        return f"{there} is no directory"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written"


def _seen(is_so: Callable[[], bool]) -> bool:
    """Whether it is so; not where we may not look."""
    try:
        return is_so()
    except OSError:
        return False


def _names(config: Config, policy: Policy) -> Iterator[str]:
    for name, bridge in config.networks.items():
        if not _is_interface(bridge):
            yield f"networks.{name}: no interface {bridge}"
    if not policy.operators:
        yield "operators: no rule: nobody may do anything on this node"
    for name in config.nodes:
        if not any(peer_may(policy, name, one, None) for one in (Action.SEND, Action.RECEIVE)):
            yield f"nodes.{name}: no rule of peers lets guests go there or come from there"


def _is_interface(name: str) -> bool:
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False
