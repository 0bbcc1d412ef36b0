"""Numbers as protobuf has them: seven bits a byte, the lowest first."""

_SHIFTS = range(0, 64, 7)


def varint(value: int) -> bytes:
    """A number, in as few bytes as it needs."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(view: memoryview, position: int) -> tuple[int, int]:
    """A varint and the position after it; a broken one ends the search (position past the end)."""
    value = 0
    for shift in _SHIFTS:
        if position >= len(view):
            return -1, len(view) + 1
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return -1, len(view) + 1
