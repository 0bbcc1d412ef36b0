"""libnv's packed form, as far as the control socket uses it.

A list is a header, then pairs of header, name and data; descriptors follow in
messages of their own.  Sizes are checked before anything is read.
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<BBBQQ")  # magic, version, flags, descriptors, size
_PAIR = struct.Struct("<BHQQ")  # type, size of the name, size of the data, items
HEADER_BYTES = _HEADER.size
_MAGIC, _VERSION = 0x6C, 0
_BOOL, _STRING, _DESCRIPTOR = 2, 4, 6
_MAX_BYTES = 64 << 10


class NvlistError(Exception):
    """The bytes are not such a list."""


class Descriptor:
    """The position of a descriptor among those that follow the list."""

    def __init__(self, index: int) -> None:
        self.index = index


def pack(values: dict[str, str | bool | Descriptor]) -> bytes:
    """A list of names and values as its bytes."""
    body, descriptors = b"", 0
    for key, value in values.items():
        name = key.encode() + b"\0"
        if isinstance(value, bool):
            kind, data = _BOOL, bytes([value])
        elif isinstance(value, str):
            kind, data = _STRING, value.encode() + b"\0"
        else:
            kind, data = _DESCRIPTOR, struct.pack("<Q", value.index)
            descriptors += 1
        body += _PAIR.pack(kind, len(name), len(data), 0) + name + data
    return _HEADER.pack(_MAGIC, _VERSION, 0, descriptors, len(body)) + body


def unpack_header(header: bytes) -> tuple[int, int]:
    """(bytes of pairs, descriptors) that follow."""
    if len(header) != HEADER_BYTES:
        raise NvlistError(f"{len(header)} bytes of header")
    magic, version, _flags, descriptors, size = _HEADER.unpack(header)
    if (magic, version) != (_MAGIC, _VERSION) or size > _MAX_BYTES or descriptors > 1:
        raise NvlistError(f"header {header.hex()}")
    return size, descriptors


def unpack_pairs(body: bytes) -> dict[str, str | bool | Descriptor]:
    """The inverse, of what comes after the header. NvlistError for anything else."""
    values: dict[str, str | bool | Descriptor] = {}
    at = 0
    while at < len(body):
        if at + _PAIR.size > len(body):
            raise NvlistError("a pair is cut off")
        kind, name_size, data_size, _items = _PAIR.unpack_from(body, at)
        at += _PAIR.size
        end = at + name_size + data_size
        if end > len(body) or not name_size:
            raise NvlistError("a pair is cut off")
        name = body[at : at + name_size - 1].decode(errors="replace")
        values[name] = _value(kind, body[at + name_size : end])
        at = end
    return values


def _value(kind: int, data: bytes) -> str | bool | Descriptor:
    if kind == _BOOL and len(data) == 1:
        return data != b"\0"
    if kind == _STRING and data.endswith(b"\0"):
        return data[:-1].decode(errors="surrogateescape")
    if kind == _DESCRIPTOR and len(data) == 8:
        return Descriptor(int.from_bytes(data, "little"))
    raise NvlistError(f"type {kind} with {len(data)} bytes")
