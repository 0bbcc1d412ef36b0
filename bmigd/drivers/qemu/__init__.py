"""The QEMU driver: stock qemu-system-x86_64 on Linux.

The daemon owns the guest's memory, a shared file in the spool that QEMU maps; QEMU's own migration
carries the state of devices alone, through a passed descriptor. Nothing of QEMU's live migration of
memory is used.
"""

from bmigd.config import Config
from bmigd.drivers.qemu.driver import QemuDriver
from bmigd.drivers.qemu.taps import LinuxTaps


def make_qemu(config: Config) -> QemuDriver | None:
    """The driver, where the configuration has a [qemu] table."""
    if config.qemu is None:
        return None
    taps = LinuxTaps(config.networks, config.node.state_dir / "taps")
    return QemuDriver(config.qemu, config.node, config.storage, taps)


__all__ = ["QemuDriver", "make_qemu"]
