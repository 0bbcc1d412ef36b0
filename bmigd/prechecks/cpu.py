"""The guest saw the source's processor; bhyve masks it little and cannot change it afterwards."""

from bmigd.prechecks.facts import Case, Finding, failed, passed

SHOWN = 8  # missing features named in the message


def check(case: Case) -> Finding:
    """Same vendor, same model, and no feature fewer."""
    here, there = case.source.cpu, case.destination.cpu
    missing = sorted(set(here.features) - set(there.features))
    if here.vendor != there.vendor:
        return failed(
            "cpu",
            "CPU_VENDOR",
            f"{case.destination.name} has a processor of {there.vendor}, the guest runs on"
            f" {here.vendor}",
            "choose a node with the same vendor; saved processor state does not carry over",
            case.destination.name,
        )
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (" …" if len(missing) > SHOWN else "")
        return failed(
            "cpu",
            "CPU_FEATURES",
            f"{case.destination.name} lacks {len(missing)} processor features that the guest may"
            f" use: {shown}",
            "choose a node with the same or a newer processor",
            case.destination.name,
        )
    if here.model != there.model:
        return failed(
            "cpu",
            "CPU_MODEL",
            f"{case.destination.name} has {there.model!r}, the guest runs on {here.model!r}",
            "choose a node with the same model: the guest sees the model and its TSC rate",
            case.destination.name,
        )
    return passed("cpu", f"same model: {here.model}")
