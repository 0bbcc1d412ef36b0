"""What a peer sends is bounded before it is used: its words, its lists, its numbers."""

from collections.abc import Iterator

import pytest
from bmig.v1 import guest_pb2, migration_pb2, peer_pb2

from bmigd.errors import Invalid
from bmigd.migration.picture import Options, Picture
from bmigd.rpc.convert import form, guests, migrations, peers

HOSTILE = "\x1b[2J\n" * 100_000


def test_a_peers_failure_and_parts_are_bounded_and_printable() -> None:
    failure = migrations.failure_from(
        migration_pb2.Failure(reason=HOSTILE, message=HOSTILE, location=HOSTILE, advice=HOSTILE)
    )
    (part,) = migrations.parts_from(
        [migration_pb2.TimePart(name=HOSTILE, side=migration_pb2.SIDE_SOURCE)]
    )
    assert part.side == "destination"
    for words in (failure.reason, failure.message, failure.location, failure.advice, part.name):
        assert words.isprintable()
        assert len(words) <= 1000


def test_a_peers_facts_are_bounded_and_printable() -> None:
    facts = peers.facts_from(
        peer_pb2.NodeFacts(
            name=HOSTILE,
            version=HOSTILE,
            cpu=peer_pb2.CpuFacts(vendor=HOSTILE, model=HOSTILE, features=[HOSTILE] * 5000),
            driver=peer_pb2.DriverFacts(name=HOSTILE, build=HOSTILE, problem=HOSTILE),
            networks=[HOSTILE],
            silent_networks=[peer_pb2.NetworkObstacle(network=HOSTILE, problem=HOSTILE)],
            disks=[peer_pb2.DiskFacts(storage=HOSTILE, image=HOSTILE, probe=HOSTILE)],
            firmware=[peer_pb2.FileFacts(path=HOSTILE, state=peer_pb2.FILE_STATE_SAME)],
            name_taken_by=HOSTILE,
            denied=HOSTILE,
        )
    )
    assert "\\x1b" not in repr(facts)
    assert "\\n" not in repr(facts)
    assert len(facts.cpu.features) == 4096
    assert max(map(len, facts.cpu.features)) == 64


def test_a_state_of_firmware_that_nobody_knows_tells_nothing() -> None:
    message = peer_pb2.FileFacts.FromString(
        peer_pb2.FileFacts(path="/a").SerializeToString() + bytes([3 << 3, 99])
    )
    assert peers.facts_from(peer_pb2.NodeFacts(firmware=[message])).firmware == ()


@pytest.mark.parametrize(
    ("number", "tracker"), [(0, "auto"), (1, "auto"), (2, "content"), (3, "pagemap")]
)
def test_a_tracker_is_named_as_people_name_it(number: int, tracker: str) -> None:
    message = migration_pb2.MigrationOptions(tracker=number)  # type: ignore[arg-type]
    options = migrations.options_from(message)
    assert options.tracker == tracker
    assert migrations.options_from(migrations.options_to(options)) == options


def test_a_tracker_that_nobody_knows_is_refused() -> None:
    message = migration_pb2.MigrationOptions.FromString(bytes([7 << 3, 99]))
    with pytest.raises(Invalid, match="tracker"):
        migrations.options_from(message)


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1])
def test_an_epoch_that_the_journal_cannot_hold_is_refused(number: int) -> None:
    with pytest.raises(Invalid, match="epoch"):
        form.epoch(number)


@pytest.mark.parametrize(
    "header",
    [
        peer_pb2.StateHeader(memory_root=b"short"),
        peer_pb2.StateHeader(memory_root=bytes(32), files=[peer_pb2.StateFile(sha256=b"short")]),
        peer_pb2.StateHeader(
            memory_root=bytes(32), files=[peer_pb2.StateFile(sha256=bytes(32))] * 17
        ),
    ],
    ids=["root", "digest", "files"],
)
def test_an_announcement_of_another_form_is_refused(header: peer_pb2.StateHeader) -> None:
    with pytest.raises(Invalid):
        peers.state_header_from(header)


def test_a_name_of_a_state_file_is_bounded() -> None:
    file = peer_pb2.StateFile(name=HOSTILE, sha256=bytes(32))
    header = peers.state_header_from(peer_pb2.StateHeader(memory_root=bytes(32), files=[file]))
    assert len(header.files[0][0]) <= 64


def test_a_definition_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(Invalid, match="larger than"):
        guests.definition_from(guest_pb2.GuestDefinition(options=["o" * 200] * 5600))


def test_a_list_has_what_fits_into_one_answer_and_says_so() -> None:
    guests = [guest_pb2.Guest(detail="d" * 60_000, pid=number) for number in range(40)]
    first, has_more = form.fitting(guests)
    assert has_more
    assert 10 < len(first) < 20
    assert [one.pid for one in first] == list(range(len(first)))
    assert form.fitting(guests[:10]) == (guests[:10], False)
    assert form.fitting([]) == ([], False)


@pytest.mark.parametrize("text", ["10.9.0", "host1", "fe80::1%eth0", "10.9.0.5/24", HOSTILE])
def test_what_is_no_address_is_not_probed(text: str) -> None:
    with pytest.raises(Invalid, match="probe_address") as refusal:
        migrations.options_from(migration_pb2.MigrationOptions(probe_address=text))
    assert refusal.value.reason == "OPTIONS_INVALID"
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(
    ("text", "usual"), [("", ""), ("10.9.0.5", "10.9.0.5"), ("FD::1", "fd::1")]
)
def test_an_address_to_be_probed_is_kept_in_its_usual_form(text: str, usual: str) -> None:
    options = migrations.options_from(migration_pb2.MigrationOptions(probe_address=text))
    assert options.probe_address == usual
    assert migrations.options_from(migrations.options_to(options)) == options


def test_a_peers_regions_are_not_looked_at_beyond_what_is_too_many() -> None:
    def endless() -> Iterator[peer_pb2.MemoryRegion]:
        for _ in range(100):
            yield peer_pb2.MemoryRegion(name="low")
        raise AssertionError("a million of them would hold the node up for seconds")

    with pytest.raises(Invalid, match="more than 8 of them"):
        peers.regions_from(endless())


@pytest.mark.parametrize(("lease_ms", "lease_s"), [(0, 1.0), (999, 1.0), (1500, 1.5)])
def test_a_peer_does_not_make_us_ask_without_a_pause(lease_ms: int, lease_s: float) -> None:
    message = peer_pb2.ReceiveGuestResponse(lease_ms=lease_ms, window_chunks=1 << 20)
    welcome = peers.welcome_from(message)
    assert (welcome.lease_s, welcome.window_chunks) == (lease_s, 256)


@pytest.mark.parametrize(("side", "knows"), [("source", True), ("destination", False)])
def test_only_the_source_says_how_a_migration_is_done(side: str, knows: bool) -> None:
    picture = Picture("m1", "vm1", "host1", "host2", side, 7, "alice", Options(codec=2))
    assert migrations.picture_to(picture).HasField("options") is knows


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (guest_pb2.GuestDefinition(devices=[guest_pb2.Device()] * 65), "definition.devices"),
        (guest_pb2.GuestDefinition(options=["x"] * 33), "definition.options"),
        (
            guest_pb2.GuestDefinition(devices=[guest_pb2.Device(options=["x"] * 33)]),
            "definition.options",
        ),
    ],
)
def test_too_many_parts_of_a_guest_are_counted_before_they_are_looked_at(
    message: guest_pb2.GuestDefinition, field: str
) -> None:
    with pytest.raises(Invalid, match=f"{field}.*more than") as refusal:
        guests.definition_from(message)
    assert refusal.value.reason == "REQUEST_INVALID"
