"""A migration between two real daemons whose messages are damaged behind TLS: the destination takes
nothing that is wrong, the operator is told what was, the guest goes on where it was, and the next
migration on a sound way works.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import tomli_w
from bmig.v1 import migration_pb2, peer_pb2

from tests.cluster import Cluster, cluster
from tests.e2e import damage as flaws
from tests.e2e.damage import FLAWS, PAGE, Chunk, Flaw, carry, digest
from tests.e2e.relay import Relay, Sound, relay
from tests.e2e.way import Way, restart

pytestmark = pytest.mark.e2e


@dataclass
class World:
    """Two nodes that only reach each other through relays, and a guest."""

    cluster: Cluster
    relays: dict[str, Relay]  # by source


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with cluster(["host1", "host2"]) as made, ExitStack() as relays:
        world = World(made, {})
        for source, destination in (("host1", "host2"), ("host2", "host1")):
            world.relays[source], port = relays.enter_context(relay(made, source, destination))
            node = made.nodes[source]
            config = tomllib.loads(node.config_path.read_text())
            config["nodes"][destination] = f"127.0.0.1:{port}"
            restart(node, tomli_w.dumps(config))
        made.make_guest("vm1", "host1")
        yield world
        made.beats_on("vm1")


@pytest.fixture(name="way")
def make_way(world: World) -> Iterator[Way]:
    yield Way.of(world.cluster)
    for each in world.relays.values():
        each.damage = Sound()


def pass_on(world: World, way: Way, damage: Sound) -> None:
    """Damage what goes from the guest's node to the other one."""
    world.relays[way.source].damage = damage


def home_and_next(world: World, way: Way) -> None:
    """The guest goes on where it was, and moves when the way is sound."""
    way.unharmed()
    pass_on(world, way, Sound())
    way.next_one_works()


@dataclass
class OneChunk(Sound):
    """Changes the first chunk with content of a migration."""

    flaw: Flaw
    seed: int = 0
    done: bool = False

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            if method == "ReceiveGuest":
                self.seed = peer_pb2.ReceiveGuestRequest.FromString(message).hash_seed
            yield self._chunk(message) if method == "StreamMemory" else message

    def _chunk(self, message: bytes) -> bytes:
        whole = peer_pb2.StreamMemoryRequest.FromString(message)
        chunk = whole.chunks[-1]
        if self.done or chunk.sections[0].codec == migration_pb2.CODEC_ZERO:
            return message
        self.done = True
        self.flaw(chunk, self.seed)
        return whole.SerializeToString()


# One of each kind; test_hostile_peer.py has them all, with a source that is not a daemon.
KINDS = (
    *(flaws.out_of_range, flaws.overlapping, flaws.oversized, flaws.flipped_bit),
    *(flaws.wrong_digest, flaws.unknown_codec, flaws.honest_zstd_bomb, flaws.lying_zstd_bomb),
)


@pytest.mark.parametrize("flaw", KINDS, ids=[flaw.__name__ for flaw in KINDS])
def test_a_wrong_chunk_ends_the_migration_with_the_guest_at_home(
    world: World, way: Way, flaw: Flaw
) -> None:
    damage = OneChunk(flaw)
    pass_on(world, way, damage)
    failure = way.failed()
    assert damage.done
    assert (failure["reason"], failure["side"]) == ("CHUNK_INVALID", "SIDE_DESTINATION"), failure
    assert FLAWS[flaw] in failure["message"], failure
    assert "never stopped" in failure["location"]
    home_and_next(world, way)


def test_a_chunk_that_is_acknowledged_and_not_written_is_found_out(world: World, way: Way) -> None:
    """A good chunk with the content of another: only the comparison of all memory can tell."""

    def other_content(chunk: Chunk, seed: int) -> None:
        carry(chunk, migration_pb2.CODEC_RAW, b"x" * PAGE * sum(chunk.runs[1::2]))
        chunk.digest = digest(chunk.payload, seed)

    pass_on(world, way, OneChunk(other_content))
    failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("MEMORY_DIFFERS", "SIDE_DESTINATION"), failure
    home_and_next(world, way)


@dataclass
class State(Sound):
    """Changes one file of the device state, announced with its size and hash as it should be."""

    name: str
    change: Callable[[bytes], bytes]

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        return self._changed(messages) if method == "DeliverState" else messages

    def _changed(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        parse = peer_pb2.DeliverStateRequest.FromString
        header = parse(next(messages)).header
        contents = [b"" for _ in header.files]
        for part in (parse(message).part for message in messages):
            contents[part.file] += part.data
        for number, file in enumerate(header.files):
            if file.name == self.name:
                contents[number] = self.change(contents[number])
                file.size_bytes = len(contents[number])
                file.sha256 = hashlib.sha256(contents[number]).digest()
        yield peer_pb2.DeliverStateRequest(header=header).SerializeToString()
        for number, content in enumerate(contents):
            part = peer_pb2.StatePart(file=number, data=content)
            yield peer_pb2.DeliverStateRequest(part=part).SerializeToString()


@dataclass
class BitInState(Sound):
    """Changes a bit of the device state and nothing of what was announced."""

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            yield message[:-1] + bytes([message[-1] ^ 1]) if method == "DeliverState" else message


STATES: dict[str, tuple[Sound, str]] = {
    "short-meta": (State("meta", lambda meta: meta[: len(meta) // 2]), ".meta is broken"),
    "broken-meta": (State("meta", lambda meta: b"\0" + meta), ".meta is broken"),
    "empty-meta": (State("meta", lambda _: b""), ".meta is broken"),
    "huge-meta": (State("meta", lambda meta: meta + b" " * (1 << 20)), ".meta has"),
    "other-guest": (State("meta", lambda meta: meta.replace(b"vm1", b"vm2")), "vm2"),
    "short-kern": (State("kern", lambda kern: kern[:-1]), ".kern has"),
    "bit": (BitInState(), "short or damaged"),
}


@pytest.mark.parametrize(("damage", "words"), STATES.values(), ids=list(STATES))
def test_wrong_device_state_is_never_started(
    world: World, way: Way, damage: Sound, words: str
) -> None:
    pass_on(world, way, damage)
    failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("STATE_INVALID", "SIDE_DESTINATION"), failure
    assert words in failure["message"], failure
    home_and_next(world, way)


class LaterVersion(Sound):
    """The other node speaks only a protocol that this one does not know."""

    def answers(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            yield self._facts(message) if method == "ExchangeCapabilities" else message

    def _facts(self, message: bytes) -> bytes:
        answer = peer_pb2.ExchangeCapabilitiesResponse.FromString(message)
        answer.facts.protocol_versions[:] = [2, 3]
        return answer.SerializeToString()


class LaterInvitation(Sound):
    """The other node is invited in a protocol that it does not know."""

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            yield self._invitation(message) if method == "ReceiveGuest" else message

    def _invitation(self, message: bytes) -> bytes:
        asked = peer_pb2.ReceiveGuestRequest.FromString(message)
        asked.protocol_version = 2
        return asked.SerializeToString()


def test_a_node_of_another_protocol_version_is_refused(world: World, way: Way) -> None:
    pass_on(world, way, LaterVersion())
    error = way.refused()
    assert error["reason"] == "PROTOCOL_VERSION"
    assert "[1]" in error["message"]
    assert "[2, 3]" in error["message"]
    home_and_next(world, way)


def test_a_node_refuses_a_protocol_version_that_it_does_not_speak(world: World, way: Way) -> None:
    pass_on(world, way, LaterInvitation())
    failure = way.failed()
    assert (failure["reason"], failure["side"]) == ("PROTOCOL_VERSION", "SIDE_DESTINATION"), failure
    home_and_next(world, way)
