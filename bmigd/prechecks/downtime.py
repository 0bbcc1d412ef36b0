"""Can the limit be met at all?"""

from bmigd.prechecks.facts import Case, Finding, passed, warning


def check(case: Case) -> Finding:
    """What the switchover costs by itself is below the limit."""
    fixed_ms, limit_ms = case.fixed_downtime_s * 1000, case.downtime_limit_s * 1000
    there = case.destination.name
    whence = f"as switchovers to {there} took of late" if case.cost_is_seen else "by estimate"
    if fixed_ms > limit_ms:
        return warning(
            "downtime",
            "DOWNTIME_LIMIT_UNREACHABLE",
            f"driver {case.guest.driver!r} alone takes about {fixed_ms:.0f} ms, {whence}, to"
            f" suspend, read back and restore this guest; the limit is {limit_ms:.0f} ms",
            f"expect about {fixed_ms:.0f} ms: it switches over when another round no longer helps",
        )
    return passed(
        "downtime",
        f"about {fixed_ms:.0f} ms, {whence}, and what is left of memory; limit {limit_ms:.0f} ms",
    )
