"""Two hosts, a switch and a client, as network namespaces: where guests with cards can move.

Each host has a bridge with an address, and a cable to the switch; so has the client, outside. Their
names carry our process id. Everything goes with the namespaces.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests import needs

BRIDGE, CABLE = "br-lan", "uplink"
MTU = 1500
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """A namespace, and its address on the common network."""

    namespace: str
    address: str = ""

    @property
    def within(self) -> tuple[str, ...]:
        """The beginning of a command that runs there."""
        return ("ip", "netns", "exec", self.namespace)

    def ip(self, *lines: str) -> str:
        """Give ip(8) some lines there; what it says."""
        said = ""
        for line in lines:
            command = ["ip", "-n", self.namespace, *line.split()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            said += done.stdout
        return said


@dataclass(frozen=True)
class Lab:
    """The places of one network, 10.9.0.0/24."""

    host1: Place
    host2: Place
    client: Place
    switch: Place

    @property
    def places(self) -> dict[str, Place]:
        """Of daemons by name, and of the operator: for tests.cluster."""
        return {**self.hosts, "operator": self.client}

    @property
    def hosts(self) -> dict[str, Place]:
        """The hosts, by name."""
        return {"host1": self.host1, "host2": self.host2}


@contextmanager
def place(label: str, address: str = "") -> Iterator[Place]:
    """A namespace of its own."""
    needs.program("ip")
    needs.root("make network namespaces")
    made = Place(f"bmig{os.getpid()}-{next(_numbers)}-{label}", address)
    subprocess.run(["ip", "netns", "add", made.namespace], check=True)  # noqa: S607
    try:
        made.ip("link set lo up")
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", made.namespace], check=True)  # noqa: S607


@contextmanager
def lab() -> Iterator[Lab]:
    """The whole network."""
    with ExitStack() as places:
        made = Lab(
            host1=places.enter_context(place("host1", "10.9.0.1")),
            host2=places.enter_context(place("host2", "10.9.0.2")),
            client=places.enter_context(place("client", "10.9.0.9")),
            switch=places.enter_context(place("switch")),
        )
        make_bridge(made.switch)
        for host in made.hosts.values():
            make_bridge(host)
            connect(made.switch, host)
            host.ip(
                f"link set {CABLE} master {BRIDGE}",
                f"address add {host.address}/24 dev {BRIDGE}",
            )
        connect(made.switch, made.client)
        made.client.ip(f"address add {made.client.address}/24 dev {CABLE}")
        yield made


def make_bridge(where: Place) -> None:
    """A bridge that forwards at once."""
    where.ip(f"link add {BRIDGE} mtu {MTU} type bridge forward_delay 0", f"link set {BRIDGE} up")


def connect(switch: Place, other: Place) -> None:
    """A cable from a port of the switch to another place."""
    port = other.namespace.rpartition("-")[2]
    switch.ip(
        f"link add {port} mtu {MTU} type veth peer name {CABLE} netns {other.namespace} mtu {MTU}",
        f"link set {port} master {BRIDGE} up",
    )
    other.ip(f"link set {CABLE} up")
