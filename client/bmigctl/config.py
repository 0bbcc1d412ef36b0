"""Where the nodes are and who the operator is: bmigctl's TOML file.

Rule: a field that is unknown or wrong stops everything and is named with file and line, so
that a typing error never turns into a default. Nothing but this module reads the file.
"""

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bmigctl import files
from bmigctl.errors import UsageFault

DEFAULT_PATH = "~/.config/bmig/bmigctl.toml"
_FIELDS = ("ca", "certificate", "key", "nodes")
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:\[\]]+):(\d{1,5})")


@dataclass(frozen=True)
class Credentials:
    """The operator's identity, as files."""

    ca: Path  # certificates that nodes are checked against
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Config:
    """Everything that bmigctl knows before it asks a node."""

    credentials: Credentials
    nodes: dict[str, str]  # name -> "host:port"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; ValueError when it is neither."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f'"{address}" is not "host:port"')
    host = match[1].strip("[]")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f'"{host}" is no host\'s name') from None
    return host, int(match[2])


def load(path: Path) -> Config:
    """Reads and checks the file; UsageFault names what is wrong and where."""
    try:
        text = files.text_of(path)
    except ValueError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise UsageFault(
                "CONFIG_MISSING",
                f"no configuration at {path}",
                advice="write one (bmigctl --help shows how) or name it with --config",
            ) from None
        raise UsageFault("CONFIG_UNREADABLE", str(error)) from error
    config = parse(text, path)
    _check_files(config.credentials)
    return config


def parse(text: str, path: Path) -> Config:
    """The configuration in the text; relative paths in it start at the file."""
    try:
        table = files.toml(text)
    except ValueError as error:
        raise UsageFault("CONFIG_INVALID", f"{path}: {error}") from error
    for field in table:
        if field not in _FIELDS:
            known = ", ".join(_FIELDS)
            _fail(path, text, field, f'unknown field "{field}" (known: {known})')
    named = {name: _file(table, name, text, path) for name in ("ca", "certificate", "key")}
    return Config(Credentials(**named), _nodes(table, text, path))


def _file(table: dict[str, Any], name: str, text: str, path: Path) -> Path:
    value = table.get(name)
    if value is None:
        _fail(path, text, None, f'field "{name}" is missing')
    if not isinstance(value, str) or not value:
        _fail(path, text, name, f'"{name}" must be the path of a file')
    return path.parent / files.expanded(Path(value))


def _nodes(table: dict[str, Any], text: str, path: Path) -> dict[str, str]:
    nodes = table.get("nodes")
    if not isinstance(nodes, dict) or not nodes:
        _fail(path, text, "nodes", 'table [nodes] must name at least one node: name = "host:port"')
    for name, address in nodes.items():
        if not _NODE_NAME.fullmatch(name):
            _fail(path, text, name, f'"{name}" cannot be the name of a node')
        try:
            split_address(address if isinstance(address, str) else str(address))
        except ValueError as error:
            _fail(path, text, name, f"address of node {name}: {error}")
    return nodes


def _fail(path: Path, text: str, field: str | None, message: str) -> NoReturn:
    line = _line_of(text, field) if field else None
    where = f"{path}, line {line}" if line else str(path)
    raise UsageFault("CONFIG_INVALID", f"{where}: {message}", advice=f"mend {path}")


def _line_of(text: str, field: str) -> int | None:
    # tomllib keeps no positions; the first line that sets or opens the field is good enough.
    pattern = re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(field)}[\"']?\s*[=\].]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return number
    return None


def _check_files(credentials: Credentials) -> None:
    for name in ("ca", "certificate", "key"):
        file: Path = getattr(credentials, name)
        of_field = f'(field "{name}" of the configuration)'
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise UsageFault("FILE_MISSING", f"{file}: is not a file {of_field}")
        except OSError as error:
            words = f"{file}: {files.why(error)} {of_field}"
            raise UsageFault("FILE_MISSING", words) from error
        except ValueError as error:
            words = f"{str(file)!r}: no file has such a name {of_field}"
            raise UsageFault("FILE_MISSING", words) from error
    mode = stat.S_IMODE(credentials.key.stat().st_mode)
    if mode & 0o077:
        raise UsageFault(
            "KEY_TOO_OPEN",
            f"{credentials.key}: others may read this key (mode {mode:04o}, must be 0600)",
            advice=f"chmod 600 {credentials.key}",
        )
