"""The bhyve driver: stock FreeBSD's bhyve and bhyvectl, or anything with their command line.

Live memory is read by mapping the VM node; the rest is `bhyvectl --suspend` and `bhyve -r`. The
programs and directories are configuration; the driver never asks what is behind them.
"""

from bmigd.config import Config
from bmigd.drivers.bhyve.driver import BhyveDriver


def make_bhyve(config: Config) -> BhyveDriver | None:
    """The driver, where the configuration has a [bhyve] table."""
    if config.bhyve is None:
        return None
    return BhyveDriver(config.bhyve, config.node, config.storage, config.networks)


__all__ = ["BhyveDriver", "make_bhyve"]
