"""Enums of the contract as people say them; pure.

Rule: a value that a newer daemon knows and we do not is shown as its number, never an error.
"""

import re
from typing import Protocol

from bmig.v1 import guest_pb2, migration_pb2

OVER = (migration_pb2.PHASE_COMPLETED, migration_pb2.PHASE_ABORTED)
_IDENTITY = re.compile(r"spiffe://[^/\s]+/(node|operator)/([A-Za-z0-9._-]*[A-Za-z0-9_-])")


def is_over(migration: migration_pb2.Migration) -> bool:
    """Whether it has ended, and where the guest is, is known."""
    return migration.phase in OVER and not migration.in_doubt_since_ms


class _Enum(Protocol):
    def Name(self, number: int) -> str: ...  # noqa: N802 -- protobuf's name


def _word(enum: _Enum, number: int, prefix: str) -> str:
    try:
        return enum.Name(number).removeprefix(prefix).lower().replace("_", " ")
    except ValueError:
        return f"unknown ({number})"


def phase(number: int) -> str:
    """The phase: "precopy"."""
    return _word(migration_pb2.Phase, number, "PHASE_")


def side(number: int) -> str:
    """The side: "source"; empty when it is not told."""
    return _word(migration_pb2.Side, number, "SIDE_") if number else ""


def guest_state(number: int) -> str:
    """The state of a guest: "migrating out"."""
    return _word(guest_pb2.GuestState, number, "GUEST_STATE_")


def timeout_action(number: int) -> str:
    """What is done on timeout, as the option is written: "switch-over"."""
    default = migration_pb2.TIMEOUT_ACTION_ABORT
    word = _word(migration_pb2.TimeoutAction, number or default, "TIMEOUT_ACTION_")
    return word.replace(" ", "-")


def codec(number: int) -> str:
    """The encoding: "zstd"; "auto" when the source chooses."""
    return _word(migration_pb2.Codec, number, "CODEC_") if number else "auto"


def tracker(number: int) -> str:
    """How dirty pages are found: "content"; "auto" when the source chooses."""
    return _word(migration_pb2.Tracker, number, "TRACKER_") if number else "auto"


def plain(sentence: str) -> str:
    """A node's sentence with "operator alice" for her SPIFFE id."""
    return _IDENTITY.sub(r"\1 \2", sentence)
