"""`make trial`: two nodes and a guest of the micro-VM to try by hand, in .trial, and what to type.

Starts nothing, and changes nothing that is there already. Certificates are those of `make certs`.
"""

import sys
from pathlib import Path

from tests.cluster import Cluster
from tests.microguest import describe

HOSTS = ["host1", "host2"]
GUEST = ("--rate", "5", "--working-set", "16M", "--fill", "64M", "--heartbeat-ms", "500", "--disk")
TYPED = """\
In one terminal:
    .venv/bin/bmigd --config {directory}/host1/bmigd.toml
In another:
    .venv/bin/bmigd --config {directory}/host2/bmigd.toml
In a third:
    export BMIGCTL_CONFIG={directory}/alice.toml PATH="$PWD/.venv/bin:$PATH"
    bmigctl guest define {directory}/vm1.toml --node host1
    bmigctl guest start vm1
    bmigctl check vm1 host2
    bmigctl migrate vm1 host2
    bmigctl guest console vm1 | head -n 3
    bmigctl migrate vm1 host1
    bmigctl guest stop vm1
    bmigctl guest undefine vm1
"""


def main(directory: str = ".trial") -> None:
    """Make what is missing, and tell."""
    world = Cluster(Path(directory).absolute())
    if not world.storage.exists():
        world.make_nodes(HOSTS, networks=None)
        describe(world.directory, world.storage, "vm1", "128M", *GUEST)
    sys.stdout.write(TYPED.format(directory=directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
