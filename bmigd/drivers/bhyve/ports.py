"""The ports that bhyve listens on for a guest's screen.

`bhyve -r` opens them when the guest is down already and exits with 4 if one is taken: so they are
tried before.
"""

import errno
import socket

from bmigd.errors import StartFailed
from bmigd.guests.definition import Definition

DEFAULT_ADDRESS = "127.0.0.1"


def screens(definition: Definition) -> list[tuple[str, int]]:
    """Address and port of every screen: fbuf,tcp=[ADDRESS:]PORT (rfb= is the older word)."""
    found = []
    for device in definition.devices:
        for option in device.options if device.emulation == "fbuf" else ():
            key, _, value = option.partition("=")
            address, _, port = value.rpartition(":")
            if key in ("tcp", "rfb") and port.isdigit() and int(port) < 1 << 16:
                found.append((address or DEFAULT_ADDRESS, int(port)))
    return found


def require_free(definition: Definition) -> None:
    """Nobody listens on the ports of the guest's screens: StartFailed (START_FAILED)."""
    for address, port in screens(definition):
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            raise StartFailed(
                "START_FAILED",
                f"the guest's screen cannot listen on {address} port {port} of this host:"
                f" {errno.errorcode.get(error.errno or 0, '')} {error.strerror}",
                "free the port here, or give the guest another one",
                guest=definition.name,
                never_ran=True,
            ) from error
