"""Room in both spools: the suspended guest is a file here, the received one a file there."""

from bmigd.prechecks.facts import Case, Facts, Finding, failed, mib, passed


def check(case: Case) -> Finding:
    """Enough room on both nodes."""
    findings = [
        _check_one(case.source, case.guest.memory_bytes),
        _check_one(case.destination, case.room_bytes[1]),
    ]
    return max(findings, key=lambda finding: finding.verdict)


def _check_one(facts: Facts, needed: int) -> Finding:
    available = facts.spool_available_bytes
    if facts.spool_in_memory:
        available = min(available, facts.memory_available_bytes)
    if available < needed:
        return failed(
            "spool",
            "NO_SPOOL_ROOM",
            f"the spool of {facts.name} has room for {mib(available)}, {mib(needed)} are needed",
            f"make node.spool_dir of {facts.name} larger",
        )
    return passed("spool", f"{facts.name} has {mib(available)}, needs {mib(needed)}")
