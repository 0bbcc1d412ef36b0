"""Boot ROM and variables are not part of guest memory: the same files are needed on both nodes."""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def check(case: Case) -> Finding:
    """Every firmware file has the same content on both nodes."""
    here, there = dict(case.source.firmware), dict(case.destination.firmware)
    for path in case.guest.firmware.paths:
        if not there.get(path):
            return failed(
                "firmware",
                "FIRMWARE_MISSING",
                f"{case.destination.name} has no {path}",
                f"copy it there from {case.source.name}",
            )
        if here.get(path) != there[path]:
            return failed(
                "firmware",
                "FIRMWARE_DIFFERS",
                f"{path} is different on {case.destination.name}",
                f"copy it there from {case.source.name}; a variable store belongs on shared"
                " storage",
            )
    return passed("firmware", "same files on both nodes")
