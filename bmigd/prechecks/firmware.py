"""Boot ROM and variables are not part of guest memory: the same files are needed on both nodes."""

from bmigd.prechecks.facts import Case, FileState, Finding, failed, passed


def check(case: Case) -> Finding:
    """Every firmware file has the same content on both nodes, as the destination found."""
    there, states = case.destination.name, {f.path: f.state for f in case.destination.firmware}
    for path in case.guest.firmware.paths:
        match states.get(path, FileState.MISSING):
            case FileState.MISSING:
                return failed(
                    "firmware",
                    "FIRMWARE_MISSING",
                    f"{there} has no {path}",
                    f"copy it there from {case.source.name}",
                    there,
                )
            case FileState.OUTSIDE:
                return failed(
                    "firmware",
                    "FIRMWARE_OUTSIDE",
                    f"{there} does not let guests use {path}",
                    f"name its directory in node.firmware_dirs or node.variables_dirs of {there}",
                    there,
                )
            case FileState.DIFFERS:
                return failed(
                    "firmware",
                    "FIRMWARE_DIFFERS",
                    f"{path} is different on {there}",
                    f"copy it there from {case.source.name}; a variable store belongs on shared"
                    " storage",
                    there,
                )
    return passed("firmware", "same files on both nodes")
