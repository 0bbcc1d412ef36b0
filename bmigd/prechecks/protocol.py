"""A wire protocol that both speak."""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def newest_common(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int | None:
    """The version to use, or None."""
    return max(set(ours) & set(theirs), default=None)


def check(case: Case) -> Finding:
    """At least one version in common."""
    ours, theirs = case.source.protocol_versions, case.destination.protocol_versions
    version = newest_common(ours, theirs)
    if version is None:
        return failed(
            "protocol",
            "PROTOCOL_VERSION",
            f"{case.source.name} speaks versions {list(ours)}, {case.destination.name}"
            f" {list(theirs)}",
            "update the older of them",
            "",
        )
    return passed("protocol", f"version {version}")
