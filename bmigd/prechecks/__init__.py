"""May this guest go there? One pure file for each check, and the registry."""

from collections.abc import Callable

from bmigd.prechecks import (
    certificates,
    cpu,
    downtime,
    driver,
    firmware,
    memory,
    network,
    ownership,
    protocol,
    spool,
    storage,
    tracker,
)
from bmigd.prechecks.facts import Case, Finding, Verdict

CHECKS: tuple[Callable[[Case], Finding], ...] = (
    ownership.check,
    protocol.check,
    driver.check,
    cpu.check,
    memory.check,
    spool.check,
    storage.check,
    network.check,
    firmware.check,
    certificates.check,
    tracker.check,
    downtime.check,
)


# A destination that does not allow the guest tells nothing of its files.
OF_FILES = (storage.check, firmware.check)


def run(case: Case) -> list[Finding]:
    """Every check of what is known, failures first."""
    checks = [c for c in CHECKS if not (case.destination.denied and c in OF_FILES)]
    findings = [check(case) for check in checks]
    return sorted(findings, key=lambda finding: -finding.verdict)


def failures(findings: list[Finding]) -> list[Finding]:
    """Those that stop a migration."""
    return [finding for finding in findings if finding.verdict == Verdict.FAILED]


def warnings(findings: list[Finding]) -> list[Finding]:
    """Those that are worth knowing before one."""
    return [finding for finding in findings if finding.verdict == Verdict.WARNING]
