"""A node with a good certificate and bad intentions: it gets an error, never memory, and the guest
that it lies about is not kept.
"""

import uuid
from collections.abc import Iterator

import grpc
import pytest
from bmig.v1 import guest_pb2, migration_pb2, node_pb2_grpc, peer_pb2, peer_pb2_grpc
from bmig.v1 import node_pb2 as node

from bmigd.chunk import MOST_TOGETHER
from certs import authority
from tests.cluster import Cluster, cluster
from tests.e2e.damage import FLAWS, MIB, PAGE, Chunk, Flaw, digest
from tests.e2e.way import Way

pytestmark = pytest.mark.e2e

SEED = 7


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """host2 is attacked; the guest on host1 only lends its definition and build."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest("vm1", "host1")
        authority.issue_node(made.certs, "evil")
        yield made


def channel(world: Cluster, who: str | None, ca: str = "certs") -> grpc.Channel:
    """A channel to host2 as somebody; None has no certificate."""
    base = world.directory / ca
    pair = base / (f"operators/{who}" if who == "alice" else f"nodes/{who}")
    credentials = grpc.ssl_channel_credentials(
        (world.certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes() if who else None,
        pair.with_suffix(".pem").read_bytes() if who else None,
    )
    return grpc.secure_channel(
        f"127.0.0.1:{world.nodes['host2'].port}",
        credentials,
        [("grpc.ssl_target_name_override", "host2")],
    )


def invitation(world: Cluster, guest: str) -> peer_pb2.ReceiveGuestRequest:
    """What host1 would send for a guest of 64 MiB."""
    definition = guest_pb2.GuestDefinition(
        name=guest,
        uuid=str(uuid.uuid4()),
        driver="bhyve",
        memory_bytes=64 * MIB,
        cpu=guest_pb2.CpuTopology(sockets=1, cores=1, threads=1),
        firmware=guest_pb2.Firmware(bootrom_path=str(world.storage / "vm1.rom")),
        devices=[
            guest_pb2.Device(slot="0", emulation="hostbridge"),
            guest_pb2.Device(slot="31", emulation="lpc"),
        ],
    )
    return peer_pb2.ReceiveGuestRequest(
        migration_id=str(uuid.uuid4()),
        epoch=1,
        definition=definition,
        regions=[peer_pb2.MemoryRegion(name="low", size_bytes=64 * MIB)],
        protocol_version=1,
        journal_incarnation=str(uuid.uuid4()),
        requested_by="spiffe://test/operator/alice",
        hash_seed=SEED,
        driver_build=build_of(world),
    )


def build_of(world: Cluster) -> str:
    """host2's driver build, as any node may ask for it."""
    with channel(world, "host1") as asking:
        stub = peer_pb2_grpc.PeerServiceStub(asking)
        response = stub.ExchangeCapabilities(
            peer_pb2.ExchangeCapabilitiesRequest(
                definition=guest_pb2.GuestDefinition(
                    name="asked",
                    uuid=str(uuid.uuid4()),
                    driver="bhyve",
                    memory_bytes=64 * MIB,
                    firmware=guest_pb2.Firmware(bootrom_path="/nothing"),
                    devices=[],
                ),
                requested_by="spiffe://test/operator/alice",
                probe_name="0" * 32,
            ),
            timeout=10,
        )
        return str(response.facts.driver.build)


def good_chunk(asked: peer_pb2.ReceiveGuestRequest) -> Chunk:
    """A chunk that is accepted."""
    content = b"x" * PAGE
    return Chunk(
        migration_id=asked.migration_id,
        epoch=1,
        sequence=1,
        region=0,
        sections=[peer_pb2.Section(codec=migration_pb2.CODEC_RAW, payload_bytes=PAGE)],
        runs=[0, 1],
        digest=digest(content, SEED),
        payload=content,
    )


def message(*chunks: Chunk) -> peer_pb2.StreamMemoryRequest:
    """Chunks that travel together."""
    return peer_pb2.StreamMemoryRequest(chunks=chunks)


@pytest.mark.parametrize(("flaw", "words"), FLAWS.items(), ids=[f.__name__ for f in FLAWS])
def test_a_bad_chunk_ends_the_reception_and_leaves_nothing(
    world: Cluster, flaw: Flaw, words: str
) -> None:
    asked = invitation(world, "vm1")  # of the guest that runs on host1
    with channel(world, "host1") as attacking:
        stub = peer_pb2_grpc.PeerServiceStub(attacking)
        stub.ReceiveGuest(asked, timeout=20)
        good, bad = good_chunk(asked), good_chunk(asked)
        bad.sequence = 2
        flaw(bad, SEED)
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.StreamMemory(iter([message(good), message(bad)]), timeout=20))
        assert "CHUNK_INVALID" in str(refused.value.details())
        assert words in str(refused.value.details())
        outcome = stub.QueryOutcome(
            peer_pb2.QueryOutcomeRequest(migration_id=asked.migration_id, epoch=1), timeout=10
        )
        assert "CHUNK_INVALID" in refusal_of_another(stub, asked)
    assert outcome.outcome == peer_pb2.OUTCOME_REFUSED
    world.require_clean("host2")


@pytest.mark.parametrize(
    ("count", "words"), [(0, "without chunks"), (MOST_TOGETHER + 1, "more than 4 chunks")]
)
def test_a_message_of_no_chunks_or_too_many_is_refused(
    world: Cluster, count: int, words: str
) -> None:
    asked = invitation(world, "vm1")
    with channel(world, "host1") as attacking:
        stub = peer_pb2_grpc.PeerServiceStub(attacking)
        stub.ReceiveGuest(asked, timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.StreamMemory(iter([message(*[good_chunk(asked)] * count)]), timeout=20))
        assert words in str(refused.value.details())
        end(stub, asked)
    world.require_clean("host2")


@pytest.mark.parametrize("second", ["damaged", "of another migration", "of another stream"])
def test_a_wrong_chunk_behind_a_good_one_ends_the_reception(world: Cluster, second: str) -> None:
    asked = invitation(world, "vm1")
    good, wrong = good_chunk(asked), good_chunk(asked)
    match second:
        case "damaged":
            wrong.digest = bytes(16)
        case "of another migration":
            wrong.migration_id = str(uuid.uuid4())
        case _:
            wrong.stream = 1
    with channel(world, "host1") as attacking:
        stub = peer_pb2_grpc.PeerServiceStub(attacking)
        stub.ReceiveGuest(asked, timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.StreamMemory(iter([message(good, wrong)]), timeout=20))
        assert "CHUNK_INVALID" in str(refused.value.details())
        assert "CHUNK_INVALID" in refusal_of_another(stub, asked)
    world.require_clean("host2")


def test_an_acknowledgement_is_of_all_of_a_message(world: Cluster) -> None:
    asked = invitation(world, "vm1")
    chunks = [good_chunk(asked) for _ in range(MOST_TOGETHER)]
    for number, chunk in enumerate(chunks):
        chunk.sequence = number + 1
    with channel(world, "host1") as sending:
        stub = peer_pb2_grpc.PeerServiceStub(sending)
        stub.ReceiveGuest(asked, timeout=20)
        answers = list(stub.StreamMemory(iter([message(*chunks)]), timeout=20))
        end(stub, asked)
    assert [one.sequence for one in answers] == [MOST_TOGETHER]
    world.require_clean("host2")


def end(stub: peer_pb2_grpc.PeerServiceStub, asked: peer_pb2.ReceiveGuestRequest) -> None:
    """Leave nothing behind."""
    stub.Abort(peer_pb2.AbortRequest(migration_id=asked.migration_id, epoch=1), timeout=10)


def refusal_of_another(
    stub: peer_pb2_grpc.PeerServiceStub, asked: peer_pb2.ReceiveGuestRequest
) -> str:
    """What a second stream is told of a migration that was refused."""
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.StreamMemory(iter([message(good_chunk(asked))]), timeout=20))
    return str(refused.value.details())


def test_what_was_sent_in_its_name_does_not_keep_a_guest_from_moving(world: Cluster) -> None:
    way = Way.of(world)
    world.require_clean(way.destination)
    way.next_one_works()
    Way.of(world).next_one_works()


def test_a_migration_belongs_to_the_node_that_opened_it(world: Cluster) -> None:
    asked = invitation(world, "mine")
    with channel(world, "host1") as owner, channel(world, "evil") as thief:
        peer_pb2_grpc.PeerServiceStub(owner).ReceiveGuest(asked, timeout=20)
        stealing = peer_pb2_grpc.PeerServiceStub(thief)
        with pytest.raises(grpc.RpcError) as refused:
            list(stealing.StreamMemory(iter([message(good_chunk(asked))]), timeout=20))
        assert "WRONG_PEER" in str(refused.value.details())
        abort = peer_pb2.AbortRequest(migration_id=asked.migration_id, epoch=1)
        with pytest.raises(grpc.RpcError) as refused:
            stealing.Abort(abort, timeout=20)
        assert "WRONG_PEER" in str(refused.value.details())
        answer = peer_pb2_grpc.PeerServiceStub(owner).Abort(abort, timeout=20)
    assert answer.outcome == peer_pb2.OUTCOME_REFUSED
    world.require_clean("host2")


def test_an_unknown_migration_is_refused_for_good(world: Cluster) -> None:
    asked = invitation(world, "ghost")
    with channel(world, "host1") as peer:
        stub = peer_pb2_grpc.PeerServiceStub(peer)
        question = peer_pb2.QueryOutcomeRequest(migration_id=asked.migration_id, epoch=1)
        assert stub.QueryOutcome(question, timeout=10).outcome == peer_pb2.OUTCOME_REFUSED
        with pytest.raises(grpc.RpcError) as refused:
            stub.ReceiveGuest(asked, timeout=20)
        assert "MIGRATION_UNKNOWN" in str(refused.value.details())


def test_a_question_about_another_journal_is_not_answered(world: Cluster) -> None:
    with channel(world, "host1") as peer:
        question = peer_pb2.QueryOutcomeRequest(
            migration_id=str(uuid.uuid4()), epoch=1, journal_incarnation=str(uuid.uuid4())
        )
        answer = peer_pb2_grpc.PeerServiceStub(peer).QueryOutcome(question, timeout=10)
    assert answer.outcome == peer_pb2.OUTCOME_UNKNOWN


def test_an_operator_is_no_peer(world: Cluster) -> None:
    with channel(world, "alice") as operator, pytest.raises(grpc.RpcError) as refused:
        peer_pb2_grpc.PeerServiceStub(operator).QueryOutcome(
            peer_pb2.QueryOutcomeRequest(migration_id=str(uuid.uuid4()), epoch=1), timeout=10
        )
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_no_certificate_of_ours_no_connection(world: Cluster, who: str) -> None:
    if who == "stranger":
        other = world.directory / "other"
        if not other.exists():
            authority.make_ca(other, "test")
            authority.issue_node(other, "host1")
        calling = channel(world, "host1", "other")
    else:
        calling = channel(world, None)
    with calling, pytest.raises(grpc.RpcError) as refused:
        node_pb2_grpc.NodeServiceStub(calling).GetNode(node.GetNodeRequest(), timeout=5)
    assert refused.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
