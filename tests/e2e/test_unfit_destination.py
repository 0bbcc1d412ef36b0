"""A destination that cannot take the guest: found out before anything is begun, told with what to
mend; the guest is untouched, and once it is mended the guest goes there.
"""

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.cluster import Cluster, cluster
from tests.e2e.way import NO, Way, reconfigured

pytestmark = pytest.mark.e2e

# There are no tap interfaces here, and the micro-VM does not open them.
IFCONFIG = '#!/bin/sh\n[ "$*" != "tap create" ] || echo tap7\n'

Edit = Callable[[Cluster, Path, dict[str, Any]], object]


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes and a guest with a disk and a network card."""
    with cluster(["host1", "host2"], bhyve={"ifconfig": "ifconfig"}) as made:
        for node in made.nodes.values():
            program = node.directory / "ifconfig"
            program.write_text(IFCONFIG)
            program.chmod(0o700)
        made.make_guest("vm1", "host1")
        give_network_card(made, "vm1", "host1")
        yield made
        made.beats_on("vm1")


def give_network_card(world: Cluster, guest: str, node: str) -> None:
    """Define a guest anew with a network card, and start it."""
    world.ctl("guest", "stop", "--force", guest)
    world.ctl("guest", "undefine", guest)
    path = world.directory / f"{guest}.toml"
    definition = tomllib.loads(path.read_text())
    card = {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": "58:9c:fc:00:00:01"}
    definition["device"].append(card)
    path.write_text(tomli_w.dumps(definition))
    world.ctl("guest", "define", str(path), "--node", node)
    world.ctl("guest", "start", guest)


@pytest.fixture(name="way")
def make_way(world: Cluster) -> Way:
    return Way.of(world)


def no_memory(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["migration"] = {"memory_reserve_mib": 1 << 30}


def no_spool(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["node"]["spool_dir"] = "/proc"  # never has room, and needs no rights


def no_driver(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    del config["bhyve"]


def another_build(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    """A bhyve that does the same from another file."""
    installed = Path(config["bhyve"]["bhyve"])
    wrapper = scratch / "bhyve"
    wrapper.write_text(f'#!/bin/sh\nexec {world.directory}/host2/{installed} "$@"\n')
    wrapper.chmod(0o700)
    config["bhyve"]["bhyve"] = str(wrapper)


def no_restore(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    """A bhyve of a release: built without snapshots."""
    program = scratch / "bhyve"
    program.write_text("#!/bin/sh\necho 'Usage: bhyve [-c vcpus] [-m mem] <vm>' >&2\nexit 1\n")
    program.chmod(0o700)
    config["bhyve"]["bhyve"] = str(program)


def no_hypervisor(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["bhyve"]["bhyvectl"] = str(scratch / "nothing")


def no_storage(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    del config["storage"]["shared"]


def empty_storage(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["storage"]["shared"] = str(scratch)


def copied_storage(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    shutil.copy(world.storage / "vm1.img", scratch)
    config["storage"]["shared"] = str(scratch)


def older_storage(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    (scratch / "vm1.img").write_bytes(bytes(1 << 20))
    config["storage"]["shared"] = str(scratch)


def no_network(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    del config["networks"]["lan"]


def no_operator(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["operators"] = [{"names": ["alice"], "allow": ["read"]}]


def no_peer(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["peers"] = [{"names": ["*"], "guests": ["other*"], "allow": ["read", "receive"]}]


def no_peer_at_all(world: Cluster, scratch: Path, config: dict[str, Any]) -> None:
    config["peers"] = []


FLAWS = [
    (no_memory, "NO_MEMORY", "needs"),
    (no_spool, "NO_SPOOL_ROOM", "room for 0 MiB, 64 MiB are needed"),
    (no_driver, "DRIVER_MISSING", "has no driver 'bhyve'"),
    (another_build, "DRIVER_MISMATCH", "Linux"),
    (no_restore, "DRIVER_CANNOT_SNAPSHOT", "has no -r"),
    (no_hypervisor, "DRIVER_CANNOT_SNAPSHOT", "cannot be found"),
    (no_storage, "STORAGE_MISSING", "'vm1.img' of storage 'shared'"),
    (empty_storage, "STORAGE_MISSING", "'vm1.img' of storage 'shared'"),
    (copied_storage, "STORAGE_NOT_SHARED", "in another storage"),
    (older_storage, "STORAGE_DIFFERS", "1048576 bytes"),
    (no_network, "NETWORK_MISSING", "network lan"),
    (no_operator, "DENIED_BY_PEER", "alice"),
    (no_peer, "DENIED_BY_PEER", "vm1"),
    (no_peer_at_all, "DENIED_BY_PEER", "hand over"),
]


@pytest.mark.parametrize(("flaw", "reason", "words"), FLAWS, ids=[f[0].__name__ for f in FLAWS])
def test_a_destination_that_cannot_take_the_guest_is_refused_until_it_is_mended(
    world: Cluster, way: Way, tmp_path: Path, flaw: Edit, reason: str, words: str
) -> None:
    with reconfigured(world, way.destination, lambda config: flaw(world, tmp_path, config)):
        error = way.refused("--node", way.source)
        assert error["reason"] == reason, error
        assert words in error["message"], error
        assert way.destination in error["message"] + error["advice"], error
        way.unharmed()
    way.next_one_works()


def not_to_be_sent(config: dict[str, Any]) -> None:
    """Others may be, and this one may come."""
    config["peers"] = [
        {"names": ["*"], "allow": ["read", "receive"]},
        {"names": ["*"], "guests": ["other*"], "allow": ["send"]},
    ]


def test_a_guest_that_its_own_node_may_not_send_stays(world: Cluster, way: Way) -> None:
    with reconfigured(world, way.source, not_to_be_sent):
        error = way.refused()
        assert (error["reason"], error["side"]) == ("SEND_DENIED", "source")
        assert f"no rule for peers of {way.source} lets guest vm1 go" in error["message"]
        assert f"in [[peers]] in the configuration of {way.source}" in error["advice"]
        way.unharmed()
    way.next_one_works()


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_node_whose_spool_is_gone_says_so(world: Cluster, way: Way, side: str) -> None:
    name = way.source if side == "source" else way.destination
    spool = world.nodes[name].directory / "spool"
    aside = spool.rename(spool.with_name("aside"))
    try:
        error = way.refused("--node", way.source)
        assert (error["reason"], error["side"]) == ("SPOOL_UNUSABLE", side)
        assert f"{spool} cannot be used" in error["message"], error
        listed = world.ctl("node", "list", check=False)
        assert f"not told: {name}: node.spool_dir" in listed.stderr
        assert f"{name}  SPOOL_UNUSABLE" in listed.stdout
    finally:
        aside.rename(spool)
    way.unharmed()
    way.next_one_works()


def test_everything_that_is_wrong_is_told_at_once(world: Cluster, way: Way, tmp_path: Path) -> None:
    def flaws(config: dict[str, Any]) -> None:
        no_memory(world, tmp_path, config)
        no_storage(world, tmp_path, config)

    with reconfigured(world, way.destination, flaws):
        error = way.refused()
        assert error["reason"] == "PRECHECK_FAILED"
        told = [violation.partition(":")[0] for violation in error["violations"]]
        assert sorted(told) == ["NO_MEMORY", "STORAGE_MISSING"]
        checked = world.ctl("check", "vm1", way.destination, check=False)
        assert (checked.returncode, checked.stdout.count("FAILED")) == (NO, 2), checked.stdout
        way.unharmed()
    way.next_one_works()
