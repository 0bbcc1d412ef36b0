"""What is interrupted half-way never becomes a second copy, a lost guest, or one that nobody owns.

Callers hang up, journals cannot be written for a while, daemons die in the last pass, operators say
a thing twice. Another process that holds the journal's lock stands in for a slow or full disk.
"""

import json
import signal
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from bmig.v1 import migration_pb2, migration_pb2_grpc

from tests.cluster import Cluster, cluster
from tests.daemons import BIN, Node, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """Two nodes and a guest on host1."""
    with cluster(["host1", "host2"], migration={"lease_s": 5.0}) as made:
        made.make_guest("vm1", "host1")
        yield made


def journal(node: Node) -> Path:
    """Where a node's journal is."""
    return node.directory / "state/journal.sqlite"


def states(node: Node) -> list[str]:
    """What its journal says, oldest first."""
    connection = sqlite3.connect(f"file:{journal(node)}?mode=ro", uri=True)
    try:
        return [s for (s,) in connection.execute("SELECT state FROM migrations ORDER BY rowid")]
    finally:
        connection.close()


@contextmanager
def held(node: Node) -> Iterator[None]:
    """Nothing can be written into the node's journal."""
    connection = sqlite3.connect(journal(node), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def start_and_hang_up(world: Cluster, node: str, after_s: float) -> None:
    """StartMigration by a caller who has a deadline."""
    pair = world.certs / "operators/alice"
    credentials = grpc.ssl_channel_credentials(
        (world.certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    request = migration_pb2.StartMigrationRequest(
        id=str(uuid.uuid4()), guest="vm1", destination="host2"
    )
    with (
        grpc.secure_channel(
            f"127.0.0.1:{world.nodes[node].port}",
            credentials,
            [("grpc.ssl_target_name_override", node)],
        ) as channel,
        pytest.raises(grpc.RpcError),
    ):
        migration_pb2_grpc.MigrationServiceStub(channel).StartMigration(request, timeout=after_s)


@contextmanager
def meanwhile(world: Cluster, *arguments: str) -> Iterator[None]:
    """Run bmigctl beside the block, and wait for it at the end."""
    thread = threading.Thread(target=world.ctl, args=arguments, kwargs={"check": False})
    thread.start()
    try:
        yield
    finally:
        thread.join()


def copying(world: Cluster, guest: str = "vm1", *options: str) -> str:
    """A migration of it to host2 that is in its precopy."""
    started = world.start_migration(guest, "host2", *(options or ("--bandwidth", "5M")))
    eventually(lambda: world.phase(guest, started) == "PHASE_PRECOPY")
    return started


def test_a_start_whose_caller_hung_up_is_a_migration_like_any_other(world: Cluster) -> None:
    host1 = world.nodes["host1"]
    with held(host1):
        start_and_hang_up(world, "host1", 2)
    eventually(lambda: states(host1) == ["RELEASED"])
    host1.stop()
    host1.start()
    assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    world.require_clean("host1")
    world.beats_on("vm1")


def test_an_invitation_that_was_interrupted_does_not_end_the_guest_later(world: Cluster) -> None:
    host2 = world.nodes["host2"]
    with held(host2):
        started = world.start_migration("vm1", "host2")
        eventually(lambda: world.phase("vm1", started) == "PHASE_PREPARING")
        world.ctl("cancel", started, check=False)
    eventually(lambda: states(host2) in ([], ["REFUSED"]))  # by the abort, or by its lease
    world.migrate("vm1", "host2")
    pid = world.guest("vm1")["pid"]
    host2.stop()
    host2.start()
    assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    assert world.guest("vm1")["pid"] == pid


def test_a_record_that_nobody_owned_ends_in_the_journal_alone(world: Cluster) -> None:
    host1, host2 = world.nodes["host1"], world.nodes["host2"]
    world.migrate("vm1", "host2")
    pid = world.guest("vm1")["pid"]
    for node, side, state in ((host1, "source", "MIGRATING"), (host2, "destination", "RECEIVING")):
        node.stop()
        _age(node, side, state)
        node.start()
    assert "MIGRATING" not in states(host1)
    assert "RECEIVING" not in states(host2)
    assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    assert world.guest("vm1")["pid"] == pid
    world.require_clean("host1")


def _age(node: Node, side: str, state: str) -> None:
    """Put an older record of the guest before the newest, as a half-written start leaves it."""
    connection = sqlite3.connect(journal(node))
    with connection:
        (row,) = connection.execute("SELECT * FROM migrations").fetchall()
        connection.execute("DELETE FROM migrations")
        older = (str(uuid.uuid4()), side, *row[2:5], state, *row[6:11], "")
        for one in (older, row):
            places = ",".join("?" * len(one))
            connection.execute(f"INSERT INTO migrations VALUES ({places})", one)  # noqa: S608
    connection.close()


def test_a_commit_whose_caller_died_settles(world: Cluster) -> None:
    host1, host2 = world.nodes["host1"], world.nodes["host2"]
    started = copying(world, "vm1", "--bandwidth", "8M")
    with held(host2):
        # READY cannot be written yet; the source waits for it.
        eventually(lambda: world.phase("vm1", started) == "PHASE_SWITCHOVER", 60)
    with suppress(AssertionError):
        eventually(lambda: states(host1) == ["LET_GO"], 5)
    host1.stop(signal.SIGKILL)
    host1.start()
    eventually(lambda: states(host1)[-1] in ("RELEASED", "ABORTED", "RECLAIMED"), 30)
    assert len(world.where("vm1")) == 1
    world.beats_on("vm1")


def test_a_destination_lost_while_the_guest_goes_down_gives_it_back(world: Cluster) -> None:
    world.make_guest("big", "host1", "96M", "--rate", "5", "--heartbeat-ms", "50")
    world.fault("host1", "big", "suspend-slow 4")
    started = world.start_migration("big", "host2", "--on-timeout", "switch-over")
    eventually(lambda: world.phase("big", started) == "PHASE_SWITCHOVER", 60)
    world.nodes["host2"].stop(signal.SIGKILL)
    eventually(lambda: world.phase("big", started) == "PHASE_ABORTED", 40)
    world.fault("host1", "big")
    assert world.where("big") == {"host1": "GUEST_STATE_RUNNING"}
    world.beats_on("big")


def test_a_cancel_said_twice_is_said_once(world: Cluster) -> None:
    host2 = world.nodes["host2"]
    started = copying(world, "vm1", "--bandwidth", "1M")  # a busy machine takes its time to cancel
    assert host2.process
    host2.process.send_signal(signal.SIGSTOP)  # so that telling it takes its time
    try:
        with meanwhile(world, "cancel", started):
            eventually(lambda: '"phase aborting"' in world.nodes["host1"].log)
            world.ctl("cancel", started, check=False)
    finally:
        host2.process.send_signal(signal.SIGCONT)
    eventually(lambda: world.phase("vm1", started) == "PHASE_ABORTED")
    eventually(lambda: states(host2) == ["REFUSED"], 20)
    world.migrate("vm1", "host2")


def test_a_stop_under_way_keeps_a_migration_from_starting(world: Cluster) -> None:
    deaf = b"\xfb\xf4\xeb\xfd".ljust(4096, b"\x90")  # sti; hlt; jmp: ignores the power button
    (world.storage / "deaf.rom").write_bytes(deaf)
    definition = (world.directory / "vm1.toml").read_text()
    path = world.directory / "deaf.toml"
    path.write_text(definition.replace("vm1", "deaf"))
    (world.storage / "deaf.img").write_bytes(bytes(4 << 20))
    world.ctl("guest", "define", str(path), "--node", "host1")
    world.ctl("guest", "start", "deaf")
    stopping: list[subprocess.Popen[bytes]] = []
    try:
        refused = eventually(lambda: _refusal(world, "deaf", stopping), 60)
        # At once, or by a check, if the guest was told to stop after the migration was asked for.
        words = "guest deaf is being stopped"
        assert refused["message"] in (words, f"guest deaf cannot go to host2: {words}")
        world.ctl("guest", "stop", "--force", "deaf")  # beside the patient one
        stopping[-1].wait(30)
        # On either node: a busy machine begins the first try before it is told to stop the guest.
        assert list(world.where("deaf").values()) == ["GUEST_STATE_STOPPED"]
    finally:
        for one in stopping:
            one.kill()
            one.wait()


def _refusal(
    world: Cluster, guest: str, stopping: "list[subprocess.Popen[bytes]]"
) -> dict[str, str] | None:
    """What a migration is told while the guest is being stopped; if it was first, again."""
    if not stopping or stopping[-1].poll() is not None:
        arguments = ("--config", world.directory / "alice.toml", "guest", "stop", guest)
        stopping.append(subprocess.Popen([BIN / "bmigctl", *arguments], stdout=subprocess.DEVNULL))
    done = world.ctl("migrate", guest, "host2", "--json", "--detach", check=False)
    said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    if said["kind"] == "error":
        return said if said["reason"] == "GUEST_BUSY" else None
    world.ctl("cancel", json.loads(done.stdout.splitlines()[0])["migration"]["id"], check=False)
    return None
