"""Room in both spools, for what is kept of the suspended guest here and received of it there."""

from bmigd.prechecks.facts import Case, Facts, Finding, failed, mib, passed


def check(case: Case) -> Finding:
    """Enough room on both nodes."""
    here, there = case.source, case.destination
    room = here.spool_available_bytes
    if here.spool_in_memory:  # of the destination the memory check says it
        room = min(room, here.memory_available_bytes)
    findings = [
        _check_one(here, room, case.kept_bytes),
        _check_one(there, there.spool_available_bytes, case.room_bytes[1]),
    ]
    return max(findings, key=lambda finding: finding.verdict)


def _check_one(facts: Facts, available: int, needed: int) -> Finding:
    if available < needed:
        return failed(
            "spool",
            "NO_SPOOL_ROOM",
            f"the spool of {facts.name} has room for {mib(available)}, {mib(needed)} are needed",
            f"make node.spool_dir of {facts.name} larger",
            facts.name,
        )
    return passed("spool", f"{facts.name} has {mib(available)}, needs {mib(needed)}")
