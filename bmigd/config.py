"""The daemon's configuration: one TOML file, read once, frozen.

Every field says its unit and default; an unknown or wrong field stops the start with its path.
Nothing else in the daemon reads a file or the environment for settings.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bmigd.complaints import LABEL, LABEL_FORM, complaints
from bmigd.errors import Invalid
from bmigd.words import why

NODE_NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
FORMS = {
    LABEL: LABEL_FORM,
    NODE_NAME: "small letters, digits, dots and hyphens, at most 63, with a letter or digit at"
    " either end",
}
Name = Annotated[str, Field(pattern=LABEL)]
NodeName = Annotated[str, Field(pattern=NODE_NAME)]


def _address(text: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):[0-9]{1,5}", text):
        raise ValueError("must be ADDRESS:PORT, as 192.0.2.1:7117 or [2001:db8::1]:7117")
    if int(text.rpartition(":")[2]) > 65535:
        raise ValueError("the port must be at most 65535")
    return text


Address = Annotated[str, AfterValidator(_address)]
RUN_DIR_BYTES = 60  # what sockets' names leave of the 104 that FreeBSD has for a path
Glob = Annotated[str, Field(min_length=1, max_length=128)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1)]
LONGEST_S = 86400
WHERE = "say with --config where the file is"
EXAMPLES = "docs/CONFIGURATION.md lists every field, README.md has whole files"
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
Many = Annotated[int, Field(ge=0, le=1 << 30)]  # of MiB
AnySection = TypeVar("AnySection", bound="Section")
OperatorAction = Literal["read", "define", "power", "console", "migrate", "resolve"]
PeerAction = Literal["read", "send", "receive"]


class Section(BaseModel):
    """A table of the file: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(Section):
    """Who this node is and where it keeps things."""

    name: NodeName = Field(description="this node's name; equal to the DNS name in its certificate")
    listen: Address = Field(default="0.0.0.0:7117", description="address and port to listen on")
    state_dir: Path = Field(
        default=Path("/var/db/bmig"),
        description="journal, history, guest definitions and what switchovers took",
    )
    spool_dir: Path = Field(
        default=Path("/var/spool/bmig"),
        description="memory and state files of guests on the move; in memory (tmpfs) for speed",
    )
    run_dir: Path = Field(
        default=Path("/var/run/bmig"),
        description="sockets of the guests' supervisors; a short path, at most 60 bytes",
    )
    firmware_dirs: tuple[Path, ...] = Field(
        default=(Path("/usr/local/share/uefi-firmware"),),
        description="directories with boot ROMs; guests boot from nothing else",
    )
    variables_dirs: tuple[Path, ...] = Field(
        default=(),
        description="directories with guests' variable stores, NAME.EXTENSION or in NAME/, which"
        " guests write: never those of boot ROMs",
    )


class Tls(Section):
    """This node's certificate. Relative paths start at the configuration file."""

    ca: Path = Field(description="certificate of the cluster's CA, PEM")
    certificate: Path = Field(description="this node's certificate, PEM")
    key: Path = Field(description="this node's private key, PEM, mode 0600")


class OperatorRule(Section):
    """Operators of these names may do these things with these guests."""

    names: Globs = Field(description="operators, as globs")
    guests: Globs = Field(default=("*",), description="guests, as globs")
    allow: tuple[OperatorAction, ...] = Field(
        description="read, define, power, console, migrate, resolve"
    )


class PeerRule(Section):
    """Nodes of these names may be used for these guests in these ways."""

    names: Globs = Field(description="nodes, as globs")
    guests: Globs = Field(default=("*",), description="guests, as globs")
    allow: tuple[PeerAction, ...] = Field(
        description="send: guests may go there; receive: they may come from there; read: it may"
        " list guests, and ask for one before it defines or starts one of that name"
    )


class Bhyve(Section):
    """The bhyve driver."""

    bhyve: Path = Field(default=Path("/usr/sbin/bhyve"), description="the hypervisor")
    bhyvectl: Path = Field(default=Path("/usr/sbin/bhyvectl"), description="its control program")
    vmm_dir: Path = Field(default=Path("/dev/vmm"), description="where VM nodes appear")
    run_dir: Path = Field(
        default=Path("/var/run/bhyve"), description="where control sockets appear"
    )
    ifconfig: Path = Field(
        default=Path("/sbin/ifconfig"), description="makes the tap interfaces of network cards"
    )
    start_timeout_s: Seconds = Field(
        default=60.0,
        description="seconds from executing bhyve until its guest runs",
    )
    suspend_timeout_s: Seconds = Field(
        default=120.0,
        description="seconds for a suspend before the migration is given up",
    )


class Qemu(Section):
    """The QEMU driver. The memory of its guests is in node.spool_dir for as long as they run."""

    qemu: Path = Field(
        default=Path("/usr/bin/qemu-system-x86_64"), description="the hypervisor, 7.2 or newer"
    )
    accel: Literal["auto", "kvm", "tcg"] = Field(
        default="auto",
        description="how guests are run; auto is kvm where a short trial shows that it is fast,"
        " else tcg; the same on both ends of a migration",
    )
    start_timeout_s: Seconds = Field(
        default=60.0,
        description="seconds from executing QEMU until its guest runs",
    )
    suspend_timeout_s: Seconds = Field(
        default=60.0,
        description="seconds for a suspend before the migration is given up",
    )


class Migration(Section):
    """Limits of migrations."""

    lease_s: float = Field(
        default=120.0,
        ge=1,
        le=LONGEST_S,
        description="seconds a received guest waits for a sign of life of its source",
    )
    window_chunks: int = Field(
        default=12, ge=1, le=256, description="chunks of 1 MiB under way without acknowledgement"
    )
    peer_timeout_s: Seconds = Field(
        default=6.0,
        description="seconds without an answer after which a node is lost",
    )
    reconnect_s: float = Field(
        default=90.0,
        ge=0,
        le=LONGEST_S,
        description="seconds of silence before a pre-copy is given up; at most three quarters of"
        " the destination's lease_s",
    )
    blackout_silence_s: Seconds = Field(
        default=1.5,
        description="seconds of the destination's silence, the guest being down, before the guest"
        " goes on here",
    )
    blackout_limit_s: Seconds = Field(
        default=60.0,
        description="seconds for a destination that does answer to take over memory and state",
    )
    bandwidth_mib_per_s: Many = Field(
        default=0,
        description="for all memory that leaves this node while guests run, shared among its"
        " migrations; 0: no limit",
    )
    keep_memory_mib: Many = Field(
        default=0,
        description="MiB of the spool for memory of guests that left, which makes their way back"
        " short; given up when room is needed; 0: none",
    )
    memory_reserve_mib: Many = Field(
        default=256, description="MiB of host memory never promised to guests"
    )


class Log(Section):
    """What the daemon writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level written"
    )
    format: Literal["json", "text"] = Field(default="json", description="one object or text a line")


class Config(Section):
    """The whole file."""

    node: Node
    tls: Tls
    nodes: dict[NodeName, Address] = Field(
        default_factory=dict, description="other nodes: name = address and port"
    )
    operators: tuple[OperatorRule, ...] = Field(
        default=(), description="what operators may do; everything else is denied"
    )
    peers: tuple[PeerRule, ...] = Field(
        default=(), description="what other nodes may do; everything else is denied"
    )
    storage: dict[Name, Path] = Field(
        default_factory=dict, description="storages: name = directory on this host"
    )
    networks: dict[Name, str] = Field(
        default_factory=dict, description="networks: name = bridge on this host"
    )
    bhyve: Bhyve | None = Field(default=None, description="present when this node runs bhyve")
    qemu: Qemu | None = Field(default=None, description="present when this node runs QEMU")
    migration: Migration = Migration()
    log: Log = Log()


def load(path: Path) -> Config:
    """Read and check the file; Invalid (CONFIG_INVALID) names every wrong field."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid("CONFIG_INVALID", f"cannot read {path}: {why(error)}", WHERE) from error
    except ValueError as error:  # of the text, or of a path that none can be
        raise Invalid("CONFIG_INVALID", f"{path} is no file of UTF-8 text", WHERE) from error
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Check the text of a file at `path`; relative paths in it start at its directory."""
    try:
        config = Config.model_validate(tomllib.loads(text))
    except RecursionError as error:
        raise Invalid("CONFIG_INVALID", f"{path}: lists or tables too deep", EXAMPLES) from error
    except ValidationError as error:  # which is a ValueError
        wrong = complaints(error, "the file", FORMS)
        raise Invalid("CONFIG_INVALID", f"{path}: {wrong}", EXAMPLES) from error
    except tomllib.TOMLDecodeError as error:
        raise Invalid("CONFIG_INVALID", f"{path}: not TOML: {error}", EXAMPLES) from error
    except ValueError as error:
        raise Invalid("CONFIG_INVALID", f"{path}: a number is too long", EXAMPLES) from error
    if config.node.name in config.nodes:
        raise Invalid("CONFIG_INVALID", f"{path}: nodes.{config.node.name}: is this node itself")
    anchored = _anchored(config, path.absolute().parent)
    if len(os.fsencode(anchored.node.run_dir)) > RUN_DIR_BYTES:
        words = f"node.run_dir: has more than {RUN_DIR_BYTES} bytes"
        raise Invalid("CONFIG_INVALID", f"{path}: {words}, too many for its sockets")
    return anchored


def _anchored(config: Config, base: Path) -> Config:
    """Make every path absolute."""

    def fix(section: AnySection) -> AnySection:
        paths = {k: base / v for k, v in section if isinstance(v, Path)}
        lists = {k: tuple(base / path for path in v) for k, v in section if k.endswith("_dirs")}
        return section.model_copy(update={**paths, **lists})

    return config.model_copy(
        update={
            "node": fix(config.node),
            "tls": fix(config.tls),
            "bhyve": fix(config.bhyve) if config.bhyve else None,
            "qemu": fix(config.qemu) if config.qemu else None,
            "storage": {name: base / path for name, path in config.storage.items()},
        }
    )
