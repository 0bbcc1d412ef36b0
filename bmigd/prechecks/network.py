"""Networks by name."""

from bmigd.prechecks.facts import Case, Finding, failed, passed, warning


def check(case: Case) -> Finding:
    """Every network of the guest exists there."""
    missing = sorted(set(case.guest.networks) - set(case.destination.networks))
    if missing:
        return failed(
            "network",
            "NETWORK_MISSING",
            f"{case.destination.name} does not have network {', '.join(missing)}",
            f"name it in [networks] of {case.destination.name}",
        )
    if case.guest.networks:
        return warning(
            "network",
            "NETWORK_NOT_ANNOUNCED",
            "this driver does not announce the guest's new place: switches learn it from the"
            " guest's next frame",
            "let the guest send something regularly (NTP or a ping does)",
        )
    return passed("network", "the guest has no network cards")
