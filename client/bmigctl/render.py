"""What the operator reads: tables, findings, reports and errors as lines of text; pure.

Rule: every number has its unit, every name is whole, and lines fit 80 columns unless a name
or a node's own words are longer.
"""

from collections.abc import Iterable, Sequence

from bmig.v1 import guest_pb2, migration_pb2, node_pb2

from bmigctl import figures, units, words
from bmigctl.cluster import FoundMigration
from bmigctl.errors import BmigctlError, Unreachable, UsageFault

ID_WIDTH = 8

_VERDICTS = {
    migration_pb2.VERDICT_FAILED: "FAILED",
    migration_pb2.VERDICT_WARNING: "warning",
    migration_pb2.VERDICT_PASSED: "passed",
}
_ORDER = list(_VERDICTS)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest cell; trailing blanks are cut."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def fields(pairs: Iterable[tuple[str, str]], indent: str = "") -> list[str]:
    """One "name: value" a line, values aligned; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0) + 1
    return [f"{indent}{name + ':':<{width}} {value}" for name, value in shown]


def error(failure: BmigctlError) -> list[str]:
    """What happened, to which guest, where it is now and what to do; no sentence twice."""
    message, causes = _causes(failure)
    # a fault of the operator's own needs no code to look up
    head = message if isinstance(failure, UsageFault) else f"{failure.reason}: {message}"
    guest = ", ".join(part for part in (failure.guest, failure.location) if part)
    pairs = [
        *(("because", cause) for cause in causes),
        ("guest", guest),
        ("side", failure.side),
        ("do next", failure.advice),
    ]
    return [f"error: {head}", *(f"  {name + ':':<9} {value}" for name, value in pairs if value)]


def _causes(failure: BmigctlError) -> tuple[str, tuple[str, ...]]:
    """The message, and a line for each cause: those of several stand in their lines only."""
    message = words.plain(failure.message)
    causes = tuple(words.plain(violation) for violation in failure.violations)
    sentences = [cause.partition(": ")[2] or cause for cause in causes]
    if len(causes) == 1 and (sentences[0] in message or causes[0] in message):
        return message, ()
    return message.removesuffix("; ".join(sentences)).removesuffix(": "), causes


def findings(answer: migration_pb2.CheckMigrationResponse, guest: str, target: str) -> list[str]:
    """Every finding, failures first, and the verdict of all."""
    lines: list[str] = []
    ordered = sorted(answer.findings, key=lambda finding: _rank(finding.verdict))
    width = max((len(finding.check) for finding in ordered), default=0)
    for finding in ordered:
        verdict = _VERDICTS.get(finding.verdict, "unknown")
        reason = f"{finding.reason}: " if finding.reason else ""
        message = words.plain(finding.message)
        lines.append(f"{verdict:<8} {finding.check:<{width}}  {reason}{message}".rstrip())
        if finding.advice:
            lines.append(f"{'':<8} {'':<{width}}  do next: {finding.advice}")
    may = "can" if answer.allowed else "cannot"
    return [*lines, f"guest {guest} {may} go to {target}"]


def _rank(verdict: migration_pb2.Verdict) -> int:
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def node_rows(
    answers: dict[str, node_pb2.GetNodeResponse], failures: dict[str, BmigctlError]
) -> list[str]:
    """A line a node; one that could not be asked is there too."""
    rows = []
    for name in sorted({*answers, *failures}):
        if name in failures:
            error = failures[name]  # one that answers says what is wrong with it
            state = "not asked" if isinstance(error, Unreachable) else error.reason
            rows.append((name, state, "-", "-", "-"))
            continue
        node = answers[name].node
        memory = (
            f"{units.size(node.memory_available_bytes)} of {units.size(node.memory_total_bytes)}"
        )
        rows.append((name, "ok", node.version, ", ".join(node.drivers), memory))
    return table(("NODE", "STATE", "VERSION", "DRIVERS", "MEMORY FREE"), rows)


def node_card(answer: node_pb2.GetNodeResponse, address: str) -> list[str]:
    """Everything about one node."""
    node = answer.node
    known = [f"{other.name} ({other.address})" for other in answer.known_nodes]
    return fields(
        (
            ("node", node.name),
            ("address", address),
            ("version", node.version),
            ("protocols", ", ".join(str(number) for number in node.protocol_versions)),
            ("drivers", ", ".join(node.drivers)),
            ("memory free", units.size(node.memory_available_bytes)),
            ("memory", units.size(node.memory_total_bytes)),
            ("spool free", units.size(node.spool_available_bytes)),
            ("certificate to", units.moment_ms(node.certificate_expires_at_s * 1000)),
            ("running since", units.moment_ms(node.started_at_s * 1000)),
            ("knows", ", ".join(known)),
        )
    )


def guest_rows(guests: dict[str, list[guest_pb2.Guest]]) -> list[str]:
    """A line a guest and node."""
    rows = sorted(
        (
            guest.definition.name,
            node,
            words.guest_state(guest.state),
            units.size(guest.definition.memory_bytes),
            str(virtual_cpus(guest.definition)),
            guest.migration_id[:ID_WIDTH] or "-",
        )
        for node, there in guests.items()
        for guest in there
    )
    return table(("GUEST", "NODE", "STATE", "MEMORY", "CPUS", "MIGRATION"), rows)


def virtual_cpus(definition: guest_pb2.GuestDefinition) -> int:
    """Virtual CPUs in all."""
    return definition.cpu.sockets * definition.cpu.cores * definition.cpu.threads


def guest_card(guest: guest_pb2.Guest, node: str) -> list[str]:
    """Everything about one guest."""
    definition = guest.definition
    cpu = definition.cpu
    shape = f"{cpu.sockets} sockets x {cpu.cores} cores x {cpu.threads} threads"
    head = fields(
        (
            ("guest", definition.name),
            ("node", node),
            ("state", words.guest_state(guest.state)),
            ("detail", guest.detail),
            ("migration", guest.migration_id),
            ("process", str(guest.pid) if guest.pid else ""),
            ("epoch", str(guest.epoch)),
            ("uuid", definition.uuid),
            ("driver", definition.driver),
            ("machine", definition.machine),
            ("memory", units.size(definition.memory_bytes)),
            ("wired", "yes" if definition.wired_memory else "no"),
            ("cpus", f"{virtual_cpus(definition)} ({shape})"),
            ("firmware", definition.firmware.bootrom_path),
            ("variables", definition.firmware.variables_path),
            ("kernel", definition.firmware.kernel_path),
            ("initrd", definition.firmware.initrd_path),
            ("arguments", definition.firmware.kernel_arguments),
            ("options", ", ".join(definition.options)),
        )
    )
    return [*head, *_devices(definition.devices)]


def _devices(devices: Iterable[guest_pb2.Device]) -> list[str]:
    rows = []
    for device in devices:
        what = ""
        if device.HasField("disk"):
            what = f"{device.disk.storage}:{device.disk.image}"
        elif device.HasField("network_card"):
            what = f"{device.network_card.network} {device.network_card.mac}"
        rows.append((device.slot, device.emulation, what, " ".join(device.options)))
    return table(("SLOT", "DEVICE", "ATTACHED TO", "OPTIONS"), rows) if rows else []


def migration_rows(migrations: Sequence[migration_pb2.Migration]) -> list[str]:
    """A line a migration, newest first; then what each that goes on does."""
    rows = [
        (
            each.id[:ID_WIDTH],
            each.guest,
            each.source,
            each.destination,
            "in doubt" if each.in_doubt_since_ms else words.phase(each.phase),
            units.moment_ms(each.started_at_ms),
            _downtime(each),
        )
        for each in sorted(migrations, key=lambda each: each.started_at_ms, reverse=True)
    ]
    going_on = [
        f"{each.id[:ID_WIDTH]}: {', '.join(_of_now(each))}"
        for each in migrations
        if not words.is_over(each)
    ]
    return [*table(("ID", "GUEST", "FROM", "TO", "PHASE", "STARTED", "DOWN"), rows), *going_on]


def _downtime(migration: migration_pb2.Migration) -> str:
    """Only the source knows it."""
    if migration.report.downtime_us:
        return units.duration_us(migration.report.downtime_us)
    is_moved = migration.phase == migration_pb2.PHASE_COMPLETED
    return "?" if is_moved and migration.side != migration_pb2.SIDE_SOURCE else "-"


def _of_now(migration: migration_pb2.Migration) -> list[str]:
    """What a migration that goes on does."""
    if migration.in_doubt_since_ms:
        parts = [f"in doubt since {units.moment_ms(migration.in_doubt_since_ms)}"]
    else:
        parts = figures.all_of(migration)
    return [*parts, f"waiting for {migration.waiting_for}"] if migration.waiting_for else parts


def merged(found: Iterable[tuple[str, migration_pb2.Migration]]) -> list[migration_pb2.Migration]:
    """One record an id: the source's where it could be asked."""
    records: dict[str, migration_pb2.Migration] = {}
    for _, record in found:
        if record.side == migration_pb2.SIDE_SOURCE or record.id not in records:
            records[record.id] = record
    return list(records.values())


def sides(found: FoundMigration) -> list[tuple[str, str]]:
    """What each journal says: "source host1: RELEASED"."""
    return [
        (
            f"{words.side(record.side)} {node.name}",
            f"{record.ownership} ({words.phase(record.phase)})",
        )
        for node, record in found.records
    ]
