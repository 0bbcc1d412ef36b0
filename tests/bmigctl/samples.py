"""Migrations of vm1 from host1 to host2, as the source tells them."""

from typing import Any

from bmig.v1 import migration_pb2

from tests.bmigctl.nodes import MIB

ID = "7f3a0000-0000-4000-8000-000000000001"


def migration(phase: migration_pb2.Phase, **more: Any) -> migration_pb2.Migration:
    return migration_pb2.Migration(
        id=ID,
        guest="vm1",
        source="host1",
        destination="host2",
        side=migration_pb2.SIDE_SOURCE,
        phase=phase,
        options=migration_pb2.MigrationOptions(downtime_limit_ms=300),
        started_at_ms=1_700_000_000_000,
        **more,
    )


def completed() -> migration_pb2.Migration:
    source, destination = migration_pb2.SIDE_SOURCE, migration_pb2.SIDE_DESTINATION
    part = migration_pb2.TimePart
    report = migration_pb2.Report(
        rounds=[migration_pb2.Round(number=1, dirty_bytes=256 * MIB, duration_us=2_000_000)],
        downtime_us=214_000,
        downtime_parts=[
            part(name="suspend", side=source, duration_us=64_000),
            part(name="load", side=destination, duration_us=150_000),
        ],
        total_us=3_500_000,
        sent_bytes=260 * MIB,
        wire_bytes=100 * MIB,
        source_memory_root="ab" * 32,
        destination_memory_root="ab" * 32,
    )
    return migration(migration_pb2.PHASE_COMPLETED, report=report, ended_at_ms=1_700_000_003_500)


def in_doubt() -> migration_pb2.Migration:
    """Let go by the source, not answered by the destination."""
    return migration(
        migration_pb2.PHASE_HANDOFF, ownership="LET_GO", in_doubt_since_ms=1_700_000_003_000
    )


def of_destination(phase: migration_pb2.Phase, **more: Any) -> migration_pb2.Migration:
    """The same as the destination tells it."""
    made = migration(phase, **more)
    made.side = migration_pb2.SIDE_DESTINATION
    made.ClearField("options")  # which it is not told
    return made
