"""How far a migration is, how fast it goes and what is to come, in short; pure.

Rule: every figure has its unit, and what is not known is not told as one.
"""

from bmig.v1 import migration_pb2

from bmigctl import units


def all_of(migration: migration_pb2.Migration) -> list[str]:
    """One that goes on, by its latest progress."""
    progress = migration.progress
    if progress.waiting_for:  # told by itself
        return extent(progress, None)
    is_sources = migration.side == migration_pb2.SIDE_SOURCE  # the other side knows no percentage
    return [
        *extent(progress, progress.percent if is_sources else None),
        *pace(progress),
        *prospect(progress, limit_ms(migration.options)),
    ]


def limit_ms(options: migration_pb2.MigrationOptions) -> int:
    """Of the downtime; the contract's own where none was asked for."""
    return options.downtime_limit_ms or 300


def extent(progress: migration_pb2.Progress, percent: int | None) -> list[str]:
    """How far it is."""
    parts = [f"{percent} %"] if percent is not None else []
    if progress.round:
        parts.append(f"round {progress.round}")
    return [*parts, f"{units.size(progress.sent_bytes)} sent"]


def pace(progress: migration_pb2.Progress) -> list[str]:
    """How fast it goes: what is sent, and what the guest dirties, once that is known; or for what
    it waits.
    """
    if progress.waiting_for:
        waited = f" for {units.duration_ms(progress.waited_ms)}" if progress.waited_ms else ""
        return [f"waiting{waited}: {progress.waiting_for}"]
    parts = (
        [f"{units.rate(progress.rate_bytes_per_s)} of memory"] if progress.rate_bytes_per_s else []
    )
    if progress.HasField("dirty_rate_bytes_per_s"):
        parts.append(f"guest dirties {units.rate(progress.dirty_rate_bytes_per_s)}")
    if progress.throttle_percent:
        parts.append(f"guest slowed to {100 - progress.throttle_percent} %")
    return parts


def prospect(progress: migration_pb2.Progress, most_ms: int) -> list[str]:
    """What is to come, as far as it is known."""
    parts: list[str] = []
    if progress.waiting_for:
        return parts
    if progress.HasField("estimated_downtime_ms"):
        parts.append(f"downtime ~{progress.estimated_downtime_ms} of {most_ms} ms")
    is_known = progress.HasField("dirty_rate_bytes_per_s")
    if progress.HasField("estimated_remaining_ms"):
        left = units.duration_ms(progress.estimated_remaining_ms)
        parts.append(f"{left} left" if is_known else f"at least {left} left")
    elif progress.is_without_end:
        parts.append("no end in sight like this")
    return parts
