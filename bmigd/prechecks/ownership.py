"""Is there a guest to move, is its name free over there, and is it allowed?"""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def check(case: Case) -> Finding:
    """The guest runs here and stays, the name is free there, and nobody objects."""
    there = case.destination.name
    if busy := case.busy:
        return failed("ownership", busy.reason, busy.message, busy.advice, case.source.name)
    if case.unwatched:
        return failed(
            "ownership",
            "GUEST_NOT_RUNNING",
            f"guest {case.guest.name} cannot be moved: {case.unwatched}",
            f"bmigctl guest stop --force {case.guest.name}, and start it again",
            case.source.name,
        )
    if not case.is_running:
        return failed(
            "ownership",
            "GUEST_NOT_RUNNING",
            f"guest {case.guest.name} does not run on {case.source.name}",
            f"start it first; to move it stopped, undefine it and define it on {there} with its"
            " uuid",
            case.source.name,
        )
    if not case.may_be_sent:
        return failed(
            "ownership",
            "SEND_DENIED",
            f"no rule for peers of {case.source.name} lets guest {case.guest.name} go to {there}",
            f'allow "send" for it in [[peers]] in the configuration of {case.source.name}',
            case.source.name,
        )
    if case.destination.denied:
        return failed(
            "ownership",
            "DENIED_BY_PEER",
            f"{there} does not allow it: {case.destination.denied}",
            f"change [[operators]] or [[peers]] in the configuration of {there}",
            there,
        )
    if case.destination.name_taken_by:
        return failed(
            "ownership",
            "NAME_TAKEN",
            f"the name {case.guest.name!r} is in use on {there}: {case.destination.name_taken_by}",
            f"undefine the other one on {there}, if nobody needs it",
            there,
        )
    return passed("ownership", f"{case.guest.name} runs here and {there} would take it")
