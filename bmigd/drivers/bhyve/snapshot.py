"""bhyve's three snapshot files: FILE (memory), FILE.kern, FILE.meta.

bhyvectl's exit status says only that the request was sent, and bhyve writes no end mark: a
snapshot is complete when .meta parses, has its three parts with something in each, ends exactly
where .kern ends, and states the size of FILE.
"""

import json
from pathlib import Path
from typing import Any

PARTS = ("basic metadata", "kern_structs", "devices")
META_BYTES = 1 << 20


def suffixed(file: Path, suffix: str) -> Path:
    """FILE.kern or FILE.meta."""
    return file.with_name(f"{file.name}.{suffix}")


def files(file: Path) -> tuple[Path, Path, Path]:
    """All three."""
    return file, suffixed(file, "kern"), suffixed(file, "meta")


def remove(file: Path) -> None:
    """Delete all three."""
    for path in files(file):
        path.unlink(missing_ok=True)


def flaw_in_files(file: Path, name: str, memory_bytes: int) -> str:
    """What is wrong with a snapshot on disk; "" when it is complete."""
    try:
        ram, kern, meta = (path.stat().st_size for path in files(file))
        if meta > META_BYTES:
            return f".meta has {meta} bytes"
        text = suffixed(file, "meta").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot be read: {error}"
    return flaw(text, name, memory_bytes, ram, kern)


def flaw(meta: str, name: str, memory_bytes: int, ram_bytes: int, kern_bytes: int) -> str:
    """What is wrong with a snapshot, by its .meta and the sizes of the others; "" if nothing."""
    try:
        content = json.loads(meta)
        missing = [part for part in PARTS if part not in content]
        if missing:
            return f".meta lacks {', '.join(missing)}"
        basic = content["basic metadata"]
        end = max(_end(element) for part in PARTS[1:] for element in _elements(content, part))
        stated, vmname = int(basic["memsize"]), basic["vmname"]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return f".meta is broken: {f'it lacks {error}' if isinstance(error, KeyError) else error}"
    if vmname != name:
        return f".meta is of guest {vmname!r}"
    if stated != memory_bytes or ram_bytes != memory_bytes:
        return f"memory of {ram_bytes} bytes, .meta says {stated}, the guest has {memory_bytes}"
    if end != kern_bytes:
        return f".kern has {kern_bytes} bytes, .meta describes {end}"
    return ""


def _elements(content: dict[str, Any], part: str) -> list[Any]:
    elements: list[Any] = content[part]
    if not elements:
        raise ValueError(f"{part} has nothing in it")
    return elements


def _end(element: Any) -> int:
    """Where an element ends in .kern; one without a name or bytes is refused by `bhyve -r`."""
    size, offset = int(element["size"]), int(element["file_offset"])
    if size <= 0 or offset < 0 or not str(element["device"]):
        raise ValueError("an element without name, bytes or place")
    return size + offset
