"""A node's real parts in a directory, without certificates, a network or guests that run."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import tomli_w

from bmigd import config as configuration
from bmigd import journal, newjournal
from bmigd.announce import Announcer
from bmigd.drivers import DRIVERS
from bmigd.guests.definition import MIB, Definition, make
from bmigd.guests.store import GuestStore
from bmigd.migration.claims import Claims
from bmigd.migration.departed import Departures
from bmigd.migration.elsewhere import Elsewhere
from bmigd.migration.images import Images
from bmigd.migration.inventory import Inventory
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.room import Room
from bmigd.security.policy import Policy
from microvm.install import install

DEVICES = [{"slot": "0", "emulation": "hostbridge"}, {"slot": "31", "emulation": "lpc"}]


def nobody(name: str) -> NoReturn:
    """There is no other node."""
    raise AssertionError(f"nobody knows {name}")


def make_node(directory: Path) -> Node:
    """A node with the bhyve driver over the micro-VM."""
    home = directory / "vm"
    install(home)
    for name in ("firmware", "storage", "spool", "run"):
        (directory / name).mkdir()
    content = {
        "node": {
            "name": "host1",
            "state_dir": "state",
            "spool_dir": "spool",
            "run_dir": f"/tmp/bmig-{os.getpid()}",
            "firmware_dirs": ["firmware"],
            "variables_dirs": ["variables"],
        },
        "tls": {"ca": "ca.pem", "certificate": "a.pem", "key": "a.key"},
        "storage": {"shared": "storage"},
        "bhyve": {
            "bhyve": "vm/bin/bhyve",
            "bhyvectl": "vm/bin/bhyvectl",
            "vmm_dir": "vm/vmm",
            "run_dir": "vm/run",
        },
    }
    config = configuration.parse(tomli_w.dumps(content), directory / "bmigd.toml")
    made = {name: driver(config) for name, driver in DRIVERS.items()}
    return Node(
        config=config,
        version="1",
        certificate_expires_at_s=0,
        policy=Policy(),
        drivers={name: driver for name, driver in made.items() if driver is not None},
        store=GuestStore(config.node.state_dir / "guests"),
        claims=Claims(),
        room=Room(config.node.spool_dir, 0, Images(config.node.spool_dir, 0)),
        announcer=Announcer(config.networks),
        elsewhere=Elsewhere("host1", (), nobody),
    )


@contextmanager
def ledger_of(node: Node) -> Iterator[Ledger]:
    """A new journal of the node."""
    path = node.config.node.state_dir / "journal.sqlite"
    newjournal.create(path)
    opened = journal.Journal(path)
    with ThreadPoolExecutor(1) as thread:
        yield Ledger(opened, thread)
    opened.close()


def inventory_of(node: Node, ledger: Ledger) -> Inventory:
    """Its guests, where there is no other node."""
    return Inventory(node, ledger, Departures(ledger, node.elsewhere))


def guest(node: Node, name: str = "web1", **changes: object) -> Definition:
    """A guest that the node takes, but for the changes."""
    bootrom = node.config.node.spool_dir.parent / "firmware/rom"
    return make(
        {
            "name": name,
            "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
            "driver": "bhyve",
            "memory_bytes": 32 * MIB,
            "firmware": {"bootrom": str(bootrom)},
            "devices": DEVICES,
            **changes,
        }
    )
