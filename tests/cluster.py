"""A cluster of real daemons on this machine: certificates, configurations, micro-VM homes, guests.

Everything lives below one directory and ends with it; processes are ended by their pids.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import tomli_w

from certs import authority
from tests.daemons import (
    BIN,
    Command,
    Node,
    bmigd,
    eventually,
    free_port,
    install,
    pids_below,
    with_suppressed_kill,
    within,
)
from tests.microguest import describe
from tests.netlab import Place
from tests.oracle import Verdict, check_heartbeats, params_of, parse_heartbeats

ALL_OPERATOR = ["read", "define", "power", "console", "migrate", "resolve"]


def _patient(options: tuple[str, ...]) -> tuple[str, ...]:
    """On a busy machine a guest may be down for longer than by default, unless a test says."""
    if "--downtime-limit" in options or "--on-timeout" in options:
        return options
    return ("--downtime-limit", "5000", *options)


@dataclass
class Cluster:
    """Some daemons, one CA, one operator, one shared storage."""

    directory: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)  # of nodes, and of "operator"
    command: Command = bmigd  # that starts a daemon

    @property
    def certs(self) -> Path:
        """The CA and its certificates."""
        return self.directory / "certs"

    @property
    def storage(self) -> Path:
        """The shared storage."""
        return self.directory / "shared"

    def make(self, names: list[str], **changes: Any) -> None:
        """Certificates, configurations, journals; `changes` are merged into each node's file."""
        self.issue(names)
        self.make_nodes(names, **changes)

    def issue(self, names: list[str]) -> None:
        """A CA and certificates of it."""
        authority.make_ca(self.certs, "test")
        authority.issue_operator(self.certs, "alice")
        for name in names:
            authority.issue_node(self.certs, name)

    def make_nodes(self, names: list[str], **changes: Any) -> None:
        """Nodes that have certificates; None as a change leaves a table of the file out."""
        self.storage.mkdir()
        for name in names:
            directory = self.directory / name
            directory.mkdir()
            place = self.places.get(name)
            self.nodes[name] = Node(name, directory, free_port(), place=place, command=self.command)
        for node in self.nodes.values():
            self.configure(node, **changes)
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(install, self.nodes.values()))
        self.write_client("alice")

    def configure(self, node: Node, /, **changes: Any) -> None:
        """Write a node's configuration file."""
        others = {n.name: n.address for n in self.nodes.values() if n is not node}
        content: dict[str, Any] = {
            "node": {
                "name": node.name,
                "listen": node.address,
                "state_dir": "state",
                "spool_dir": "spool",
                "run_dir": "run",
                "firmware_dirs": [str(self.storage)],
            },
            "tls": {
                "ca": str(self.certs / "ca.pem"),
                "certificate": str(self.certs / f"nodes/{node.name}.pem"),
                "key": str(self.certs / f"nodes/{node.name}.key"),
            },
            "nodes": others,
            "operators": [{"names": ["alice"], "allow": ALL_OPERATOR}],
            "peers": [{"names": ["*"], "allow": ["read", "send", "receive"]}],
            "storage": {"shared": str(self.storage)},
            "networks": {"lan": "bridge0"},
            "bhyve": {
                "bhyve": "vm/bin/bhyve",
                "bhyvectl": "vm/bin/bhyvectl",
                "vmm_dir": "vm/vmm",
                "run_dir": "vm/run",
            },
        }
        for table, values in changes.items():
            is_table = isinstance(values, dict)
            content[table] = {**content.get(table, {}), **values} if is_table else values
        content = {table: values for table, values in content.items() if values is not None}
        node.config_path.write_text(tomli_w.dumps(content))

    def write_client(self, operator: str) -> Path:
        """An operator's configuration; its path."""
        path = self.directory / f"{operator}.toml"
        content = {
            "ca": str(self.certs / "ca.pem"),
            "certificate": str(self.certs / f"operators/{operator}.pem"),
            "key": str(self.certs / f"operators/{operator}.key"),
            "nodes": {n.name: n.address for n in self.nodes.values()},
        }
        path.write_text(tomli_w.dumps(content))
        return path

    def start(self) -> None:
        """Start every daemon."""
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.await_start()

    def bmigctl(self, operator: str = "alice") -> list[str | Path]:
        """The beginning of a command of an operator."""
        config = self.directory / f"{operator}.toml"
        return [*within(self.places.get("operator")), BIN / "bmigctl", "--config", config]

    def ctl(
        self, *arguments: str, operator: str = "alice", check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run bmigctl."""
        done = subprocess.run(
            [*self.bmigctl(operator), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            logs = "\n".join(f"--- {n.name}\n{n.log[-4000:]}" for n in self.nodes.values())
            raise AssertionError(
                f"bmigctl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
                f"\n{logs}"
            )
        return done

    def make_guest(
        self, name: str, node: str, memory: str = "64M", *rom: str, card: str = ""
    ) -> Path:
        """Build a ROM, define and start a guest; a MAC gives it a network card. The ROM's path."""
        rom_path, path = describe(self.directory, self.storage, name, memory, *rom, card=card)
        self.ctl("guest", "define", str(path), "--node", node)
        self.ctl("guest", "start", name)
        return rom_path

    def migrate(
        self, guest: str, destination: str, *options: str, expect: int = 0
    ) -> dict[str, Any]:
        """Run `bmigctl migrate --json` to its end; the migration that it reports."""
        options = _patient(options)
        done = self.ctl("migrate", guest, destination, "--json", *options, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        for line in lines:
            if line["kind"] == "result":
                return cast("dict[str, Any]", line["migration"])
        raise AssertionError(f"no result: {done.stdout}")

    def start_migration(self, guest: str, destination: str, *options: str) -> str:
        """Start one and leave it; its id."""
        options = _patient(options)
        return self.ctl("migrate", guest, destination, "--detach", *options).stdout.split()[-1]

    def guests(self, name: str) -> dict[str, dict[str, Any]]:
        """A guest as each node sees it, by node."""
        lines = self.ctl("guest", "list", "--json").stdout.splitlines()
        found = [json.loads(line) for line in lines]
        return {
            one["node"]: one["guest"]
            for one in found
            if one["kind"] == "guest" and one["guest"]["definition"]["name"] == name
        }

    def guest(self, name: str) -> dict[str, Any]:
        """A guest that is on one node."""
        (found,) = self.guests(name).values()
        return found

    def where(self, name: str) -> dict[str, str]:
        """State of a guest by node, over all nodes."""
        return {node: str(one["state"]) for node, one in self.guests(name).items()}

    def phase(self, guest: str, migration_id: str) -> str:
        """The phase of a migration."""
        return next(
            (str(one["phase"]) for one in self.migrations(guest) if one["id"] == migration_id), ""
        )

    def fault(self, node: str, guest: str, *faults: str) -> None:
        """Set the micro-VM's faults of a guest on a node; none clears them."""
        home = self.nodes[node].home
        subprocess.run([sys.executable, "-m", "microvm", "fault", home, guest, *faults], check=True)

    def heartbeats(self, guest: str) -> Verdict:
        """Check everything that the guest has printed where it runs now."""
        text = self.ctl("guest", "console", "--history", guest).stdout
        params = params_of((self.storage / f"{guest}.rom").read_bytes())
        return check_heartbeats(params, parse_heartbeats(text))

    def beats_on(self, guest: str) -> Verdict:
        """Wait until the guest has printed more, and check all of it."""
        before = self.heartbeats(guest).last_n
        return cast(
            "Verdict",
            eventually(
                lambda: verdict if (verdict := self.heartbeats(guest)).last_n > before else None,
                what=f"a heartbeat of {guest}",
            ),
        )

    def leftovers(self, node: str) -> list[str]:
        """What a node has besides its journal and logs: spool, supervisors, VM nodes, processes."""
        directory = self.nodes[node].directory
        files = [
            str(path.relative_to(directory))
            for part in ("spool", "run", "vm/vmm")
            for path in (directory / part).rglob("*")
        ]
        daemon = self.nodes[node].process
        own = {daemon.pid} if daemon else set()
        return files + [f"process {pid}" for pid in pids_below(directory) if pid not in own]

    def require_clean(self, *nodes: str) -> None:
        """Nothing of any guest is left there; processes that were told to end may be ending."""
        for node in nodes:
            eventually(partial(self._is_clean, node), 10, f"a clean {node}")

    def _is_clean(self, node: str) -> bool:
        return not self.leftovers(node)

    def migrations(self, guest: str, *asking: str) -> list[dict[str, Any]]:
        """What bmigctl lists; asking one node only, for example."""
        done = self.ctl(*asking, "list", "--guest", guest, "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return [one["migration"] for one in found if one["kind"] == "migration"]

    def close(self) -> None:
        """End every process that was started here, and remove the directory."""
        for node in self.nodes.values():
            if node.process:
                node.stop(signal.SIGKILL)
            for pid in pids_below(node.directory):
                with_suppressed_kill(pid)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def cluster(
    names: list[str],
    places: Mapping[str, Place] | None = None,
    command: Command = bmigd,
    **changes: Any,
) -> Iterator[Cluster]:
    """A running cluster, gone afterwards."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(mkdtemp(prefix="bmig-", dir=base))
    made = Cluster(directory, places=places or {}, command=command)
    try:
        made.make(names, **changes)
        made.start()
        yield made
    finally:
        made.close()
