"""Two nodes that know a node `evil` and an operator `mallory`: good certificates, few rights."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmig.v1 import guest_pb2

from certs import authority
from tests.cluster import ALL_OPERATOR, Cluster, cluster
from tests.daemons import Node

MIB = 1 << 20
OPERATORS = [
    {"names": ["alice"], "allow": ALL_OPERATOR},
    {"names": ["mallory"], "guests": ["x*"], "allow": ["read", "define", "power", "migrate"]},
]


@contextmanager
def attacked() -> Iterator[Cluster]:
    """vm1 runs on host1; mallory's guests are called x*."""
    with cluster(["host1", "host2"], migration={"lease_s": 3.0}, operators=OPERATORS) as made:
        made.make_guest("vm1", "host1")
        authority.issue_node(made.certs, "evil")
        for operator in ("mallory", "nobody"):
            authority.issue_operator(made.certs, operator)
        yield made
        made.beats_on("vm1")


def definition(name: str, bootrom: Path | str, **more: Any) -> guest_pb2.GuestDefinition:
    """A guest that is small."""
    return guest_pb2.GuestDefinition(
        name=name,
        uuid=str(uuid.uuid4()),
        driver="bhyve",
        memory_bytes=64 * MIB,
        firmware=guest_pb2.Firmware(bootrom_path=str(bootrom)),
        devices=[guest_pb2.Device(slot="31", emulation="lpc")],
        **more,
    )


def rss_mib(node: Node) -> int:
    """Memory of a daemon."""
    assert node.process
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if "VmRSS" in line).split()[1]) >> 10
