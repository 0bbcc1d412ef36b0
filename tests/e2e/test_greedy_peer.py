"""A node `evil`, with a good certificate and few rights, that wants a node's time, memory, disk or
secrets: it gets little, and nobody else waits.
"""

import hashlib
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bmig.v1 import node_pb2, node_pb2_grpc, peer_pb2, peer_pb2_grpc

from bmigd.chunk import MOST_TOGETHER
from bmigd.transfer.pages import PageTable
from tests.cluster import Cluster
from tests.daemons import eventually
from tests.e2e.attacked import MIB, attacked, definition, rss_mib
from tests.e2e.damage import PAGE, say
from tests.e2e.dial import dial
from tests.e2e.faults.bench import process_of
from tests.e2e.test_hostile_peer import SEED, good_chunk, invitation, message

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """vm1 runs on host1."""
    with attacked() as made:
        yield made


def evil(world: Cluster) -> peer_pb2_grpc.PeerServiceStub:
    """The hostile node at host2."""
    return peer_pb2_grpc.PeerServiceStub(dial(world, "host2", "nodes/evil"))


def asked(world: Cluster, bootrom: Path | str, sha256: str = "", who: str = "alice") -> Any:
    """What host2 tells evil of a guest that vm1's operator might want to send."""
    return evil(world).ExchangeCapabilities(
        peer_pb2.ExchangeCapabilitiesRequest(
            definition=definition("x", bootrom),
            requested_by=f"spiffe://test/operator/{who}",
            probe_name="0" * 32,
            firmware=[peer_pb2.FileFacts(path=str(bootrom), sha256=sha256)],
        ),
        timeout=10,
    )


def header(
    asked: peer_pb2.ReceiveGuestRequest, name: str, size: int
) -> peer_pb2.DeliverStateRequest:
    """Announces one file of device state, after memory that is all zero."""
    return peer_pb2.DeliverStateRequest(
        header=peer_pb2.StateHeader(
            migration_id=asked.migration_id,
            epoch=1,
            memory_root=PageTable([64 * MIB], SEED).root(),
            files=[peer_pb2.StateFile(name=name, size_bytes=size, sha256=bytes(32))],
        )
    )


def answers(world: Cluster) -> bool:
    """Whether host2 still has time for others."""
    alice = node_pb2_grpc.NodeServiceStub(dial(world, "host2", "operators/alice"))
    return bool(alice.GetNode(node_pb2.GetNodeRequest(), timeout=5).node.name)


def test_a_boot_rom_that_never_ends_does_not_stop_the_node(world: Cluster) -> None:
    os.mkfifo(world.storage / "fifo.rom")
    (world.storage / "zero.rom").symlink_to("/dev/zero")
    for endless in ("/dev/zero", world.storage / "fifo.rom", world.storage / "zero.rom"):
        for _ in range(8):
            (told,) = asked(world, endless).facts.firmware
            assert told.state in (peer_pb2.FILE_STATE_MISSING, peer_pb2.FILE_STATE_OUTSIDE)
    assert answers(world)


def test_a_peer_learns_nothing_of_files_that_are_not_firmware(world: Cluster) -> None:
    key = world.certs / "nodes/host2.key"
    for path in (key, world.certs / "nothing"):
        (told,) = asked(world, path).facts.firmware
        assert (told.state, told.sha256) == (peer_pb2.FILE_STATE_OUTSIDE, "")


def test_of_firmware_a_peer_learns_whether_it_is_what_it_has(world: Cluster) -> None:
    rom = world.storage / "vm1.rom"
    sha256 = hashlib.sha256(rom.read_bytes()).hexdigest()
    (same,), (other,) = asked(world, rom, sha256).facts.firmware, asked(world, rom).facts.firmware
    assert (same.state, same.sha256) == (peer_pb2.FILE_STATE_SAME, "")
    assert (other.state, other.sha256) == (peer_pb2.FILE_STATE_DIFFERS, "")


def test_device_state_that_does_not_end_is_not_held_in_memory(world: Cluster) -> None:
    stub, node = evil(world), world.nodes["host2"]
    before, calls, release = rss_mib(node), [], threading.Event()

    def parts(asked: peer_pb2.ReceiveGuestRequest) -> Iterator[peer_pb2.DeliverStateRequest]:
        yield header(asked, "kern", 65 * MIB)
        for _ in range(64):
            part = peer_pb2.StatePart(file=0, data=bytes(MIB))
            yield peer_pb2.DeliverStateRequest(part=part)
        release.wait(60)

    for number in range(4):
        asked = invitation(world, f"g{number}")
        stub.ReceiveGuest(asked, timeout=20)
        calls.append(stub.DeliverState.future(parts(asked)))
    spool = node.directory / "spool"
    eventually(lambda: sum(path.stat().st_size for path in spool.rglob("*.partial")) == 256 * MIB)
    grown = rss_mib(node) - before
    for call in calls:
        call.cancel()  # type: ignore[no-untyped-call]
    release.set()
    world.require_clean("host2")  # their leases are over
    assert grown < 128


def test_long_words_of_a_peer_are_not_kept(world: Cluster) -> None:
    node = world.nodes["host2"]
    state = node.directory / "state"

    def kept() -> int:
        return len(node.log) + sum(path.stat().st_size for path in state.glob("*sqlite*"))

    stub, before = evil(world), kept()
    for asked in (invitation(world, "wordy"), invitation(world, "wordier")):
        stub.ReceiveGuest(asked, timeout=20)
        messages = iter([header(asked, "\U000e0001" * 400_000, 1)])
        with pytest.raises(grpc.RpcError, match="STATE_INVALID"):
            stub.DeliverState(messages, timeout=20)
        abort = peer_pb2.AbortRequest(
            migration_id=asked.migration_id, epoch=1, reason="\x1b[2J" * 50_000
        )
        stub.Abort(abort, timeout=20)
    world.require_clean("host2")
    assert kept() - before < 300_000
    assert "\x1b" not in node.log


def test_who_is_denied_does_not_learn_which_guests_there_are(world: Cluster) -> None:
    request = peer_pb2.ExchangeCapabilitiesRequest(
        definition=definition("vm1", "/x"),
        requested_by="spiffe://test/operator/mallory",
        probe_name="0" * 32,
    )
    peer = peer_pb2_grpc.PeerServiceStub(dial(world, "host1", "nodes/evil"))
    facts = peer.ExchangeCapabilities(request, timeout=5).facts
    assert facts.denied
    assert not facts.name_taken_by


def test_an_operator_at_the_destination_ends_a_reception(world: Cluster) -> None:
    asked = invitation(world, "unwanted")
    source = evil(world)
    source.ReceiveGuest(asked, timeout=20)
    question = peer_pb2.QueryOutcomeRequest(migration_id=asked.migration_id, epoch=1)
    command = [*world.bmigctl(), "cancel", asked.migration_id, "--node", "host2"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as client:
        # Asked again and again: a busy machine may be slower than a lease.
        eventually(lambda: source.QueryOutcome(question, timeout=5) and client.poll() is not None)
    assert client.returncode == 0
    world.require_clean("host2")
    answer = source.QueryOutcome(question, timeout=5)
    assert answer.outcome == peer_pb2.OUTCOME_REFUSED
    assert answer.failure.reason == "CANCELLED"


def test_questions_about_nothing_are_not_journalled_without_end(world: Cluster) -> None:
    reasons = []
    for _ in range(70):
        question = peer_pb2.QueryOutcomeRequest(migration_id=str(uuid.uuid4()), epoch=1)
        try:
            evil_answer = evil(world).QueryOutcome(question, timeout=9).outcome
            assert evil_answer == peer_pb2.OUTCOME_REFUSED
        except grpc.RpcError as error:
            reasons.append(str(error.details()))
    assert reasons
    assert all("TOO_MANY_QUESTIONS" in reason for reason in reasons)
    other = peer_pb2_grpc.PeerServiceStub(dial(world, "host2", "nodes/host1"))
    question = peer_pb2.QueryOutcomeRequest(migration_id=str(uuid.uuid4()), epoch=1)
    assert other.QueryOutcome(question, timeout=9).outcome == peer_pb2.OUTCOME_REFUSED


def endless_delivery(
    asked: peer_pb2.ReceiveGuestRequest, release: threading.Event
) -> Iterator[peer_pb2.DeliverStateRequest]:
    """Device state that is begun and goes on, and never comes to its end."""
    yield header(asked, "kern", MIB)
    while not release.wait(0.5):
        yield peer_pb2.DeliverStateRequest(part=peer_pb2.StatePart(file=0, data=b""))


def test_a_delivery_that_does_not_end_keeps_nothing_waiting(world: Cluster) -> None:
    stub, release = evil(world), threading.Event()
    first, second = invitation(world, "slow"), invitation(world, "slow")
    stub.ReceiveGuest(first, timeout=20)
    delivering = stub.DeliverState.future(endless_delivery(first, release))
    spool = world.nodes["host2"].directory / "spool"
    eventually((spool / "slow.in/state.kern.partial").exists, what="the delivery's beginning")
    newer = stub.DeliverState.future(endless_delivery(first, release))
    with pytest.raises(grpc.RpcError, match="STREAM_SUPERSEDED"):
        delivering.result(timeout=20)
    assert not newer.done()
    stub.ReceiveGuest(second, timeout=20)  # anew: what was begun is over
    with pytest.raises(grpc.RpcError, match=r"ABORTED_BY_SOURCE: .* began anew"):
        newer.result(timeout=20)
    release.set()
    ending = peer_pb2.AbortRequest(migration_id=second.migration_id, epoch=1)
    assert stub.Abort(ending, timeout=20).outcome == peer_pb2.OUTCOME_REFUSED
    world.require_clean("host2")


def test_who_waits_for_a_supervisor_keeps_no_other_node_waiting(world: Cluster) -> None:
    world.make_guest("here", "host2")
    supervisor = process_of(world.nodes["host2"], "supervisor", "here")
    other = peer_pb2_grpc.PeerServiceStub(dial(world, "host2", "nodes/host1"))
    elsewhere = invitation(world, "elsewhere")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        waiting = evil(world).ReceiveGuest.future(invitation(world, "here"), timeout=30)
        other.ReceiveGuest(elsewhere, timeout=30)
        ending = peer_pb2.AbortRequest(migration_id=elsewhere.migration_id, epoch=1)
        assert other.Abort(ending, timeout=30).outcome == peer_pb2.OUTCOME_REFUSED
        assert not waiting.done()
    finally:
        os.kill(supervisor, signal.SIGCONT)
    with pytest.raises(grpc.RpcError):
        waiting.result(timeout=30)
    world.ctl("guest", "stop", "here", "--force")
    world.ctl("guest", "undefine", "here")


def messages_of(
    asked: peer_pb2.ReceiveGuestRequest, last: threading.Event
) -> Iterator[peer_pb2.StreamMemoryRequest]:
    """As many good chunks as fit into whatever holds them, in messages as large as may be."""
    content = bytes(range(256)) * 4096
    chunk = good_chunk(asked)
    say(chunk, SEED, content, 0, len(content) // PAGE)
    while not last.is_set():
        chunk.sequence += 1
        yield message(*[chunk] * MOST_TOGETHER)


def test_many_streams_for_one_guest_hold_no_more_than_one(world: Cluster) -> None:
    """What a stream may have here unread is bounded, and so is how many there are of a guest."""
    stub, node, last = evil(world), world.nodes["host2"], threading.Event()
    asked, ended = invitation(world, "flood"), list[str]()
    stub.ReceiveGuest(asked, timeout=20)
    before = rss_mib(node)
    delivering = stub.DeliverState.future(endless_delivery(asked, last))

    def flood() -> None:
        try:
            list(stub.StreamMemory(messages_of(asked, last), timeout=100))
        except grpc.RpcError as error:
            ended.append(str(error.details()))

    floods = [threading.Thread(target=flood) for _ in range(48)]
    for one in floods:
        one.start()
    eventually(lambda: len(ended) == len(floods) - 1, 60, "one stream")
    grown = rss_mib(node) - before
    assert all("STREAM_SUPERSEDED" in words for words in ended)
    assert answers(world)
    world.migrate("vm1", "host2", "--downtime-limit", "5000")
    world.migrate("vm1", "host1", "--downtime-limit", "5000")
    last.set()
    for one in floods:
        one.join(30)
    delivering.cancel()  # type: ignore[no-untyped-call]
    world.require_clean("host2")
    assert grown < 400
