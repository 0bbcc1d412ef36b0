"""What nodes tell each other, in messages of the contract and in our values, bounded."""

from collections.abc import Iterable
from itertools import islice

from bmig.v1 import peer_pb2

from bmigd.chunk import CodecId
from bmigd.drivers.base import DriverFacts, Region
from bmigd.host import Cpu
from bmigd.migration.ports import Welcome
from bmigd.migration.state_files import StateHeader
from bmigd.prechecks.facts import DiskFacts, Facts, FileState, FirmwareFacts
from bmigd.rpc.convert.form import invalid
from bmigd.words import short

MAX_REGIONS = 8
MAX_STATE_FILES = 16
HASH_BYTES = 32
SHORTEST_LEASE_MS = 1000  # a shorter one would have us ask without a pause
FIRST_CODECS = frozenset((CodecId.ZERO, CodecId.RAW, CodecId.ZSTD))  # of nodes that do not say
MOST_WINDOW_CHUNKS = 256
MAX_LIST = 4096
MAX_VERSIONS = 64
FILE_STATES = frozenset(map(int, FileState))


def regions_from(messages: Iterable[peer_pb2.MemoryRegion]) -> tuple[Region, ...]:
    """A peer's regions; the driver compares them with its own."""
    regions = tuple(
        Region(m.name[:32], m.guest_address_bytes, m.size_bytes)
        for m in islice(messages, MAX_REGIONS + 1)
    )
    if len(regions) > MAX_REGIONS:
        raise invalid("regions", f"more than {MAX_REGIONS} of them")
    return regions


def state_header_from(message: peer_pb2.StateHeader) -> StateHeader:
    """What a peer announces of device state."""
    files = tuple(
        (short(one.name, 64), one.size_bytes, one.sha256)
        for one in message.files[: MAX_STATE_FILES + 1]
    )
    if len(files) > MAX_STATE_FILES:
        raise invalid("files", f"more than {MAX_STATE_FILES} of them")
    if {len(message.memory_root), *(len(sha256) for _, _, sha256 in files)} != {HASH_BYTES}:
        raise invalid("memory_root", f"it and every sha256 has {HASH_BYTES} bytes")
    return StateHeader(message.memory_root, files, message.verify)


def welcome_from(message: peer_pb2.ReceiveGuestResponse) -> Welcome:
    """What a peer that takes a guest says, bounded."""
    return Welcome(
        short(message.journal_incarnation, 64),
        max(message.lease_ms, SHORTEST_LEASE_MS) / 1000,
        min(max(message.window_chunks, 1), MOST_WINDOW_CHUNKS),
        codecs=frozenset(message.codecs) or FIRST_CODECS,
        most_streams=max(message.most_streams, 1),
        has_memory=message.has_memory,
    )


def facts_to(facts: Facts) -> peer_pb2.NodeFacts:
    """A node's facts."""
    return peer_pb2.NodeFacts(
        name=facts.name,
        protocol_versions=facts.protocol_versions,
        version=facts.version,
        clock_ms=facts.clock_ms,
        certificate_expires_at_s=facts.certificate_expires_at_s,
        memory_available_bytes=facts.memory_available_bytes,
        spool_available_bytes=facts.spool_available_bytes,
        spool_in_memory=facts.spool_in_memory,
        cpu=peer_pb2.CpuFacts(
            vendor=facts.cpu.vendor,
            model=facts.cpu.model,
            features=facts.cpu.features,
            count=facts.cpu.count,
        ),
        driver=peer_pb2.DriverFacts(
            name=facts.driver.name,
            build=facts.driver.build,
            can_snapshot=facts.driver.can_snapshot,
            problem=facts.driver.problem,
            devices=facts.driver.devices,
        ),
        networks=facts.networks,
        silent_networks=[
            peer_pb2.NetworkObstacle(network=network, problem=problem)
            for network, problem in facts.silent_networks
        ],
        disks=[peer_pb2.DiskFacts(**vars(disk)) for disk in facts.disks],
        firmware=[
            peer_pb2.FileFacts(path=one.path, state=int(one.state))  # type: ignore[arg-type]
            for one in facts.firmware
        ],
        name_taken_by=facts.name_taken_by,
        denied=facts.denied,
    )


def facts_from(message: peer_pb2.NodeFacts) -> Facts:
    """A peer's facts, bounded."""
    cpu, driver = message.cpu, message.driver
    return Facts(
        name=short(message.name, 64),
        protocol_versions=tuple(message.protocol_versions[:MAX_VERSIONS]),
        version=short(message.version, 64),
        clock_ms=message.clock_ms,
        certificate_expires_at_s=message.certificate_expires_at_s,
        memory_available_bytes=message.memory_available_bytes,
        spool_available_bytes=message.spool_available_bytes,
        spool_in_memory=message.spool_in_memory,
        cpu=Cpu(short(cpu.vendor, 64), short(cpu.model, 128), _names(cpu.features), cpu.count),
        driver=DriverFacts(
            name=short(driver.name, 32),
            build=short(driver.build, 200),
            can_snapshot=driver.can_snapshot,
            problem=short(driver.problem, 500),
            devices=_names(driver.devices),
        ),
        networks=_names(message.networks),
        silent_networks=tuple(
            (short(one.network, 64), short(one.problem, 200))
            for one in message.silent_networks[:MAX_LIST]
        ),
        disks=tuple(
            DiskFacts(
                short(one.storage, 64), short(one.image, 256), one.size_bytes, short(one.probe, 64)
            )
            for one in message.disks[:MAX_LIST]
        ),
        firmware=tuple(
            FirmwareFacts(short(one.path), FileState(one.state))
            for one in message.firmware[:8]
            if one.state in FILE_STATES  # what we do not know tells us nothing
        ),
        name_taken_by=short(message.name_taken_by, 200),
        denied=short(message.denied, 500),
    )


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """A peer's list of names."""
    return tuple(short(one, 64) for one in islice(names, MAX_LIST))


def firmware_to(firmware: Iterable[tuple[str, str]]) -> list[peer_pb2.FileFacts]:
    """The source's firmware files, for the destination to compare."""
    return [peer_pb2.FileFacts(path=path, sha256=sha256) for path, sha256 in firmware]


def firmware_from(messages: Iterable[peer_pb2.FileFacts]) -> dict[str, str]:
    """The inverse: path and SHA-256."""
    return {one.path: one.sha256 for one in islice(messages, 8)}
