"""Migrations in messages of the contract and in our values: options, progress, reports."""

from collections.abc import Iterable
from ipaddress import ip_address

from bmig.v1 import migration_pb2

from bmigd.chunk import MOST_STREAMS, CodecId
from bmigd.errors import Invalid
from bmigd.migration.picture import (
    DESTINATION,
    SOURCE,
    Event,
    Failure,
    Options,
    Part,
    Picture,
    Progress,
    Report,
)
from bmigd.prechecks.facts import Finding
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


def options_from(message: migration_pb2.MigrationOptions) -> Options:
    """Options with defaults; Invalid for values out of range."""
    if message.on_timeout not in ACTIONS:
        raise Invalid("OPTIONS_INVALID", f"on_timeout: {message.on_timeout} is unknown")
    if message.codec not in (0, CodecId.RAW, CodecId.ZSTD):
        raise Invalid("OPTIONS_INVALID", f"codec: {message.codec} cannot be chosen")
    if message.tracker not in TRACKERS:
        raise Invalid("OPTIONS_INVALID", f"tracker: {message.tracker} is unknown")
    if message.streams > MOST_STREAMS:
        raise Invalid("OPTIONS_INVALID", f"streams: {message.streams}, at most {MOST_STREAMS}")
    return Options(
        downtime_limit_ms=message.downtime_limit_ms or 300,
        timeout_s=message.timeout_s or 3600,
        on_timeout=ACTIONS[message.on_timeout],
        bandwidth_limit_bytes_per_s=message.bandwidth_limit_bytes_per_s,
        codec=message.codec,
        verify=message.verify,
        probe_address=_address(message.probe_address),
        tracker=TRACKERS[message.tracker],
        streams=message.streams,
    )


def _address(text: str) -> str:
    """An address in its usual form, without a zone; empty stays empty."""
    try:
        address = str(ip_address(text)) if text else ""
    except ValueError:
        address = "%"
    if "%" in address:
        problem = f"probe_address: {short(text, 64)!r} is not an IP address"
        raise Invalid("OPTIONS_INVALID", problem, "name an address, 192.0.2.7 or 2001:db8::7")
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
        streams=options.streams,
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


def parts_to(parts: Iterable[Part]) -> list[migration_pb2.TimePart]:
    """Parts of the downtime, or of the time for memory."""
    return [
        migration_pb2.TimePart(name=part.name, side=SIDES[part.side], duration_us=part.duration_us)
        for part in parts
    ]


def parts_from(messages: Iterable[migration_pb2.TimePart]) -> tuple[Part, ...]:
    """A destination's parts, bounded; none of them is of another side."""
    return tuple(
        Part(short(one.name, 64), DESTINATION, one.duration_us) for one in list(messages)[:16]
    )


def report_to(report: Report) -> migration_pb2.Report:
    """What it took."""
    lists = ("rounds", "downtime_parts", "interruptions", "spent")
    simple = {key: value for key, value in vars(report).items() if key not in lists}
    return migration_pb2.Report(
        rounds=[migration_pb2.Round(**vars(one)) for one in report.rounds],
        interruptions=[migration_pb2.Interruption(**vars(one)) for one in report.interruptions],
        downtime_parts=parts_to(report.downtime_parts),
        spent=parts_to(report.spent),
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
        options=options_to(picture.options) if picture.side == SOURCE else None,
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
