"""What a test needs of the machine: skipped with the reason where it is missing, failed in CI."""

import os
import shutil
from typing import NoReturn

import pytest

MISSING = (pytest.skip.Exception, pytest.fail.Exception)


def program(name: str) -> str:
    """The path of a program."""
    return shutil.which(name) or missing(f"there is no {name} here")


def root(what: str) -> None:
    """The right to do what only root may."""
    if os.geteuid():
        missing(f"only root may {what}")


def missing(what: str) -> NoReturn:
    """End the test: skipped for a reason, or failed where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
