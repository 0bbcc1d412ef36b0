"""Messages of the contract to our values and back. The only place that knows both.

What comes from a peer or a client is checked here as far as its form goes: sizes, ranges, enums,
identifiers. Invalid (REQUEST_INVALID) names the field.
"""

import re
from collections.abc import Iterable
from uuid import UUID

from bmig.v1 import guest_pb2, migration_pb2, peer_pb2

from bmigd.chunk import CodecId
from bmigd.drivers.base import DriverFacts, Region
from bmigd.errors import Invalid
from bmigd.guests.definition import Definition, make
from bmigd.host import Cpu
from bmigd.migration.inventory import GuestView
from bmigd.migration.picture import Event, Failure, Options, Part, Picture, Progress, Report
from bmigd.prechecks.facts import DiskFacts, Facts, Finding

ACTIONS = {
    migration_pb2.TIMEOUT_ACTION_UNSPECIFIED: "abort",
    migration_pb2.TIMEOUT_ACTION_ABORT: "abort",
    migration_pb2.TIMEOUT_ACTION_SWITCH_OVER: "switch-over",
    migration_pb2.TIMEOUT_ACTION_THROTTLE: "throttle",
}
SIDES = {"source": migration_pb2.SIDE_SOURCE, "destination": migration_pb2.SIDE_DESTINATION}
SIDE_NAMES = {number: name for name, number in SIDES.items()}
MAX_REGIONS = 8
MAX_LIST = 4096
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


def definition_from(message: guest_pb2.GuestDefinition) -> Definition:
    """A checked definition."""
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
            "firmware": {
                "bootrom": message.firmware.bootrom_path,
                "variables": message.firmware.variables_path or None,
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
        firmware=guest_pb2.Firmware(
            bootrom_path=definition.firmware.bootrom,
            variables_path=definition.firmware.variables or "",
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


def guest_to(view: GuestView) -> guest_pb2.Guest:
    """A guest as a node sees it."""
    return guest_pb2.Guest(
        definition=definition_to(view.definition),
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
    return Options(
        downtime_limit_ms=message.downtime_limit_ms or 300,
        timeout_s=message.timeout_s or 3600,
        on_timeout=ACTIONS[message.on_timeout],
        bandwidth_limit_bytes_per_s=message.bandwidth_limit_bytes_per_s,
        codec=message.codec,
        verify=message.verify,
    )


def options_to(options: Options) -> migration_pb2.MigrationOptions:
    """The inverse."""
    numbers = {name: number for number, name in ACTIONS.items() if number}
    return migration_pb2.MigrationOptions(
        downtime_limit_ms=options.downtime_limit_ms,
        timeout_s=options.timeout_s,
        on_timeout=numbers[options.on_timeout],
        bandwidth_limit_bytes_per_s=options.bandwidth_limit_bytes_per_s,
        codec=options.codec,  # type: ignore[arg-type]
        verify=options.verify,
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
        message.reason[:64],
        message.message[:1000],
        SIDE_NAMES.get(message.side, ""),
        message.location[:200],
        message.advice[:500],
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
        Part(one.name[:64], SIDE_NAMES.get(one.side, "destination"), one.duration_us)
        for one in list(messages)[:16]
    )


def report_to(report: Report) -> migration_pb2.Report:
    """What it took."""
    simple = {
        key: value for key, value in vars(report).items() if key not in ("rounds", "downtime_parts")
    }
    return migration_pb2.Report(
        rounds=[migration_pb2.Round(**vars(one)) for one in report.rounds],
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
    regions = tuple(Region(m.name[:32], m.guest_address_bytes, m.size_bytes) for m in messages)
    if len(regions) > MAX_REGIONS:
        raise invalid("regions", f"{len(regions)} of them")
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
        disks=[peer_pb2.DiskFacts(**vars(disk)) for disk in facts.disks],
        firmware=[peer_pb2.FileFacts(path=path, sha256=sha) for path, sha in facts.firmware],
        name_taken_by=facts.name_taken_by,
        denied=facts.denied,
    )


def facts_from(message: peer_pb2.NodeFacts) -> Facts:
    """A peer's facts, bounded."""
    cpu, driver = message.cpu, message.driver
    return Facts(
        name=message.name[:64],
        protocol_versions=tuple(message.protocol_versions)[:MAX_LIST],
        version=message.version[:64],
        clock_ms=message.clock_ms,
        certificate_expires_at_s=message.certificate_expires_at_s,
        memory_available_bytes=message.memory_available_bytes,
        spool_available_bytes=message.spool_available_bytes,
        spool_in_memory=message.spool_in_memory,
        cpu=Cpu(cpu.vendor[:64], cpu.model[:128], tuple(cpu.features)[:MAX_LIST], cpu.count),
        driver=DriverFacts(
            name=driver.name[:32],
            build=driver.build[:200],
            can_snapshot=driver.can_snapshot,
            problem=driver.problem[:500],
            devices=tuple(driver.devices)[:MAX_LIST],
        ),
        networks=tuple(message.networks)[:MAX_LIST],
        disks=tuple(
            DiskFacts(one.storage[:64], one.image[:256], one.size_bytes, one.probe[:64])
            for one in list(message.disks)[:MAX_LIST]
        ),
        firmware=tuple((one.path[:1024], one.sha256[:64]) for one in list(message.firmware)[:8]),
        name_taken_by=message.name_taken_by[:200],
        denied=message.denied[:500],
    )
