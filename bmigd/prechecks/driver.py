"""Saved device state is raw structures of one build: both ends must have the same."""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def check(case: Case) -> Finding:
    """The same driver and build, able to suspend and restore, and a guest that it can move."""
    name = case.guest.driver
    for facts in (case.source, case.destination):
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
    if case.source.driver.build != case.destination.driver.build:
        return failed(
            "driver",
            "DRIVER_MISMATCH",
            f"{case.source.name} has {case.source.driver.build}, {case.destination.name} has"
            f" {case.destination.driver.build}",
            "update one of them: device state is only understood by the very same build",
            "",
        )
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
            f"driver {name!r} cannot slow a guest down",
            "use --on-timeout abort or switch-over",
            case.source.name,
        )
    return passed("driver", f"same build on both: {case.source.driver.build}")
