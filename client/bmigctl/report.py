"""What a migration took and came to, as lines of text; pure.

Rule: the last line always says where the guest is, or that this is not known.
"""

from collections.abc import Iterable

from bmig.v1 import migration_pb2

from bmigctl import figures, units, words
from bmigctl.render import fields, table

_WHOSE_REPORT = "  report    is with {0.source}, which did not tell it"
_LET_GO = ("TAKEN", "STARTED")  # to a destination, by its journal


def summary(migration: migration_pb2.Migration) -> list[str]:
    """Told when a migration is no longer watched."""
    return [*_head(migration), *_figures(migration), *where_now(migration)]


def cancelled(migration: migration_pb2.Migration) -> list[str]:
    """Told after a cancellation; that the guest did not move is what was wanted."""
    if migration.phase == migration_pb2.PHASE_ABORTED and not migration.in_doubt_since_ms:
        location = migration.failure.location or f"on {migration.source}"
        return [f"cancelled: guest {migration.guest} is {location}"]
    return where_now(migration)


def full(
    migration: migration_pb2.Migration, sides: Iterable[tuple[str, str]], *, is_sources: bool
) -> list[str]:
    """Everything that is known, for `bmigctl show`; by the source's record or the other one."""
    facts = fields(
        (
            ("migration", migration.id),
            ("guest", migration.guest),
            ("from", migration.source),
            ("to", migration.destination),
            ("phase", words.phase(migration.phase)),
            *sides,
            ("epoch", str(migration.epoch)),
            ("waiting for", migration.waiting_for),
            ("started", units.moment_ms(migration.started_at_ms)),
            ("ended", units.moment_ms(migration.ended_at_ms)),
            ("asked by", migration.requested_by),
            ("options", _options(migration.options) if migration.HasField("options") else ""),
            ("progress", _progress(migration)),
        )
    )
    report = migration.report
    return [
        *(*facts, *_figures(migration), *([] if is_sources else [_WHOSE_REPORT.format(migration)])),
        *_rounds(report),
        *(*_spent(report), *(where_now(migration) if is_sources else _by_destination(migration))),
    ]


def was_let_go(migration: migration_pb2.Migration) -> bool:
    """Whether the other node may have the guest, as the source tells it."""
    return migration.ownership != "MIGRATING"


def where_now(migration: migration_pb2.Migration) -> list[str]:
    """Where the guest is, why it did not move, and what to do."""
    guest, source, target = migration.guest, migration.source, migration.destination
    if migration.in_doubt_since_ms:
        since = units.moment_ms(migration.in_doubt_since_ms)
        if migration.failure.reason:  # its own node cannot go on, whoever has the guest
            what = "IN DOUBT" if was_let_go(migration) else "WAITING"
            return [f"{what} since {since}: guest {guest}", *_failure(migration)]
        return [
            f"IN DOUBT since {since}: guest {guest} was let go by {source} and",
            f"  {target} has not said what became of it; {source} keeps its state and asks on.",
            f"  do next: bring {target} back; if it is gone for good, and only then:",
            f"           bmigctl resolve {migration.id} --run-here",
        ]
    if migration.phase == migration_pb2.PHASE_COMPLETED:
        words_of_loss = _failure(migration) if migration.failure.reason else []
        return [f"guest {guest} runs on {target} now", *words_of_loss]
    if migration.phase == migration_pb2.PHASE_ABORTED:
        return _failure(migration)
    return [f"guest {guest}: the migration from {source} to {target} goes on"]


def _progress(migration: migration_pb2.Migration) -> str:
    is_told = not (migration.in_doubt_since_ms or words.is_over(migration))
    return ", ".join(figures.all_of(migration)) if is_told else ""


def _by_destination(migration: migration_pb2.Migration) -> list[str]:
    """The same where the word of the source, which knows more, is missing."""
    source, target = migration.source, migration.destination
    if migration.phase in words.OVER or migration.in_doubt_since_ms:
        return where_now(migration)
    if migration.ownership in _LET_GO:
        return [
            f"guest {migration.guest}: {source} let it go to {target}, which starts it or runs it"
            " already"
        ]
    return [
        f"guest {migration.guest}: {target} does not have it; where it is only {source} knows,",
        "  whose word is missing here",
    ]


def _failure(migration: migration_pb2.Migration) -> list[str]:
    failure = migration.failure
    location = failure.location or f"on {migration.source}"
    facts = (("guest", f"{migration.guest}, {location}"), ("side", words.side(failure.side)))
    what = ": ".join(part for part in (failure.reason, failure.message) if part) or "not told why"
    return [
        f"error: {what}",
        *(f"  {name + ':':<9} {value}" for name, value in facts if value),
        f"  {'do next:':<9} {failure.advice or f'bmigctl show {migration.id}'}",
    ]


def _head(migration: migration_pb2.Migration) -> list[str]:
    phase = "in doubt" if migration.in_doubt_since_ms else words.phase(migration.phase)
    route = f"{migration.source} to {migration.destination}"
    return [f"migration {migration.id} of {migration.guest}, {route}: {phase}"]


def _figures(migration: migration_pb2.Migration) -> list[str]:
    report = migration.report
    lines: list[str] = []
    if report.downtime_us:
        limit = figures.limit_ms(migration.options)
        is_above = report.downtime_us > limit * 1000
        limited = f", above the limit of {limit} ms" if is_above else f" (limit {limit} ms)"
        lines.append(f"  downtime  {units.duration_us(report.downtime_us)}{limited}")
        lines += _parts(report.downtime_parts)
    if report.network_downtime_us:
        silent = units.duration_us(report.network_downtime_us)
        probed = migration.options.probe_address
        lines.append(f"  network   {probed} was silent for {silent}, seen from {migration.source}")
    if report.total_us:
        tracker = f", tracker {report.tracker}" if report.tracker else ""
        total = ", ".join([units.duration_us(report.total_us), *_round_count(report)])
        lines.append(f"  total     {total}{tracker}")
    if now_percent := migration.progress.throttle_percent:
        lines.append(f"  slowed    the guest, to {100 - now_percent} % of its speed just now")
    elif report.throttle_percent:
        least = f"down to {100 - report.throttle_percent} % of its speed"
        lasted = f"for {units.duration_us(report.throttled_us)}, " if report.throttled_us else ""
        lines.append(f"  slowed    the guest, {lasted}{least}")
    if report.sent_bytes:
        sent, wire = units.size(report.sent_bytes), units.size(report.wire_bytes)
        lines.append(f"  sent      {sent} of guest memory, {wire} on the wire")
    if report.source_memory_root or report.destination_memory_root:
        lines.append(f"  memory    {_equal(report)}")
    return lines + _interruptions(report)


def _interruptions(report: migration_pb2.Report) -> list[str]:
    if not report.interruptions:
        return []
    count = len(report.interruptions)
    total_us = sum(one.duration_us for one in report.interruptions)
    again = f", {units.size(report.resent_bytes)} sent again" if report.resent_bytes else ""
    lines = [
        f"  interrupted {'once' if count == 1 else f'{count} times'},"
        f" {units.duration_us(total_us)} in all{again}"
    ]
    for one in report.interruptions:
        down = ", the guest being down" if one.guest_down else ""
        end = "heard again" if one.heard_again else "given up"
        lasted = units.duration_us(one.duration_us)
        lines.append(f"    no {one.waited_for} for {lasted}{down}: {end}")
    return lines


def _rows(parts: Iterable[migration_pb2.TimePart]) -> list[tuple[str, str, str]]:
    """Who spent how long on what."""
    return [
        (words.side(part.side), part.name, units.duration_us(part.duration_us)) for part in parts
    ]


def _parts(parts: Iterable[migration_pb2.TimePart]) -> list[str]:
    rows = _rows(parts)
    name_width = max((len(name) for _, name, _ in rows), default=0)
    time_width = max((len(time) for _, _, time in rows), default=0)
    return [
        f"    {side:<12} {name:<{name_width}}  {time:>{time_width}}" for side, name, time in rows
    ]


def _round_count(report: migration_pb2.Report) -> list[str]:
    count = len(report.rounds)
    return [f"{count} round" if count == 1 else f"{count} rounds"] if count else []


def _equal(report: migration_pb2.Report) -> str:
    if report.source_memory_root != report.destination_memory_root:
        return "NOT known to be equal: " + " / ".join(
            root[:16] or "none"
            for root in (report.source_memory_root, report.destination_memory_root)
        )
    read_back = ", read back and compared" if report.verified else ""
    return f"equal on both sides ({report.source_memory_root[:16]}{read_back})"


def _rounds(report: migration_pb2.Report) -> list[str]:
    rows = [
        (
            str(each.number),
            units.size(each.dirty_bytes),
            units.size(each.wire_bytes),
            units.duration_us(each.duration_us),
            "down" if each.guest_down else "running",
        )
        for each in report.rounds
    ]
    return table(("ROUND", "DIRTY", "ON THE WIRE", "TOOK", "GUEST"), rows) if rows else []


def _spent(report: migration_pb2.Report) -> list[str]:
    """Where the time for memory went; what went on at once counts for each."""
    rows = _rows(report.spent)
    return table(("SIDE", "SPENT ON MEMORY", "TOOK"), rows) if rows else []


def _options(options: migration_pb2.MigrationOptions) -> str:
    parts = [
        f"downtime {figures.limit_ms(options)} ms",
        f"timeout {options.timeout_s or 3600} s then {words.timeout_action(options.on_timeout)}",
        f"codec {words.codec(options.codec)}",
        f"tracker {words.tracker(options.tracker)}",
    ]
    if options.streams:
        parts.append(f"streams {options.streams}")
    if options.bandwidth_limit_bytes_per_s:
        parts.append(f"at most {units.rate(options.bandwidth_limit_bytes_per_s)}")
    if options.verify:
        parts.append("verify")
    if options.probe_address:
        parts.append(f"probe {options.probe_address}")
    return ", ".join(parts)
