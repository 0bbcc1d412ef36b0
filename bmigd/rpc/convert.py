"""Messages of the contract to our values and back. The only place that knows both.

What comes from a peer or a client is checked here as far as its form goes: sizes, ranges, enums,
identifiers. Invalid (REQUEST_INVALID) names the field.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import islice
from typing import TypeVar
from uuid import UUID

from bmig.v1 import guest_pb2, migration_pb2, peer_pb2

from bmigd.chunk import CodecId
from bmigd.drivers.base import DriverFacts, Region
from bmigd.errors import Invalid
from bmigd.guests.definition import Definition, make
from bmigd.host import Cpu
from bmigd.migration.inventory import GuestView
from bmigd.migration.picture import Event, Failure, Options, Part, Picture, Progress, Report
from bmigd.migration.state_files import StateHeader
from bmigd.prechecks.facts import DiskFacts, Facts, FileState, Finding, FirmwareFacts
from bmigd.words import short

ACTIONS = {
    migration_pb2.TIMEOUT_ACTION_UNSPECIFIED: "abort",
    migration_pb2.TIMEOUT_ACTION_ABORT: "abort",
    migration_pb2.TIMEOUT_ACTION_SWITCH_OVER: "switch-over",
    migration_pb2.TIMEOUT_ACTION_THROTTLE: "throttle",
}
TRACKERS = {
    migration_pb2.TRACKER_UNSPECIFIED: "auto",
    migration_pb2.TRACKER_AUTO: "auto",
    migration_pb2.TRACKER_CONTENT: "content",
    migration_pb2.TRACKER_PAGEMAP: "pagemap",
}
SIDES = {"source": migration_pb2.SIDE_SOURCE, "destination": migration_pb2.SIDE_DESTINATION}
SIDE_NAMES = {number: name for name, number in SIDES.items()}
MAX_REGIONS = 8
MAX_DEFINITION_BYTES = 64 << 10
MAX_LIST_BYTES, MAX_TAG_BYTES = 1 << 20, 8  # of a list in one answer
MAX_EPOCH = (1 << 63) - 1  # what the journal's integers hold
MAX_STATE_FILES = 16
HASH_BYTES = 32
MAX_LIST = 4096
MAX_VERSIONS = 64
AnyMessage = TypeVar("AnyMessage", guest_pb2.Guest, migration_pb2.Migration)
FILE_STATES = frozenset(map(int, FileState))
HASH_SEED_LIMIT = 1 << 64


def invalid(field: str, problem: str) -> Invalid:
    """The form of a request is wrong."""
    return Invalid("REQUEST_INVALID", f"{field}: {problem}")


def migration_id(text: str) -> str:
    """A UUID in its usual form."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid("migration id", f"{text[:64]!r} is not a UUID") from error


def epoch(number: int) -> int:
    """An epoch that a journal can hold."""
    if number > MAX_EPOCH:
        raise invalid("epoch", "has more than 63 bits")
    return number


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


def definition_from(message: guest_pb2.GuestDefinition) -> Definition:
    """A checked definition."""
    if message.ByteSize() > MAX_DEFINITION_BYTES:
        raise invalid("definition", f"is larger than {MAX_DEFINITION_BYTES} bytes")
    devices = [
        {
            "slot": one.slot,
            "emulation": one.emulation,
            "storage": one.disk.storage if one.HasField("disk") else None,
            "image": one.disk.image if one.HasField("disk") else None,
            "network": one.network_card.network if one.HasField("network_card") else None,
            "mac": one.network_card.mac if one.HasField("network_card") else None,
            "options": tuple(one.options),
        }
        for one in message.devices
    ]
    return make(
        {
            "name": message.name,
            "uuid": message.uuid,
            "driver": message.driver,
            "memory_bytes": message.memory_bytes,
            "wired_memory": message.wired_memory,
            "cpu": {
                "sockets": message.cpu.sockets or 1,
                "cores": message.cpu.cores or 1,
                "threads": message.cpu.threads or 1,
            },
            "machine": message.machine or None,
            "firmware": {
                "bootrom": message.firmware.bootrom_path or None,
                "variables": message.firmware.variables_path or None,
                "kernel": message.firmware.kernel_path or None,
                "initrd": message.firmware.initrd_path or None,
                "kernel_arguments": message.firmware.kernel_arguments,
            },
            "devices": devices,
            "options": tuple(message.options),
        }
    )


def definition_to(definition: Definition) -> guest_pb2.GuestDefinition:
    """The inverse."""
    message = guest_pb2.GuestDefinition(
        name=definition.name,
        uuid=str(definition.uuid),
        driver=definition.driver,
        memory_bytes=definition.memory_bytes,
        wired_memory=definition.wired_memory,
        cpu=guest_pb2.CpuTopology(
            sockets=definition.cpu.sockets,
            cores=definition.cpu.cores,
            threads=definition.cpu.threads,
        ),
        machine=definition.machine or "",
        firmware=guest_pb2.Firmware(
            bootrom_path=definition.firmware.bootrom or "",
            variables_path=definition.firmware.variables or "",
            kernel_path=definition.firmware.kernel or "",
            initrd_path=definition.firmware.initrd or "",
            kernel_arguments=definition.firmware.kernel_arguments,
        ),
        options=definition.options,
    )
    for device in definition.devices:
        one = message.devices.add(
            slot=device.slot, emulation=device.emulation, options=device.options
        )
        if device.storage and device.image:
            one.disk.storage, one.disk.image = device.storage, device.image
        if device.network and device.mac:
            one.network_card.network, one.network_card.mac = device.network, device.mac
    return message


def fitting(messages: Iterable[AnyMessage]) -> tuple[list[AnyMessage], bool]:
    """The first ones, as many as one answer has room for, and whether there are more."""
    chosen: list[AnyMessage] = []
    left = MAX_LIST_BYTES
    for message in messages:
        left -= message.ByteSize() + MAX_TAG_BYTES
        if left < 0 and chosen:
            return chosen, True
        chosen.append(message)
    return chosen, False


def guest_to(view: GuestView) -> guest_pb2.Guest:
    """A guest as a node sees it."""
    nameless = guest_pb2.GuestDefinition(name=view.name)
    return guest_pb2.Guest(
        definition=definition_to(view.definition) if view.definition else nameless,
        state=view.state,  # type: ignore[arg-type]
        epoch=view.epoch,
        migration_id=view.migration_id,
        pid=view.pid,
        detail=view.detail,
    )


def options_from(message: migration_pb2.MigrationOptions) -> Options:
    """Options with defaults; Invalid for values out of range."""
    if message.on_timeout not in ACTIONS:
        raise Invalid("OPTIONS_INVALID", f"on_timeout: {message.on_timeout} is unknown")
    if message.codec not in (0, CodecId.RAW, CodecId.ZSTD):
        raise Invalid("OPTIONS_INVALID", f"codec: {message.codec} cannot be chosen")
    if message.tracker not in TRACKERS:
        raise Invalid("OPTIONS_INVALID", f"tracker: {message.tracker} is unknown")
    return Options(
        downtime_limit_ms=message.downtime_limit_ms or 300,
        timeout_s=message.timeout_s or 3600,
        on_timeout=ACTIONS[message.on_timeout],
        bandwidth_limit_bytes_per_s=message.bandwidth_limit_bytes_per_s,
        codec=message.codec,
        verify=message.verify,
        probe_address=_address(message.probe_address),
        tracker=TRACKERS[message.tracker],
    )


def _address(text: str) -> str:
    """An address in its usual form, without a zone; empty stays empty."""
    try:
        address = str(ip_address(text)) if text else ""
    except ValueError:
        address = "%"
    if "%" in address:
        raise Invalid("OPTIONS_INVALID", f"probe_address: {short(text, 64)!r} is not an IP address")
    return address


def options_to(options: Options) -> migration_pb2.MigrationOptions:
    """The inverse."""
    numbers = {name: number for number, name in ACTIONS.items() if number}
    trackers = {name: number for number, name in TRACKERS.items() if number}
    return migration_pb2.MigrationOptions(
        downtime_limit_ms=options.downtime_limit_ms,
        timeout_s=options.timeout_s,
        on_timeout=numbers[options.on_timeout],
        bandwidth_limit_bytes_per_s=options.bandwidth_limit_bytes_per_s,
        codec=options.codec,  # type: ignore[arg-type]
        verify=options.verify,
        probe_address=options.probe_address,
        tracker=trackers[options.tracker],
    )


def progress_to(progress: Progress) -> migration_pb2.Progress:
    """Field by field: the names are the same."""
    return migration_pb2.Progress(**{**vars(progress), "phase": int(progress.phase)})


def failure_to(failure: Failure) -> migration_pb2.Failure:
    """Why it ended."""
    return migration_pb2.Failure(
        reason=failure.reason,
        message=failure.message,
        side=SIDES.get(failure.side, migration_pb2.SIDE_UNSPECIFIED),
        location=failure.location,
        advice=failure.advice,
    )


def failure_from(message: migration_pb2.Failure) -> Failure:
    """A peer's failure, bounded."""
    return Failure(
        short(message.reason, 64),
        short(message.message),
        SIDE_NAMES.get(message.side, ""),
        short(message.location, 200),
        short(message.advice, 500),
    )


def parts_to(parts: Iterable[Part]) -> list[migration_pb2.DowntimePart]:
    """Parts of the downtime."""
    return [
        migration_pb2.DowntimePart(
            name=part.name, side=SIDES[part.side], duration_us=part.duration_us
        )
        for part in parts
    ]


def parts_from(messages: Iterable[migration_pb2.DowntimePart]) -> tuple[Part, ...]:
    """A peer's parts, bounded."""
    return tuple(
        Part(short(one.name, 64), SIDE_NAMES.get(one.side, "destination"), one.duration_us)
        for one in list(messages)[:16]
    )


def report_to(report: Report) -> migration_pb2.Report:
    """What it took."""
    lists = ("rounds", "downtime_parts", "interruptions")
    simple = {key: value for key, value in vars(report).items() if key not in lists}
    return migration_pb2.Report(
        rounds=[migration_pb2.Round(**vars(one)) for one in report.rounds],
        interruptions=[migration_pb2.Interruption(**vars(one)) for one in report.interruptions],
        downtime_parts=parts_to(report.downtime_parts),
        **simple,
    )


def picture_to(picture: Picture) -> migration_pb2.Migration:
    """A migration."""
    message = migration_pb2.Migration(
        id=picture.id,
        guest=picture.guest,
        source=picture.source,
        destination=picture.destination,
        side=SIDES[picture.side],
        phase=int(picture.phase),  # type: ignore[arg-type]
        ownership=picture.ownership,
        epoch=picture.epoch,
        options=options_to(picture.options),
        progress=progress_to(picture.progress),
        report=report_to(picture.report),
        started_at_ms=picture.started_at_ms,
        ended_at_ms=picture.ended_at_ms,
        requested_by=picture.requested_by,
        in_doubt_since_ms=picture.in_doubt_since_ms,
        waiting_for=picture.waiting_for,
    )
    if picture.failure:
        message.failure.CopyFrom(failure_to(picture.failure))
    return message


def event_to(event: Event) -> migration_pb2.Event:
    """Something that happened."""
    message = migration_pb2.Event(
        sequence=event.sequence,
        at_ms=event.at_ms,
        kind=event.kind,
        message=event.message,
        phase=int(event.phase),  # type: ignore[arg-type]
    )
    if event.progress:
        message.progress.CopyFrom(progress_to(event.progress))
    return message


def finding_to(finding: Finding) -> migration_pb2.Finding:
    """One precheck."""
    return migration_pb2.Finding(
        check=finding.check,
        verdict=int(finding.verdict),  # type: ignore[arg-type]
        reason=finding.reason,
        message=finding.message,
        advice=finding.advice,
    )


def regions_from(messages: Iterable[peer_pb2.MemoryRegion]) -> tuple[Region, ...]:
    """A peer's regions; the driver compares them with its own."""
    regions = tuple(
        Region(m.name[:32], m.guest_address_bytes, m.size_bytes)
        for m in islice(messages, MAX_REGIONS + 1)
    )
    if len(regions) > MAX_REGIONS:
        raise invalid("regions", f"more than {MAX_REGIONS} of them")
    return regions


def probe_name(text: str) -> str:
    """A probe's name becomes part of a path: exactly 32 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise invalid("probe_name", "is not 32 hexadecimal digits")
    return text


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
