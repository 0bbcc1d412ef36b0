"""The operator's command and client library of bmig; knows the contract in proto/ only."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bmig")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
