"""Certificates and clocks: what will break the next migration, said before it does."""

from bmigd.prechecks.facts import Case, Finding, passed, warning

CLOCK_LIMIT_MS = 5000
DAY_S = 86400


def check(case: Case) -> Finding:
    """Certificates last a while and the clocks agree."""
    now_s = case.source.clock_ms / 1000
    for facts in (case.source, case.destination):
        days = (facts.certificate_expires_at_s - now_s) / DAY_S
        if days < case.certificate_days:
            return warning(
                "certificates",
                "CERTIFICATE_EXPIRES_SOON",
                f"the certificate of {facts.name} ends in {days:.1f} days",
                "renew it; nodes with an expired one cannot migrate",
            )
    difference_ms = abs(case.destination.clock_ms - case.source.clock_ms)
    if difference_ms > CLOCK_LIMIT_MS + case.clock_error_ms:
        return warning(
            "certificates",
            "CLOCKS_DIFFER",
            f"the clocks of the nodes differ by {difference_ms / 1000:.1f} s",
            "run NTP on both: the guest's clock follows its host at the next start",
        )
    return passed("certificates", "certificates last and clocks agree")
