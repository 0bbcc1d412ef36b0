"""Many migrations at once: how long until all have moved, how much goes through, and how evenly.

`python -m bench.crowd [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/crowd.json and .svg. All are asked for over one connection, at the same moment; each
count goes there and back, in turns with the other counts.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from bmig.v1 import migration_pb2, migration_pb2_grpc

from bench.figures import RESULTS, spread, told, write
from bench.guest import MIB
from bench.judging import jain
from bench.micro import HOSTS, Shuttle, program
from bench.plot import panels_of, svg
from bench.running import Asked, asked, say
from tests.cluster import Cluster, cluster
from tests.daemons import eventually

NAME = "crowd"
COUNTS, QUICK_COUNTS = (1, 2, 4, 8, 16), (2,)
SET_MIB = 48
OPERATOR = "alice"
PATIENCE_S = 180.0
ONE = "bmig"


@dataclass(frozen=True)
class Crowd:
    """Some migrations that began together."""

    until_all_moved_s: float
    sent_mib_per_s: float  # of all, until the last had moved
    fairness: float  # of their own rates
    downtimes_ms: list[float]
    totals_ms: list[float]


FIGURES: Mapping[str, Callable[[Crowd], float]] = {
    "until all have moved, s": lambda crowd: crowd.until_all_moved_s,
    "sum, MiB/s": lambda crowd: crowd.sent_mib_per_s,
    "Jain's fairness index of their rates": lambda crowd: crowd.fairness,
    "longest downtime, ms": lambda crowd: max(crowd.downtimes_ms),
}
Rows = dict[int, list[Crowd]]


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    counts = QUICK_COUNTS if wanted.is_quick else COUNTS
    rows: Rows = {count: [] for count in counts}
    with cluster([*HOSTS]) as world:
        guests = [
            Shuttle(world, f"vm{number}", "64M", program(1, SET_MIB))
            for number in range(counts[-1])
        ]
        for _ in range(-(-wanted.runs // 2)):
            for count in counts:
                for here, there in (HOSTS, HOSTS[::-1]):
                    rows[count].append(_told(count, together(world, count, here, there)))
        for guest in guests:
            guest.require_right()
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def together(world: Cluster, count: int, here: str, there: str) -> Crowd:
    """So many guests move at once."""
    with as_operator(world.certs, here, world.nodes[here].address) as channel:
        service = migration_pb2_grpc.MigrationServiceStub(channel)
        ids = [str(uuid4()) for _ in range(count)]
        options = migration_pb2.MigrationOptions(
            on_timeout=migration_pb2.TIMEOUT_ACTION_SWITCH_OVER, codec=migration_pb2.CODEC_RAW
        )
        requests = [
            migration_pb2.StartMigrationRequest(
                id=one, guest=f"vm{number}", destination=there, options=options
            )
            for number, one in enumerate(ids)
        ]
        began = time.monotonic()
        for under_way in [service.StartMigration.future(one) for one in requests]:
            under_way.result(PATIENCE_S)
        for one in ids:
            eventually(lambda: _has_ended(service, one), PATIENCE_S, "a migration")  # noqa: B023
        took_s = time.monotonic() - began
        return crowd_of([_picture(service, one) for one in ids], took_s)


def as_operator(certs: Path, name: str, address: str) -> grpc.Channel:
    """A connection to a daemon."""
    pair = certs / "operators" / OPERATOR
    credentials = grpc.ssl_channel_credentials(
        (certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    return grpc.secure_channel(
        address, credentials, options=[("grpc.ssl_target_name_override", name)]
    )


def crowd_of(migrations: Sequence[Any], took_s: float) -> Crowd:
    """Figures of migrations that ended."""
    for one in migrations:
        assert one.phase == migration_pb2.PHASE_COMPLETED, one
    sent_bytes = [one.report.sent_bytes for one in migrations]
    totals_ms = [one.report.total_us / 1e3 for one in migrations]
    return Crowd(
        until_all_moved_s=took_s,
        sent_mib_per_s=sum(sent_bytes) / MIB / took_s,
        fairness=jain([sent / ms for sent, ms in zip(sent_bytes, totals_ms, strict=True)]),
        downtimes_ms=[one.report.downtime_us / 1e3 for one in migrations],
        totals_ms=totals_ms,
    )


def _picture(service: Any, migration_id: str) -> Any:
    return service.GetMigration(migration_pb2.GetMigrationRequest(id=migration_id)).migration


def _has_ended(service: Any, migration_id: str) -> bool:
    return bool(_picture(service, migration_id).ended_at_ms)


def _told(count: int, crowd: Crowd) -> Crowd:
    say(
        f"{count} at once: all moved after {crowd.until_all_moved_s:.2f} s,"
        f" {crowd.sent_mib_per_s:.0f} MiB/s, fairness {crowd.fairness:.3f}"
    )
    return crowd


def report(rows: Rows) -> None:
    """Medians and ranges."""
    for count, crowds in rows.items():
        say(f"\n{count} at once, guests of 64 MiB, medians (and ranges)")
        for figure, value in FIGURES.items():
            say(f"  {figure:38} {spread([value(one) for one in crowds])}")


def keep(rows: Rows, wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "filled_mib": SET_MIB}
    content["rows"] = {count: [asdict(one) for one in crowds] for count, crowds in rows.items()}
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""
    panels = panels_of(FIGURES, {f"{count} at once": {ONE: some} for count, some in rows.items()})
    title = "Guests of 64 MiB move at once: medians, and ranges as lines"
    return svg(title, (ONE,), panels, note)


if __name__ == "__main__":
    main()
