"""Saved device state is raw structures of one build: both ends must have the same."""

from bmigd.prechecks.facts import Case, Facts, Finding, failed, passed


def check(case: Case) -> Finding:
    """The same driver and build, able to suspend and restore, and a guest that it can move."""
    name, here, there = case.guest.driver, case.source, case.destination
    return (
        _flaw_of_node(name, here)
        or _flaw_of_node(name, there)
        or _difference(here, there)
        or _flaw_of_guest(case)
        or passed("driver", f"same build on both: {here.driver.build}")
    )


def _flaw_of_node(name: str, facts: Facts) -> Finding | None:
    if facts.driver.name != name:
        return failed(
            "driver",
            "DRIVER_MISSING",
            f"{facts.name} has no driver {name!r}",
            f"configure [{name}] on {facts.name}",
            facts.name,
        )
    if not facts.driver.can_snapshot:
        return failed(
            "driver",
            "DRIVER_CANNOT_SNAPSHOT",
            f"{facts.name} cannot suspend and restore guests: {facts.driver.problem}",
            "docs/OPERATING.md tells what each driver needs",
            facts.name,
        )
    return None


def _difference(here: Facts, there: Facts) -> Finding | None:
    if here.driver.build == there.driver.build:
        return None
    return failed(
        "driver",
        "DRIVER_MISMATCH",
        f"{here.name} has {here.driver.build}, {there.name} has {there.driver.build}",
        "update one of them: device state is only understood by the very same build",
        "",
    )


def _flaw_of_guest(case: Case) -> Finding | None:
    if case.objections:
        return failed(
            "driver",
            "GUEST_NOT_MIGRATABLE",
            f"guest {case.guest.name} cannot be moved: {'; '.join(case.objections)}",
            "change the guest's devices, or shut it down and move it stopped",
            case.source.name,
        )
    if case.on_timeout == "throttle" and not case.source.driver.can_throttle:
        return failed(
            "driver",
            "THROTTLE_NOT_SUPPORTED",
            f"driver {case.guest.driver!r} cannot slow a guest down",
            "use --on-timeout abort or switch-over",
            case.source.name,
        )
    return None
