"""Room in the destination's memory, where its spool may live too."""

from bmigd.prechecks.facts import Case, Finding, failed, memory_needed, mib, passed


def check(case: Case) -> Finding:
    """Enough available memory for the guest, and for its file if the spool is in memory."""
    needed = memory_needed(case.room_bytes, case.destination.spool_in_memory)
    available = case.destination.memory_available_bytes
    if available < needed:
        return failed(
            "memory",
            "NO_MEMORY",
            f"{case.destination.name} has {mib(available)} for guests, {case.guest.name} needs"
            f" {mib(needed)}",
            f"free memory on {case.destination.name} or choose another node",
            case.destination.name,
        )
    return passed("memory", f"needs {mib(needed)}, {case.destination.name} has {mib(available)}")
