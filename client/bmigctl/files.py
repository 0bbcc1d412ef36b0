"""Files that an operator names: read in one way, and refused in words.

Rule: nobody reads the number of an error, or a decoder's words.
"""

import tomllib
from pathlib import Path
from typing import Any

from bmigctl.errors import UsageFault


def why(error: OSError) -> str:
    """What the system says of it, in small letters."""
    return (error.strerror or "it cannot be used").lower()


def text_of(path: Path) -> str:
    """All of it; ValueError in words, whose cause is the system's error if there was one."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {why(error)}") from error
    except ValueError as error:  # of the text, or of a path that none can be
        raise ValueError(f"{path}: is no file of UTF-8 text") from error


def toml(text: str) -> dict[str, Any]:
    """What it says; ValueError in words."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("lists or tables are too deep") from error
    except ValueError as error:
        raise ValueError("a number is too long") from error


def expanded(path: Path) -> Path:
    """With ~ as somebody's home; UsageFault if there is nobody of that name."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageFault("CONFIG_INVALID", f"{path}: whose home that is is not known") from error
