"""A tracker that was asked for by name must be there; otherwise there is always one."""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def check(case: Case) -> Finding:
    """Writes of the guest can be logged, or it was not asked for that they are."""
    if case.tracker == "content":
        return passed("tracker", "content, as asked for")
    if not case.tracker_obstacle:
        return passed("tracker", "pagemap: the guest's writes can be logged")
    if case.tracker == "pagemap":
        return failed(
            "tracker",
            "TRACKER_NOT_AVAILABLE",
            f"no exact tracker for guest {case.guest.name}: {case.tracker_obstacle}",
            "use --tracker auto or content",
            case.source.name,
        )
    return passed("tracker", f"content: {case.tracker_obstacle}")
