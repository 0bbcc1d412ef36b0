"""Hypervisor drivers: one package each, and the registry."""

from collections.abc import Callable

from bmigd.config import Config
from bmigd.drivers.base import Driver
from bmigd.drivers.bhyve import make_bhyve
from bmigd.drivers.qemu import make_qemu

# Each gives its driver, or None where the configuration does not name it.
DRIVERS: dict[str, Callable[[Config], Driver | None]] = {
    "bhyve": make_bhyve,
    "qemu": make_qemu,
}
