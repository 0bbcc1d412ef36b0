"""Files are put in place whole, in one step; nobody sees a part of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

UNFINISHED_BYTES = 8  # random, in hexadecimal, at the end of a name


def put(path: Path, content: bytes, mode: int, *, replace: bool) -> None:
    """Without `replace` never over another: FileExistsError. OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(UNFINISHED_BYTES)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def why(error: OSError) -> str:
    """What the system says of a failure, in small letters."""
    return (error.strerror or "cannot be used").lower()


def final_path(path: Path) -> Path:
    """What an unfinished file was to be; any other is itself."""
    is_unfinished = path.name.startswith(".") and len(path.suffix) == 1 + 2 * UNFINISHED_BYTES
    return path.with_name(path.stem[1:]) if is_unfinished else path
