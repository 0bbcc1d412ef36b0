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
            case.destination.name,
        )
    if case.destination.silent_networks:
        network, problem = case.destination.silent_networks[0]
        return warning(
            "network",
            "NETWORK_NOT_ANNOUNCED",
            f"{case.destination.name} cannot announce the guest on network {network} ({problem}):"
            " switches learn its new place from its next frame",
            f"let bmigd of {case.destination.name} run as root, and name a bridge that exists; or"
            " let the guest send something regularly (NTP or a ping does)",
        )
    if not case.guest.networks:
        return passed("network", "the guest has no network cards")
    names = ", ".join(case.guest.networks)
    return passed("network", f"the guest will be announced there on {names}")
