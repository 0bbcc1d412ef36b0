"""Whatever is asked wrongly, or goes wrong on the way: a named error, the guest where it was,
nothing left on the other side, and the next migration works.
"""

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs import authority
from tests.cluster import Cluster, cluster

pytestmark = pytest.mark.e2e

REFUSED, FAILED = 3, 4


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes and one guest, which every test leaves running on host1."""
    with cluster(["host1", "host2"], bhyve={"suspend_timeout_s": 5.0, "start_timeout_s": 5.0}) as w:
        w.make_guest("vm1", "host1")
        yield w


def still_there(world: Cluster) -> None:
    """The guest runs on host1 with everything it had, and host2 has nothing of it."""
    assert world.where("vm1") == {"host1": "GUEST_STATE_RUNNING"}
    world.beats_on("vm1")
    world.require_clean("host2")


def next_one_works(world: Cluster) -> None:
    """There and back again."""
    for destination in ("host2", "host1"):
        assert world.migrate("vm1", destination)["phase"] == "PHASE_COMPLETED"
    world.beats_on("vm1")


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("migrate", "nobody", "host2"), REFUSED, "GUEST_UNKNOWN"),
        (("migrate", "vm1", "host9"), REFUSED, "NODE_UNKNOWN"),
        (("migrate", "vm1", "host1"), REFUSED, "SAME_NODE"),
        (("check", "vm1", "host9"), REFUSED, "NODE_UNKNOWN"),
        (("guest", "undefine", "vm1"), REFUSED, "GUEST_RUNNING"),
        (("show", "ffffffff"), REFUSED, "MIGRATION_UNKNOWN"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    world: Cluster, arguments: tuple[str, ...], status: int, reason: str
) -> None:
    refused = world.ctl(*arguments, check=False)
    assert (refused.returncode, reason in refused.stderr) == (status, True), refused.stderr
    still_there(world)


def test_a_stopped_guest_is_not_migrated(world: Cluster) -> None:
    world.make_guest("still", "host1")
    world.ctl("guest", "stop", "--force", "still")
    refused = world.ctl("migrate", "still", "host2", check=False)
    assert (refused.returncode, "GUEST_NOT_RUNNING" in refused.stderr) == (REFUSED, True)
    world.ctl("guest", "undefine", "still")


def test_a_taken_name_is_refused(world: Cluster) -> None:
    definition = world.nodes["host1"].directory / "state/guests/vm1.toml"
    other = world.nodes["host2"].directory / "state/guests/vm1.toml"
    shutil.copy(definition, other)
    try:
        refused = world.ctl("--node", "host1", "migrate", "vm1", "host2", check=False)
        assert (refused.returncode, "NAME_TAKEN" in refused.stderr) == (REFUSED, True)
    finally:
        other.unlink()
    next_one_works(world)


@pytest.mark.parametrize(
    ("side", "fault", "reason"),
    [
        ("host1", "suspend-fails", "SUSPEND_FAILED"),
        ("host1", "suspend-hangs", "SUSPEND_TIMEOUT"),
        ("host2", "restore-fails", "START_FAILED"),
        ("host2", "dies-on-start", "START_FAILED"),
    ],
)
def test_a_failing_hypervisor_leaves_the_guest_at_home(
    world: Cluster, side: str, fault: str, reason: str
) -> None:
    world.fault(side, "vm1", fault)
    try:
        failed = world.migrate("vm1", "host2", expect=FAILED)
    finally:
        world.fault(side, "vm1")
    assert failed["failure"]["reason"] == reason
    assert failed["failure"]["advice"]
    still_there(world)
    next_one_works(world)


@pytest.mark.parametrize("fault", ["short-meta", "broken-meta", "short-ram"])
def test_a_bad_snapshot_restarts_the_guest_at_home_and_says_so(world: Cluster, fault: str) -> None:
    world.fault("host1", "vm1", fault)
    try:
        failed = world.migrate("vm1", "host2", expect=FAILED)
    finally:
        world.fault("host1", "vm1")
    assert failed["failure"]["reason"] == "GUEST_RESTARTED"
    assert "started afresh" in failed["failure"]["location"]
    assert world.where("vm1") == {"host1": "GUEST_STATE_RUNNING"}
    world.require_clean("host2")
    next_one_works(world)


def test_an_operator_without_rights_is_refused(world: Cluster) -> None:
    authority.issue_operator(world.certs, "mallory")
    world.write_client("mallory")
    refused = world.ctl("migrate", "vm1", "host2", operator="mallory", check=False)
    assert (refused.returncode, "DENIED" in refused.stderr) == (REFUSED, True), refused.stderr
    still_there(world)


def test_an_operator_whom_only_the_destination_denies_is_refused(world: Cluster) -> None:
    authority.issue_operator(world.certs, "bob")
    world.write_client("bob")
    host1 = world.nodes["host1"]
    text = host1.config_path.read_text()
    world.configure(host1, bhyve={"suspend_timeout_s": 5.0, "start_timeout_s": 5.0})
    changed = host1.config_path.read_text().replace('"alice",', '"alice",\n    "bob",')
    host1.config_path.write_text(changed)
    host1.stop()
    host1.start()
    try:
        refused = world.ctl(
            "--node", "host1", "migrate", "vm1", "host2", operator="bob", check=False
        )
        assert (refused.returncode, "DENIED_BY_PEER" in refused.stderr) == (REFUSED, True), (
            refused.stderr
        )
    finally:
        host1.config_path.write_text(text)
        host1.stop()
        host1.start()
    still_there(world)
    next_one_works(world)


def impostor(world: Cluster, flaw: str) -> tuple[Path, Path]:
    """Certificate and key of somebody who answers at host2's address."""
    now = datetime.now(UTC)
    match flaw:
        case "expired":
            over = authority.Validity(now - timedelta(days=2), now - timedelta(days=1))
            return authority.renew(world.certs, "host2", validity=over)
        case "another node":
            return authority.issue_node(world.certs, "host3")
        case _:
            other = world.directory / "other-ca"
            authority.make_ca(other, "test")
            return authority.issue_node(other, "host2")


@contextmanager
def answering(port: int, certificate: Path, key: Path) -> Iterator[None]:
    """A TLS server that completes handshakes and closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(3)
                with suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("expired", "expired"),
        ("another node", "host3"),
        ("another CA", "CA"),
        ("nobody there", "refused"),
    ],
)
def test_a_destination_that_is_not_host2_is_refused_and_named(flaw: str, words: str) -> None:
    with cluster(["host1", "host2"]) as world:
        world.make_guest("vm1", "host1")
        port = world.nodes["host2"].port
        world.nodes["host2"].stop()
        if flaw == "nobody there":
            refused = world.ctl("--node", "host1", "migrate", "vm1", "host2", check=False)
        else:
            with answering(port, *impostor(world, flaw)):
                refused = world.ctl("--node", "host1", "migrate", "vm1", "host2", check=False)
        assert refused.returncode == REFUSED, refused.stderr
        assert "PEER_LOST" in refused.stderr
        assert words in refused.stderr, refused.stderr
        world.beats_on("vm1")
